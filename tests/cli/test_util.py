"""How commands begin, show progress and end."""

import io
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from spacy_zeroshot.cli import COMMANDS
from spacy_zeroshot.cli._print import bar, print_bars, print_table, shorten
from spacy_zeroshot.cli._util import INTERRUPTED, Bar, run, track
from spacy_zeroshot.errors import ZeroShotError, warn

from ..util import run_cli


def test_help_of_every_command_has_an_example_and_defaults() -> None:
    listed = run_cli("--help").stdout
    for command in COMMANDS:
        assert command in listed
        result = run_cli(command, "--help")
        shown = " ".join(result.stdout.split())
        assert result.exit_code == 0
        assert f"Example: python -m spacy zeroshot {command}" in shown
        assert "[default: " in shown


def test_commands_that_load_a_pipeline_take_code() -> None:
    for command in set(COMMANDS) - {"benchmark"}:
        assert "--code" in run_cli(command, "--help").stdout, command


def test_version() -> None:
    from importlib.metadata import version

    result = run_cli("--version")
    assert result.exit_code == 0 and result.stdout.strip() == version("spacy-zeroshot")


@pytest.mark.slow
def test_spacys_own_commands_stay_light() -> None:
    """torch comes with thinc; nothing else that is heavy may be imported for a command of spaCy's own."""
    code = (
        "import sys, spacy.cli; from spacy.util import registry; registry.cli.get_all();"
        "print([name for name in ('transformers', 'pandas', 'pyarrow', 'ray', 'matplotlib',"
        "'spacy_zeroshot.component', 'spacy_zeroshot.cli.classify', 'spacy_zeroshot.cli.annotate')"
        "if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["classify", "text", "--no-such-option"],
        ["classify", "text", "--labels", "a,b", "--top-k", "0"],
        ["classify", "text", "--labels", "a,b", "--threshold", "1.5"],
        ["annotate"],
        ["no-such-command"],
    ],
)
def test_usage_errors_are_one_line_and_exit_code_1(arguments: list[str]) -> None:
    result = run_cli(*arguments)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("error: ")
    assert "--help" in result.stderr


@pytest.mark.parametrize(
    "make",
    [
        lambda: ZeroShotError("Z066"),
        lambda: FileNotFoundError(2, "No such file or directory", "missing.jsonl"),
        lambda: ValueError("[E088] Text of length 1000001 exceeds maximum.\nSee the docs."),
    ],
)
def test_expected_errors_are_one_line(capsys: pytest.CaptureFixture[str], make: type[Exception]) -> None:
    with pytest.raises(typer.Exit) as ended, run("classify"):
        raise make()
    assert ended.value.exit_code == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_errors_and_warnings_carry_the_commands_name(capsys: pytest.CaptureFixture[str]) -> None:
    before = warnings.showwarning
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        with pytest.raises(typer.Exit), run("distill"):
            warn("Z101", length=900, room=500)
            raise ZeroShotError("Z066")
    shown = capsys.readouterr().err.splitlines()
    assert shown[0].startswith("warning: [Z101] distill: ") and shown[1].startswith("error: [Z066] distill: ")
    assert warnings.showwarning is before


@pytest.mark.parametrize("error", [ValueError("a bug"), KeyError("a bug"), BrokenPipeError()])
def test_bugs_keep_their_traceback(error: Exception) -> None:
    with pytest.raises(type(error)), run("classify"):
        raise error


def test_the_boundary_leaves_no_trace() -> None:
    threads = threading.active_count()
    for _ in range(3):
        with run("classify"):
            pass
    assert threading.active_count() == threads and signal.set_wakeup_fd(-1) == -1


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs a Unix")
@pytest.mark.parametrize(
    "body",
    [
        "time.sleep(60)",
        # a long call that no signal gets into
        "import hashlib; hashlib.pbkdf2_hmac('sha256', b'a', b'b', 10**9)",
        # an exit that waits for a thread
        "import threading; threading.Thread(target=time.sleep, args=(60,)).start(); time.sleep(60)",
    ],
)
def test_an_interrupt_ends_any_command_within_two_seconds(body: str) -> None:
    lines = ("import time", "from spacy_zeroshot.cli._util import run", "with run('x'):", "    print('on', flush=True)")
    code = "\n".join([*lines, f"    {body}"])
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "on\n"
    time.sleep(0.3)
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert time.monotonic() - start < 2.5
    assert process.returncode == INTERRUPTED and errors == "interrupted\n"


