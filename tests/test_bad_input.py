"""The list of bad input: each gives a coded error or the stated result, and nothing else is lost."""

import json

import numpy as np
import pytest
import spacy
from confection import ConfigValidationError
from spacy.language import Language
from spacy.util import load_config_from_str, load_model_from_config

from spacy_zeroshot.component import ZeroShotTextCategorizer
from spacy_zeroshot.errors import ZeroShotError
from spacy_zeroshot.model.types import NLIInput

from .util import LABELS, TEXTS, collect_failures, make_nlp, settings_for, table, words

BOTH = pytest.mark.parametrize("folder", ["nli_folder", "decomposed_folder"])
ODD_LABELS = [
    "{braces}",
    "{}",
    "a=b",
    "#tag",
    "; x",
    "[x]",
    "Core: Tokenization",
    "two\nlines",
    "tab\there",
    "😀👩‍👩‍👧",
    "한국어 라벨",
    "ملصق",
    "'single' and \"double\"",
    "back\\slash",
    "%(name)s",
    "%s",
    "$ 5",
    "true",
    "1",
    "null",
    "@scorers",
    "*",
    " spaces ",
    "nul\x00inside",
]


def z(code):
    return pytest.raises(ZeroShotError, match=rf"^\[{code}\] zero_shot_textcat: ")


def component(nlp):
    return nlp.get_pipe("zero_shot_textcat")


# Labels


def test_no_labels_z001(nli_folder):
    nlp = make_nlp(nli_folder, labels=[])
    with z("Z001"):
        nlp(TEXTS[0])


def test_no_labels_for_one_doc_only_z001(nli_folder):
    nlp = make_nlp(nli_folder)
    seen = collect_failures(nlp)
    docs = [nlp.make_doc(text) for text in TEXTS]
    docs[1]._.zero_shot_labels = []
    scored = list(nlp.pipe(docs))
    assert [doc.text for doc in scored] == [TEXTS[0], *TEXTS[2:]]
    assert [(texts, error.code) for _, texts, error in seen] == [([TEXTS[1]], "Z001")]


@pytest.mark.parametrize("own", ["sport", 5, {"sport": 1}])
def test_own_labels_that_are_no_list_z007(nli_folder, own):
    nlp = make_nlp(nli_folder)
    doc = nlp.make_doc(TEXTS[0])
    doc._.zero_shot_labels = own
    with z("Z007"):
        nlp(doc)


@BOTH
def test_label_of_600_words_z011(folder, request):
    nlp = make_nlp(request.getfixturevalue(folder))
    seen = collect_failures(nlp)
    docs = [nlp.make_doc(text) for text in TEXTS]
    docs[0]._.zero_shot_labels = ["sport", " ".join(words(600))]
    scored = list(nlp.pipe(docs))
    assert [doc.text for doc in scored] == TEXTS[1:]
    assert [error.code for _, _, error in seen] == ["Z011"]
    assert len(str(seen[0][2])) < 400


@BOTH
def test_a_thousand_labels(folder, request):
    labels = [f"label {i}" for i in range(1000)]
    cats = make_nlp(request.getfixturevalue(folder), labels=labels)(TEXTS[0]).cats
    assert list(cats) == labels
    assert sum(cats.values()) == pytest.approx(1.0)


def test_a_message_about_a_thousand_labels_is_short_z005():
    with z("Z005") as caught:
        make_nlp(labels=[f"label {i}" for i in range(1000)], hypotheses=[{"label": "other", "text": "x"}])
    assert len(str(caught.value)) < 500


def test_odd_labels_survive_everything(nli_folder, tmp_path):
    nlp = make_nlp(nli_folder, labels=ODD_LABELS)
    expected = table([nlp(TEXTS[0])])
    assert list(nlp(TEXTS[0]).cats) == ODD_LABELS
    assert np.isfinite(expected).all()
    assert component(nlp).label_set().hypotheses == tuple(f"This text is about {label}." for label in ODD_LABELS)
    nlp.to_disk(tmp_path)
    loaded = spacy.load(tmp_path)
    assert list(loaded(TEXTS[0]).cats) == ODD_LABELS
    assert np.abs(table([loaded(TEXTS[0])]) - expected).max() < 1e-6


def test_odd_labels_in_a_config_file():
    text = (
        '[nlp]\nlang = "en"\npipeline = ["z"]\n[components]\n[components.z]\nfactory = "zero_shot_textcat"\nlabels = '
    )
    nlp = load_model_from_config(load_config_from_str(text + json.dumps(ODD_LABELS)), auto_fill=True)
    assert nlp.get_pipe("z").labels == tuple(ODD_LABELS)


# Settings


