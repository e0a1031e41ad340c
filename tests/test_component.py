import numpy as np
import pytest
import spacy
from spacy.tokens import Doc, DocBin
from spacy.training import Example

from spacy_zeroshot.errors import ZeroShotError, ZeroShotWarning
from spacy_zeroshot.model.source import BUNDLED_FOLDER

from .build import LABELS, TEXTS, make_nlp, settings_for, table
from .tiny import words

SENTS = {"@span_getters": "spacy-transformers.sent_spans.v1"}
WHOLE = {"@span_getters": "spacy-transformers.doc_spans.v1"}
LONG = " ".join(words(300))
needs_bundled = pytest.mark.skipif(
    not (BUNDLED_FOLDER / "model.safetensors").exists(), reason="the bundled model is not installed"
)


def strided(window, stride):
    return {"@span_getters": "spacy-transformers.strided_spans.v1", "window": window, "stride": stride}


@needs_bundled
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


def test_set_labels(nli_folder):
    nlp = make_nlp(nli_folder, hypotheses=[{"label": "sport", "text": "They play."}])
    pipe = nlp.get_pipe("zero_shot_textcat")
    pipe.set_labels(["sport", "art"])
    assert pipe.labels == ("sport", "art")
    assert pipe.wording().hypotheses == ("They play.", "This text is about art.")
    assert list(nlp(TEXTS[0]).cats) == ["sport", "art"]
    pipe.set_labels(["art"], hypotheses=[{"label": "art", "text": "A painting."}])
    assert pipe.wording().hypotheses == ("A painting.",)
    assert nlp.pipe_labels == {"zero_shot_textcat": ["art"]}


def test_set_labels_that_fail_change_nothing(nli_folder):
    pipe = make_nlp(nli_folder).get_pipe("zero_shot_textcat")
    for bad in (["a", "a"], "abc", [["a"]], None):
        with pytest.raises(ZeroShotError):
            pipe.set_labels(bad)
    assert pipe.labels == tuple(LABELS)


def test_add_label(nli_folder):
    pipe = make_nlp(nli_folder, labels=[]).get_pipe("zero_shot_textcat")
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


def test_two_classifiers_with_key_prefix(nli_folder):
    nlp = make_nlp(nli_folder)
    nlp.add_pipe(
        "zero_shot_textcat", name="mood", config=settings_for(nli_folder, labels=["sport", "sad"], key_prefix="mood:")
    )
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


def test_predict_changes_nothing(nli_folder):
    nlp = make_nlp(nli_folder, spans_key="windows")
    doc = nlp.make_doc(TEXTS[0])
    judged = nlp.get_pipe("zero_shot_textcat").predict([doc])
    assert not doc.cats and "windows" not in doc.spans
    nlp.get_pipe("zero_shot_textcat").set_annotations([doc], judged)
    assert doc.cats == judged[0].cats("")


def test_long_texts_are_windowed_and_pooled(nli_folder):
    long = make_nlp(nli_folder, spans_key="windows", window_overlap=16)(LONG)
    group = long.spans["windows"]
    assert len(group) > 2 and len(group.attrs["cats"]) == len(group)
    assert group[0].start_char == 0 and group[len(group) - 1].end_char == len(LONG)
    for before, after in zip(list(group), list(group)[1:]):
        assert before.start < after.start < before.end < after.end
    multi = make_nlp(nli_folder, spans_key="windows", window_overlap=16, multi_label=True)
    doc = multi(LONG)
    windows = np.array([[cats[label] for label in LABELS] for cats in doc.spans["windows"].attrs["cats"]])
    assert [doc.cats[label] for label in LABELS] == pytest.approx(windows.max(axis=0))


def test_poolings(nli_folder):
    def margins(pooling):
        nlp = make_nlp(nli_folder, pooling=pooling, multi_label=True, spans_key="w")
        doc = nlp(LONG)
        cats = [[c[label] for label in LABELS] for c in doc.spans["w"].attrs["cats"]]
        return logit([doc.cats[label] for label in LABELS]), logit(cats)

    def logit(values):
        values = np.array(values)
        return np.log(values / (1 - values))

    for pooling, reduce in (("max", lambda w: w.max(0)), ("mean", lambda w: w.mean(0)), ("first", lambda w: w[0])):
        pooled, windows = margins(pooling)
        assert pooled == pytest.approx(reduce(windows), abs=1e-4)


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
    assert len(caught) == 1


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
    for copy in (stored, Doc(nlp.vocab).from_bytes(doc.to_bytes())):
        assert copy.spans["windows"].attrs["cats"] == expected
        assert [span.text for span in copy.spans["windows"]] == [span.text for span in doc.spans["windows"]]


def test_long_texts_are_the_same_in_the_shared_layout(shared_folder):
    nlp = make_nlp(shared_folder, spans_key="w", multi_label=True)
    doc = nlp(LONG)
    assert len(doc.spans["w"]) > 2
    assert doc.cats["sport"] == pytest.approx(max(cats["sport"] for cats in doc.spans["w"].attrs["cats"]))


@pytest.mark.parametrize("layout", ["nli_folder", "shared_folder"])
def test_pipe_gives_what_a_call_gives(layout, request):
    nlp = make_nlp(request.getfixturevalue(layout))
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


def test_scorer_sees_the_settings(nli_folder):
    nlp = make_nlp(nli_folder, multi_label=True, threshold=0.0, key_prefix="k:")
    doc = nlp.make_doc(TEXTS[0])
    gold = Example.from_dict(doc, {"cats": {"k:sport": 1.0, "k:politics": 0.0, "k:music": 0.0}})
    scores = nlp.evaluate([gold])
    # at threshold 0 every label is chosen
    assert scores["cats_micro_r"] == 1.0
    assert scores["cats_micro_p"] == pytest.approx(1 / 3)


def test_spacys_own_scorer_can_be_used(nli_folder):
    nlp = make_nlp(nli_folder, scorer={"@scorers": "spacy.textcat_scorer.v2"})
    gold = Example.from_dict(nlp.make_doc(TEXTS[0]), {"cats": {"sport": 1.0, "politics": 0.0, "music": 0.0}})
    assert 0.0 <= nlp.evaluate([gold])["cats_macro_f"] <= 1.0


def test_calibration_switch(nli_folder):
    biased = {"calibration": [{"label": "sport", "bias": 50.0}]}
    assert make_nlp(nli_folder, **biased)(TEXTS[0]).cats["sport"] < 1e-6
    off = make_nlp(nli_folder, calibrated=False, **biased)(TEXTS[0]).cats
    assert off == pytest.approx(make_nlp(nli_folder)(TEXTS[0]).cats)
