"""The component in a pipeline: what it writes to documents, what it decides, and whose keys are whose."""

import copy
import pickle
import warnings
from itertools import pairwise

import numpy as np
import pytest
import spacy
from spacy.lang.en import English
from spacy.tokens import Doc, DocBin
from spacy.training import Example

from spacy_zeroshot import decide
from spacy_zeroshot.errors import ZeroShotError, ZeroShotWarning
from spacy_zeroshot.model.shim import ModelShim

from .util import LABELS, SENTENCES, TEXTS, collect_failures, make_nlp, settings_for, table, words

SENTS = {"@span_getters": "spacy-transformers.sent_spans.v1"}
WHOLE = {"@span_getters": "spacy-transformers.doc_spans.v1"}
LONG = " ".join(words(300))
GROUPS = [
    {"name": "topic", "labels": ["sport", "politics"]},
    {
        "name": "mood",
        "labels": ["glad", "sad"],
        "multi_label": True,
        "threshold": 0.2,
        "hypothesis_template": "The writer is {}.",
        "key_prefix": "mood:",
    },
]


def strided(window, stride):
    return {"@span_getters": "spacy-transformers.strided_spans.v1", "window": window, "stride": stride}


def component(nlp, name="zero_shot_textcat"):
    return nlp.get_pipe(name)


def add(nlp, folder, name, **settings):
    return nlp.add_pipe("zero_shot_textcat", name=name, config=settings_for(folder, **settings))


# Scores


def test_first_words_of_the_readme():
    nlp = spacy.blank("en")
    nlp.add_pipe("zero_shot_textcat", config={"labels": ["politics", "sport", "technology"]})
    cats = nlp("The minister resigned after losing the vote of confidence.").cats
    assert list(cats) == ["politics", "sport", "technology"]
    assert max(cats, key=cats.get) == "politics"
    assert sum(cats.values()) == pytest.approx(1.0)


def test_keys_come_in_order_and_every_doc_has_all(nli_folder):
    nlp = make_nlp(nli_folder)
    for doc in nlp.pipe(TEXTS):
        assert list(doc.cats) == LABELS
        assert sum(doc.cats.values()) == pytest.approx(1.0)
        assert all(type(score) is float for score in doc.cats.values())


def test_multi_label_scores_stand_on_their_own(nli_folder):
    all_three = make_nlp(nli_folder, multi_label=True)(TEXTS[0]).cats
    alone = make_nlp(nli_folder, multi_label=True, labels=["politics"])(TEXTS[0]).cats
    assert alone["politics"] == pytest.approx(all_three["politics"], abs=1e-5)
    assert sum(all_three.values()) != pytest.approx(1.0, abs=1e-3)


def test_one_label_is_scored_as_multi_label(nli_folder):
    single = make_nlp(nli_folder, labels=["sport"])(TEXTS[0]).cats
    multi = make_nlp(nli_folder, labels=["sport"], multi_label=True)(TEXTS[0]).cats
    assert single == multi
    assert 0.0 < single["sport"] < 1.0


@pytest.mark.parametrize("text", ["", " ", "\n\t  ", "\x00", "\u200b\u200f"])
def test_blank_texts(nli_folder, text):
    assert list(make_nlp(nli_folder)(text).cats.values()) == pytest.approx([1 / 3] * 3)
    assert list(make_nlp(nli_folder, multi_label=True)(text).cats.values()) == [0.0] * 3
    assert make_nlp(nli_folder, labels=["sport"])(text).cats == {"sport": 0.0}


def test_template_and_own_wording_reach_the_model(nli_folder):
    plain = make_nlp(nli_folder)(TEXTS[0]).cats
    other = make_nlp(nli_folder, hypothesis_template="It is {}!")(TEXTS[0]).cats
    spelt = [{"label": label, "text": f"It is {label}!"} for label in LABELS]
    own = make_nlp(nli_folder, hypotheses=spelt)(TEXTS[0]).cats
    assert other != pytest.approx(plain, abs=1e-4)
    assert own == pytest.approx(other, abs=1e-6)


def test_several_templates_average_logits(nli_folder):
    templates = ["This text is about {}.", "It is {}!"]
    logits = []
    for template in templates:
        scores = make_nlp(nli_folder, hypothesis_template=template)(TEXTS[1]).cats
        logits.append(np.log(list(scores.values())))
    # log-softmax differs from the logits by a constant, which the softmax takes out
    mean = np.exp(np.mean(logits, axis=0))
    both = make_nlp(nli_folder, hypothesis_template=templates)(TEXTS[1]).cats
    assert list(both.values()) == pytest.approx(mean / mean.sum(), abs=1e-5)


