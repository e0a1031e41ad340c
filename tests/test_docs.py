"""What README.md and docs/ say is so: their code runs, prints what stands there, and has the settings of the code."""

import inspect
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import srsly
from spacy.cli import app
from spacy.language import Language
from spacy.util import load_config, load_model_from_config
from thinc.api import Config
from typer.testing import CliRunner

# mounts the group on spaCy's own commands, as its entry point does
import spacy_zeroshot.cli
from docs import outputs
from docs.outputs import OUTPUT, PAGES, ROOT, Block, blocks
from spacy_zeroshot.model.architectures import NLIClassifier

README = ROOT / "README.md"
PYTHON = [block for page in PAGES for block in blocks(page, "python")]
SHELL = [block for page in PAGES for block in blocks(page, "bash")]
NUMBER = re.compile(r"\d+\.\d+")
# Scores in bfloat16 differ from those in float32
TOLERANCE = 0.05
NEWS = {
    "politics": "Parliament passed the budget after a long debate, report {} says.",
    "sport": "The striker scored twice and the home team won the match, report {} says.",
    "business": "The company sold more than ever and its shares rose, report {} says.",
    "technology": "The new phone has a faster chip and a better camera, report {} says.",
}


def cases(found: list[Block]) -> list[Any]:
    """Blocks as parameters of a test, with their marks."""
    return [
        pytest.param(block, id=f"{block.page}:{block.line}", marks=[pytest.mark.slow] * (block.kind == "slow"))
        for block in found
        if block.kind != "not run"
    ]


