"""The study behind the documentation's tables, on a small file and a tiny model."""

import gzip
import json

import pytest

from spacy_zeroshot.tuning.passes import TEMPLATES
from spacy_zeroshot.tuning.study import METHODS, calibration_row, score_file, sweep_rows, tuning_rows

from ..tiny import SENTENCES

LABELS = ["sport", "politics", "music"]


@pytest.fixture
def path(tmp_path):
    rows = [{"text": f"{text} {i}", "labels": [LABELS[i % 3]]} for i in range(6) for text in SENTENCES[:4]]
    rows += [{"text": f"Nothing {i}.", "labels": ["out-of-domain"]} for i in range(4)]
    with gzip.open(tmp_path / "set.jsonl.gz", "wt") as out:
        out.writelines(json.dumps(row) + "\n" for row in rows)
    return tmp_path / "set.jsonl.gz"


@pytest.mark.parametrize("multi_label", [True, False])
def test_tables(nli_folder, path, multi_label):
    found = score_file(path, str(nli_folder), multi_label, TEMPLATES[:2], None)
    assert found.labels == tuple(LABELS) and found.gold.shape == (28, 3) and len(found.strengths) == 2
    row = calibration_row(found)
    assert set(row) == set(METHODS)
    assert all(0 <= macro <= 1 and 0 <= ece <= 1 for macro, ece in row.values())
    # where labels compete, a temperature changes no decision
    assert multi_label or row["temperature"][0] == row["none"][0]
    rows = tuning_rows(found, TEMPLATES[:2])
    assert [name.split(" (")[0] for name, *_ in rows] == [
        "default threshold, 0.5",
        "top-1",
        "top-2",
        "top-3",
        "tuned for micro-F1",
        "tuned for macro-F1",
    ]
    assert [name for name, *_ in sweep_rows(found)] == [f"0.{i}" for i in range(1, 10)]


def test_rows_are_limited(nli_folder, path):
    assert len(score_file(path, str(nli_folder), False, (), 7).gold) == 7
