"""The measuring programs: what they compute is right, on tiny models, and their commands run."""

import json
import runpy
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import srsly
import torch
from typer.testing import CliRunner

from benchmarks import architectures, corpora, figures, gpu, memory, scale, spacy_evaluate, speed, start, tuning
from benchmarks._shared import check_equal, count_wordpieces, make_labels, make_texts
from spacy_zeroshot.cli.benchmark import Program, Speed, component
from spacy_zeroshot.evaluation import evaluate
from spacy_zeroshot.model.reference import Device, ReferencePipeline, write_stock_checkpoint
from spacy_zeroshot.readers import LabelledText

LABELS = ["sport", "music"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rows = [{"text": f"A man plays {label} {i}.", "labels": [label]} for i in range(4) for label in LABELS]
    path = tmp_path / "texts.jsonl"
    srsly.write_jsonl(path, rows)
    return path


# texts, labels, and equal scores


def words(texts: Sequence[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def test_labels_are_distinct() -> None:
    assert len(set(make_labels(150))) == 150
    assert make_labels(10) == make_labels(150)[:10]


def test_texts_have_the_length_asked_for() -> None:
    texts = make_texts(18, 90, words)
    assert len(set(texts)) == 18
    assert np.mean(words(texts)) == 90 and max(words(texts)) == 98
    assert texts == make_texts(18, 90, words) != make_texts(18, 90, words, seed=1)


def test_texts_are_cut_by_wordpieces(nli_folder: Path) -> None:
    lengths = partial(count_wordpieces, ReferencePipeline(str(nli_folder)))
    found = lengths(make_texts(9, 40, lengths))
    assert abs(np.mean(found) - 40) < 4 and max(found) <= 40 + 8 * 40 // 90


def test_the_stock_checkpoint_scores_like_the_pipeline(decomposed_folder: Path, tmp_path: Path) -> None:
    folder = write_stock_checkpoint(decomposed_folder, tmp_path)
    config = json.loads((folder / "config.json").read_text(encoding="utf8"))
    assert config["architectures"] == ["BertForSequenceClassification"] and len(config["id2label"]) == 3
    reference = ReferencePipeline(str(folder))
    ours = component("ours", str(folder), precision="float32")
    assert check_equal(ours, reference) < 1e-4
    # equal scores for all labels would hide an error
    (cats,) = ours.score(["A text."], make_labels(5))
    assert np.std(list(cats.values())) > 1e-3


def test_scores_that_differ_are_not_timed(nli_folder: Path) -> None:
    reference = ReferencePipeline(str(nli_folder))

    def other(texts: Sequence[str], labels: Sequence[str]) -> list[dict[str, float]]:
        return [{label: 0.5 for label in labels} for _ in texts]

    with pytest.raises(ValueError, match="ours"):
        check_equal(Program("ours", other), reference)


# memory


def samples(*megabytes: float) -> list[memory.Sample]:
    return [memory.Sample(500 * i, size, float(i)) for i, size in enumerate(megabytes, start=1)]


def test_growth_leaves_out_the_first_thousand_documents() -> None:
    assert memory.growth(samples(10, 100, 100, 100, 100, 100, 100)) == 0.0
    assert memory.growth(samples(10, 100, 100, 150, 170, 110, 130)) == pytest.approx(0.2)
    with pytest.raises(ValueError, match="1000"):
        memory.growth(samples(10, 100))


def test_texts_of_a_stream_differ_but_for_blank_ones_and_some_are_long() -> None:
    texts = list(memory.generate_texts(500))
    visible = [text for text in texts if text.strip()]
    assert len(texts) == 500 and len(visible) == len(set(visible)) == 499
    assert max(len(text.split()) for text in texts) == 1500
    assert texts == list(memory.generate_texts(500))


# speed


def test_the_operations_of_a_program_are_those_of_its_products() -> None:
    left, right = torch.randn(8, 16), torch.randn(16, 4)

    def score(texts: object, labels: object) -> list[dict[str, float]]:
        torch.matmul(left, right)
        return []

    assert speed.operations(Program("product", score), ["a", "b"], LABELS) == 2 * 8 * 16 * 4 / 2


def test_a_label_more_costs_operations(decomposed_folder: Path) -> None:
    program = component("bundled", str(decomposed_folder), precision="float32")
    texts = ["A man plays football in the park."] * 1
    few, many = (speed.operations(program, texts, make_labels(count)) for count in (2, 20))
    assert 0 < few < many < 10 * few


def test_rates_and_ratios() -> None:
    speeds = [
        Speed("bundled auto torch", 2, [0.01, 0.02], 5.0),
        Speed("transformers float32, batch 1", 2, [0.3, 0.4], 5.0),
        Speed("transformers float32, batch 8", 2, [0.2, 0.2], 5.0),
        Speed("bundled auto torch", 12, [0.02, 0.03], 5.0),
    ]
    against = ["transformers float32", "transformers float32, batch 1"]
    shown = speed.rows(speeds, against, {("bundled auto torch", 2): 0.5})
    assert shown[0] == ["bundled auto torch", 2, "66.7", "133", "5", "50%", "15.0x", "25.0x"]
    assert shown[3][-2:] == ["", ""]
    # 10 ms more for ten labels, and 13 ms for the text
    assert speed.cost_of_a_label(speeds, "bundled auto torch") == pytest.approx(0.001 / 0.013)


def test_the_rate_of_a_product_is_that_of_the_machine() -> None:
    assert speed.rate_of_product("float32", Device(), 1) > 1e9


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    speeds = [Speed(name, count, [0.1, 0.2], 1.0) for name in ("bundled", "transformers") for count in (2, 10)]
    written = {"machine": "", "speeds": [each._asdict() for each in speeds]}
    (tmp_path / "speed.json").write_text(json.dumps(written), encoding="utf8")
    figures.main(tmp_path / "speed.json", tmp_path / "cost.svg")
    assert (tmp_path / "cost.svg").read_text(encoding="utf8").startswith("<?xml")


# architectures


@pytest.mark.parametrize("exclusive", [True, False])
def test_the_mean_of_equal_scores_are_those_scores(exclusive: bool) -> None:
    scores = np.array([[0.7, 0.2, 0.1], [0.2, 0.3, 0.5]])
    np.testing.assert_allclose(architectures.mean(scores, scores, exclusive), scores, atol=1e-9)


def test_the_mean_is_that_of_logarithms() -> None:
    first, second = np.array([[0.8, 0.2]]), np.array([[0.5, 0.5]])
    np.testing.assert_allclose(architectures.mean(first, second, True), [[2 / 3, 1 / 3]])


def test_a_thousand_labels_differ() -> None:
    assert len(set(architectures.many_labels(1000))) == 1000


@pytest.mark.parametrize("name, short", [("bundled", "bundled"), ("a/b/c", "c"), ("x/minilm/model", "minilm")])
def test_short_names(name: str, short: str) -> None:
    assert architectures.short_name(name) == short


@pytest.mark.slow
def test_architectures_are_compared(
    data: Path, nli_folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(architectures, "COUNTS", (2, 3))
    architectures.main([data], str(nli_folder), [str(nli_folder)], 6, 1)
    out = capfd.readouterr().out
    assert out.count("| set") == 2 and "time, ratio" in out and "| texts" in out
    # pytest puts a number behind the name of a folder
    assert f"mean, {architectures.short_name(str(nli_folder))}" in out


# tuning, corpora, evaluation


@pytest.mark.slow
def test_tuning_is_measured_on_the_other_half(data: Path, nli_folder: Path) -> None:
    rows = [LabelledText(f"A man plays {LABELS[i // 2 % 2]} {i}.", (LABELS[i // 2 % 2],)) for i in range(12)]
    shown = tuning.tuning_rows(rows, str(nli_folder), False, 1)
    assert [row[0] for row in shown] == ["as it is", "top-1", "0.5", "tuned for micro-F1", "tuned for macro-F1"]
    assert all(0.0 <= value <= 1.0 for row in shown for value in row[1:])
    cells = tuning.calibration_row(rows, str(nli_folder), False)
    assert len(cells) == len(tuning.METHODS) and all(" / " in cell for cell in cells)


def test_the_search_is_timed() -> None:
    assert tuning.time_search(60, 3, 2, True) > 0 and tuning.time_search(60, 3, 2, False) > 0


@pytest.mark.slow
def test_annotate_is_measured(nli_folder: Path) -> None:
    rows = corpora.measure(40, 10, str(nli_folder), 1, "local")
    assert [row[:2] for row in rows][:1] == [["bare nlp.pipe", 10]]
    assert [row[1] for row in rows[1:]] == [10, 20, 30, 40]
    assert len(set(corpora.made_up_texts(500))) == 500


@pytest.mark.slow
def test_spacy_evaluate_says_the_same(data: Path, nli_folder: Path, tmp_path: Path) -> None:
    rows = [LabelledText(f"A man plays {label} {i}.", (label,)) for i in range(4) for label in LABELS]
    scores = spacy_evaluate.evaluate_rows(rows, tmp_path, str(nli_folder))
    (outcome,) = evaluate(str(nli_folder), [data])
    assert scores["cats_macro_f"] == pytest.approx(outcome.macro_f1)
    assert scores["cats_micro_f"] == pytest.approx(outcome.micro_f1)


# start, gpu, gliclass


@pytest.mark.slow
def test_processes_are_measured() -> None:
    found = start.measure({"nothing": "pass", "spacy": start.HIDE + start.BLANK}, 1)
    ((seconds, megabytes),) = found["nothing"]
    assert 0 <= seconds < found["spacy"][0][0] and 0 < megabytes < found["spacy"][0][1]
    with pytest.raises(subprocess.CalledProcessError):
        # a blank pipeline without the package does not know its factory
        start.measure({"hidden": start.HIDE + "import spacy; spacy.blank('en').add_pipe('zero_shot_textcat')"}, 0)
    assert start.rows(found)[0][0] == "nothing"


@pytest.mark.slow
def test_the_gpu_program_runs_on_a_cpu(tmp_path: Path) -> None:
    # "parity" loads larger parts; what is tried here is the frame around the sections
    arguments = ["--device", "cpu", "--tiny", "--seconds", "600", "--only", "machine,parity,memory"]
    command = [sys.executable, "-m", "benchmarks.gpu", *arguments, "--output", str(tmp_path)]
    app = gpu.typer.Typer()
    app.command()(gpu.main)
    result = CliRunner().invoke(app, command[3:])
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "gpu.json").read_text(encoding="utf8"))
    assert not found["failed"] and any(line.startswith("parity, bundled in float32") for line in found["table"])
    assert found["figures"]["parity float32"] < 1e-6


def test_sections_fail_alone_and_time_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ran: list[str] = []

    def fails(run: gpu.Run) -> None:
        ran.append("machine")
        raise RuntimeError("no card")

    class Bare(gpu.Run):
        """Without models."""

        def __init__(self, seconds: float, device: str, tiny: bool, scratch: Path):
            self.start, self.seconds, self.tiny, self.reserve = gpu.time.perf_counter(), seconds, tiny, 0.0
            self.device = Device(device)
            self.table, self.figures, self.failed = [], {}, {}

    sections: dict[str, Callable[[gpu.Run], None]] = {"machine": fails, "memory": lambda run: ran.append("memory")}
    monkeypatch.setattr(gpu, "SECTIONS", sections)
    monkeypatch.setattr(gpu, "Run", Bare)
    for seconds, expected in ((60.0, ["machine", "memory"]), (1.0, [])):
        ran.clear()
        with pytest.raises(gpu.typer.Exit):
            gpu.main("cpu", seconds, "machine,memory", True, tmp_path)
        assert ran == expected
    assert json.loads((tmp_path / "gpu.json").read_text(encoding="utf8"))["failed"].keys() <= {"machine"}


@pytest.mark.parametrize("path", sorted(Path(speed.__file__).parent.glob("[!_]*.py")), ids=lambda path: path.stem)
def test_programs_say_what_they_do(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [path.name, "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(path), run_name="__main__")
    assert ended.value.code == 0
    assert "--help" in capsys.readouterr().out


# scale


def test_a_model_beside_a_gpu_waits_for_the_slower_of_both() -> None:
    parts = {"spaCy's tokenizer": 0.001, "word pieces": 0.001, "the model": 0.008}
    assert scale.rate(parts, None) == pytest.approx(100)
    assert scale.rate(parts, 300) == pytest.approx(300) and scale.rate(parts, 5000) == pytest.approx(500)
    [row] = scale.rows({"one": (100.0, 2.0)}, 86_400 * 100 * 3, [1, 3])
    assert row == ["one", "100", "180,000", "144", "3.0", "1.0"]


@pytest.mark.slow
def test_parts_of_a_text_are_measured() -> None:
    parts = scale.measure_parts(2, 4, 1, "cpu")
    assert parts["the model"] > parts["spaCy's tokenizer"] > 0
