"""Writes what README.md prints and its table of errors: make readme."""

import ast
import html
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any, Iterator, List, NamedTuple, Tuple

from spacy_zeroshot.errors import MESSAGES

README = Path(__file__).parent.parent / "README.md"
# Printed results stand in lines of their own, below the statement that prints them
OUTPUT = "# -> "
# Before a block whose last statement needs what a test does not have
NOT_THE_LAST = "<!-- all but the last statement is run"
ERRORS_START = "<!-- errors: made by make readme -->\n"
ERRORS_END = "<!-- end of errors -->"
BLOCK = re.compile(r"(?P<before>[^\n]*\n)```(?P<language>\w+)\n(?P<code>.*?)```", re.DOTALL)


class Block(NamedTuple):
    """A block of code.

    code (str): The code, with printed results.
    line (int): Its first line in the file, counted from 1.
    is_run (bool): Whether all of it can be run here.
    """

    code: str
    line: int
    is_run: bool


def blocks(text: str, language: str) -> List[Block]:
    """The blocks of one language.

    text (str): The file.
    language (str): As after the backticks.
    RETURNS (List[Block]): The blocks, from top to bottom.
    """
    return [
        Block(found["code"], text.count("\n", 0, found.start("code")) + 1, NOT_THE_LAST not in found["before"])
        for found in BLOCK.finditer(text)
        if found["language"] == language
    ]


def run(block: Block) -> str:
    """Run a block of Python in a folder of its own.

    block (Block): The block.
    RETURNS (str): Its code with what it prints now.
    """
    lines = [line for line in block.code.splitlines() if not line.startswith(OUTPUT)]
    tree = ast.parse("\n".join(lines))
    if not block.is_run:
        tree.body.pop()
    printed: List[Tuple[int, str]] = []

    def record(*values: Any) -> None:
        printed.append((sys._getframe(1).f_lineno, " ".join(map(str, values))))

    with _folder():
        exec(compile(tree, f"README.md, block at line {block.line}", "exec"), {"print": record})
    ends = {line: node.end_lineno for node in tree.body for line in range(node.lineno, (node.end_lineno or 0) + 1)}
    written = []
    for number, line in enumerate(lines, start=1):
        written.append(line)
        written += [OUTPUT + text for at, text in printed if ends[at] == number]
    return "\n".join(written) + "\n"


def error_table() -> str:
    """RETURNS (str): The messages of errors.py as a table in Markdown."""
    rows = ["| code | message |", "|---|---|"]
    rows += [f"| {code} | {_plain(message)} |" for code, message in sorted(MESSAGES.items())]
    return "\n".join(rows) + "\n"


def with_errors(text: str) -> str:
    """Put the table of errors between its marks.

    text (str): The file.
    RETURNS (str): The file, up to date.
    """
    start = text.index(ERRORS_START) + len(ERRORS_START)
    return text[:start] + error_table() + text[text.index(ERRORS_END) :]


def _plain(message: str) -> str:
    """A message as it reads, with the names of its values in italics."""
    parts = re.split(r"\{\{|\}\}|\{(\w+)[^{}]*\}", html.escape(message, quote=False))
    marks = re.findall(r"\{\{|\}\}|\{\w+[^{}]*\}", message)
    written = parts[0].replace("|", "\\|")
    for mark, name, rest in zip(marks, parts[1::2], parts[2::2]):
        written += (f"*{name}*" if name else mark[0]) + rest.replace("|", "\\|")
    return written


class _folder:
    """A new folder to work in for a while."""

    def __enter__(self) -> None:
        self._before = os.getcwd()
        self._folder = tempfile.TemporaryDirectory()
        os.chdir(self._folder.name)

    def __exit__(self, *error: object) -> None:
        os.chdir(self._before)
        self._folder.cleanup()


def _updated(text: str) -> Iterator[str]:
    end = 0
    for found in BLOCK.finditer(text):
        if found["language"] != "python":
            continue
        yield text[end : found.start("code")]
        yield run(Block(found["code"], 0, NOT_THE_LAST not in found["before"]))
        end = found.end("code")
    yield text[end:]


if __name__ == "__main__":
    README.write_text(with_errors("".join(_updated(README.read_text(encoding="utf8")))), encoding="utf8")
