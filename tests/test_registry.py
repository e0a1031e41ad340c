"""Every entry point resolves, under its fixed name, and spaCy's own commands load nothing of ours."""

import subprocess
import sys
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import pytest
from spacy.language import Language
from spacy.util import registry

from spacy_zeroshot.errors import MESSAGES

GROUPS = ["spacy_factories", "spacy_architectures", "spacy_scorers", "spacy_readers", "spacy_cli"]
OURS = [point for group in GROUPS for point in entry_points(group=group) if point.value.startswith("spacy_zeroshot")]
# Notes which modules of this package import torch or transformers, cached or not.
WATCH = """
import builtins, sys
seen, plain = set(), builtins.__import__
def watch(name, globals=None, locals=None, fromlist=(), level=0):
    importer = (globals or {}).get("__name__") or ""
    if level == 0 and name.split(".")[0] in ("torch", "transformers") and importer.startswith("spacy_zeroshot"):
        seen.add(importer)
    return plain(name, globals, locals, fromlist, level)
builtins.__import__ = watch
"""
NAMES = {
    ("spacy_factories", "zero_shot_textcat"),
    ("spacy_architectures", "spacy_zeroshot.NLIClassifier.v1"),
    ("spacy_architectures", "spacy_zeroshot.SimilarityClassifier.v1"),
    ("spacy_architectures", "spacy_zeroshot.MaskedLMClassifier.v1"),
    ("spacy_scorers", "spacy_zeroshot.zero_shot_textcat_scorer.v1"),
    ("spacy_readers", "spacy_zeroshot.JsonlTextcat.v1"),
    ("spacy_readers", "spacy_zeroshot.JsonlNLI.v1"),
    ("spacy_cli", "zeroshot"),
}


@pytest.mark.parametrize("point", OURS, ids=[f"{point.group}:{point.name}" for point in OURS])
def test_every_entry_point_resolves(point: EntryPoint) -> None:
    loaded = point.load()
    if point.group == "spacy_factories":
        assert Language.get_factory_meta(point.name).factory == point.name
    elif point.group == "spacy_cli":
        assert type(loaded).__name__ == "Typer"
    else:
        assert registry.get(point.group.removeprefix("spacy_"), point.name) is loaded


def test_the_public_names_are_there() -> None:
    assert {(point.group, point.name) for point in OURS} == NAMES


def watched(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", WATCH + code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.slow
def test_entry_points_import_neither_torch_nor_transformers() -> None:
    code = """
import spacy
from importlib.metadata import entry_points
spacy.blank("en")
import spacy.cli
for group in {groups}:
    for point in entry_points(group=group):
        if point.value.startswith("spacy_zeroshot"):
            point.load()
nlp = spacy.blank("en")
nlp.add_pipe("zero_shot_textcat", config={{"labels": ["a"]}})
nlp.config.to_str()
print(sorted(seen))
"""
    assert watched(code.format(groups=GROUPS)) == "[]"


@pytest.mark.slow
def test_the_watch_sees_an_import(nli_folder: Path) -> None:
    code = """
import spacy
nlp = spacy.blank("en")
nlp.add_pipe("zero_shot_textcat", config={"labels": ["a"], "model": {"name": %r}})
nlp("text")
print(len(seen) > 0)
"""
    assert watched(code % str(nli_folder)) == "True"


@pytest.mark.slow
def test_spacys_commands_load_nothing(tmp_path: Path) -> None:
    config = tmp_path / "config.cfg"
    code = """
import sys
from spacy.cli import setup_cli
for arguments in %r:
    sys.argv = ["spacy", *arguments]
    try:
        setup_cli()
    except SystemExit as stop:
        print("exit", stop.code)
print(sorted(seen))
"""
    commands = [
        ["init", "config", str(config), "-p", "zero_shot_textcat", "--force"],
        ["init", "fill-config", str(config), str(tmp_path / "filled.cfg")],
        ["debug", "config", str(config), "--paths.train", "x", "--paths.dev", "y"],
    ]
    printed = watched(code % commands)
    assert printed.splitlines()[-1] == "[]"
    assert printed.count("exit 0") == 3
    assert "zero_shot_textcat" in config.read_text(encoding="utf8")
    assert all(code not in printed for code in MESSAGES)
