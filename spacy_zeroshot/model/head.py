"""Which classes of a classification head mean entailment and contradiction."""

from typing import Any

from ..errors import ZeroShotError
from .types import ClassRef


def find_head(config: Any, name: str, entailment: ClassRef = None, contradiction: ClassRef = None) -> tuple[int, ...]:
    """Find the classes that mean entailment and contradiction, by name unless the settings say which.

    A neutral class is never taken for contradiction: where the names do not tell, the user is asked.

    RETURNS (tuple[int, ...]): The head's classes in the order of the logits: entailment, contradiction (or
        not-entailment), then the rest. (0,) for a head of one class, a sigmoid.
    RAISES (ZeroShotError): Z007 if both are the same class, Z025 if no class means entailment or contradiction,
        Z026 if the one named is not there, Z029 for a head of more than three classes.
    """
    classes = {int(i): str(label) for i, label in config.id2label.items()}
    if not 1 <= len(classes) <= 3:
        raise ZeroShotError("Z029", name=name, count=len(classes))
    wanted = _index(classes, entailment, name, "entailment")
    against = _index(classes, contradiction, name, "contradiction")
    if len(classes) == 1:
        return (0,)
    if wanted is None:
        wanted = _by_name(classes, "entail")
    if wanted is None:
        raise ZeroShotError("Z025", wanted="entailment", name=name, classes=list(classes.values()))
    rest = [i for i in sorted(classes) if i != wanted]
    if against is None:
        against = rest[0] if len(rest) == 1 else _by_name(classes, "contra")
    if against is None:
        # entailment and neutral are known by name: the third one is contradiction
        left = [i for i in rest if not classes[i].lower().startswith("neutral")]
        against = left[0] if len(left) == 1 else None
    if against == wanted:
        given = {"setting": "contradiction", "value": contradiction}
        raise ZeroShotError("Z007", **given, reason="it is the class that means entailment")
    if against is None:
        raise ZeroShotError("Z025", wanted="contradiction", name=name, classes=list(classes.values()))
    return (wanted, against, *(i for i in rest if i != against))


def _by_name(classes: dict[int, str], start: str) -> int | None:
    found = [i for i, label in classes.items() if label.lower().startswith(start)]
    return found[0] if len(found) == 1 else None


def _index(classes: dict[int, str], wanted: ClassRef, name: str, setting: str) -> int | None:
    if wanted is None:
        return None
    for i, label in classes.items():
        if wanted in (i, label):
            return i
    raise ZeroShotError("Z026", setting=setting, value=wanted, name=name, classes=list(classes.values()))
