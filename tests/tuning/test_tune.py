"""Tuning and calibrating real pipelines, down to the folder that spacy.load opens."""

import numpy as np
import pytest
import spacy

from spacy_zeroshot.errors import ZeroShotError, ZeroShotWarning
from spacy_zeroshot.evaluation import evaluate
from spacy_zeroshot.readers import LabelledText
from spacy_zeroshot.tuning.calibration import calibrate
from spacy_zeroshot.tuning.report import report
from spacy_zeroshot.tuning.score import predictor_of, score_texts
from spacy_zeroshot.tuning.settings import apply_settings
from spacy_zeroshot.tuning.tune import candidate_sets, tune

from ..util import LABELS, SENTENCES, make_nlp

ROWS = [LabelledText(f"{text} {i}", (LABELS[i % 3],)) for i in range(4) for text in SENTENCES[:4]]
TEMPLATES = ("It is about {}.", "{}.")
# the label is the sentence's: neighbours know it, and the random weights of the model do not
LEARNABLE = [LabelledText(f"{SENTENCES[i % 3]} {j}", (LABELS[i % 3],)) for i in range(3) for j in range(6)]
EXAMPLES = [{"label": row.labels[0], "text": row.text} for row in LEARNABLE[::2]]


def assert_same_rule(one, other):
    """But for the last digit, which srsly's JSON reader does not keep."""
    assert (one.top_k, one.none_label) == (other.top_k, other.none_label)
    assert one.threshold == pytest.approx(other.threshold)
    assert one.label_thresholds == pytest.approx(other.label_thresholds)


def build(folder, **settings):
    nlp = make_nlp(folder, **settings)
    return nlp, nlp.get_pipe("zero_shot_textcat")


@pytest.mark.parametrize("family", ["nli_folder", "decomposed_folder"])
@pytest.mark.parametrize("multi_label", [False, True])
def test_a_tuned_pipeline_comes_back_from_disk_as_it_was_measured(family, tmp_path, multi_label, request):
    nlp, pipe = build(request.getfixturevalue(family), multi_label=multi_label)
    nlp.add_pipe("sentencizer")
    tuned = tune(nlp, ROWS, templates=TEMPLATES)
    (group,) = tuned.groups
    # as it is, and two of each template: as it is, and calibrated without labels
    assert len(group.candidates) == 1 + 2 * 3
    # measuring changes nothing
    assert pipe.templates == ("This text is about {}.",) and pipe.temperature == 1.0
    apply_settings(nlp, pipe.name, tuned.settings)
    nlp.to_disk(tmp_path / "tuned")
    again = spacy.load(tmp_path / "tuned")
    loaded = again.get_pipe("zero_shot_textcat")
    assert again.pipe_names == ["zero_shot_textcat", "sentencizer"]
    assert_same_rule(loaded.rules(loaded.label_set())[0], group.after.rule)
    assert loaded.temperature == pytest.approx(group.search.best.temperature)
    for text, scores, chosen in zip(tuned.texts, group.after.scores, group.after.chosen, strict=True):
        doc = again(text)
        assert list(doc.cats.values()) == pytest.approx(scores.tolist(), abs=1e-4)
        assert set(loaded.decide(doc).labels) == {label for label, one in zip(LABELS, chosen, strict=True) if one}


@pytest.mark.parametrize("goal", ["macro_f1", "micro_f1", "accuracy"])
@pytest.mark.parametrize("multi_label", [False, True])
def test_nothing_worse_than_before_is_written(nli_folder, tmp_path, multi_label, goal):
    """The same figure of the same file by the one evaluation, before and after; and the mode stays."""
    import json

    dev = tmp_path / "dev.jsonl"
    dev.write_text("".join(json.dumps({"text": row.text, "labels": row.labels}) + "\n" for row in LEARNABLE))
    nlp, pipe = build(nli_folder, multi_label=multi_label)
    (before,) = evaluate(nlp, [dev])
    tuned = tune(nlp, LEARNABLE, goal=goal)
    assert getattr(tuned.groups[0].before.figures, goal) == pytest.approx(getattr(before, goal))
    apply_settings(nlp, pipe.name, tuned.settings)
    (after,) = evaluate(nlp, [dev])
    assert getattr(after, goal) == pytest.approx(getattr(tuned.groups[0].after.figures, goal))
    assert getattr(after, goal) >= getattr(before, goal) - 1e-9
    assert after.mode == before.mode == ("multi-label" if multi_label else "single-label")
    if not multi_label:
        assert all(len(pipe.decide(nlp(row.text)).labels) <= 1 for row in LEARNABLE)


