"""Corpus readers for spacy train: labelled texts, NLI pairs, and mixtures of both."""

import random
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Sequence

from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example

from ..errors import ZeroShotError
from ..hypotheses import check_template, fill_template
from ..labels import OWN_LABELS
from ..rows import LabelledText, is_nli, read_labelled_texts, read_nli

Reader = Callable[[Language], Iterable[Example]]
MIXTURE_FORM = (
    '{"file": "...", "limit": 1000, "templates": "topic", "max_negatives": 5, "groups": [{"good": ["joy"]}], '
    '"skip_sources": []}'
)
KEYS = {"file", "limit", "templates", "max_negatives", "groups", "skip_sources"}


class Draft(NamedTuple):
    """What will become an example.

    text (str): The text.
    cats (Dict[str, float]): Its gold cats.
    own (bool): Whether their keys are also the labels the text is to be scored with.
    """

    text: str
    cats: Dict[str, float]
    own: bool

    def example(self, nlp: Language) -> Example:
        """Tokenise. nlp (Language): The pipeline. RETURNS (Example): The example."""
        predicted = nlp.make_doc(self.text)
        if self.own:
            predicted._.set(OWN_LABELS, list(self.cats))
        words, spaces = [token.text for token in predicted], [bool(token.whitespace_) for token in predicted]
        reference = Doc(nlp.vocab, words=words, spaces=spaces)
        reference.cats = self.cats
        return Example(predicted, reference)


def JsonlTextcat(path: Path, limit: int = 0, per_label: int = 0, seed: int = 0) -> Reader:
    """Read {"text", "labels": [...]} rows. Every label of the file becomes a key of each gold doc.cats.

    path (Path): A .jsonl or .jsonl.gz file.
    limit (int): Read at most this many rows; 0 for all.
    per_label (int): Draw this many rows of each label, to learn from few examples; 0 for all.
    seed (int): Of the drawing. The same seed draws the same rows in every epoch.
    RETURNS (Reader): Takes nlp, yields Example.
    """

    def read(nlp: Language) -> Iterator[Example]:
        rows = list(read_labelled_texts(Path(path)))
        names = label_names(rows)
        if per_label:
            rows = draw_per_label(rows, per_label, seed)
        for row in _first(rows, limit):
            yield Draft(row.text, {name: float(name in row.labels) for name in names}, False).example(nlp)

    return read


def JsonlNLI(path: Path, limit: int = 0, max_hypotheses: int = 4) -> Reader:
    """Read {"premise", "hypothesis", "label"} rows. Hypotheses on one premise come together, as keys of doc.cats.

    path (Path): A .jsonl or .jsonl.gz file.
    limit (int): Read at most this many rows; 0 for all.
    max_hypotheses (int): Hypotheses in one example.
    RETURNS (Reader): Takes nlp, yields Example, for a component with hypothesis_template = "{}".
    """

    def read(nlp: Language) -> Iterator[Example]:
        for draft in _group_pairs(Path(path), limit, max_hypotheses, ()):
            yield draft.example(nlp)

    return read


