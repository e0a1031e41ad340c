"""Texts as they come: surrogates, NUL, special tokens' names; and the special tokens of each family."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from spacy_zeroshot.model.tokenization import PairTokenizer, TokenizerFiles, plain_label
from spacy_zeroshot.model.types import BUNDLED_FOLDER, Wording

from ..util import FAMILIES
from .scoring import ask


@pytest.fixture(scope="module")
def tokenizer_of(make_checkpoint):
    made = {}

    def get(family):
        if family not in made:
            theirs = AutoTokenizer.from_pretrained(make_checkpoint(family))
            made[family] = theirs, PairTokenizer(theirs)
        return made[family]

    return get


@pytest.mark.parametrize("family", FAMILIES)
def test_special_tokens_make_the_sequences_of_transformers(tokenizer_of, family):
    theirs, ours = tokenizer_of(family)
    premise, hypothesis = "The minister resigned; 이 문장은.", "This text is about sport."
    first, second = ours.encode([premise, hypothesis])
    prefix, middle, suffix, types = ours.pair
    encoded = theirs(premise, hypothesis)
    assert [*prefix, *first, *middle, *second, *suffix] == encoded["input_ids"]
    if ours.emits_types:
        found = np.repeat(types, [len(part) for part in (prefix, first, middle, second, suffix)])
        assert found.tolist() == encoded["token_type_ids"]
    assert ours.add_special_tokens(first).tolist() == theirs(premise)["input_ids"]


@pytest.mark.parametrize("family", FAMILIES)
@given(text=st.text(max_size=40))
def test_any_text_is_split_within_its_characters(tokenizer_of, family, text):
    _, ours = tokenizer_of(family)
    [ids] = ours.encode([text])
    offsets = ours.offsets(text)
    assert offsets.shape == (len(ids), 2)
    assert (offsets >= 0).all() and (offsets <= len(text)).all()
    assert not np.isin(ids, [*ours.pair.prefix, *ours.pair.middle]).any()


@pytest.mark.parametrize("family", FAMILIES)
def test_special_tokens_in_a_text_are_text(tokenizer_of, family):
    theirs, ours = tokenizer_of(family)
    names = [theirs.sep_token, theirs.cls_token, theirs.pad_token, theirs.mask_token]
    for ids in ours.encode([f"before {name} after" for name in names]):
        assert not np.isin(ids, theirs.convert_tokens_to_ids(names)).any()


def test_sep_in_a_text_does_not_end_the_premise(nli_folder):
    from transformers import AutoModelForSequenceClassification

    plain, tricky = "It is about sport.", "It is about sport. [SEP] It is about politics. [SEP]"
    assert ask(nli_folder, [plain], [tricky]).logits.shape == (1, 3)
    ours = ask(nli_folder, [tricky], [plain]).logits[0]
    tokenizer = AutoTokenizer.from_pretrained(nli_folder)
    model = AutoModelForSequenceClassification.from_pretrained(nli_folder).eval()
    naive = model(**tokenizer(tricky, plain, return_tensors="pt")).logits[0, [2, 0, 1]].detach().numpy()
    assert np.abs(naive - ours).max() > 0.01


@pytest.mark.parametrize("family", FAMILIES)
def test_lone_surrogates_and_nul(tokenizer_of, family):
    _, ours = tokenizer_of(family)
    split = ours.encode(["a \ud800 b", "a ? b", "a \x00 b", "\udfff", "\x00"])
    assert split[0].tolist() == split[1].tolist()
    assert ours.offsets("a \ud800 b").tolist() == ours.offsets("a ? b").tolist()
    assert ours.offsets("a \x00 b").max() <= 5


def test_lone_surrogates_are_scored(nli_folder):
    assert np.isfinite(ask(nli_folder, ["a \ud800 b", "\x00"], ["sport \udfff", "music"]).logits).all()


def test_tokenizer_file_that_cuts_and_pads(make_checkpoint, own_copy):
    """all-MiniLM's tokenizer.json pads and truncates by itself."""
    folder = own_copy(make_checkpoint())
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.backend_tokenizer.enable_truncation(16)
    tokenizer.backend_tokenizer.enable_padding(length=16)
    tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
    ours = PairTokenizer(AutoTokenizer.from_pretrained(folder))
    assert [len(ids) for ids in ours.encode(["sport", "sport " * 40])] == [1, 40]


def test_user_tokenizer_is_left_alone(make_checkpoint):
    tokenizer = AutoTokenizer.from_pretrained(make_checkpoint())
    tokenizer.backend_tokenizer.enable_truncation(16)
    before = tokenizer.backend_tokenizer.to_str()
    PairTokenizer(tokenizer).encode(["a [SEP] b"])
    assert tokenizer.backend_tokenizer.to_str() == before
    assert tokenizer.backend_tokenizer.encode_special_tokens is False


