"""The roads: labelled texts in, decisions on the test texts out."""

import contextlib
import io
import tempfile
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Sequence, Tuple

import numpy as np
import spacy
from spacy.tokens import DocBin

from spacy_zeroshot.adaptation.few_shot import fine_tune, steps_for
from spacy_zeroshot.decisions import decide_rows
from spacy_zeroshot.distillation.selection import select_exclusive
from spacy_zeroshot.distillation.student import train_student, write_config
from spacy_zeroshot.examples.store import Embed, ExampleStore
from spacy_zeroshot.rows import LabelledText
from spacy_zeroshot.scores import scores
from spacy_zeroshot.tuning.search import Votes, search
from spacy_zeroshot.tuning.tune import variants
from spacy_zeroshot.tuning.votes import COUNTS, WEIGHTS, with_votes

from .augment import augment
from .prepare import Prepared, make_pipeline
from .runs import ALL, BAYES, DISTILLED, FINE_TUNED, MIXED, NEIGHBOURS, SIMILARITY, TUNED, ZERO, Run
from .sets import Set, Texts, gold, order

# The student learns what its teacher is this sure of, of a label at most this many times the rarest one's texts
SURE, BALANCE = 0.6, 3.0
# Parts of the cross-validation that chooses the tuned rule
FOLDS = 5


class Material(NamedTuple):
    """What a road works with.

    set (Set): The data set.
    texts (Texts): Its texts.
    prepared (Prepared): Its arrays.
    model (str): The NLI checkpoint.
    config (Path): The config of fine-tuning.
    most_steps (int): Of fine-tuning; 0 for no further limit.
    """

    set: Set
    texts: Texts
    prepared: Prepared
    model: str
    config: Path
    most_steps: int = 0


class Drawn(NamedTuple):
    """Labelled texts of a run.

    rows (List[LabelledText]): The texts, with their changed copies if the run asks for them.
    places (List[int]): Where the texts, without copies, stand among all.
    """

    rows: List[LabelledText]
    places: List[int]


def follow(run: Run, material: Material) -> np.ndarray:
    """Run a road.

    run (Run): What to run.
    material (Material): What to work with.
    RETURNS (np.ndarray): Shape (test texts, labels), bool: the decisions.
    """
    return ROAD_OF[run.road](run, draw(run, material), material)


def draw(run: Run, material: Material) -> Drawn:
    """RETURNS (Drawn): The labelled texts of a run. run (Run), material (Material): What is run, and with what."""
    train = material.texts.train
    places = order(train, run.seed)[: None if run.labelled == ALL else run.labelled]
    rows = [train[i] for i in places]
    return Drawn(augment(rows, run.seed) if run.augmented else rows, places)


def _zero(run: Run, drawn: Drawn, material: Material) -> np.ndarray:
    return _best(material.prepared.test_strengths)


def _similarity(run: Run, drawn: Drawn, material: Material) -> np.ndarray:
    return _best(material.prepared.test_similarity)


def _tuned(run: Run, drawn: Drawn, material: Material) -> np.ndarray:
    found = _tune(run, drawn, material)
    values = found["candidate"]._replace(strengths=material.prepared.test_strengths).values(found["temperature"], True)
    return decide_rows(values, material.set.labels, found["rule"])


def _tune(run: Run, drawn: Drawn, material: Material) -> Dict[str, Any]:
    """Thresholds, top-k, abstention, biases and temperature: the command `tune` with one template."""
    labels = material.set.labels
    right = gold([material.texts.train[i] for i in drawn.places], labels)
    candidates = variants("own", material.prepared.train_strengths[drawn.places], np.zeros(len(labels)), True)
    best = search(candidates, right, labels, True, "macro_f1", FOLDS, run.seed).best
    return {"candidate": candidates[best.candidate], "temperature": best.temperature, "rule": best.final.rule}


def _bayes(run: Run, drawn: Drawn, material: Material) -> np.ndarray:
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.naive_bayes import MultinomialNB
    from sklearn.pipeline import make_pipeline as chain

    model = chain(CountVectorizer(ngram_range=(1, 2)), MultinomialNB())
    model.fit([row.text for row in drawn.rows], [row.labels[0] for row in drawn.rows])
    return _named(model.predict([row.text for row in material.texts.test]), material)


def _neighbours(run: Run, drawn: Drawn, material: Material) -> np.ndarray:
    """The component's settings n_neighbors = 8 and examples_weight = 1."""
    store, embed = _examples(drawn, material)
    texts = [row.text for row in material.texts.test]
    values = scores(material.prepared.test_strengths, True)
    return _best(store.mix(values, texts, material.set.labels, True, embed))