def test_label_order_does_not_matter(nli_folder):
    there = make_nlp(nli_folder)(TEXTS[0]).cats
    back = make_nlp(nli_folder, labels=LABELS[::-1])(TEXTS[0]).cats
    assert back == pytest.approx(there, abs=1e-5)


def test_calibration_and_temperature(nli_folder):
    biases = [{"label": "sport", "bias": 0.7}, {"label": "music", "bias": -0.2}]
    plain = make_nlp(nli_folder)(TEXTS[0]).cats
    found = make_nlp(nli_folder, calibration=biases, temperature=2.0)(TEXTS[0]).cats
    logits = (np.log([plain[label] for label in LABELS]) - [0.7, 0.0, -0.2]) / 2.0
    assert [found[label] for label in LABELS] == pytest.approx(np.exp(logits) / np.exp(logits).sum(), abs=1e-5)


def test_predict_changes_nothing(nli_folder):
    nlp = make_nlp(nli_folder, spans_key="windows")
    doc = nlp.make_doc(TEXTS[0])
    (found,) = component(nlp).predict([doc])
    assert not doc.cats and "windows" not in doc.spans
    component(nlp).set_annotations([doc], [found])
    assert doc.cats == dict(zip(found.label_set.labels, found.scores.tolist()))


@pytest.mark.parametrize("multi_label", [False, True])
def test_scores_come_from_label_logits(nli_folder, multi_label):
    nlp = make_nlp(nli_folder, multi_label=multi_label, calibration=[{"label": "sport", "bias": 0.5}], temperature=1.5)
    pipe = component(nlp)
    docs = [nlp.make_doc(text) for text in [*TEXTS, LONG]]
    logits = pipe.label_logits(docs)
    assert logits.dtype == np.float64 and np.isnan(logits).all(axis=1).tolist() == [not doc.text for doc in docs]
    expected = [[doc.cats[label] for label in LABELS] for doc in nlp.pipe([*TEXTS, LONG])]
    np.testing.assert_allclose(pipe.scores_from(logits, pipe.label_set()), expected, atol=1e-9)


@pytest.mark.parametrize("folder", ["nli_folder", "decomposed_folder"])
def test_other_label_sets_are_passed_and_change_nothing(folder, request):
    nlp = make_nlp(request.getfixturevalue(folder), hypotheses=[{"label": "sport", "text": "They play."}])
    pipe = component(nlp)
    before = nlp(TEXTS[0]).cats
    passed = pipe.label_set(["art", "sport"], ["It is {}!", "{}"], multi_label=True)
    assert passed.hypotheses == ("It is art!", "art", "They play.") and not passed.exclusive
    (found,) = pipe.predict([nlp.make_doc(TEXTS[0])], passed)
    own = [{"label": "sport", "text": "They play."}]
    settings = {"hypothesis_template": ["It is {}!", "{}"], "multi_label": True, "hypotheses": own}
    expected = make_nlp(request.getfixturevalue(folder), labels=["art", "sport"], **settings)(TEXTS[0]).cats
    assert found.scores == pytest.approx(list(expected.values()), abs=1e-5)
    assert nlp(TEXTS[0]).cats == pytest.approx(before, abs=1e-6)


# Labels


def test_set_labels(nli_folder):
    nlp = make_nlp(nli_folder, hypotheses=[{"label": "sport", "text": "They play."}])
    pipe = component(nlp)
    pipe.set_labels(["sport", "art"])
    assert pipe.labels == ("sport", "art")
    assert pipe.label_set().hypotheses == ("They play.", "This text is about art.")
    assert list(nlp(TEXTS[0]).cats) == ["sport", "art"]
    pipe.set_labels(["art"], hypotheses=[{"label": "art", "text": "A painting."}])
    assert pipe.label_set().hypotheses == ("A painting.",)
    assert nlp.pipe_labels == {"zero_shot_textcat": ["art"]}


def test_set_labels_that_fail_change_nothing(nli_folder):
    pipe = component(make_nlp(nli_folder))
    for bad in (["a", "a"], "abc", [["a"]], None):
        with pytest.raises(ZeroShotError):
            pipe.set_labels(bad)
    assert pipe.labels == tuple(LABELS)


def test_add_label(nli_folder):
    pipe = component(make_nlp(nli_folder, labels=[]))
    assert [pipe.add_label("a"), pipe.add_label("b"), pipe.add_label("a")] == [1, 1, 0]
    assert pipe.labels == ("a", "b")
    with pytest.raises(ZeroShotError, match="Z003"):
        pipe.add_label(" ")