@pytest.mark.slow
def test_a_new_user_without_labels() -> None:
    command = [sys.executable, "-m", "spacy", "zeroshot", "classify"]
    result = subprocess.run([*command, "A text."], capture_output=True, text=True, timeout=300, cwd=Path.home())
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.splitlines()[-1].startswith("error: [Z067] classify: ")


# Progress


def shown_by(monkeypatch: pytest.MonkeyPatch, steps: list[tuple[float, int, float]]) -> tuple[str, Bar]:
    """What a bar prints where there is no terminal: steps are (time, done, fraction)."""
    progress = Bar("annotate")
    progress.console = Console(file=io.StringIO(), width=200)
    for now, done, fraction in steps:
        monkeypatch.setattr(time, "monotonic", lambda now=now: now)
        progress.update(done, fraction)
    return progress.console.file.getvalue(), progress  # type: ignore[attr-defined]


def test_the_clock_starts_at_the_first_document(monkeypatch: pytest.MonkeyPatch) -> None:
    shown, progress = shown_by(monkeypatch, [(1000.0, 1, 0.01), (1030.0, 301, 0.26), (1031.0, 311, 0.27)])
    assert shown == "annotate: 26.0%  301  10.0/s  0:01:29 left\n"
    assert progress.rate == pytest.approx(10.0)


def test_what_an_earlier_run_did_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    shown, progress = shown_by(monkeypatch, [(50.0, 1001, 0.5), (90.0, 1401, 0.75)])
    assert shown == "annotate: 75.0%  1,401  10.0/s  0:00:40 left\n" and progress.rate == 10.0


def test_tracked_items_pass_through() -> None:
    assert list(track(iter("abc"), 3, "letters")) == ["a", "b", "c"]
    assert list(track([], 0, "none")) == [] and list(track("ab")) == ["a", "b"]


# Printing


class Ascii(io.StringIO):
    """A stream of a terminal that knows ASCII only."""

    encoding = "ascii"


@pytest.mark.parametrize(
    ("score", "plain", "expected"),
    [
        (0.0, False, "    "),
        (1.0, False, "████"),
        (0.5, False, "██  "),
        (0.625, False, "██▌ "),
        (0.5, True, "##  "),
        (0.625, True, "### "),
        (1.5, True, "####"),
    ],
)
def test_bar(score: float, plain: bool, expected: str) -> None:
    assert bar(score, 4, plain) == expected


@given(st.text(max_size=600), st.integers(10, 100))
def test_shortened_text_fits_and_is_visible(text: str, width: int) -> None:
    short = shorten(text, width)
    assert cell_len(short) <= width
    assert short.isprintable()


def test_shorten() -> None:
    assert shorten("a\n\n b\tc", 10) == "a b c"
    assert shorten("word " * 10, 12) == "word word..."
    assert shorten("x" * 5_000_000, 12) == "x" * 9 + "..."
    assert cell_len(shorten("이것은 긴 문장입니다", 12)) <= 12


def test_bars_in_ascii() -> None:
    stream = Ascii()
    print_bars(Console(file=stream, width=40), "A text.", {"longer": 0.0, "a": 0.5}, ["a"])
    shown = stream.getvalue()
    assert shown.isascii()
    assert shown.splitlines()[:2] == ["A text.", "  * a      ###########            0.50"]
    assert shown.splitlines()[2].split() == ["longer", "0.00"]


def test_table_is_markdown() -> None:
    stream = io.StringIO()
    print_table(Console(file=stream, width=20), ["data", "rows", "F1"], [["x", 1200, 0.12345], ["mean", "", 0.5]])
    assert stream.getvalue().splitlines() == [
        "| data |  rows |    F1 |",
        "| ---- | ----: | ----: |",
        "| x    | 1,200 | 0.123 |",
        "| mean |       | 0.500 |",
    ]