def Mixture(folder: Path, sets: List[Dict[str, Any]], templates: Dict[str, List[str]], seed: int = 0) -> Reader:
    """Mix labelled texts and NLI pairs, shuffled and drawn anew in every epoch.

    The labels of labelled texts are worded here, each text's through a template drawn for it, so that one component
    with hypothesis_template = "{}" learns from both.

    folder (Path): Where the files are.
    sets (List[Dict[str, Any]]): One entry per file: "file", a .jsonl or .jsonl.gz name in the folder; "limit", rows
        drawn per epoch (all if missing); for labelled texts "templates", a name in `templates`, and
        "max_negatives", wrong labels per text, and "groups", other labels for the same texts, [{"good": ["joy",
        "love"], "bad": ["anger"]}], of which each text draws one or its own; for NLI "skip_sources", rows whose
        "source" starts so are left out.
    templates (Dict[str, List[str]]): Hypothesis templates by name.
    seed (int): Start of the random order. Another seed goes on with other draws when training is resumed.
    RETURNS (Reader): Takes nlp, yields Example.
    RAISES (ZeroShotError): Z006 for an entry of another form, Z004 for a bad template.
    """
    for entry in sets:
        if "file" not in entry or not set(entry) <= KEYS:
            raise ZeroShotError("Z006", "Mixture", setting="sets", entry=entry, form=MIXTURE_FORM)
        if "templates" in entry and entry["templates"] not in templates:
            raise ZeroShotError("Z006", "Mixture", setting="sets", entry=entry, form=MIXTURE_FORM)
    for template in (template for named in templates.values() for template in named):
        check_template(template, "Mixture")
    state = random.Random(seed)

    def read(nlp: Language) -> Iterator[Example]:
        drafts: List[Draft] = []
        for entry in sets:
            found = _drafts(Path(folder) / entry["file"], entry, templates, state)
            limit = entry.get("limit", 0)
            drafts += state.sample(found, limit) if 0 < limit < len(found) else found
        state.shuffle(drafts)
        for draft in drafts:
            yield draft.example(nlp)

    return read


def label_names(rows: Iterable[LabelledText]) -> List[str]:
    """The labels of a set, in the order they appear.

    rows (Iterable[LabelledText]): The rows.
    RETURNS (List[str]): The labels.
    """
    return list(dict.fromkeys(label for row in rows for label in row.labels))


def draw_per_label(rows: Sequence[LabelledText], per_label: int, seed: int) -> List[LabelledText]:
    """Draw rows until every label has some.

    rows (Sequence[LabelledText]): The rows.
    per_label (int): Rows of each label; fewer where there are not enough. A row of several labels counts for each,
        so a label that comes with others may get more.
    seed (int): Of the drawing.
    RETURNS (List[LabelledText]): The rows drawn.
    """
    counts: Dict[str, int] = {}
    drawn = []
    for row in random.Random(seed).sample(list(rows), len(rows)):
        if any(counts.get(label, 0) < per_label for label in row.labels):
            drawn.append(row)
            for label in row.labels:
                counts[label] = counts.get(label, 0) + 1
    return drawn


def _drafts(path: Path, entry: Dict[str, Any], templates: Dict[str, List[str]], state: random.Random) -> List[Draft]:
    if is_nli(path):
        return _group_pairs(path, 0, 4, entry.get("skip_sources", ()))
    rows = list(read_labelled_texts(path))
    own = {name: [name] for name in label_names(rows)}
    drafts = []
    for row in rows:
        groups = state.choice([own, *entry.get("groups", [])])
        right = [name for name, members in groups.items() if set(members) & set(row.labels)]
        if not right:
            # no group has this text's labels
            groups, right = own, list(row.labels)
        wrong = [name for name in groups if name not in right]
        drawn = state.sample(wrong, min(entry.get("max_negatives", 5), len(wrong)))
        template = state.choice(templates[entry["templates"]] if "templates" in entry else ["{}"])
        cats = {fill_template(template, name): float(name in right) for name in (*right, *drawn)}
        drafts.append(Draft(row.text, cats, True))
    return drafts


def _group_pairs(path: Path, limit: int, max_hypotheses: int, skip_sources: Sequence[str]) -> List[Draft]:
    groups: Dict[str, List[Dict[str, float]]] = {}
    for pair in _first(list(read_nli(path, tuple(skip_sources))), limit):
        parts = groups.setdefault(pair.premise, [{}])
        if len(parts[-1]) >= max_hypotheses:
            parts.append({})
        parts[-1][pair.hypothesis] = float(pair.entailed)
    return [Draft(premise, cats, True) for premise, parts in groups.items() for cats in parts]


def _first(rows: List[Any], limit: int) -> List[Any]:
    return rows[:limit] if limit else rows