def test_settings_stay_if_nothing_is_better(nli_folder):
    nlp, _ = build(nli_folder, threshold=None)
    # what the pipeline says anyway
    rows = [LabelledText(row.text, (max(cats, key=cats.get),)) for row in ROWS if (cats := nlp(row.text).cats)]
    if len({row.labels for row in rows}) < 2:
        rows[0] = LabelledText("Music! music?", (next(label for label in LABELS if label not in rows[0].labels),))
    tuned = tune(nlp, rows, templates=())
    if not tuned.groups[0].changed:
        assert tuned.settings == {}
    assert tuned.groups[0].after.figures.macro_f1 >= tuned.groups[0].before.figures.macro_f1


def test_scores_before_are_those_of_the_pipeline(nli_folder):
    nlp, _ = build(nli_folder, temperature=2.0, calibration=[{"label": "music", "bias": 1.5}])
    (group,) = tune(nlp, ROWS, templates=()).groups
    assert list(nlp(ROWS[0].text).cats.values()) == pytest.approx(group.before.scores[0].tolist(), abs=1e-5)


def test_candidates_that_word_labels_alike_are_scored_once(nli_folder):
    own = [{"label": label, "text": f"This is {label}."} for label in LABELS]
    _, pipe = build(nli_folder, hypotheses=own)
    assert list(candidate_sets(pipe)) == [None]
    _, pipe = build(nli_folder, hypothesis_template=["It is about {}.", "{}."])
    assert list(candidate_sets(pipe, TEMPLATES)) == [None, *TEMPLATES]


@pytest.mark.parametrize("family", ["nli_folder", "decomposed_folder"])
def test_all_templates_at_once_score_as_each_alone(family, request):
    """Also of texts that are longer than a window."""
    nlp, pipe = build(request.getfixturevalue(family), window_overlap=8)
    sets = [
        pipe.label_set(templates=template) for template in ("{}", "This example is about {} and only about {}."[:27])
    ]
    texts = [SENTENCES[0], "", " ".join(SENTENCES * 8)]
    scored = score_texts(nlp, pipe, texts, sets)
    assert scored.rows.tolist() == [0, 2]
    docs = [nlp.make_doc(texts[row]) for row in scored.rows]
    for label_set, logits in zip(sets, scored.logits, strict=True):
        np.testing.assert_allclose(logits, pipe.label_logits(docs, label_set), atol=1e-4)


@pytest.mark.parametrize("architecture", ["NLIClassifier", "SimilarityClassifier"])
def test_the_encoder_reads_each_text_once_for_all_templates(decomposed_folder, monkeypatch, architecture):
    nlp, pipe = build(decomposed_folder, model={"@architectures": f"spacy_zeroshot.{architecture}.v1"})
    encoder = predictor_of(pipe).checkpoint.module.encoder
    read, forward = [], encoder.forward
    monkeypatch.setattr(
        encoder, "forward", lambda packed, *rest: read.append(packed.rows.n_rows) or forward(packed, *rest)
    )
    tune(nlp, [LabelledText(text, (LABELS[i % 3],)) for i, text in enumerate(SENTENCES)], templates=TEMPLATES)
    # and each hypothesis: those of the component and of the two templates
    assert sum(read) == len(SENTENCES) + 3 * len(LABELS)
    # nlp.pipe remembers nothing of texts
    for _ in range(2):
        read.clear()
        list(nlp.pipe(SENTENCES))
        assert sum(read) == len(SENTENCES)


def test_the_dev_set_is_scored_once(nli_folder):
    """And the pipeline can go on scoring meanwhile: nothing of it is changed for a while."""
    nlp, pipe = build(nli_folder)
    before = dict(nlp.get_pipe_config(pipe.name)), dict(nlp(SENTENCES[1]).cats)
    seen, shown = [], []

    def watch(items, total, description):
        shown.append((total, description))
        for item in items:
            seen.append(dict(nlp(SENTENCES[1]).cats))
            yield item

    tune(nlp, ROWS, templates=TEMPLATES, track=watch)
    # the component's wording, and two templates
    assert shown == [(48, "16 texts, 3 wordings")] and len(seen) == 48
    assert all(cats == before[1] for cats in seen) and dict(nlp.get_pipe_config(pipe.name)) == before[0]


@pytest.mark.parametrize("written", ["t_", ""])
def test_gold_with_and_without_the_prefix(nli_folder, written):
    nlp, _ = build(nli_folder, key_prefix="t_")
    nlp.add_pipe("textcat").add_label("spam")
    rows = [LabelledText(row.text, (written + row.labels[0], "spam")) for row in ROWS]
    (group,) = tune(nlp, rows, templates=()).groups
    assert group.gold.tolist() == [[label in row.labels for label in LABELS] for row in ROWS]


