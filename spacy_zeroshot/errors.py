"""Every message a user can see: a code, what is wrong with which value, and the remedy."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import srsly

# Messages by code, and all of them by what they are about
MESSAGES_BY_TOPIC: dict[str, dict[str, str]] = srsly.read_json(Path(__file__).with_name("messages.json"))
MESSAGES = {code: message for messages in MESSAGES_BY_TOPIC.values() for code, message in messages.items()}

# What a message shows of a long text or list
SHOWN_CHARACTERS = 200
SHOWN_ENTRIES = 12

# The component or command on whose behalf code runs: see `named`
_speaker: ContextVar[str | None] = ContextVar("speaker", default=None)


class ZeroShotError(ValueError):
    """An error with a code of MESSAGES, e.g. "Z001". values (Any): What the message names."""

    def __init__(self, code: str, **values: Any):
        # n_process sends errors between processes: pickle hands on the code, then restores the attributes
        super().__init__(code)
        self.code = code
        self.values = values
        self.component = _speaker.get()

    def __str__(self) -> str:
        return _format(self.code, self.component, self.values)


class ZeroShotWarning(UserWarning):
    """A warning with a code of MESSAGES."""


@contextmanager
def named(name: str | None) -> Iterator[None]:
    """Put a name before the messages of all errors and warnings raised inside: the component's, or the command's. Set
    once, at the boundary, so that nothing inside has to carry it along. The innermost name counts."""
    token = _speaker.set(name)
    try:
        yield
    finally:
        _speaker.reset(token)


def warn(code: str, **values: Any) -> None:
    """Warn with a code of MESSAGES, e.g. "Z101"."""
    warnings.warn(_format(code, _speaker.get(), values), ZeroShotWarning, stacklevel=3)


def _format(code: str, name: str | None, values: dict[str, Any]) -> str:
    shown = {key: _shorten(value) for key, value in values.items()}
    return f"[{code}] {name + ': ' if name else ''}{MESSAGES[code].format(**shown)}"


def _shorten(value: Any) -> Any:
    """A label may have 600 words, and a component 1,000 labels: a message shows the beginning."""
    if isinstance(value, str) and len(value) > SHOWN_CHARACTERS:
        return value[:SHOWN_CHARACTERS] + "…"
    if isinstance(value, (list, tuple)) and len(value) > SHOWN_ENTRIES:
        return [*value[:SHOWN_ENTRIES], f"and {len(value) - SHOWN_ENTRIES} more"]
    return value
