"""The demo, as `make demo` runs it."""

import subprocess
import sys

import pytest

from spacy_zeroshot.cli.demo_texts import BULLETIN, LONG_LABELS, SAMPLES
from spacy_zeroshot.model.source import BUNDLED_FOLDER, WEIGHTS


def test_demo_shows_every_text_and_what_window_decided() -> None:
    if not (BUNDLED_FOLDER / WEIGHTS).exists():
        pytest.skip("there is no bundled model")
    command = [sys.executable, "-m", "spacy_zeroshot.cli.demo"]
    result = subprocess.run(command, capture_output=True, encoding="utf8", timeout=600)
    assert result.returncode == 0, result.stderr
    shown = result.stdout
    for sample in SAMPLES:
        assert f"{sample.kind}:" in shown
        assert sample.text[:50] in shown
        assert all(f" {label} " in shown for label in sample.labels)
    assert "A long document in 3 windows" in shown
    assert BULLETIN[:50] in shown
    assert all(f" {label} " in shown for label in LONG_LABELS)
    assert all(f"  window {number}: " in shown for number in (1, 2, 3))
    assert "\x1b[" not in shown, "no colours in a pipe"
    assert all(len(line) <= 80 for line in shown.splitlines())
