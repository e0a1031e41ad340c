"""Which classes of a classification head mean entailment and contradiction."""

from typing import Any

from ..errors import ZeroShotError
from .types import ClassRef


def find_head(config: Any, name: str, entailment: ClassRef = None, contradiction: ClassRef = None) -> tuple[int, ...]:
    """Find the classes that mean entailment and contradiction, by name unless the settings say which.

    A neutral class is never taken for contradiction: where the names do not tell, the user is asked.

    RETURNS (tuple[int, ...]): The head's classes in the order of the logits: entailment, contradiction (or
        not-entailment), then the rest. (0,) for a head of one class, a sigmoid.
    """
    classes = {int(i): str(label) for i, label in config.id2label.items()}
    if not 1 <= len(classes) <= 3:
        raise ZeroShotError("Z029", name=name, count=len(classes))

    def chosen(setting: str, value: ClassRef) -> int | None:
        found = [i for i, label in classes.items() if value in (i, label)]
        if value is not None and not found:
            raise ZeroShotError("Z026", setting=setting, value=value, name=name, classes=list(classes.values()))
        return found[0] if found else None

    def only(numbers: list[int]) -> int | None:
        return numbers[0] if len(numbers) == 1 else None

    def starts(word: str) -> list[int]:
        return [i for i, label in classes.items() if label.lower().startswith(word)]

    for_, against = chosen("entailment", entailment), chosen("contradiction", contradiction)
    if len(classes) == 1:
        return (0,)
    for_ = only(starts("entail")) if for_ is None else for_
    if for_ is None:
        raise ZeroShotError("Z025", wanted="entailment", name=name, classes=list(classes.values()))
    rest = [i for i in sorted(classes) if i != for_]
    # by its name, or as the only one left: of two classes, or of three where one is called neutral
    for candidates in (rest, starts("contra"), [i for i in rest if i not in starts("neutral")]):
        against = only(candidates) if against is None else against
    if against is None:
        raise ZeroShotError("Z025", wanted="contradiction", name=name, classes=list(classes.values()))
    if against == for_:
        given = {"setting": "contradiction", "value": contradiction}
        raise ZeroShotError("Z007", **given, reason="it is the class that means entailment")
    return (for_, against, *(i for i in rest if i != against))