def test_a_docs_own_labels_are_its_keys(nli_folder):
    nlp = make_nlp(nli_folder)
    docs = [nlp.make_doc(TEXTS[0]) for _ in range(3)]
    docs[1]._.zero_shot_labels = ["art", "sport"]
    scored = list(nlp.pipe(docs))
    assert [list(doc.cats) for doc in scored] == [LABELS, ["art", "sport"], LABELS]
    other = make_nlp(nli_folder, labels=["art", "sport"])(TEXTS[0]).cats
    assert scored[1].cats == pytest.approx(other, abs=1e-5)


def test_own_labels_do_without_the_components(nli_folder):
    nlp = make_nlp(nli_folder, labels=[])
    doc = nlp.make_doc(TEXTS[0])
    doc._.zero_shot_labels = ["art", "sport"]
    assert list(nlp(doc).cats) == ["art", "sport"]


def test_labels_for_one_call(nli_folder):
    nlp = make_nlp(nli_folder)
    cfg = {"zero_shot_textcat": {"labels": ["art", "sport"], "multi_label": True, "hypothesis_template": "It is {}!"}}
    expected = make_nlp(nli_folder, **cfg["zero_shot_textcat"])(TEXTS[0]).cats
    assert nlp(TEXTS[0], component_cfg=cfg).cats == pytest.approx(expected, abs=1e-6)
    scored = list(nlp.pipe(TEXTS, component_cfg=cfg, batch_size=2))
    assert [list(doc.cats) for doc in scored] == [["art", "sport"]] * len(TEXTS)
    assert scored[0].cats == pytest.approx(expected, abs=1e-5)
    assert list(nlp(TEXTS[0]).cats) == LABELS and component(nlp).labels == tuple(LABELS)
    with pytest.raises(ZeroShotError, match="Z002"):
        nlp(TEXTS[0], component_cfg={"zero_shot_textcat": {"labels": ["a", "a"]}})


@pytest.fixture
def on_gpu(monkeypatch):
    """Streams take the way of a GPU, whatever the model runs on."""
    monkeypatch.setattr(ModelShim, "is_on_gpu", property(lambda self: self._model is not None))


def test_a_gpu_has_two_batches_before_it(nli_folder, on_gpu):
    nlp = make_nlp(nli_folder)
    pipe = component(nlp)
    pipe.warm_up()
    docs = [nlp.make_doc(f"{text} {number}") for number in range(2) for text in TEXTS[:3]]
    taken = []
    stream = pipe.pipe((taken.append(i) or doc for i, doc in enumerate(docs)), batch_size=1)
    assert next(stream) is docs[0] and taken == [0, 1, 2]
    assert not docs[1].cats and not docs[2].cats
    assert list(stream) == docs[1:]
    expected = [doc.cats for doc in make_nlp(nli_folder).pipe([doc.text for doc in docs])]
    assert [doc.cats for doc in docs] == [pytest.approx(cats, abs=1e-5) for cats in expected]


@pytest.mark.parametrize("batch_size", [1, 2, 100])
def test_streams_to_a_gpu_keep_order_and_failures_alone(nli_folder, on_gpu, batch_size):
    nlp = make_nlp(nli_folder)
    bad = nlp.make_doc(TEXTS[1])
    bad._.zero_shot_labels = ["a", "a"]
    failed = collect_failures(nlp)
    texts = [f"{text} {number}" for number in range(4) for text in TEXTS]
    docs = [*map(nlp.make_doc, texts[:4]), bad, *map(nlp.make_doc, texts[4:])]
    scored = list(nlp.pipe(docs, batch_size=batch_size))
    assert [doc.text for doc in scored] == texts
    assert all(list(doc.cats) == LABELS for doc in scored)
    assert len(failed) == 1


def test_a_stream_may_leave_the_gpu_on_its_way(nli_folder, monkeypatch):
    nlp = make_nlp(nli_folder)
    component(nlp).warm_up()
    places = iter([True, False, True, True])
    monkeypatch.setattr(ModelShim, "is_on_gpu", property(lambda self: next(places)))
    texts = [f"{TEXTS[0]} {number}" for number in range(4)]
    assert [doc.text for doc in nlp.pipe(texts, batch_size=1)] == texts