@pytest.mark.parametrize(
    ("code", "settings"),
    [
        ("Z002", {"labels": ["a", "b", "a"]}),
        ("Z003", {"labels": ["a", " "]}),
        ("Z004", {"hypothesis_template": "no slot"}),
        ("Z004", {"hypothesis_template": ["This is {}.", "{label}"]}),
        ("Z005", {"hypotheses": [{"label": "art", "text": "A painting."}]}),
        ("Z006", {"hypotheses": [{"label": "sport", "text": " "}]}),
        ("Z006", {"label_thresholds": [{"label": "sport", "threshold": "high"}]}),
        ("Z006", {"label_groups": [{"name": "a", "labels": []}], "labels": []}),
        ("Z007", {"hypothesis_template": []}),
        ("Z007", {"threshold": 1.5}),
        ("Z007", {"model": {"max_batch_tokens": 0}}),
        ("Z008", {"labels": ["${x}"]}),
        ("Z008", {"labels": ["a ${x.y} b"]}),
        ("Z008", {"hypothesis_template": "It costs $ {}."}),
        ("Z008", {"hypothesis_template": ["{}", "${x} {}"]}),
        ("Z008", {"hypotheses": [{"label": "sport", "text": "${x}"}]}),
        ("Z008", {"label_thresholds": [{"label": "$", "threshold": 0.5}]}),
        ("Z008", {"label_groups": [{"name": "a", "labels": ["$"]}], "labels": []}),
        ("Z008", {"key_prefix": "$"}),
        ("Z008", {"spans_key": "$"}),
        ("Z008", {"none_label": "$"}),
        ("Z009", {"label_thresholds": [{"label": "art", "threshold": 0.5}]}),
        ("Z009", {"calibration": [{"label": "art", "bias": 0.5}]}),
    ],
)
def test_settings_that_are_not_possible(code, settings):
    # an architecture is made before the component, which therefore has no name yet
    with pytest.raises(ZeroShotError, match=rf"^\[{code}\] " + ("" if "model" in settings else "zero_shot_textcat: ")):
        make_nlp(**settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"lables": ["a"]},
        {"labels": "sport"},
        {"labels": None},
        {"labels": [1, 2]},
        {"labels": {"sport": 1}},
        {"label_groups": ["name"]},
        {"multi_label": "maybe"},
        {"long_text": "cut"},
        {"pooling": "median"},
        {"threshold": "high"},
        {"model": {"precision": "int4"}},
        {"model": {"nmae": "x"}},
    ],
)
def test_unknown_settings_and_wrong_types(settings):
    nlp = spacy.blank("en")
    with pytest.raises(ConfigValidationError):
        nlp.add_pipe("zero_shot_textcat", config={"labels": ["a"], **settings})


def test_settings_are_checked_without_a_config_too(nli_folder):
    nlp = make_nlp(nli_folder)
    for settings in ({"pooling": "median"}, {"long_text": "cut"}, {"labels": "abc"}, {"trainable": 1}):
        with pytest.raises(ZeroShotError, match=r"^\[Z007\] mine: "):
            ZeroShotTextCategorizer(nlp, "mine", model=component(nlp).model, **settings)


def test_a_variable_as_label_at_run_time(nli_folder, tmp_path):
    nlp = make_nlp(nli_folder)
    component(nlp).set_labels(["${x}", "sport"])
    assert list(nlp(TEXTS[0]).cats) == ["${x}", "sport"]
    nlp.to_disk(tmp_path)
    assert list(spacy.load(tmp_path)(TEXTS[0]).cats) == ["${x}", "sport"]


@pytest.mark.parametrize("overlap", [1000, 128])
def test_impossible_window_overlap_z012(nli_folder, overlap):
    nlp = make_nlp(nli_folder, window_overlap=overlap)
    seen = collect_failures(nlp)
    long = " ".join(words(300))
    assert [doc.text for doc in nlp.pipe([TEXTS[0], long, TEXTS[1]])] == [TEXTS[0], TEXTS[1]]
    assert [error.code for _, _, error in seen] == ["Z012"]


# Texts


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "?",
        "\x00",
        "a\x00b",
        "هذا نص عن الرياضة",
        "\u202eabc",
        "[SEP] [CLS] <s> </s>",
        "😀" * 100,
        "\r\n",
        "é" * 50,
    ],
)
@BOTH
def test_odd_texts(folder, request, text):
    nlp = make_nlp(request.getfixturevalue(folder))
    batch = list(nlp.pipe([TEXTS[0], text, TEXTS[1]]))
    assert [doc.text for doc in batch] == [TEXTS[0], text, TEXTS[1]]
    scores = table(batch)
    assert scores.sum(axis=1) == pytest.approx([1.0] * 3)
    assert np.abs(scores[[0, 2]] - table([nlp(TEXTS[0]), nlp(TEXTS[1])])).max() < 1e-5


