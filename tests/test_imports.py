"""Imports run one way, torch stays inside model/, and importing the package is light."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import spacy_zeroshot

PACKAGE = Path(spacy_zeroshot.__file__).parent
# From the bottom to the top: a module imports from its own layer and those below it. A folder stands for all of it.
LAYERS = [
    {"errors"},
    {"util"},
    {"corpus", "model"},
    {"readers"},
    {"settings", "neighbors", "training", "scorer", "scores", "decisions", "labels", "premises", "explain"},
    {"component"},
    {"loading", "display"},
    {"tuning", "review", "annotation", "distillation", "evaluation", "checks"},
    {"explorer"},
    {"cli"},
]
LAYER = {name: number for number, names in enumerate(LAYERS) for name in names}
# Of model/, the rest of the package sees the data it exchanges and the registered functions; `benchmark` also what it
# compares with
VISIBLE = {"model.types", "model.architectures"}
ALSO_VISIBLE = {"cli.benchmark": {"model.reference"}}
HEAVY = {"torch", "transformers", "tokenizers", "safetensors", "huggingface_hub", "openvino", "nncf"}


def modules() -> list[str]:
    names = (path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", ".") for path in PACKAGE.rglob("*.py"))
    return sorted(name.removesuffix(".__init__") for name in names)


MODULES = modules()


def source(module: str) -> Path:
    path = PACKAGE.joinpath(*module.split(".")) if module != "__init__" else PACKAGE
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def imported(module: str) -> Iterator[str]:
    """Every name a module imports, anywhere in it, written from the top: 'spacy_zeroshot.errors', 'torch.nn'."""
    path = source(module)
    # the package that a relative import starts from
    here = ["spacy_zeroshot", *path.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else []
            for alias in node.names:
                yield ".".join([*base, *(node.module or "").split("."), alias.name]).replace("..", ".")


def own_imports(module: str) -> set[str]:
    """The modules of this package that a module imports."""
    found = set()
    for name in imported(module):
        if name.split(".")[0] != "spacy_zeroshot":
            continue
        inner = name.removeprefix("spacy_zeroshot").strip(".")
        # from .errors import ZeroShotError: the longest part that is a module
        while inner and inner not in MODULES:
            inner = inner.rpartition(".")[0]
        found.add(inner or "__init__")
    return found - {module}


def layer_of(module: str) -> int:
    # annotation_journal belongs to annotation
    first = module.split(".")[0].split("_")[0] if module.startswith("annotation") else module.split(".")[0]
    assert first in LAYER, f"give {module} a layer"
    return LAYER[first]


INSIDE = [name for name in MODULES if name not in ("__init__", "bundled")]


@pytest.mark.parametrize("module", INSIDE)
def test_imports_run_one_way(module: str) -> None:
    for name in own_imports(module) - {"__init__", "bundled"}:
        assert layer_of(name) <= layer_of(module), f"{module} imports {name}"
        if name.startswith("model.") and not module.startswith("model"):
            assert name in VISIBLE | ALSO_VISIBLE.get(module, set()), f"{module} imports {name}"


@pytest.mark.parametrize("module", MODULES)
def test_nothing_imports_what_measures_or_makes_the_model(module: str) -> None:
    assert not {name.split(".")[0] for name in imported(module)} & {"benchmarks", "project", "tests"}
    if not module.startswith("cli"):
        assert not [name for name in own_imports(module) if name.split(".")[0] == "cli"]


@pytest.mark.parametrize("module", [name for name in MODULES if not name.startswith("model")])
def test_torch_and_transformers_stay_inside_model(module: str) -> None:
    assert not {name for name in imported(module) if name.split(".")[0] in HEAVY}


def test_there_is_no_circle() -> None:
    # raises CycleError, which names the circle
    list(TopologicalSorter({name: own_imports(name) - {"__init__"} for name in INSIDE}).static_order())


@pytest.mark.slow
@pytest.mark.parametrize(
    "code",
    [
        "import spacy_zeroshot",
        "import spacy; spacy.blank('en')",
        "import spacy; spacy.blank('en').add_pipe('zero_shot_textcat', config={'labels': ['a']})",
        "import spacy_zeroshot.cli",
        "import spacy_zeroshot.component",
    ],
)
def test_importing_loads_no_torch(code: str) -> None:
    # spacy-transformers and thinc import torch in every spacy.blank; what counts is whether this package asks for it
    watch = """
import builtins, sys
plain = builtins.__import__
def watch(name, globals=None, locals=None, fromlist=(), level=0):
    importer = (globals or {}).get("__name__") or ""
    if level == 0 and name.split(".")[0] in ("torch", "transformers") and importer.startswith("spacy_zeroshot"):
        raise AssertionError(importer + " imports " + name)
    return plain(name, globals, locals, fromlist, level)
builtins.__import__ = watch
"""
    done = subprocess.run([sys.executable, "-c", watch + code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_package_itself_loads_neither_spacy_nor_torch() -> None:
    code = "import sys, spacy_zeroshot; print({'spacy', 'torch', 'transformers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