def test_groups_are_scored_each_in_its_own_way(nli_folder):
    nlp = make_nlp(nli_folder, labels=[], label_groups=GROUPS)
    doc = nlp(TEXTS[0])
    topic = make_nlp(nli_folder, labels=["sport", "politics"])(TEXTS[0]).cats
    mood = make_nlp(
        nli_folder,
        labels=["glad", "sad"],
        multi_label=True,
        hypothesis_template="The writer is {}.",
        key_prefix="mood:",
    )(TEXTS[0]).cats
    assert doc.cats == pytest.approx({**topic, **mood}, abs=1e-5)
    assert component(nlp).labels == ("sport", "politics", "mood:glad", "mood:sad")
    assert nlp("").cats == {"sport": 0.5, "politics": 0.5, "mood:glad": 0.0, "mood:sad": 0.0}
    # with the component's own prefix before all
    assert list(make_nlp(nli_folder, labels=[], label_groups=GROUPS, key_prefix="k:")(TEXTS[0]).cats) == [
        "k:sport",
        "k:politics",
        "k:mood:glad",
        "k:mood:sad",
    ]


def test_labels_of_groups_are_worded_as_there():
    pipe = component(make_nlp(labels=[], label_groups=GROUPS))
    assert pipe.label_set(["mood:sad", "art"]).hypotheses == ("The writer is sad.", "This text is about art.")
    assert pipe.label_set(["mood:sad"], ["{}!"]).hypotheses == ("mood:sad!",)


# Decisions


def test_a_component_decides_among_its_own_keys(nli_folder):
    nlp = make_nlp(nli_folder, name="topic", labels=["sport", "politics"], key_prefix="topic_")
    pipe, mood = component(nlp, "topic"), add(nlp, nli_folder, "mood", labels=["glad", "sad"], key_prefix="mood_")
    doc = nlp(TEXTS[0])
    for one, labels in ((pipe, ["sport", "politics"]), (mood, ["glad", "sad"])):
        cats = {label: doc.cats[one.key_prefix + label] for label in labels}
        assert one.own_cats(doc.cats) == cats
        assert one.decide(doc).labels == [max(cats, key=cats.get)]
        assert one.decide(doc).none == pytest.approx(1.0 - max(cats.values()))


def test_label_thresholds_count_with_a_prefix(nli_folder):
    nlp = make_nlp(nli_folder, multi_label=True, key_prefix="t_", threshold=1.0)
    pipe, doc = component(nlp), nlp(TEXTS[0])
    pipe.label_thresholds = {"sport": doc.cats["t_sport"] - 1e-6}
    assert pipe.decide(doc).labels == ["sport"]
    assert pipe.rules(pipe.label_set())[0].label_thresholds == pipe.label_thresholds
    assert decide(pipe.own_cats(doc.cats), pipe.rules(pipe.label_set())[0]).labels == ["sport"]


def test_nothing_is_decided_for_blank_texts(nli_folder):
    nlp = make_nlp(nli_folder)
    add(nlp, nli_folder, "groups", labels=[], label_groups=GROUPS, key_prefix="g:")
    for doc in nlp.pipe(["", " \n"]):
        assert component(nlp).decide(doc).labels == [] and component(nlp).decide(doc).label is None
        found = component(nlp, "groups").decide_groups(doc)
        assert {name: one.labels for name, one in found.items()} == {"topic": [], "mood": []}


def test_competing_labels_abstain_below_a_number(nli_folder):
    nlp = make_nlp(nli_folder)
    pipe, doc = component(nlp), nlp(TEXTS[0])
    best = max(doc.cats, key=doc.cats.get)
    assert pipe.decide(doc).labels == [best]
    pipe.threshold = doc.cats[best] + 1e-6
    assert pipe.decide(doc).abstains and pipe.decide(doc).label is None
    pipe.none_label = "other"
    assert pipe.decide(doc).label == "other" and pipe.decide(nlp("")).label == "other"
    pipe.threshold = doc.cats[best]
    assert pipe.decide(doc).label == best
    pipe.top_k, pipe.threshold = 2, 0.0
    assert pipe.decide(doc).labels == sorted(doc.cats, key=doc.cats.get, reverse=True)[:2]


def test_groups_are_decided_each_by_its_own_rule(nli_folder):
    nlp = make_nlp(nli_folder, labels=[], label_groups=GROUPS, none_label="none")
    pipe = component(nlp)
    doc = nlp.make_doc(TEXTS[0])
    doc.cats = {"sport": 0.4, "politics": 0.6, "mood:glad": 0.25, "mood:sad": 0.3}
    found = pipe.decide_groups(doc)
    assert {name: one.labels for name, one in found.items()} == {
        "topic": ["politics"],
        "mood": ["mood:sad", "mood:glad"],
    }
    assert pipe.decide(doc).labels == ["politics", "mood:sad", "mood:glad"]
    pipe.label_thresholds = {"mood:sad": 0.5, "mood:glad": 0.5, "politics": 0.7, "sport": 0.5}
    assert {name: one.label for name, one in pipe.decide_groups(doc).items()} == {"topic": "none", "mood": "none"}


