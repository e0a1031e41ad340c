"""The benchmark command: what it measures is right, whatever the machine's speed."""

import json
import sys
import time

import numpy as np
import pytest

from spacy_zeroshot.benchmarks import inside, run, speed, tables
from spacy_zeroshot.benchmarks.clock import Spread, forget_peak, peak_memory, spread, synchroniser, time_in_turn
from spacy_zeroshot.benchmarks.material import make_labels, make_texts
from spacy_zeroshot.benchmarks.picture import check_picture, draw_costs
from spacy_zeroshot.benchmarks.results import Equality, Kernel, LabelCost, Machine, Report, Share, Speed, Start
from spacy_zeroshot.benchmarks.subjects import (
    Pipelines,
    check_equal,
    largest_difference,
    one_by_one,
    our_subject,
    write_pair_checkpoint,
)
from spacy_zeroshot.benchmarks.work import matrix_product, useful_operations, utilisation
from spacy_zeroshot.errors import ZeroShotError
from spacy_zeroshot.rows import LabelledText

MACHINE = Machine("a processor", 2, "cpu", "spaCy 3.8", "bfloat16")


def speeds(labels=10, wordpieces=90):
    found = {
        "bundled": [0.01, 0.02],
        "pair float32": [0.1, 0.1],
        speed.INT8: [0.005, 0.01],
        "transformers, batch 1": [0.3, 0.4],
        "transformers, batch 8": [0.2, 0.2],
    }
    return [Speed(name, labels, wordpieces, 4, rounds, 100.0, None) for name, rounds in found.items()]


@pytest.fixture(scope="module")
def shared(shared_folder):
    return our_subject("bundled", str(shared_folder), precision="float32")


def test_labels_are_distinct():
    assert len(set(make_labels(150))) == 150
    assert make_labels(10) == make_labels(150)[:10]


def test_texts_have_the_length_asked_for(shared):
    texts = make_texts(18, 90, shared.lengths)
    lengths = shared.lengths(texts)
    assert len(set(texts)) == 18
    assert abs(np.mean(lengths) - 90) < 4
    assert max(lengths) <= 98
    assert texts == make_texts(18, 90, shared.lengths)


def test_programs_run_in_turn():
    order = []
    calls = {name: lambda name=name: (order.append(name), time.sleep(0.21)) for name in "ab"}
    seconds = time_in_turn(calls, 2, synchroniser("cpu"))
    assert order == ["a", "b", "a", "b"]
    assert all(value >= 0.2 for values in seconds.values() for value in values)


def test_short_programs_are_repeated():
    runs = []
    seconds = time_in_turn({"a": lambda: runs.append(time.sleep(0.02))}, 1, synchroniser("cpu"))
    assert len(runs) > 2
    assert seconds["a"][0] < 0.2


def test_peak_memory_is_that_since_forgotten():
    forget_peak("cpu")
    before = peak_memory("cpu")
    block = np.ones(50_000_000, dtype="float64")
    assert peak_memory("cpu") - before > 300
    del block
    if sys.platform == "linux":
        forget_peak("cpu")
        assert peak_memory("cpu") - before < 200


def test_useful_operations_of_the_pair_layout_against_a_count_by_hand(nli_folder):
    subject = our_subject("pair", str(nli_folder), precision="float32")
    config = subject.runtime.checkpoint.config
    text, label = "The minister resigned.", "sport"
    (hypothesis,) = subject.pipe.wording([label]).hypotheses
    tokens = sum(subject.lengths([text, hypothesis])) + 3
    width, inner, layers = config.hidden_size, config.intermediate_size, config.num_hidden_layers
    projections = 2 * tokens * (4 * width * width + 2 * width * inner)
    attention = 2 * 2 * tokens * tokens * width
    assert useful_operations(subject.pipe, [text], [label]) == layers * (projections + attention)


def test_useful_operations_of_the_shared_layout_read_the_text_once(shared):
    one, two, three = (useful_operations(shared.pipe, ["A text."], ["sport", "music", "x"][:n]) for n in (1, 2, 3))
    assert one < two < three
    lone = useful_operations(shared.pipe, ["A text."], ["sport"])
    both = useful_operations(shared.pipe, ["A text.", "A text."], ["sport"])
    assert both == 2 * lone
    assert two - one < one


def test_utilisation_of_the_product_itself_is_one():
    product = matrix_product("float32", "cpu")
    product.multiply()
    assert utilisation(product.operations, [2.0, 4.0], product.operations, [2.0, 4.0]) == Spread(1.0, 1.0, 1.0)


def test_pair_checkpoint_scores_like_the_pipeline(shared_folder, tmp_path):
    folder = write_pair_checkpoint(str(shared_folder), tmp_path)
    config = json.loads((folder / "config.json").read_text(encoding="utf8"))
    assert "zero_shot" not in config
    assert config["architectures"] == ["BertForSequenceClassification"]
    assert len(config["id2label"]) == 3
    ours = our_subject("pair float32", str(folder), precision="float32")
    theirs = Pipelines(folder)
    texts, labels = make_texts(2, 20, ours.lengths), make_labels(5)
    expected = theirs.subject(8).score(texts, labels)
    for subject in (ours, one_by_one(ours)):
        assert check_equal(subject.name, subject.score(texts, labels), "pipeline", expected) < 1e-4
    assert np.std(list(expected[0].values())) > 1e-3


