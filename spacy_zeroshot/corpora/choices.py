"""How a pipeline's doc.cats become labels of a corpus, whatever components write them."""

from typing import TYPE_CHECKING, Any, List, Mapping, NamedTuple, Optional, Tuple

from ..decisions import Rule, by_rank, decide

if TYPE_CHECKING:
    from spacy.language import Language


class Choice(NamedTuple):
    """How one component's scores become labels.

    prefix (str): Before each of its keys in doc.cats.
    labels (Tuple[str, ...]): Its labels.
    rule (Rule): How they are chosen.
    exclusive (bool): Whether the labels compete for one text.
    """

    prefix: str
    labels: Tuple[str, ...]
    rule: Rule
    exclusive: bool = False


def choices_of(nlp: "Language", threshold: Optional[float] = None) -> List[Choice]:
    """How a pipeline's doc.cats become labels, component by component, each by its own settings.

    nlp (Language): The pipeline.
    threshold (Optional[float]): A threshold in place of all of theirs.
    RETURNS (List[Choice]): One per component that writes doc.cats.
    """
    from spacy.pipeline import MultiLabel_TextCategorizer, TextCategorizer

    choices = []
    pipe: Any
    for name, pipe in nlp.pipeline:
        if "doc.cats" not in nlp.get_pipe_meta(name).assigns:
            continue
        exclusive = False
        if hasattr(pipe, "rule"):
            rule, exclusive = pipe.rule, not pipe.multi_label and len(pipe.labels) > 1
        elif isinstance(pipe, MultiLabel_TextCategorizer):
            limit = pipe.cfg.get("threshold")
            rule = Rule() if limit is None else Rule(float(limit))
        elif isinstance(pipe, TextCategorizer):
            rule, exclusive = by_rank(1), True
        else:
            rule = Rule()
        if threshold is not None:
            rule = Rule(threshold, {}, rule.top_k)
        choices.append(Choice(getattr(pipe, "key_prefix", ""), tuple(getattr(pipe, "labels", ())), rule, exclusive))
    return choices


def choose_labels(cats: Mapping[str, float], choices: List[Choice]) -> List[str]:
    """The labels of a document.

    cats (Mapping[str, float]): Its doc.cats.
    choices (List[Choice]): What choices_of gave.
    RETURNS (List[str]): Keys of cats, each component's best first.
    """
    chosen = []
    for prefix, labels, rule, _ in choices:
        own = {label: cats[prefix + label] for label in labels if prefix + label in cats}
        chosen += [prefix + label for label in decide(own, rule).labels]
    return list(dict.fromkeys(chosen))


def category_keys(choices: List[Choice]) -> List[str]:
    """RETURNS (List[str]): The keys of every doc.cats, in order."""
    return list(dict.fromkeys(prefix + label for prefix, labels, _, _ in choices for label in labels))