def test_a_documents_own_labels_are_decided_among_themselves(nli_folder):
    nlp = make_nlp(nli_folder)
    doc = nlp.make_doc(TEXTS[0])
    doc._.zero_shot_labels = ["art", "science"]
    doc = nlp(doc)
    assert component(nlp).decide(doc).labels == [max(doc.cats, key=doc.cats.get)]


def test_a_document_that_was_not_scored_gets_no_decision(nli_folder):
    assert component(make_nlp(nli_folder)).decide(make_nlp(nli_folder).make_doc("text")).labels == []
    assert component(make_nlp(nli_folder, labels=[])).decide(make_nlp(nli_folder).make_doc("text")).labels == []


# doc._.zero_shot


def test_ranked_labels_of_a_document(nli_folder):
    nlp = make_nlp(nli_folder, key_prefix="k:")
    doc = nlp(TEXTS[0])
    found = doc._.zero_shot
    assert found.ranked == sorted(((key[2:], score) for key, score in doc.cats.items()), key=lambda pair: -pair[1])
    assert found.margin == pytest.approx(found.ranked[0][1] - found.ranked[1][1])
    assert found.decision == component(nlp).decide(doc)
    assert found.keys == ["k:" + label for label, _ in found.ranked]
    # settings count at once
    component(nlp).threshold = 1.0
    assert doc._.zero_shot.decision.labels == []


def test_ranked_labels_of_several_components(nli_folder):
    nlp = make_nlp(nli_folder, name="topic", key_prefix="t:")
    add(nlp, nli_folder, "mood", labels=["glad", "sad"], key_prefix="m:")
    doc = nlp(TEXTS[0])
    found = doc._.zero_shot
    assert set(found.components) == {"topic", "mood"}
    assert {label for label, _ in found.ranked} == set(LABELS)
    assert {label for label, _ in found.components["mood"].ranked} == {"glad", "sad"}
    alone = make_nlp(nli_folder, labels=["sport"])
    one = alone("Football.")._.zero_shot
    assert one.margin == one.ranked[0][1]


def test_documents_that_were_not_scored_have_no_ranked_labels(nli_folder):
    nlp = make_nlp(nli_folder)
    assert nlp.make_doc(TEXTS[0])._.zero_shot is None
    doc = spacy.blank("en")("other")
    doc.cats = {"spam": 1.0}
    assert doc._.zero_shot is None


def test_ranked_labels_in_every_pipeline_a_component_gets_into(nli_folder, tmp_path):
    nlp = make_nlp(nli_folder)
    expected = nlp(TEXTS[0])._.zero_shot.ranked
    nlp.to_disk(tmp_path)
    sourced = spacy.blank("en")
    sourced.add_pipe("zero_shot_textcat", source=spacy.load(tmp_path), name="other")
    for one in (copy.deepcopy(nlp), pickle.loads(pickle.dumps(nlp)), spacy.load(tmp_path), sourced):
        found = one(TEXTS[0])._.zero_shot
        assert [label for label, _ in found.ranked] == [label for label, _ in expected]
        assert list(found.components) == one.pipe_names
    (doc,) = nlp.pipe([TEXTS[0]], n_process=2)
    assert [label for label, _ in doc._.zero_shot.ranked] == [label for label, _ in expected]


def test_a_component_that_was_replaced_has_no_say(nli_folder):
    nlp = make_nlp(nli_folder, threshold=1.0)
    old = component(nlp)
    nlp.remove_pipe("zero_shot_textcat")
    add(nlp, nli_folder, "zero_shot_textcat")
    doc = nlp(TEXTS[0])
    assert old.decide(doc).abstains and not doc._.zero_shot.decision.abstains


def test_extensions_come_back_after_someone_emptied_the_table(nli_folder):
    for name in ("zero_shot", "zero_shot_labels"):
        Doc.remove_extension(name)
    nlp = make_nlp(nli_folder)
    doc = nlp.make_doc(TEXTS[0])
    doc._.zero_shot_labels = ["art", "sport"]
    assert {label for label, _ in nlp(doc)._.zero_shot.ranked} == {"art", "sport"}
    Doc.remove_extension("zero_shot_labels")
    # a pipeline that is there goes on
    assert list(nlp(TEXTS[0]).cats) == LABELS
    make_nlp(nli_folder)


