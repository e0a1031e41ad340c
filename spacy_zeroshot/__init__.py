"""Zero-shot text classification in spaCy pipelines.

Public names are loaded at their first use: importing the package imports neither torch nor transformers.
"""

from importlib import import_module, metadata
from typing import Any

__version__ = metadata.version("spacy-zeroshot")

_PUBLIC = {
    "ZeroShotTextCategorizer": "component",
    "Rule": "decisions",
    "decide": "decisions",
    "display": "display",
    "evaluate": "evaluation",
    "annotate": "annotation",
    "distill": "distillation",
    "tune": "tuning.tune",
    "calibrate": "tuning.calibration",
}
__all__ = list(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"{__name__}.{_PUBLIC[name]}")
    return module if name == "display" else getattr(module, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