def test_z037_for_scores_that_differ():
    with pytest.raises(ZeroShotError, match=r"Z037.*ours and theirs differ by 0.1"):
        check_equal("ours", [{"a": 0.5}], "theirs", [{"a": 0.6}])
    assert largest_difference([{"a": 0.5, "b": 0.1}], [{"a": 0.25, "b": 0.1}]) == 0.25


def test_a_cell_is_measured(shared, shared_folder, tmp_path):
    folder = write_pair_checkpoint(str(shared_folder), tmp_path)
    pair = our_subject(speed.PAIR, str(folder), precision="float32")
    subjects = [shared, pair, Pipelines(folder).subject(32)]
    assert [item.first for item in speed.compare(subjects, folder)] == [speed.PAIR]
    notes = []
    found = speed.measure_speeds(subjects, [speed.Cell(3, 20, 2)], 2, "cpu", notes.append)
    assert notes == ["3 labels, texts of 20 wordpieces"]
    assert [item.subject for item in found] == [subject.name for subject in subjects]
    for item in found:
        assert (item.labels, item.wordpieces, item.texts) == (3, 20, 2)
        assert len(item.rounds) == 2
        assert min(item.rounds) > 0
        assert item.peak > 50
    assert found[0].utilisation > 0
    assert found[2].utilisation is None


def test_share_counts_the_encoder_and_leaves_the_layout_as_it_was(shared):
    share = inside.measure_share(shared, 2, 2, "cpu")
    assert 0 < share.outside.low <= share.outside.high < 1
    assert share.utilisation.median > 0
    assert "encode_texts" not in vars(shared.runtime.layout)


def test_stopwatch_counts_only_while_entered(shared):
    watch = inside.Stopwatch(shared.runtime.layout, synchroniser("cpu"))
    with watch:
        shared.score(["A text."], ["sport"])
    counted = watch.seconds
    shared.score(["A text."], ["sport"])
    assert watch.seconds == counted > 0


def test_data_is_spread_over_the_file():
    rows = [LabelledText(str(i), ["ab"[i // 5]]) for i in range(10)]
    data = inside.make_data(rows, 4)
    assert data.texts == ["0", "2", "5", "7"]
    assert data.labels == ["a", "b"]
    assert inside.make_data(rows, 100).texts == [str(i) for i in range(10)]


def test_z039_for_a_file_without_labels(tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_text('{"text": "a", "labels": []}\n', encoding="utf8")
    with pytest.raises(ZeroShotError, match=r"Z039.*data.jsonl"):
        run.run(run.Plan(parts=(), data=path), print)


def test_ratios_are_taken_round_by_round():
    cell = next(iter(tables.by_cell(speeds()).values()))
    best = tables.best_pipeline(cell, "float32")
    assert best.subject == "transformers, batch 8"
    assert tables.best_pipeline(cell, "bfloat16") is None
    times = tables.ratio(best, cell["bundled"])
    assert times == pytest.approx((15.0, 10.0, 20.0))


def test_tables_show_every_part():
    one = Spread(1.0, 0.5, 2.0)
    report = Report(
        MACHINE,
        speeds(),
        [Equality("pair", "transformers", 2e-7)],
        [Share("bundled", Spread(0.6, 0.5, 0.7), 330.0, Spread(0.05, 0.04, 0.06))],
        [LabelCost("{}", 0.01, 0.04, Spread(4.0, 3.9, 4.1), None)],
        [Kernel("bundled", "openvino", "int8", one, 0.01, 0.99, 0.7)],
        Start(one, one, one),
    )
    shown = tables.make_tables(report)
    assert len(shown) == 7
    int8 = [row for row in shown[0].rows if "int8" in row[0]]
    assert int8 == [("bundled with openvino in int8, the best", "10", "90", "30.0x", "20.0 to 40.0")]
    assert all(len(row) == len(table.columns) for table in shown for row in table.rows)
    assert shown[0].rows[0] == ("bundled, the pipeline's best batch size", "10", "90", "15.0x", "10.0 to 20.0")
    text = "\n".join(tables.as_markdown(table) for table in shown)
    assert "| bundled | 10 | 90 | 66.7 | 50.0 to 100 | 667 | 100 |" in text
    assert tables.make_tables(Report(MACHINE)) == []


def test_int8_is_a_program_where_it_is_installed(shared_folder, tmp_path, monkeypatch):
    pytest.importorskip("openvino", reason="the extra 'openvino' is not installed")
    pytest.importorskip("nncf", reason="the extra 'int8' is not installed")
    monkeypatch.setenv("SPACY_ZEROSHOT_CACHE", str(tmp_path / "cache"))
    subject = our_subject(speed.INT8, str(shared_folder), precision="int8", backend="openvino")
    assert subject.precision == "int8"
    (found,) = speed.measure_speeds([subject], [speed.Cell(3, 20, 2)], 1, "cpu", print)
    # no matrix product of torch to compare with
    assert found.utilisation is None and found.rounds[0] > 0
    assert (len(inside.BACKENDS), inside.BACKENDS[-1]) == (5, ("openvino", "int8"))


def test_picture_shows_long_texts_only(tmp_path):
    pytest.importorskip("matplotlib", reason="the extra 'report' is not installed")
    path = tmp_path / "cost.svg"
    draw_costs([*speeds(2), *speeds(10), *speeds(10, 14)], path)
    assert path.read_text(encoding="utf8").lstrip().startswith("<?xml")


def test_z038_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ZeroShotError, match=r"Z038.*spacy-zeroshot\[report\]"):
        check_picture()


def test_spread():
    assert spread([3.0, 1.0, 2.0]) == Spread(2.0, 1.0, 3.0)
