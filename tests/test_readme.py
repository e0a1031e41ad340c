"""What README.md says is so: its code prints what stands there, its settings and errors are those of the code."""

import importlib.util
import inspect
import re
import shlex
from pathlib import Path
from typing import List

import pytest
import typer.main
from thinc.api import Config

from spacy_zeroshot.cli import zeroshot
from spacy_zeroshot.factory import DEFAULT_CONFIG
from spacy_zeroshot.model.architecture import NLIClassifier

from .update_readme import OUTPUT, README, Block, blocks, run, with_errors

TEXT = README.read_text(encoding="utf8")
PYTHON = blocks(TEXT, "python")
COMMANDS = [line.split("  #")[0] for block in blocks(TEXT, "bash") for line in block.code.splitlines()]
NUMBER = re.compile(r"\d+\.\d+")
# Scores in bfloat16 differ from those in float32
TOLERANCE = 0.05


@pytest.mark.parametrize("block", PYTHON, ids=[f"line{block.line}" for block in PYTHON])
def test_python_blocks_print_what_stands_below_them(block: Block) -> None:
    printed, written = _outputs(run(block)), _outputs(block.code)
    assert [NUMBER.sub("N", line) for line in printed] == [NUMBER.sub("N", line) for line in written]
    now, then = ([float(n) for line in lines for n in NUMBER.findall(line)] for lines in (printed, written))
    assert now == pytest.approx(then, abs=TOLERANCE)


def test_run_puts_results_below_the_statement_that_prints_them() -> None:
    code = "for i in range(2):\n    print(i)\n# -> old\nprint(\n    'x', 1.5\n)\n"
    updated = "for i in range(2):\n    print(i)\n# -> 0\n# -> 1\nprint(\n    'x', 1.5\n)\n# -> x 1.5\n"
    assert run(Block(code, 1, True)) == updated
    assert run(Block("print(1)\nprint(2)\n", 1, False)) == "print(1)\n# -> 1\nprint(2)\n"


def test_the_first_example_has_five_lines_and_does_not_import_the_package() -> None:
    lines = [line for line in PYTHON[0].code.splitlines() if line and not line.startswith(OUTPUT)]
    assert len(lines) == 5
    assert "spacy_zeroshot" not in PYTHON[0].code


def test_the_config_block_has_every_setting_with_its_default() -> None:
    settings = Config().from_str(blocks(TEXT, "ini")[0].code)["components"]["zero_shot_textcat"]
    assert settings.pop("factory") == "zero_shot_textcat"
    model = settings.pop("model")
    assert model.pop("@architectures") == "spacy_zeroshot.NLIClassifier.v1"
    assert model == {name: p.default for name, p in inspect.signature(NLIClassifier).parameters.items()}
    assert settings == {key: value for key, value in DEFAULT_CONFIG.items() if key != "model"}


def test_the_table_of_errors_is_that_of_the_code() -> None:
    assert with_errors(TEXT) == TEXT, "run: make readme"


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith("python -m spacy zeroshot")])
def test_commands_and_their_options_exist(line: str) -> None:
    name, *arguments = shlex.split(line.split(" < ")[0])[4:]
    group = typer.main.get_command(zeroshot)
    command = group.commands[name]  # type: ignore[attr-defined]
    # reads the arguments and runs nothing; an option that is not known raises
    assert command.make_context(name, arguments).params


@pytest.mark.parametrize("line", [line for line in COMMANDS if "python -m spacy_zeroshot." in line])
def test_programs_exist(line: str) -> None:
    assert importlib.util.find_spec(line.split()[2]) is not None


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith("make ")])
def test_make_has_the_targets(line: str) -> None:
    makefile = (Path(README).parent / "Makefile").read_text(encoding="utf8")
    assert re.search(rf"^{line.split()[1]}:", makefile, re.MULTILINE)


@pytest.mark.parametrize("name", sorted(set(re.findall(r"configs/\w+\.cfg", TEXT))))
def test_config_files_exist(name: str) -> None:
    assert (README.parent / name).exists()


def _outputs(code: str) -> List[str]:
    return [line for line in code.splitlines() if line.startswith(OUTPUT)]