def test_z203_scores_that_are_no_numbers(nli_folder, monkeypatch):
    nlp, pipe = build(nli_folder)
    logits = type(pipe).label_logits
    monkeypatch.setattr(
        type(pipe), "label_logits", lambda self, docs, labels: np.where([1, 0, 0], np.inf, logits(self, docs, labels))
    )
    with pytest.raises(ZeroShotError, match=r"Z203.*16 of 16"):
        tune(nlp, ROWS, templates=())


def test_a_component_wide_top_k_counts_in_every_group(nli_folder):
    groups = [{"name": "topic", "labels": LABELS}, {"name": "tone", "labels": ["late", "early"], "multi_label": True}]
    nlp, pipe = build(nli_folder, labels=[], label_groups=groups, top_k=2)
    rows = [LabelledText(row.text, (*row.labels, ("late", "early")[i % 2])) for i, row in enumerate(LEARNABLE)]
    tuned = tune(nlp, rows, templates=TEMPLATES)
    assert {trial.rule.top_k for group in tuned.groups for trial in group.search.trials} == {2}
    apply_settings(nlp, pipe.name, tuned.settings)
    for group, rule in zip(tuned.groups, pipe.rules(pipe.label_set()), strict=True):
        assert (rule.top_k, rule.threshold) == (2, pytest.approx(group.after.rule.threshold))
    for i, text in enumerate(tuned.texts):
        chosen = pipe.decide_groups(nlp(text))
        for group in tuned.groups:
            expected = {label for label, one in zip(group.label_set.labels, group.after.chosen[i], strict=True) if one}
            assert set(chosen[group.label_set.groups[0].name].labels) == expected


def test_a_groups_own_template_stays_unless_another_is_better(nli_folder):
    groups = [
        {"name": "topic", "labels": LABELS, "hypothesis_template": "It is about {}."},
        {"name": "tone", "labels": ["late", "early"]},
    ]
    nlp, pipe = build(nli_folder, labels=[], label_groups=groups)
    rows = [LabelledText(row.text, (*row.labels, ("late", "early")[i % 2])) for i, row in enumerate(LEARNABLE)]
    tuned = tune(nlp, rows, templates=["This text is about {}."])
    apply_settings(nlp, pipe.name, tuned.settings)
    expected = tuned.groups[0].chosen.template or "It is about {}."
    assert pipe.label_groups[0]["hypothesis_template"] == expected
    assert tuned.groups[0].before.scores[0] == pytest.approx(
        list(build(nli_folder, hypothesis_template="It is about {}.")[0](tuned.texts[0]).cats.values()), abs=1e-5
    )


def test_texts_without_a_label(nli_folder, tmp_path):
    nlp, pipe = build(nli_folder, multi_label=True)
    rows = [*ROWS, LabelledText("Nothing.", ("none",)), LabelledText("Less.", ())]
    tuned = tune(nlp, rows, templates=(), none_label="none")
    assert not tuned.groups[0].gold[-2:].any() and tuned.groups[0].none
    apply_settings(nlp, pipe.name, tuned.settings)
    nlp.to_disk(tmp_path)
    assert spacy.load(tmp_path).get_pipe("zero_shot_textcat").none_label == "none"


def test_the_threshold_of_none_where_labels_compete(nli_folder):
    """Texts of another kind altogether: neighbours give them low scores."""
    nlp, _pipe = build(nli_folder, examples=EXAMPLES, examples_weight=1.0)
    others = [LabelledText(f"{SENTENCES[4]} {SENTENCES[5]} {i}", ("none",)) for i in range(6)]
    (group,) = tune(nlp, [*LEARNABLE[1::2], *others], templates=(), none_label="none").groups
    assert group.after.figures.macro_f1 >= group.before.figures.macro_f1
    if group.changed:
        assert group.after.rule.top_k == 1 and not group.after.rule.label_thresholds


