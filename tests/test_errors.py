"""Every code has a message, a use, a test and a line in docs/errors.md."""

import pickle
import re
from pathlib import Path

import pytest

from docs import outputs
from spacy_zeroshot import errors
from spacy_zeroshot.errors import MESSAGES, ZeroShotError, ZeroShotWarning, named, warn

TESTS = Path(__file__).parent
# the one that is installed, which need not lie beside the tests
PACKAGE = Path(errors.__file__).parent


def codes_in(folder: Path, skip: str) -> set[str]:
    """The codes that stand in the code of a folder, in strings and patterns."""
    texts = (path.read_text(encoding="utf8") for path in folder.rglob("*.py") if path.name != skip)
    return {code for text in texts for code in re.findall(r"\bZ\d{3}\b", text)}


def test_every_code_that_is_used_has_a_message() -> None:
    assert codes_in(PACKAGE, skip="errors.py") <= set(MESSAGES)


def test_every_message_is_used() -> None:
    assert set(MESSAGES) - codes_in(PACKAGE, skip="errors.py") == set()


def test_every_message_has_a_test() -> None:
    assert set(MESSAGES) - codes_in(TESTS, skip="test_errors.py") == set()


def test_the_page_of_errors_is_up_to_date() -> None:
    assert outputs.ERRORS.read_text(encoding="utf8") == outputs.errors_page(), "run: make outputs"


def test_the_page_has_every_code_once() -> None:
    assert sorted(re.findall(r"^\| (Z\d{3}) ", outputs.errors_page(), re.MULTILINE)) == sorted(MESSAGES)


def test_values_are_in_italics_and_signs_are_text() -> None:
    assert outputs.as_markdown("a {label!r} of {value:.2f}, 'x_{{}}' <b> [report]") == (
        r"a *label* of *value*, 'x\_{}' &lt;b&gt; \[report\]"
    )


@pytest.mark.parametrize("code", MESSAGES)
def test_messages_say_what_and_how_on_one_line(code: str) -> None:
    assert re.fullmatch(r"Z\d{3}", code)
    assert "\n" not in MESSAGES[code]
    assert MESSAGES[code].rstrip().endswith((".", "}", ")", "'"))


def test_an_error_names_code_component_and_value() -> None:
    with named("topics"):
        error = ZeroShotError("Z002", label="sport")
    assert str(error).startswith("[Z002] topics: ")
    assert "'sport'" in str(error)
    assert isinstance(error, ValueError)
    assert str(ZeroShotError("Z001")).startswith("[Z001] there are no labels")


def test_the_innermost_name_counts() -> None:
    with named("tune"):
        with named("topics"):
            inner = ZeroShotError("Z001")
        outer = ZeroShotError("Z001")
    assert (inner.component, outer.component, ZeroShotError("Z001").component) == ("topics", "tune", None)


def test_long_values_are_shortened() -> None:
    assert len(str(ZeroShotError("Z002", label="x" * 10_000))) < 500
    message = str(ZeroShotError("Z005", label="a", labels=[str(i) for i in range(1000)]))
    assert len(message) < 500 and "and 988 more" in message


def test_braces_in_a_value_are_text() -> None:
    assert "{0.__class__}" in str(ZeroShotError("Z002", label="{0.__class__}"))


def test_errors_travel_between_processes() -> None:
    with named("topics"):
        error = ZeroShotError("Z002", label="sport")
    there = pickle.loads(pickle.dumps(error))
    assert (there.code, there.component, there.values) == ("Z002", "topics", {"label": "sport"})
    assert str(there) == str(error)


def test_warnings_name_the_callers_line() -> None:
    def cut() -> None:
        warn("Z101", length=10, room=5)

    with named("topics"), pytest.warns(ZeroShotWarning, match=r"^\[Z101\] topics: ") as caught:
        cut()
    assert caught[0].filename == __file__