@pytest.mark.parametrize("family", FAMILIES)
@given(parts=st.tuples(*[st.text(st.characters(exclude_characters="{}"), max_size=12)] * 3))
def test_the_word_pieces_of_a_label(tokenizer_of, family, parts):
    _, ours = tokenizer_of(family)
    before, label, after = parts
    wording = Wording(f"{before}{{}}{after}", label)
    found = ours.hypothesis_set((wording, wording.text))
    assert found.texts == (wording.text,) * 2
    offsets = ours.offsets(wording.text)
    [first, stop], whole = found.spans
    assert whole == (0, len(offsets))
    inside = (offsets[:, 0] < len(before + label)) & (offsets[:, 1] > len(before))
    if inside.any() and before + after:
        assert not inside[:first].any() and not inside[stop:].any() and inside[first] and inside[stop - 1]
    else:
        assert (first, stop) == (0, len(offsets))


@pytest.fixture(scope="module")
def plain():
    """Of the bundled model."""
    return PairTokenizer(TokenizerFiles(BUNDLED_FOLDER), respell_labels=True)


@pytest.mark.parametrize(
    "label, words",
    [
        *((label, "out of scope") for label in ("OUT_OF_SCOPE", "out-of-scope", "OutOfScope", "out of scope")),
        *((label, "crime, violence") for label in ("CRIME/VIOLENCE", "crime / violence", "crime|violence")),
        *(("Sci/Tech", "Sci, Tech"), ("POSITIVE", "positive"), ("card_arrival", "card arrival")),
        # what stays
        *((label, label) for label in ("Sports", "Gesundheit", "HR", "IT", "iPhone", "YouTube", "24/7", "N/A", "C++")),
        *((label, label) for label in ("about Muslims", "state-of-the-art phones", "과학기술", "_", "-")),
    ],
)
def test_labels_are_read_as_plain_words(plain, label, words):
    as_given, as_words = plain.hypothesis_set((Wording("This is {}.", label), Wording("This is {}.", words))).pieces
    assert as_given.tolist() == as_words.tolist() == plain.encode([f"This is {words}."])[0].tolist()


def test_a_sentence_of_ones_own_is_read_as_it_stands(plain):
    [pieces] = plain.hypothesis_set(("SHOUTED_AND/OR",)).pieces
    assert pieces.tolist() == plain.encode(["SHOUTED_AND/OR"])[0].tolist()


@given(label=st.text(min_size=1, max_size=20))
def test_plain_labels_lose_no_letter(label):
    words = plain_label(label, len)
    assert words and [c for c in words.lower() if c.isalnum()] == [c for c in label.lower() if c.isalnum()]


def test_files_of_a_tokenizer_are_read_as_transformers_does(decomposed_folder, tmp_path):
    theirs, ours = AutoTokenizer.from_pretrained(decomposed_folder), TokenizerFiles(decomposed_folder)
    for name in ("pad_token_id", "unk_token_id", "model_max_length", "model_input_names"):
        assert getattr(ours, name) == getattr(theirs, name), name
    texts = ["sport </s> music", "이 문장은"]
    for one, other in zip(PairTokenizer(theirs).encode(texts), PairTokenizer(ours).encode(texts), strict=True):
        assert one.tolist() == other.tolist()
    ours.save_pretrained(tmp_path)
    assert AutoTokenizer.from_pretrained(tmp_path)(texts)["input_ids"] == theirs(texts)["input_ids"]


def test_hypotheses_are_remembered_in_bounds(make_checkpoint, monkeypatch):
    monkeypatch.setattr("spacy_zeroshot.model.tokenization.CACHE_SIZE", 100)
    ours = PairTokenizer(AutoTokenizer.from_pretrained(make_checkpoint()))
    for n in range(300):
        found = ours.hypothesis_set((f"sport {n}", "sport 0"))
        assert [ids.tolist() for ids in found.pieces] == [ids.tolist() for ids in ours.encode(found.texts)]
        assert ours.hypothesis_set((f"sport {n}", "sport 0")) is found
        assert len(ours._pieces._known) < 110 and len(ours._sets._known) < 10
    assert ours.hypothesis_set(("sport 0", "sport 0")).key != found.key


FORK = """
import os, sys
from tokenizers import Tokenizer
from transformers import AutoTokenizer
from spacy_zeroshot.model.tokenization import PairTokenizer
tokenizer = PairTokenizer(AutoTokenizer.from_pretrained(sys.argv[1]))
texts = ["sport and music"] * 200
expected = [ids.tolist() for ids in tokenizer.encode(texts)]
child = os.fork()
if not child:
    os._exit(int([ids.tolist() for ids in tokenizer.encode(texts)] != expected))
status = os.waitpid(child, 0)[1]
assert [ids.tolist() for ids in tokenizer.encode(texts)] == expected
print(status, os.environ.get("TOKENIZERS_PARALLELISM"))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.parametrize("chosen", [None, "true", "false"])
def test_a_fork_neither_warns_nor_hangs(nli_folder, chosen):
    environment = {name: value for name, value in os.environ.items() if name != "TOKENIZERS_PARALLELISM"}
    if chosen:
        environment["TOKENIZERS_PARALLELISM"] = chosen
    done = subprocess.run(
        [sys.executable, "-c", FORK, str(nli_folder)],
        env=environment,
        cwd=Path(__file__).parent.parent.parent,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    # the user's own choice stays
    assert done.stdout.split() == ["0", str(chosen)]
    assert "parallelism" not in done.stderr