# In a pipeline


def test_two_classifiers_with_key_prefix(nli_folder):
    nlp = make_nlp(nli_folder)
    add(nlp, nli_folder, "mood", labels=["sport", "sad"], key_prefix="mood:")
    cats = nlp(TEXTS[0]).cats
    assert list(cats) == [*LABELS, "mood:sport", "mood:sad"]
    assert cats["mood:sport"] + cats["mood:sad"] == pytest.approx(1.0)
    assert {key: cats[key] for key in LABELS} == pytest.approx(make_nlp(nli_folder)(TEXTS[0]).cats)


def test_beside_other_components(nli_folder):
    nlp = make_nlp(nli_folder, get_spans=SENTS, spans_key="sents")
    nlp.add_pipe("sentencizer", first=True)
    ruler = nlp.add_pipe("entity_ruler", before="zero_shot_textcat")
    ruler.add_patterns([{"label": "ROLE", "pattern": "minister"}])
    nlp.add_pipe("ner")
    gold = Example.from_dict(nlp.make_doc("Acme resigned."), {"entities": [(0, 4, "ORG")]})
    nlp.get_pipe("ner").initialize(lambda: [gold], nlp=nlp)
    doc = nlp("The minister resigned. He lost.")
    assert list(doc.cats) == LABELS
    assert [ent.text for ent in doc.ents if ent.label_ == "ROLE"] == ["minister"]
    assert len(doc.spans["sents"]) == 2
    assert nlp.analyze_pipes()["attrs"]["doc.cats"]["assigns"] == ["zero_shot_textcat"]


def test_errors_and_losses_carry_the_present_name(nli_folder, tmp_path):
    nlp = make_nlp(nli_folder, trainable=True)
    nlp.rename_pipe("zero_shot_textcat", "topic")
    nlp.to_disk(tmp_path)
    pickled = pickle.loads(pickle.dumps(nlp))
    other = spacy.blank("en")
    other.add_pipe("topic", source=nlp, name="theme")
    for one, name in ((other, "theme"), (spacy.load(tmp_path), "topic"), (pickled, "topic")):
        pipe = component(one, name)
        with pytest.raises(ZeroShotError, match=rf"^\[Z002\] {name}: "):
            pipe.set_labels(["a", "a"])
        with pytest.raises(ZeroShotError, match=rf"^\[Z007\] {name}: "):
            pipe.threshold = 5.0
        seen = []
        one.set_error_handler(lambda name, proc, docs, error, seen=seen: seen.append((name, str(error))))
        doc = one.make_doc(TEXTS[0])
        doc._.zero_shot_labels = ["a", "a"]
        one(doc)
        assert [(found, message.split(": ")[0]) for found, message in seen] == [(name, f"[Z002] {name}")]
        one.initialize()
        assert list(one.update([Example.from_dict(one.make_doc("a"), {"cats": {"sport": 1.0}})])) == [name]
    with pytest.warns(ZeroShotWarning, match=r"^\[Z101\] theme: "):
        component(other, "theme").long_text = "truncate"
        other(LONG)


def test_a_model_of_another_kind_is_refused_in_words():
    nlp = spacy.blank("en")
    with pytest.raises(ZeroShotError, match=r"^\[Z246\] zero_shot_textcat: "):
        nlp.add_pipe("zero_shot_textcat", config={"model": {"@architectures": "spacy.HashEmbedCNN.v2", **CNN}})


CNN = {
    "pretrained_vectors": None,
    "width": 8,
    "depth": 1,
    "embed_size": 10,
    "window_size": 1,
    "maxout_pieces": 2,
    "subword_features": False,
}


def test_adding_the_component_loads_nothing():
    nlp = make_nlp("/nowhere/at/all")
    component(nlp).set_labels(["a"])
    component(nlp).threshold = 0.3
    assert English.from_config(nlp.config).pipe_names == ["zero_shot_textcat"]


def test_warm_up(nli_folder):
    component(make_nlp(nli_folder)).warm_up()
    component(make_nlp(nli_folder, labels=[])).warm_up()
    with pytest.raises(ZeroShotError, match=r"^\[Z02\d\] zero_shot_textcat: "):
        component(make_nlp("/nowhere/at/all")).warm_up()


def test_embeddings_are_rows_of_length_one(nli_folder):
    found = component(make_nlp(nli_folder)).embed([*SENTENCES, LONG])
    assert found.shape[0] == len(SENTENCES) + 1 and found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-5)


