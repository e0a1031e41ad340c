"""Which classes of a classification head speak for and against a hypothesis."""

from typing import Any, Dict, List, NamedTuple, Optional, Tuple, Union

from ..errors import ZeroShotError

ClassRef = Optional[Union[str, int]]


class Head(NamedTuple):
    """How to read a head's logits.

    order (Tuple[int, ...]): The head's classes in the order of Answer.logits: entailment, contradiction (or
        not-entailment), then the rest. A head of one class (a sigmoid) has the order (0,); its class against is
        a constant zero logit.
    """

    order: Tuple[int, ...]

    @property
    def entailment(self) -> int:
        return self.order[0]


def find_head(config: Any, name: str, entailment: ClassRef = None, contradiction: ClassRef = None) -> Head:
    """Find the classes that mean entailment and contradiction, by name unless the user says which.

    A neutral class is never taken for contradiction: where the names do not tell, the user is asked.

    config (PretrainedConfig): A transformers config with id2label.
    name (str): The checkpoint's name, for errors.
    entailment (ClassRef): Name or index of the class that means entailment, or None.
    contradiction (ClassRef): Name or index of the class that means contradiction, or None.
    RETURNS (Head): How to read the logits.
    RAISES (ZeroShotError): Z007 if both are the same class, Z025 if no class means entailment or contradiction,
        Z026 if the one named is not there, Z029 for a head of more than three classes.
    """
    classes: Dict[int, str] = {int(i): str(label) for i, label in config.id2label.items()}
    if not 1 <= len(classes) <= 3:
        raise ZeroShotError("Z029", "NLIClassifier", name=name, count=len(classes))
    wanted = _index(classes, entailment, name, "entailment")
    against = _index(classes, contradiction, name, "contradiction")
    if len(classes) == 1:
        return Head((0,))
    if wanted is None:
        wanted = _by_name(classes, "entail")
    if wanted is None:
        raise ZeroShotError("Z025", "NLIClassifier", wanted="entailment", name=name, classes=list(classes.values()))
    rest = [i for i in sorted(classes) if i != wanted]
    if against is None:
        against = rest[0] if len(rest) == 1 else _by_name(classes, "contra")
    if against is None:
        # entailment and neutral are known by name: the third one is contradiction
        left = [i for i in rest if not classes[i].lower().startswith("neutral")]
        against = left[0] if len(left) == 1 else None
    if against == wanted:
        reason = "it is the class that means entailment"
        raise ZeroShotError("Z007", "NLIClassifier", setting="contradiction", value=contradiction, reason=reason)
    if against is None:
        raise ZeroShotError("Z025", "NLIClassifier", wanted="contradiction", name=name, classes=list(classes.values()))
    others: List[int] = [i for i in rest if i != against]
    return Head((wanted, against, *others))


def _by_name(classes: Dict[int, str], start: str) -> Optional[int]:
    found = [i for i, label in classes.items() if label.lower().startswith(start)]
    return found[0] if len(found) == 1 else None


def _index(classes: Dict[int, str], wanted: ClassRef, name: str, setting: str) -> Optional[int]:
    if wanted is None:
        return None
    for i, label in classes.items():
        if wanted in (i, label):
            return i
    raise ZeroShotError(
        "Z026", "NLIClassifier", setting=setting, value=wanted, name=name, classes=list(classes.values())
    )
