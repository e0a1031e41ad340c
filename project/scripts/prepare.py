"""What every road needs of a set, computed once: zero-shot strengths, similarity scores, embeddings."""

import json
from pathlib import Path
from typing import Any, NamedTuple, Sequence

import numpy as np
import spacy

from spacy_zeroshot.corpora.pipelines import hash_checkpoint
from spacy_zeroshot.rows import LabelledText
from spacy_zeroshot.tuning.passes import read_texts, score_strengths

from .sets import Set, Texts


class Prepared(NamedTuple):
    """A set's texts as arrays.

    train_strengths, test_strengths (np.ndarray): Shape (texts, labels): of the NLI model.
    test_similarity (np.ndarray): Shape (texts, labels): scores of the similarity classifier.
    train_vectors, test_vectors (np.ndarray): Shape (texts, width): embeddings of length one.
    """

    train_strengths: np.ndarray
    test_strengths: np.ndarray
    test_similarity: np.ndarray
    train_vectors: np.ndarray
    test_vectors: np.ndarray


def prepare(chosen: Set, texts: Texts, model: str, sentence_model: str, folder: Path) -> Prepared:
    """Compute a set's arrays, or read what an earlier call computed of the same texts and models.

    chosen (Set): The set.
    texts (Texts): Its texts.
    model (str): The NLI checkpoint.
    sentence_model (str): The checkpoint for similarity.
    folder (Path): Where the arrays are kept.
    RETURNS (Prepared): The arrays.
    """
    made_of = {
        "model": [model, hash_checkpoint(model)],
        "sentence_model": [sentence_model, hash_checkpoint(sentence_model)],
        "set": [chosen.labels, chosen.template, chosen.wordings],
        "texts": [[row.text for row in part] for part in texts],
    }
    known = folder / "prepared.json"
    path = folder / "prepared.npz"
    if known.exists() and path.exists() and json.loads(known.read_text("utf8")) == json.loads(json.dumps(made_of)):
        with np.load(path, allow_pickle=False) as arrays:
            return Prepared(*(arrays[name] for name in Prepared._fields))
    nlp = make_pipeline(chosen, model)
    pipe: Any = nlp.get_pipe("zero_shot_textcat")
    similar = make_pipeline(chosen, sentence_model, "spacy_zeroshot.SimilarityClassifier.v1")
    cats = [doc.cats for doc in similar.pipe(row.text for row in texts.test)]
    found = Prepared(
        _strengths(nlp, pipe, texts.train),
        _strengths(nlp, pipe, texts.test),
        np.array([[scores[label] for label in chosen.labels] for scores in cats]),
        pipe.embed([row.text for row in texts.train]),
        pipe.embed([row.text for row in texts.test]),
    )
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(path, **found._asdict())
    known.write_text(json.dumps(made_of), encoding="utf8")
    return found


def make_pipeline(
    chosen: Set, model: str, architecture: str = "spacy_zeroshot.NLIClassifier.v1", **settings: Any
) -> Any:
    """Build a zero-shot pipeline for a set.

    chosen (Set): The set.
    model (str): A checkpoint.
    architecture (str): How it classifies.
    settings: Further settings of the component.
    RETURNS (Language): The pipeline.
    """
    nlp = spacy.blank("en")
    config = {
        "labels": list(chosen.labels),
        "hypothesis_template": chosen.template,
        "hypotheses": chosen.hypotheses,
        "model": {"@architectures": architecture, "name": model},
        **settings,
    }
    nlp.add_pipe("zero_shot_textcat", config=config)
    return nlp


def _strengths(nlp: Any, pipe: Any, rows: Sequence[LabelledText]) -> np.ndarray:
    readable = read_texts(nlp, pipe, [row.text for row in rows], "study")
    return np.stack(list(score_strengths(pipe, readable.premises)))