def test_groups_are_tuned_one_by_one(nli_folder, tmp_path):
    groups = [
        {"name": "topic", "labels": LABELS},
        {"name": "tone", "labels": ["late", "planets"], "multi_label": True, "threshold": 0.9},
    ]
    nlp, pipe = build(nli_folder, labels=[], label_groups=groups)
    rows = [LabelledText(row.text, (*row.labels, "late")[: 1 + (i % 3 > 0)]) for i, row in enumerate(LEARNABLE)]
    with pytest.warns(ZeroShotWarning, match=r"Z121.*planets"):
        tuned = tune(nlp, rows, templates=TEMPLATES)
    assert [group.label_set.groups[0].name for group in tuned.groups] == ["topic", "tone"]
    assert all(group.after.figures.macro_f1 >= group.before.figures.macro_f1 for group in tuned.groups)
    assert tuned.groups[1].changed
    apply_settings(nlp, pipe.name, tuned.settings)
    nlp.to_disk(tmp_path)
    loaded = spacy.load(tmp_path)
    found = loaded.get_pipe("zero_shot_textcat")
    assert found.rules(found.label_set())[1].threshold == pytest.approx(tuned.groups[1].after.rule.threshold)
    for i, text in enumerate(tuned.texts):
        chosen = found.decide_groups(loaded(text))
        for group in tuned.groups:
            expected = {label for label, one in zip(group.label_set.labels, group.after.chosen[i], strict=True) if one}
            assert set(chosen[group.label_set.groups[0].name].labels) == expected
    assert "<h2>topic</h2>" in report(tuned)
    with pytest.warns(ZeroShotWarning, match=r"Z121.*late"):
        _, tone = tune(nlp, LEARNABLE, templates=TEMPLATES).groups
    assert not tone.changed


def test_blank_texts_are_left_out_z120(nli_folder):
    nlp, _ = build(nli_folder)
    with pytest.warns(ZeroShotWarning, match=r"Z120.*1 of 13"):
        tuned = tune(nlp, [LabelledText("  ", ("sport",)), *ROWS[:12]], templates=())
    assert tuned.texts == [row.text for row in ROWS[:12]]


def test_labels_that_are_never_right_z121(nli_folder):
    nlp, _ = build(nli_folder)
    rows = [row for row in ROWS if row.labels != ("music",)]
    with pytest.warns(ZeroShotWarning, match=r"Z121.*music"):
        tune(nlp, rows, templates=())


def test_z200_no_texts(nli_folder):
    nlp, _ = build(nli_folder)
    with pytest.raises(ZeroShotError, match="Z200"):
        tune(nlp, [])
    with pytest.raises(ZeroShotError, match="Z200"):
        tune(nlp, [LabelledText(" ", ("sport",))])
    with pytest.raises(ZeroShotError, match="Z200"):
        calibrate(nlp, [])


def test_z201_labels_the_pipeline_does_not_have(nli_folder):
    nlp, _ = build(nli_folder)
    with pytest.raises(ZeroShotError, match=r"Z201.*\['art', 'war'\].*--none-label"):
        tune(nlp, [*ROWS, LabelledText("A text.", ("art", "sport")), LabelledText("A text.", ("war",))])
    with pytest.raises(ZeroShotError, match=r"Z201.*\['art'\]"):
        calibrate(nlp, ["A text."], labelled=[LabelledText("A text.", ("art",))])


def test_z202_a_single_class(nli_folder):
    nlp, _ = build(nli_folder)
    with pytest.raises(ZeroShotError, match=r"Z202.*sport"):
        tune(nlp, [LabelledText(text, ("sport",)) for text in SENTENCES])


def test_z204_a_label_cannot_mean_none(nli_folder):
    nlp, _ = build(nli_folder)
    with pytest.raises(ZeroShotError, match=r"Z204.*music"):
        tune(nlp, ROWS, none_label="music")


def test_z062_no_such_component(nli_folder):
    nlp, _ = build(nli_folder)
    with pytest.raises(ZeroShotError, match=r"Z062.*other"):
        tune(nlp, ROWS, component="other")


def test_stopping_changes_nothing(nli_folder):
    nlp, pipe = build(nli_folder)

    def interrupt(items, total, description):
        yield next(iter(items))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(nlp, ROWS, track=interrupt)
    assert pipe.templates == ("This text is about {}.",)


@pytest.mark.parametrize("method", ["marginals", "none"])
@pytest.mark.parametrize("multi_label", [False, True])
def test_calibration_is_stored_and_found_anew(nli_folder, tmp_path, method, multi_label):
    nlp, pipe = build(nli_folder, multi_label=multi_label)
    texts = [row.text for row in ROWS]
    before = np.array([list(doc.cats.values()) for doc in nlp.pipe(texts)])
    found = calibrate(nlp, texts, method=method)
    assert before.mean(axis=0) == pytest.approx(found.rates[0], abs=1e-4)
    apply_settings(nlp, pipe.name, found.settings)
    nlp.to_disk(tmp_path)
    after = np.array([list(doc.cats.values()) for doc in spacy.load(tmp_path).pipe(texts)])
    assert after.mean(axis=0) == pytest.approx(found.rates[1], abs=1e-4)
    assert np.ptp(after.mean(axis=0)) <= np.ptp(before.mean(axis=0)) + 1e-6
    assert np.allclose(after, before, atol=1e-5) == (method == "none")
    # a second calibration starts anew
    assert calibrate(nlp, texts, method=method).biases == pytest.approx(found.biases, abs=1e-4)