@pytest.mark.parametrize("block", cases(PYTHON))
def test_python_prints_what_stands_below_it(block: Block) -> None:
    printed, written = printed_in(outputs.run(block)), printed_in(block.code)
    assert [NUMBER.sub("N", line) for line in printed] == [NUMBER.sub("N", line) for line in written]
    now, then = ([float(n) for line in lines for n in NUMBER.findall(line)] for lines in (printed, written))
    assert now == pytest.approx(then, abs=TOLERANCE)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the commands of the pages name."""
    folder = tmp_path_factory.mktemp("files")
    rows = [{"text": text.format(i), "labels": [label]} for i in range(6) for label, text in NEWS.items()]
    for name in ("train.jsonl", "dev.jsonl", "test.jsonl"):
        srsly.write_jsonl(folder / name, rows)
    bodies = "".join(f'{i},"{row["text"]}"\n' for i, row in enumerate(rows))
    (folder / "news.csv").write_text("id,body\n" + bodies, encoding="utf8")
    (folder / "reviews.txt").write_text("".join(f"{row['text']}\n" for row in rows * 4), encoding="utf8")
    shutil.copytree(ROOT / "configs", folder / "configs")
    config = load_config(folder / "configs" / "single_label.cfg")
    load_model_from_config(config, auto_fill=True).to_disk(folder / "news")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("block", cases(SHELL))
def test_shell_blocks_run(block: Block, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = shutil.copytree(files, tmp_path / "here")
    monkeypatch.chdir(place)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    for line in block.code.splitlines():
        words = shlex.split(line, comments=True)
        if words[:3] == ["python", "-m", "spacy"] and not set(line) & set("|<>&;"):
            # spaCy's own entry, without the seconds that a process of its own needs to start
            result = CliRunner().invoke(app, words[3:])
            assert result.exit_code == 0, (line, result.output, result.exception)
            continue
        command = ["bash", "-euo", "pipefail", "-c", line]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (line, done.stdout, done.stderr)


def test_run_puts_results_below_the_statement_that_prints_them() -> None:
    code = "for i in range(2):\n    print(i)\n# -> old\nprint(\n    'x', 1.5\n)\n"
    updated = "for i in range(2):\n    print(i)\n# -> 0\n# -> 1\nprint(\n    'x', 1.5\n)\n# -> x 1.5\n"
    assert outputs.run(Block("page", 1, code, "")) == updated
    last = "print(1)\nprint(2)\n"
    assert outputs.run(Block("page", 1, last, "all but the last statement")) == "print(1)\n# -> 1\nprint(2)\n"
    assert outputs.run(Block("page", 1, "fail()\n", "not run")) == "fail()\n"


def test_the_readme_is_short_and_its_first_example_has_five_lines() -> None:
    text = README.read_text(encoding="utf8")
    assert len(text.splitlines()) <= 150
    first = blocks(README, "python")[0].code
    assert len([line for line in first.splitlines() if line and not line.startswith(OUTPUT)]) == 5
    assert "spacy_zeroshot" not in first


def test_the_page_of_settings_has_every_setting_with_its_default() -> None:
    (block,) = blocks(ROOT / "docs" / "settings.md", "ini")
    settings = Config().from_str(block.code)["components"]["zero_shot_textcat"]
    assert settings.pop("factory") == "zero_shot_textcat"
    model = settings.pop("model")
    assert model.pop("@architectures") == "spacy_zeroshot.NLIClassifier.v1"
    assert model == {name: p.default for name, p in inspect.signature(NLIClassifier).parameters.items()}
    factory = Language.get_factory_meta("zero_shot_textcat")
    component = inspect.signature(Language.factories["zero_shot_textcat"]).parameters
    # "abstain" and "calibrated" are accepted from configs of 0.1.0, and mean nothing any more
    apart = ("nlp", "name", "model", "scorer", "abstain", "calibrated")
    defaults = {n: p.default for n, p in component.items() if n not in apart}
    assert settings.pop("scorer") == factory.default_config["scorer"]
    assert settings == {name: list(value) if isinstance(value, tuple) else value for name, value in defaults.items()}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_files_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf8")
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if not target.startswith("http"):
            # where a wheel is tested, the package lies elsewhere
            inside = (page.parent / target).resolve().relative_to(ROOT.resolve())
            folder = Path(spacy_zeroshot.__file__).parents[1] if inside.parts[0] == "spacy_zeroshot" else ROOT
            assert (folder / inside).exists(), target
    for name in re.findall(r"(?<![\w/])(?:configs|project|benchmarks|docs)/[\w/.-]+", text):
        assert (ROOT / name.rstrip(".")).exists(), name
    for module in re.findall(r"python -m ((?:benchmarks|docs)\.\w+)", text):
        assert (ROOT / f"{module.replace('.', '/')}.py").exists(), module
    for line in re.findall(r"(?:^|`)make ([a-z0-9-]+)", text, re.MULTILINE):
        assert re.search(rf"^{line}:", (ROOT / "Makefile").read_text(encoding="utf8"), re.MULTILINE), line


def test_no_figure_is_missing() -> None:
    assert [page.name for page in PAGES if "TODO" in page.read_text(encoding="utf8")] == []


@pytest.mark.slow
def test_the_demo_runs(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "examples" / "demo.py")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": "utf8", "COLUMNS": "100"},
        capture_output=True,
        encoding="utf8",
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    best = [line.split()[1] for line in done.stdout.splitlines() if line.strip().startswith("●")]
    assert best == ["billing", "스포츠", "宇宙", "economy"]


@pytest.mark.slow
def test_the_pages_are_built(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(tmp_path / "site")]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    site = {path.relative_to(tmp_path / "site").as_posix() for path in (tmp_path / "site").rglob("*.html")}
    assert {"index.html", "settings/index.html", "errors/index.html", "api/index.html"} <= site
    assert "max_negatives" in (tmp_path / "site" / "api" / "index.html").read_text(encoding="utf8")


def test_the_universe_entry_is_complete() -> None:
    entry = json.loads((ROOT / "docs" / "universe.json").read_text(encoding="utf8"))
    assert {"id", "title", "slogan", "description", "github", "pip", "code_example", "author", "category"} <= set(entry)
    assert set(entry["category"]) <= {"pipeline", "models", "standalone", "research", "training", "extension"}
    compile("\n".join(entry["code_example"]), "universe.json", "exec")


def test_workflows_run_what_the_makefile_has() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf8")
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        workflow = srsly.read_yaml(path)
        for job in workflow["jobs"].values():
            for step in job["steps"]:
                if "uses" in step:
                    assert re.search(r"@v?\d+\.\d+\.\d+$|@[0-9a-f]{40}$", step["uses"]), step["uses"]
                for target in re.findall(r"^make ([\w -]+)$", step.get("run", ""), re.MULTILINE):
                    assert all(re.search(rf"^{name}:", makefile, re.MULTILINE) for name in target.split())


def printed_in(code: str) -> list[str]:
    return [line for line in code.splitlines() if line.startswith(OUTPUT)]