# Long texts and spans


def test_long_texts_are_windowed_and_pooled(nli_folder):
    long = make_nlp(nli_folder, spans_key="windows", window_overlap=16)(LONG)
    group = long.spans["windows"]
    assert len(group) > 2 and len(group.attrs["cats"]) == len(group)
    assert group[0].start_char == 0 and group[len(group) - 1].end_char == len(LONG)
    for before, after in pairwise(list(group)):
        assert before.start < after.start < before.end < after.end
    doc = make_nlp(nli_folder, spans_key="windows", window_overlap=16, multi_label=True)(LONG)
    windows = np.array([[cats[label] for label in LABELS] for cats in doc.spans["windows"].attrs["cats"]])
    assert [doc.cats[label] for label in LABELS] == pytest.approx(windows.max(axis=0))


@pytest.mark.parametrize(
    ("pooling", "reduce"), [("max", lambda w: w.max(0)), ("mean", lambda w: w.mean(0)), ("first", lambda w: w[0])]
)
def test_poolings(nli_folder, pooling, reduce):
    def logit(values):
        values = np.array(values)
        return np.log(values / (1 - values))

    doc = make_nlp(nli_folder, pooling=pooling, multi_label=True, spans_key="w")(LONG)
    windows = logit([[cats[label] for label in LABELS] for cats in doc.spans["w"].attrs["cats"]])
    assert logit([doc.cats[label] for label in LABELS]) == pytest.approx(reduce(windows), abs=1e-4)


def test_truncate_scores_the_beginning_and_warns_once_z101(nli_folder):
    nlp = make_nlp(nli_folder, long_text="truncate")
    with pytest.warns(ZeroShotWarning, match="Z101") as caught:
        doc = nlp(LONG)
        nlp(LONG + " more")
    assert len([w for w in caught if "Z101" in str(w.message)]) == 1
    first = make_nlp(nli_folder, pooling="first")(LONG).cats
    assert doc.cats == pytest.approx(first, abs=1e-5)


def test_sentences_as_premises(nli_folder):
    nlp = make_nlp(nli_folder, get_spans=SENTS, spans_key="sents", multi_label=True)
    nlp.add_pipe("sentencizer", first=True)
    doc = nlp("The minister resigned.  He lost the vote! Music.")
    assert [span.text for span in doc.spans["sents"]] == [span.text for span in doc.sents]
    alone = make_nlp(nli_folder, multi_label=True)
    for span, cats in zip(doc.spans["sents"], doc.spans["sents"].attrs["cats"]):
        assert cats == pytest.approx(alone(span.text).cats, abs=1e-5)
    best = {label: max(cats[label] for cats in doc.spans["sents"].attrs["cats"]) for label in LABELS}
    assert doc.cats == pytest.approx(best)


def test_sentences_of_documents_with_other_labels_in_one_batch(nli_folder):
    nlp = make_nlp(nli_folder, get_spans=SENTS, spans_key="s", key_prefix="k:")
    nlp.add_pipe("sentencizer", first=True)
    texts = ["One. Two more. Three.", "", LONG, "Four. Five."]
    docs = [nlp.make_doc(text) for text in texts]
    docs[0]._.zero_shot_labels = docs[3]._.zero_shot_labels = ["art", "science"]
    batch = list(nlp.pipe(docs, batch_size=4))
    for doc, text in zip(batch, texts):
        alone = nlp.make_doc(text)
        alone._.zero_shot_labels = doc._.zero_shot_labels
        alone = nlp(alone)
        assert doc.cats == pytest.approx(alone.cats, abs=1e-5)
        spans, others = doc.spans["s"], alone.spans["s"]
        assert [span.text for span in spans] == [span.text for span in others]
        for cats, other in zip(spans.attrs["cats"], others.attrs["cats"], strict=True):
            assert cats == pytest.approx(other, abs=1e-5)


def test_the_whole_document_as_span(nli_folder):
    assert make_nlp(nli_folder, get_spans=WHOLE)(TEXTS[0]).cats == pytest.approx(make_nlp(nli_folder)(TEXTS[0]).cats)


def test_strided_spans(nli_folder):
    doc = make_nlp(nli_folder, get_spans=strided(4, 2), spans_key="w")(TEXTS[0])
    assert [span.start for span in doc.spans["w"]] == [0, 2, 4, 6]
    assert [len(span) for span in doc.spans["w"]] == [4, 4, 4, 4]