def _mixed(run: Run, drawn: Drawn, material: Material) -> np.ndarray:
    """The command `tune` on a pipeline with examples, which are its development set, too."""
    store, embed = _examples(drawn, material)
    labels, prepared = material.set.labels, material.prepared
    own = [material.texts.train[i] for i in drawn.places]
    counts = [count for count in COUNTS if count < len(own)]
    shares, known = store.vote([row.text for row in own], labels, True, embed, counts, leave_out=True)
    votes = [Votes(each, known, count, weight) for count, each in zip(counts, shares) for weight in WEIGHTS]
    plain = variants("own", prepared.train_strengths[drawn.places], np.zeros(len(labels)), True)
    candidates = with_votes(plain, votes)
    best = search(candidates, gold(own, labels), labels, True, "macro_f1", FOLDS, run.seed).best
    chosen = candidates[best.candidate]._replace(strengths=prepared.test_strengths)
    if chosen.votes is not None:
        found, _ = store.vote(
            [row.text for row in material.texts.test], labels, True, embed, [chosen.votes.n_neighbors]
        )
        chosen = chosen._replace(votes=chosen.votes._replace(shares=found[0]))
    return decide_rows(chosen.values(best.temperature, True), labels, best.final.rule)


def _examples(drawn: Drawn, material: Material) -> Tuple[ExampleStore, Embed]:
    """The drawn texts as a component's examples, and embeddings that were made before."""
    prepared = material.prepared
    known = {row.text: vector for row, vector in zip(material.texts.train, prepared.train_vectors)}
    known.update((row.text, vector) for row, vector in zip(material.texts.test, prepared.test_vectors))
    unknown = [row.text for row in drawn.rows if row.text not in known]
    if unknown:
        pipe: Any = make_pipeline(material.set, material.model).get_pipe("zero_shot_textcat")
        known.update(zip(unknown, pipe.embed(unknown)))

    def embed(texts: Sequence[str]) -> np.ndarray:
        return np.stack([known[text] for text in texts])

    entries = [{"label": row.labels[0], "text": row.text} for row in drawn.rows]
    return ExampleStore(entries, 8, 1.0, "study"), embed


def _fine_tuned(run: Run, drawn: Drawn, material: Material) -> np.ndarray:
    # as many steps with copies as without
    steps = min(steps_for(len(drawn.places)), material.most_steps or 10**9)
    with tempfile.TemporaryDirectory() as folder:
        pipeline = fine_tune(
            drawn.rows,
            material.config,
            Path(folder),
            model=material.model,
            labels=material.set.labels,
            hypotheses=_wordings(material.set),
            seed=run.seed,
            steps=steps,
        )
        return _predict(pipeline, material)


def _distilled(run: Run, drawn: Drawn, material: Material) -> np.ndarray:
    """The teacher labels all texts that are not drawn; tuned on those that are, if there are any."""
    labels, train = material.set.labels, material.texts.train
    if drawn.places:
        found = _tune(run, drawn, material)
        candidate = found["candidate"]._replace(strengths=material.prepared.train_strengths)
        values = candidate.values(found["temperature"], True)
    else:
        values = scores(material.prepared.train_strengths, True)
    drawn_places = set(drawn.places)
    others = np.array([i for i in range(len(train)) if i not in drawn_places], dtype=int)
    # labels of a text are 1.0, 0.0, or NaN where the teacher is in doubt
    sure = select_exclusive(values[others], SURE, BALANCE) if len(others) else None
    taught: List[Any] = [(row.text, row.labels[0]) for row in drawn.rows]
    if sure is not None:
        taught += [(train[others[i]].text, labels[int(np.nanargmax(t))]) for i, t in zip(sure.rows, sure.targets)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_docbin(folder / "train.spacy", taught, labels)
        # no labelled text is set aside: the teacher's own are looked at to stop
        _write_docbin(folder / "dev.spacy", taught[-200:], labels)
        config = write_config("en", True, "bow", texts=len(taught), epochs=10, seed=run.seed)
        (folder / "config.cfg").write_text(config, encoding="utf8")
        # spaCy prints every row of its table
        with contextlib.redirect_stdout(io.StringIO()):
            student = train_student(folder)
        return _predict(student, material)


def _write_docbin(path: Path, taught: Sequence[Any], labels: Sequence[str]) -> None:
    nlp = spacy.blank("en")
    packed = DocBin()
    for text, right in taught:
        doc = nlp.make_doc(text)
        doc.cats = {label: float(label == right) for label in labels}
        packed.add(doc)
    packed.to_disk(path)


def _predict(pipeline: Path, material: Material) -> np.ndarray:
    nlp = spacy.load(pipeline)
    cats = [doc.cats for doc in nlp.pipe(row.text for row in material.texts.test)]
    return _best(np.array([[each.get(label, 0.0) for label in material.set.labels] for each in cats]))


def _wordings(chosen: Set) -> List[Dict[str, str]]:
    """The hypotheses as fine_tune.cfg takes them: its template is the default one."""
    return chosen.hypotheses or [
        {"label": label, "text": chosen.template.replace("{}", label)} for label in chosen.labels
    ]


def _best(values: np.ndarray) -> np.ndarray:
    return np.arange(values.shape[1]) == values.argmax(axis=1)[:, None]


def _named(names: Sequence[str], material: Material) -> np.ndarray:
    return np.array([[label == name for label in material.set.labels] for name in names])


Road = Callable[[Run, Drawn, Material], np.ndarray]
ROAD_OF: Dict[str, Road] = {
    ZERO: _zero,
    SIMILARITY: _similarity,
    TUNED: _tuned,
    BAYES: _bayes,
    NEIGHBOURS: _neighbours,
    MIXED: _mixed,
    FINE_TUNED: _fine_tuned,
    DISTILLED: _distilled,
}