@pytest.mark.slow
def test_a_million_characters(nli_folder):
    nlp = make_nlp(nli_folder, labels=["sport", "music"], window_overlap=0)
    text = ("The minister resigned. " * 50_000)[:1_000_000]
    doc = nlp(text)
    assert len(doc.text) == 1_000_000
    assert sum(doc.cats.values()) == pytest.approx(1.0)


def test_lone_surrogates_are_no_doc():
    # spaCy refuses them before any component sees them; the tokenizer of the model takes them all the same
    with pytest.raises(UnicodeEncodeError):
        make_nlp()("half \ud800")


def test_lone_surrogates_reach_the_model_as_replacements(nli_folder):
    model = component(make_nlp(nli_folder)).model
    output = model.predict(NLIInput(["half \ud800", "half ?"], [("x",)] * 2))
    half, whole = output.logits
    assert half == pytest.approx(whole, abs=1e-5)


def test_a_language_mix(nli_folder):
    nlp = Language()
    template = "이 문장은 {}에 관한 것입니다."
    nlp.add_pipe("zero_shot_textcat", config=settings_for(nli_folder, hypothesis_template=template))
    assert component(nlp).label_set().hypotheses[0] == "이 문장은 sport에 관한 것입니다."
    assert list(nlp("오늘 경기는 정말 재미있었다!").cats) == LABELS


# One document fails


def test_sentences_without_boundaries_z010_are_one_docs_failure(nli_folder):
    sentencizer = spacy.blank("en").add_pipe("sentencizer")
    nlp = make_nlp(nli_folder, get_spans={"@span_getters": "spacy-transformers.sent_spans.v1"})
    seen = collect_failures(nlp)
    docs = [nlp.make_doc(text) for text in ("One. Two.", "Three. Four.", "Five. Six.")]
    docs[0], docs[2] = sentencizer(docs[0]), sentencizer(docs[2])
    scored = list(nlp.pipe(docs))
    assert [doc.text for doc in scored] == ["One. Two.", "Five. Six."]
    assert [(name, texts, error.code) for name, texts, error in seen] == [
        ("zero_shot_textcat", ["Three. Four."], "Z010")
    ]


class Unreadable(Exception):
    """What a library of somebody's raises."""


@pytest.mark.parametrize(
    "error", [Unreadable, ValueError, RuntimeError, KeyError, AttributeError, OSError, AssertionError]
)
@pytest.mark.parametrize("batch_size", [1, 2, 100])
def test_a_text_that_fails_in_the_middle_of_a_batch(nli_folder, error, batch_size):
    nlp = make_nlp(nli_folder)
    expected = table(list(nlp.pipe([TEXTS[0], TEXTS[3], TEXTS[4]])))

    def get_spans(docs):
        if docs[0].text == TEXTS[1]:
            raise error("broken")
        return [[doc[:]] for doc in docs]

    component(nlp).get_spans = get_spans
    seen = collect_failures(nlp)
    scored = list(nlp.pipe([TEXTS[0], TEXTS[1], TEXTS[3], TEXTS[4]], batch_size=batch_size))
    assert [doc.text for doc in scored] == [TEXTS[0], TEXTS[3], TEXTS[4]]
    assert np.abs(table(scored) - expected).max() < 1e-5
    assert [(texts, type(e)) for _, texts, e in seen] == [([TEXTS[1]], error)]


def test_what_is_no_error_of_a_document_stops_the_stream(nli_folder):
    nlp = make_nlp(nli_folder)
    seen = collect_failures(nlp)

    def get_spans(docs):
        raise KeyboardInterrupt

    component(nlp).get_spans = get_spans
    with pytest.raises(KeyboardInterrupt):
        list(nlp.pipe(TEXTS))
    assert seen == []


def test_the_default_handler_raises(nli_folder):
    nlp = make_nlp(nli_folder)
    docs = [nlp.make_doc(text) for text in TEXTS]
    docs[1]._.zero_shot_labels = ["a", "a"]
    with z("Z002"):
        list(nlp.pipe(docs))


def test_one_document_alone_goes_to_the_handler(nli_folder):
    nlp = make_nlp(nli_folder)
    seen = collect_failures(nlp)
    doc = nlp.make_doc(TEXTS[1])
    doc._.zero_shot_labels = ["a", "a"]
    assert nlp(doc).cats == {}
    assert [texts for _, texts, _ in seen] == [[TEXTS[1]]]


def test_a_model_that_cannot_be_loaded_is_no_documents_fault(tmp_path):
    nlp = make_nlp(tmp_path / "nothing")
    seen = collect_failures(nlp)
    with pytest.raises(ZeroShotError) as caught:
        list(nlp.pipe(TEXTS))
    assert caught.value.code == "Z020" and caught.value.component == "zero_shot_textcat"
    assert seen == []
