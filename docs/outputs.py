"""Writes what the pages print: `make outputs`. Runs the Python blocks of README.md and docs/, makes docs/errors.md."""

import ast
import html
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from spacy_zeroshot import errors

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
ERRORS = ROOT / "docs" / "errors.md"
# Printed results stand in lines of their own, below the statement that prints them
OUTPUT = "# -> "
# What may stand in a comment on the line before a block, and why it is not run as it stands
MARK = re.compile(r"<!-- (?P<kind>not run|all but the last statement|slow)(?:: (?P<reason>.*))? -->")
BLOCK = re.compile(r"(?P<before>[^\n]*\n)```(?P<language>\w+)[^\n]*\n(?P<code>.*?)```", re.DOTALL)
ERRORS_PAGE = """\
# Errors and warnings

Every message has a code, names the component or command and the value, and says what to do. Codes from Z101 to Z199 are
warnings; all others are errors of the class `ZeroShotError`, a `ValueError` with the attributes `code`, `component` and
`values`. In `nlp.pipe`, a document that cannot be scored goes to the error handler (`nlp.set_error_handler`) alone; the
others are scored.

Words in italics stand for values. `make outputs` writes this page from `spacy_zeroshot/messages.json`.
"""


class Block(NamedTuple):
    """A block of code.

    page (str): The name of its file.
    line (int): Its first line in the file, counted from 1.
    code (str): The code, with printed results.
    kind (str): "" for a block that is run as it stands, or the mark before it.
    """

    page: str
    line: int
    code: str
    kind: str


def blocks(page: Path, language: str) -> list[Block]:
    """The blocks of one language in a file, from top to bottom."""
    text = page.read_text(encoding="utf8")
    found = [match for match in BLOCK.finditer(text) if match["language"] == language]
    return [
        Block(page.name, text.count("\n", 0, match.start("code")) + 1, match["code"], kind_of(match)) for match in found
    ]


def kind_of(match: re.Match[str]) -> str:
    """The mark before a block, or ""."""
    mark = MARK.search(match["before"])
    return mark["kind"] if mark else ""


def run(block: Block) -> str:
    """Run a block of Python in a folder of its own.

    block (Block): The block.
    RETURNS (str): Its code with what it prints now.
    """
    if block.kind == "not run":
        return block.code
    lines = [line for line in block.code.splitlines() if not line.startswith(OUTPUT.rstrip())]
    tree = ast.parse("\n".join(lines))
    if block.kind == "all but the last statement":
        tree.body.pop()
    printed: list[tuple[int, str]] = []

    def record(*values: Any) -> None:
        line = sys._getframe(1).f_lineno
        printed.extend((line, text) for text in " ".join(map(str, values)).splitlines() or [""])

    with empty_folder():
        exec(compile(tree, f"{block.page}, block at line {block.line}", "exec"), {"print": record, "__name__": "page"})
    ends = {line: node.end_lineno for node in tree.body for line in range(node.lineno, (node.end_lineno or 0) + 1)}
    written = []
    for number, line in enumerate(lines, start=1):
        written.append(line)
        written += [(OUTPUT + text).rstrip() for at, text in printed if ends[at] == number]
    return "\n".join(written) + "\n"


@contextmanager
def empty_folder() -> Iterator[Path]:
    """Work in a new folder for a while."""
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            yield Path(folder)
        finally:
            os.chdir(before)


def errors_page() -> str:
    """RETURNS (str): docs/errors.md, from the package's messages."""
    parts = [ERRORS_PAGE]
    for topic, messages in errors.MESSAGES_BY_TOPIC.items():
        parts.append(f"\n## {topic}\n\n| code | message |\n|---|---|\n")
        parts += [f"| {code} | {as_markdown(message)} |\n" for code, message in messages.items()]
    return "".join(parts)


def as_markdown(message: str) -> str:
    """A message as it reads, with the names of its values in italics."""
    parts = re.split(r"(\{\{|\}\}|\{\w+[^{}]*\})", message)
    written = []
    for part in parts:
        if part in ("{{", "}}"):
            written.append(part[0])
        elif part.startswith("{"):
            written.append(f"*{re.split('[!:}]', part[1:])[0]}*")
        else:
            written.append(re.sub(r"([|*_`\[\]])", r"\\\1", html.escape(part, quote=False)))
    return "".join(written)


def updated(page: Path) -> str:
    """RETURNS (str): A page with what its Python blocks print now."""
    text, parts, end = page.read_text(encoding="utf8"), [], 0
    for match in BLOCK.finditer(text):
        if match["language"] == "python":
            line = text.count("\n", 0, match.start("code")) + 1
            parts += [
                text[end : match.start("code")],
                run(Block(page.name, line, match["code"], kind_of(match))),
            ]
            end = match.end("code")
    return "".join([*parts, text[end:]])


if __name__ == "__main__":
    ERRORS.write_text(errors_page(), encoding="utf8")
    for path in PAGES:
        path.write_text(updated(path), encoding="utf8")
