"""Tuning and calibrating real pipelines, down to the folder that spacy.load opens."""

import numpy as np
import pytest
import spacy

from spacy_zeroshot.errors import ZeroShotError, ZeroShotWarning
from spacy_zeroshot.rows import LabelledText
from spacy_zeroshot.tuning.calibrate import calibrate
from spacy_zeroshot.tuning.passes import candidate_templates
from spacy_zeroshot.tuning.settings import apply_settings, pipeline_folder
from spacy_zeroshot.tuning.tune import tune

from ..tiny import SENTENCES

LABELS = ["sport", "politics", "music"]
ROWS = [LabelledText(f"{text} {i}", [LABELS[i % 3]]) for i in range(4) for text in SENTENCES[:4]]
TEMPLATES = ("It is about {}.", "{}.")


def build(folder, **settings):
    nlp = spacy.blank("en")
    config = {"labels": LABELS, "model": {"name": str(folder), "precision": "float32"}, **settings}
    return nlp, nlp.add_pipe("zero_shot_textcat", config=config)


@pytest.mark.parametrize("multi_label", [False, True])
def test_a_tuned_pipeline_comes_back_from_disk_as_it_was_measured(nli_folder, tmp_path, multi_label):
    nlp, pipe = build(nli_folder, multi_label=multi_label)
    nlp.add_pipe("sentencizer")
    tuned = tune(nlp, ROWS, templates=TEMPLATES)
    # two of each pass: as it is, and calibrated without labels
    assert len(tuned.candidates) == 6
    # measuring changes nothing
    assert pipe.templates == ("This text is about {}.",) and pipe.temperature == 1.0
    apply_settings(nlp, pipe.name, tuned.settings)
    with pipeline_folder(nlp, tmp_path / "tuned", False, "tune") as folder:
        (folder / "more.txt").write_text("more")
    again = spacy.load(tmp_path / "tuned")
    loaded = again.get_pipe("zero_shot_textcat")
    assert again.pipe_names == ["zero_shot_textcat", "sentencizer"]
    assert (tmp_path / "tuned" / "more.txt").exists()
    assert loaded.rule == tuned.rule or loaded.rule.top_k == len(LABELS)
    assert loaded.temperature == tuned.search.best.temperature
    for text, expected in zip(tuned.texts, tuned.values):
        assert list(again(text).cats.values()) == pytest.approx(expected.tolist(), abs=1e-4)


def test_scores_before_are_those_of_the_pipeline(nli_folder):
    nlp, _ = build(nli_folder, temperature=2.0, calibration=[{"label": "music", "bias": 1.5}])
    tuned = tune(nlp, ROWS, templates=())
    assert list(nlp(ROWS[0].text).cats.values()) == pytest.approx(tuned.before_values[0].tolist(), abs=1e-5)


def test_candidates_that_word_labels_alike_are_scored_once(nli_folder):
    own = [{"label": label, "text": f"This is {label}."} for label in LABELS]
    _, pipe = build(nli_folder, hypotheses=own)
    assert candidate_templates(pipe) == [("This text is about {}.",)]
    _, pipe = build(nli_folder, hypothesis_template=["It is about {}.", "{}."])
    assert candidate_templates(pipe, TEMPLATES) == [TEMPLATES, *((template,) for template in TEMPLATES)]


def test_texts_without_a_label(nli_folder):
    nlp, _ = build(nli_folder)
    rows = [*ROWS, LabelledText("Nothing.", ["none"]), LabelledText("Less.", [])]
    tuned = tune(nlp, rows, templates=(), none_label="none")
    assert not tuned.gold[-2:].any()


def test_blank_texts_are_left_out_z120(nli_folder):
    nlp, _ = build(nli_folder)
    with pytest.warns(ZeroShotWarning, match=r"Z120.*1 of 13"):
        tuned = tune(nlp, [LabelledText("  ", ["sport"]), *ROWS[:12]], templates=())
    assert tuned.texts == [row.text for row in ROWS[:12]]


def test_labels_that_are_never_right_z121(nli_folder):
    nlp, _ = build(nli_folder)
    rows = [row for row in ROWS if row.labels != ["music"]]
    with pytest.warns(ZeroShotWarning, match=r"Z121.*music"):
        tune(nlp, rows, templates=())


def test_z200_no_texts(nli_folder):
    nlp, _ = build(nli_folder)
    with pytest.raises(ZeroShotError, match="Z200"):
        tune(nlp, [])
    with pytest.raises(ZeroShotError, match="Z200"), pytest.warns(ZeroShotWarning, match="Z120"):
        tune(nlp, [LabelledText(" ", ["sport"])])
    with pytest.raises(ZeroShotError, match="Z200"):
        calibrate(nlp, [])


def test_z201_labels_the_pipeline_does_not_have(nli_folder):
    nlp, _ = build(nli_folder)
    with pytest.raises(ZeroShotError, match=r"Z201.*\['art', 'war'\]"):
        tune(nlp, [*ROWS, LabelledText("A text.", ["art", "sport"]), LabelledText("A text.", ["war"])])


