import pickle
import re
from pathlib import Path

import pytest

from spacy_zeroshot import errors
from spacy_zeroshot.errors import COMPONENT, MESSAGES, ZeroShotError, ZeroShotWarning, warn

TESTS = Path(__file__).parent
# the one that is installed, which need not lie beside the tests
PACKAGE = Path(errors.__file__).parent


def codes_in(folder, skip=()):
    found = set()
    for path in folder.rglob("*.py"):
        if path.name not in skip:
            found.update(
                code.upper() for code in re.findall(r"\bZ\d{3}\b|_z\d{3}(?=\W|_)", path.read_text("utf8"), re.I)
            )
    return {code.lstrip("_") for code in found}


@pytest.mark.parametrize("code", MESSAGES)
def test_every_code_has_a_test(code):
    assert code in codes_in(TESTS, skip=("test_errors.py",))


@pytest.mark.parametrize("code", MESSAGES)
def test_every_code_is_used(code):
    assert code in codes_in(PACKAGE, skip=("errors.py",))


def test_every_code_that_is_used_has_a_message():
    assert codes_in(PACKAGE) <= set(MESSAGES)


@pytest.mark.parametrize("code", MESSAGES)
def test_messages_say_what_and_how_on_one_line(code):
    assert re.fullmatch(r"Z\d{3}", code)
    assert "\n" not in MESSAGES[code]
    assert MESSAGES[code].rstrip().endswith((".", "}", ")", "'"))


def test_an_error_names_code_component_and_value():
    error = ZeroShotError("Z002", "topics", label="sport")
    assert str(error).startswith("[Z002] topics: ")
    assert "'sport'" in str(error)
    assert isinstance(error, ValueError)
    assert str(ZeroShotError("Z001")).startswith(f"[Z001] {COMPONENT}: ")


def test_long_values_are_shortened():
    assert len(str(ZeroShotError("Z002", label="x" * 10_000))) < 500
    message = str(ZeroShotError("Z005", label="a", labels=[str(i) for i in range(1000)]))
    assert len(message) < 500 and "and 988 more" in message


def test_braces_in_a_value_are_text():
    assert "{0.__class__}" in str(ZeroShotError("Z002", label="{0.__class__}"))


def test_errors_travel_between_processes():
    error = pickle.loads(pickle.dumps(ZeroShotError("Z002", "topics", label="sport")))
    assert (error.code, error.component, error.values) == ("Z002", "topics", {"label": "sport"})
    assert str(error) == str(ZeroShotError("Z002", "topics", label="sport"))


def test_warnings_name_the_callers_line():
    with pytest.warns(ZeroShotWarning, match=r"^\[Z101\] topics: ") as caught:
        warn("Z101", "topics", stacklevel=1, length=10, room=5)
    assert caught[0].filename == __file__
