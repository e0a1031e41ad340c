"""The wheel and the sdist: what is in them, and that what they declare is what the code needs."""

import ast
import configparser
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import spacy_zeroshot

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
PACKAGE = Path(spacy_zeroshot.__file__).parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["project"]
BUNDLED = ("README.md", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
# PyPI's limit for one file
WHEEL_BYTES = 100 * 1_000_000
# Declared, but named in configs rather than imported
NOT_IMPORTED = {"spacy-transformers"}
# Imported in a notebook only, where it is
HOSTS = {"ipython"}
# Extras that the package itself never imports
TOOLS = {"dev", "docs"}
OFFLINE = """
import socket
def refuse(*args):
    raise OSError("no network")
socket.socket.connect = socket.getaddrinfo = refuse
"""


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist: those that are being tested, or new ones."""
    wheel = os.environ.get("ZEROSHOT_WHEEL")
    if wheel:
        return Path(wheel).parent
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "spacy_zeroshot", source / "spacy_zeroshot", ignore=shutil.ignore_patterns("__pycache__"))
    # from the sdist, so that a file that is missing there is missing in the wheel
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(source / "dist"), str(source)]
    subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL)
    return source / "dist"


@pytest.fixture(scope="session")
def wheel(built: Path) -> Path:
    (found,) = built.glob("*.whl")
    return found


@pytest.mark.slow
def test_the_wheel_has_the_bundled_model_the_types_marker_and_the_pages(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        sizes = {info.filename: info.file_size for info in archive.infolist()}
    for name in BUNDLED:
        assert sizes[f"spacy_zeroshot/bundled/{name}"] > 0
    others = {
        "py.typed",
        "display.css",
        "messages.json",
        "samples.txt",
        "templates.json",
        "display.html.jinja",
        "tuning/report.html.jinja",
    }
    assert {f"spacy_zeroshot/{name}" for name in others} <= sizes.keys()
    pages = [path for path in (PACKAGE / "explorer").rglob("*") if path.suffix in (".jinja", ".js", ".css")]
    assert len(pages) == 4 and {path.relative_to(PACKAGE.parent).as_posix() for path in pages} <= sizes.keys()
    assert wheel.stat().st_size <= WHEEL_BYTES


@pytest.mark.slow
def test_the_wheel_has_every_module_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert {name.split("/")[0] for name in names} == {"spacy_zeroshot"}
    modules = {path.relative_to(PACKAGE.parent).as_posix() for path in PACKAGE.rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == modules
    assert not [name for name in names if name.endswith((".pyc", ".pyo", ".bin", ".pkl"))]


@pytest.mark.slow
def test_the_sdist_has_the_bundled_model(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.split("/", 1)[-1] for name in archive.getnames()}
    assert {f"spacy_zeroshot/bundled/{name}" for name in BUNDLED} <= names
    assert {"LICENSE", "README.md", "pyproject.toml", "spacy_zeroshot/py.typed"} <= names


@pytest.mark.slow
def test_the_wheel_declares_entry_points_licence_and_readme(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (info,) = {name.split("/")[0] for name in archive.namelist() if ".dist-info/" in name}
        metadata = archive.read(f"{info}/METADATA").decode("utf8")
        points = configparser.ConfigParser(delimiters=["="])
        points.optionxform = str  # type: ignore[assignment, method-assign]
        points.read_string(archive.read(f"{info}/entry_points.txt").decode("utf8"))
        assert f"{info}/licenses/LICENSE" in archive.namelist()
    assert {group: dict(points[group]) for group in points.sections()} == PROJECT["entry-points"]
    assert "License-Expression: MIT" in metadata
    assert "# spacy-zeroshot" in metadata


def test_every_import_is_declared_and_every_dependency_imported() -> None:
    declared = {canonical(Requirement(line).name) for line in PROJECT["dependencies"]}
    extras = {name: lines for name, lines in PROJECT["optional-dependencies"].items() if name not in TOOLS}
    optional = {canonical(Requirement(line).name) for lines in extras.values() for line in lines} - {"spacy-zeroshot"}
    providers = packages_distributions()
    # a package that is not installed here has the name it is imported by
    used = {canonical(providers.get(name, [name])[0]) for name in imported_names()} - {"spacy-zeroshot"}
    assert used <= declared | optional | HOSTS
    assert declared - used == NOT_IMPORTED
    assert optional <= used


def test_the_constraints_are_within_the_declared_ranges() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf8").splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    extras = PROJECT["optional-dependencies"]
    declared = map(Requirement, [*PROJECT["dependencies"], *extras["dev"], *extras["docs"]])
    ranges = {requirement.name: requirement for requirement in declared}
    for pin in pins:
        (version,) = [spec.version for spec in pin.specifier]
        assert ranges[pin.name].specifier.contains(version), pin.name


def test_the_version_is_the_same_everywhere() -> None:
    version = PROJECT["version"]
    assert spacy_zeroshot.__version__ == version
    assert f"\n## [{version}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf8")
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf8")


def test_no_file_names_a_place_on_somebodys_machine() -> None:
    folders = [PACKAGE, *(ROOT / name for name in ("configs", "tests", "docs", "benchmarks", "project", ".github"))]
    paths = [*(path for folder in folders for path in folder.rglob("*")), *ROOT.glob("*.*"), ROOT / "Makefile"]
    kinds = ("", ".py", ".md", ".cfg", ".json", ".html", ".css", ".js", ".jinja", ".yml", ".toml", ".cff", ".txt")
    place = re.compile(r"(?<![\w.])/(?:home|root|work|Users|tmp)/\w")
    texts = [path for path in paths if path.is_file() and path.suffix in kinds]
    assert [path.name for path in texts if place.search(path.read_text(encoding="utf8"))] == []


@pytest.mark.slow
def test_the_first_example_works_in_a_new_process_without_network(tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf8")
    example = readme.split("```python\n")[1].split("```")[0]
    assert "spacy_zeroshot" not in example
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE + example],
        cwd=tmp_path,
        env={**os.environ, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("{'politics': ")


def test_ci_can_be_run() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", str(script)], check=True)


def imported_names() -> set[str]:
    """The top names of what the package imports, anywhere in it, without the standard library."""
    names: list[str] = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
            if isinstance(node, ast.Import):
                names += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names.append(node.module)
            elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "require":
                # util.require("pyarrow", extra, what) imports what comes with an extra
                names += [arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant)]
    return {name.split(".")[0] for name in names} - set(sys.stdlib_module_names)


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