def test_a_temperature_from_labelled_texts(nli_folder):
    nlp, _ = build(nli_folder)
    found = calibrate(nlp, [row.text for row in ROWS], labelled=ROWS)
    assert found.temperature != 1.0
    assert all(0.0 <= error <= 1.0 for error in found.errors) and len(found.errors) == 2


def test_a_prior(nli_folder):
    nlp, _ = build(nli_folder)
    found = calibrate(nlp, [row.text for row in ROWS], prior={"sport": 6, "politics": 3, "music": 1})
    assert found.rates[1] == pytest.approx([0.6, 0.3, 0.1], abs=1e-3)


@pytest.mark.parametrize(
    "prior", [{"sport": 1.0}, {"sport": 0.0, "politics": 0.5, "music": 0.5}, {"sport": 1, "politics": 1, "art": 1}]
)
def test_z007_no_prior(nli_folder, prior):
    nlp, _ = build(nli_folder)
    with pytest.raises(ZeroShotError, match=r"Z007.*prior"):
        calibrate(nlp, ["A text."], prior=prior)


def test_settings_are_checked_as_they_are_applied(nli_folder):
    nlp, pipe = build(nli_folder)
    with pytest.raises(ZeroShotError, match="Z007"):
        apply_settings(nlp, pipe.name, {"temperature": 0.0})


def test_labels_with_a_dollar_sign_are_tuned(nli_folder, tmp_path):
    """A config cannot hold them; what the component saves beside it can."""
    nlp, pipe = build(nli_folder, multi_label=True)
    pipe.set_labels([*LABELS, "a$"])
    rows = [*ROWS, *(LabelledText(f"Music! {i}", ("a$",)) for i in range(6))]
    tuned = tune(nlp, rows, templates=())
    apply_settings(nlp, pipe.name, tuned.settings)
    nlp.to_disk(tmp_path)
    loaded = spacy.load(tmp_path).get_pipe("zero_shot_textcat")
    assert loaded.labels[-1] == "a$"
    assert_same_rule(loaded.rules(loaded.label_set())[0], tuned.groups[0].after.rule)


# Votes of examples


@pytest.mark.parametrize("multi_label", [False, True])
def test_every_candidate_has_the_votes_of_the_settings(nli_folder, tmp_path, multi_label):
    nlp, pipe = build(nli_folder, multi_label=multi_label, examples=EXAMPLES, examples_weight=1.0)
    tuned = tune(nlp, LEARNABLE[1::2], templates=("{}.",))
    (group,) = tuned.groups
    assert group.search.held_out > 0.9
    apply_settings(nlp, pipe.name, tuned.settings)
    nlp.to_disk(tmp_path / "tuned")
    again = spacy.load(tmp_path / "tuned")
    for text, expected in zip(tuned.texts, group.after.scores, strict=True):
        assert list(again(text).cats.values()) == pytest.approx(expected.tolist(), abs=1e-4)


def test_scores_before_have_the_votes_of_the_settings(nli_folder):
    nlp, _ = build(nli_folder, examples=EXAMPLES, n_neighbors=3, examples_weight=0.4)
    tuned = tune(nlp, LEARNABLE[1::2], templates=())
    expected = [list(nlp(text).cats.values()) for text in tuned.texts]
    np.testing.assert_allclose(tuned.groups[0].before.scores, expected, atol=1e-5)


def test_an_example_does_not_vote_on_itself(nli_folder):
    alone = [{"label": "sport", "text": SENTENCES[0]}, {"label": "politics", "text": SENTENCES[1]}]
    nlp, _ = build(nli_folder, labels=["sport", "politics"], examples=alone, n_neighbors=1, examples_weight=1.0)
    rows = [LabelledText(entry["text"], (entry["label"],)) for entry in alone]
    (group,) = tune(nlp, rows, templates=()).groups
    # each is left to the other one, which is wrong
    assert group.before.figures.accuracy == 0.0
    assert [nlp(row.text).cats[row.labels[0]] for row in rows] == pytest.approx([1.0, 1.0])