def test_z202_a_single_class(nli_folder):
    nlp, _ = build(nli_folder)
    with pytest.raises(ZeroShotError, match=r"Z202.*sport"):
        tune(nlp, [LabelledText(text, ["sport"]) for text in SENTENCES])


def test_z204_a_label_cannot_mean_none(nli_folder):
    nlp, _ = build(nli_folder)
    with pytest.raises(ZeroShotError, match=r"Z204.*music"):
        tune(nlp, ROWS, none_label="music")


def test_z062_no_such_component(nli_folder):
    nlp, _ = build(nli_folder)
    with pytest.raises(ZeroShotError, match=r"Z062.*other"):
        tune(nlp, ROWS, pipe_name="other")


def test_stopping_leaves_nothing_behind(nli_folder, tmp_path):
    nlp, _ = build(nli_folder)

    def interrupt(items, total, name):
        yield next(items)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(nlp, ROWS, watch=interrupt)
    with pytest.raises(KeyboardInterrupt), pipeline_folder(nlp, tmp_path / "tuned", False, "tune"):
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())
    # the pipeline is as before
    assert nlp.get_pipe("zero_shot_textcat").templates == ("This text is about {}.",)


def test_z092_a_folder_that_is_there(nli_folder, tmp_path):
    nlp, _ = build(nli_folder)
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ZeroShotError, match="Z092"), pipeline_folder(nlp, tmp_path, False, "tune"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    with pytest.raises(ZeroShotError, match="Z060"), pipeline_folder(nlp, tmp_path / "mine.txt", True, "tune"):
        pass


@pytest.mark.parametrize("method", ["marginals", "content-free", "none"])
@pytest.mark.parametrize("multi_label", [False, True])
def test_calibration_is_stored_and_can_be_switched_off(nli_folder, tmp_path, method, multi_label):
    nlp, pipe = build(nli_folder, multi_label=multi_label)
    texts = [row.text for row in ROWS]
    before = np.array([list(doc.cats.values()) for doc in nlp.pipe(texts)])
    found = calibrate(nlp, texts, method=method)
    assert before.mean(axis=0) == pytest.approx(found.rates[0], abs=1e-4)
    apply_settings(nlp, pipe.name, found.settings)
    nlp.to_disk(tmp_path)
    after = np.array([list(doc.cats.values()) for doc in spacy.load(tmp_path).pipe(texts)])
    assert after.mean(axis=0) == pytest.approx(found.rates[1], abs=1e-4)
    assert np.ptp(after.mean(axis=0)) <= np.ptp(before.mean(axis=0)) + 1e-6 or method == "content-free"
    assert np.allclose(after, before, atol=1e-5) == (method == "none")
    off = spacy.load(tmp_path, config={"components": {"zero_shot_textcat": {"calibrated": False}}})
    assert np.array([list(doc.cats.values()) for doc in off.pipe(texts)]) == pytest.approx(before, abs=1e-5)
    # a second calibration starts anew
    assert calibrate(nlp, texts, method=method).biases == pytest.approx(found.biases, abs=1e-4)


def test_a_temperature_from_labelled_texts(nli_folder):
    nlp, _ = build(nli_folder)
    found = calibrate(nlp, [row.text for row in ROWS], labelled=ROWS)
    assert found.temperature != 1.0 and found.reliability is not None
    assert 0.0 <= found.reliability[1].ece <= 1.0


def test_a_prior(nli_folder):
    nlp, _ = build(nli_folder)
    found = calibrate(nlp, [row.text for row in ROWS], prior={"sport": 6, "politics": 3, "music": 1})
    assert found.rates[1] == pytest.approx([0.6, 0.3, 0.1], abs=1e-3)


@pytest.mark.parametrize("prior", [{"sport": 1.0}, {"sport": 0.0, "politics": 0.5, "music": 0.5}])
def test_z007_no_prior(nli_folder, prior):
    nlp, _ = build(nli_folder)
    with pytest.raises(ZeroShotError, match=r"Z007.*prior"):
        calibrate(nlp, ["A text."], prior=prior)


def test_only_known_settings_can_be_changed(nli_folder):
    nlp, pipe = build(nli_folder)
    with pytest.raises(ValueError, match="pooling"):
        apply_settings(nlp, pipe.name, {"pooling": "mean"})
    with pytest.raises(ZeroShotError, match="Z007"):
        apply_settings(nlp, pipe.name, {"temperature": 0.0})


def test_z008_what_a_config_cannot_hold(nli_folder):
    nlp, pipe = build(nli_folder)
    with pytest.raises(ZeroShotError, match=r"Z008.*hypothesis_template"):
        tune(nlp, ROWS, templates=["{} for $5"])
    pipe.set_labels([*LABELS, "a$"])
    with pytest.raises(ZeroShotError, match=r"Z008.*label_thresholds"):
        tune(nlp, ROWS)
    with pytest.raises(ZeroShotError, match=r"Z008.*calibration"):
        calibrate(nlp, ["A text."])
