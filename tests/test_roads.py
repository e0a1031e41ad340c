"""The comparison of roads: what it times, and what it mixes."""

import json
from pathlib import Path

import numpy as np
import pytest

from spacy_zeroshot.benchmarks import roads
from spacy_zeroshot.errors import ZeroShotError
from spacy_zeroshot.evaluation import Rules
from spacy_zeroshot.scores import scores

LABELS = ["sport", "music"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rows = [{"text": f"A man plays {label} {i}.", "labels": [label]} for i in range(3) for label in LABELS]
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("compete", [True, False])
def test_logits_are_what_scores_are_made_of(compete: bool) -> None:
    scored = scores(np.asarray([[1.0, -2.0, 0.5], [30.0, 0.0, -60.0]]), compete)
    np.testing.assert_allclose(scores(roads.logits(scored, compete), compete), scored, atol=1e-8)


def test_a_mix_is_the_mean_of_logits(nli_folder: Path, data: Path) -> None:
    nli, similar = roads.make_judge(roads.NLI, str(nli_folder)), roads.make_judge(roads.SIMILARITY, str(nli_folder))
    mix = roads.Mix(nli, similar)
    found = roads.compare(data, {"NLI": nli, "similarity": similar, "mix": mix}, Rules())
    assert list(found) == ["NLI", "similarity", "mix"]
    assert all(outcome.rows == 6 and outcome.labels == 2 and speed > 0 for outcome, speed in found.values())
    wanted = np.sqrt(nli.scored * similar.scored)
    wanted /= wanted.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(np.stack(list(mix.scores([], LABELS, True))), wanted, atol=1e-6)
    assert mix.seconds == nli.seconds + similar.seconds
    rows = roads.quality_rows([found, found])
    assert rows[0][:3] == ["texts", 6, 2] and rows[0][3:] == rows[2][3:] and rows[2][0] == "mean"


def test_label_counts_are_timed_in_turn(nli_folder: Path) -> None:
    found = roads.label_costs(str(nli_folder), (2, 20), n_texts=2, rounds=1)
    assert [cost.labels for cost in found] == [2, 20]
    assert found[0].ratio == 1.0 and all(cost.speed > 0 for cost in found)


def test_a_thousand_labels_differ() -> None:
    assert len(set(roads.many_labels(1000))) == 1000


@pytest.mark.parametrize("name, short", [("bundled", "bundled"), ("a/b/c", "c"), ("/x/minilm/model", "minilm")])
def test_short_names(name: str, short: str) -> None:
    assert roads.short_name(name) == short


def test_pairs_are_refused_Z060(tmp_path: Path) -> None:
    path = tmp_path / "nli.jsonl"
    path.write_text('{"premise": "A.", "hypothesis": "B.", "label": "entailment"}\n')
    with pytest.raises(ZeroShotError, match="Z060"):
        roads.compare(path, {}, Rules())


def test_the_command_prints_three_tables(
    data: Path, nli_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(roads, "COUNTS", (2, 3))
    monkeypatch.setattr("sys.argv", ["roads", str(data), "--texts", "2", "--rounds", "1", "--encoder", str(nli_folder)])
    roads.main()
    out = capsys.readouterr().out
    assert out.count("| set") == 2 and "time, ratio" in out and "| texts" in out
    assert "mix, bundled" in out