def test_spans_without_text_are_left_out(nli_folder):
    doc = make_nlp(nli_folder, get_spans=strided(1, 1), spans_key="w")("one  two")
    assert [span.text for span in doc.spans["w"]] == ["one", "two"]


def test_stride_larger_than_window_is_told_once_z104(nli_folder):
    nlp = make_nlp(nli_folder, get_spans=strided(2, 4))
    with pytest.warns(ZeroShotWarning, match=r"Z104.*leaves 4 of 10 tokens") as caught:
        nlp("a b c d e f g h i j")
        nlp("a b c d e f g h i j")
    assert sum("Z104" in str(one.message) for one in caught) == 1


def test_stride_of_zero_z007(nli_folder):
    with pytest.raises(ZeroShotError, match=r"Z007.*stride"):
        make_nlp(nli_folder, get_spans=strided(4, 0))(TEXTS[0])


def test_sentences_without_boundaries_z010(nli_folder):
    with pytest.raises(ZeroShotError, match=r"Z010.*sentencizer"):
        make_nlp(nli_folder, get_spans=SENTS)(TEXTS[0])


def test_span_group_of_a_blank_doc_is_empty(nli_folder):
    group = make_nlp(nli_folder, spans_key="windows")(" ").spans["windows"]
    assert len(group) == 0 and group.attrs["cats"] == []


@pytest.mark.parametrize("text", ["trailing  ", "  leading", "one", "x" * 2000, "한국어 문장 입니다. " * 60])
def test_windows_cover_every_token(nli_folder, text):
    doc = make_nlp(nli_folder, spans_key="w")(text)
    covered = {token.i for span in doc.spans["w"] for token in span}
    assert covered == {token.i for token in doc}


def test_span_groups_survive_storing(nli_folder, tmp_path):
    nlp = make_nlp(nli_folder, spans_key="windows")
    doc = nlp(LONG)
    expected = doc.spans["windows"].attrs["cats"]
    DocBin(docs=[doc], store_user_data=True).to_disk(tmp_path / "docs.spacy")
    stored = next(DocBin().from_disk(tmp_path / "docs.spacy").get_docs(nlp.vocab))
    for copied in (stored, Doc(nlp.vocab).from_bytes(doc.to_bytes())):
        assert copied.spans["windows"].attrs["cats"] == expected
        assert [span.text for span in copied.spans["windows"]] == [span.text for span in doc.spans["windows"]]


# Streams


@pytest.mark.parametrize("folder", ["nli_folder", "decomposed_folder"])
def test_pipe_gives_what_a_call_gives(folder, request):
    nlp = make_nlp(request.getfixturevalue(folder))
    texts = [*TEXTS, LONG, *(text * 2 for text in TEXTS)]
    single = table([nlp(text) for text in texts])
    for batch_size in (1, 3, 100):
        assert np.abs(table(list(nlp.pipe(texts, batch_size=batch_size))) - single).max() < 1e-5


def test_pipe_reads_no_further_than_a_batch(nli_folder):
    read = []

    def stream():
        for i in range(1000):
            read.append(i)
            yield TEXTS[0]

    next(iter(make_nlp(nli_folder).pipe(stream(), batch_size=10)))
    assert len(read) <= 20


def test_as_tuples(nli_folder):
    nlp = make_nlp(nli_folder)
    pairs = list(nlp.pipe([(text, {"id": i}) for i, text in enumerate(TEXTS)], as_tuples=True))
    assert [context["id"] for _, context in pairs] == list(range(len(TEXTS)))
    assert table([doc for doc, _ in pairs]) == pytest.approx(table(list(nlp.pipe(TEXTS))), abs=1e-5)


def test_scores_under_the_callers_inference_mode(nli_folder):
    import torch

    expected = make_nlp(nli_folder)(TEXTS[0]).cats
    with torch.inference_mode():
        nlp = make_nlp(nli_folder)
        assert nlp(TEXTS[0]).cats == pytest.approx(expected, abs=1e-6)
    torch.set_default_dtype(torch.float64)
    try:
        assert make_nlp(nli_folder)(TEXTS[0]).cats == pytest.approx(expected, abs=1e-6)
    finally:
        torch.set_default_dtype(torch.float32)
    assert nlp(TEXTS[0]).cats == pytest.approx(expected, abs=1e-6)


def test_no_warning_of_ours_in_plain_use(nli_folder):
    with warnings.catch_warnings():
        warnings.simplefilter("error", ZeroShotWarning)
        nlp = make_nlp(nli_folder)
        list(nlp.pipe([*TEXTS, LONG]))
        nlp.initialize()
