"""The factory zero_shot_textcat: its settings, as a config gives them.

Every Language() imports this file, so neither torch nor transformers is imported here, nor by what it imports.
"""

from typing import Any, Callable, Dict, List, Literal, Optional, Sequence, Union

from spacy.language import Language
from thinc.api import Model

from .component import ZeroShotTextCategorizer
from .errors import COMPONENT, ZeroShotError
from .evidence import Answer, Request
from .premises import SpanGetter

DEFAULT_CONFIG: Dict[str, Any] = {
    "labels": [],
    "hypothesis_template": "This text is about {}.",
    "hypotheses": [],
    "multi_label": False,
    "threshold": 0.5,
    "label_thresholds": [],
    "top_k": None,
    "abstain": None,
    "calibration": [],
    "temperature": 1.0,
    "calibrated": True,
    "examples": [],
    "n_neighbors": 8,
    "examples_weight": 0.5,
    "key_prefix": "",
    "long_text": "windows",
    "window_overlap": 64,
    "pooling": "max",
    "get_spans": None,
    "spans_key": None,
    "trainable": False,
    "max_negatives": 5,
    "scorer": {"@scorers": "spacy_zeroshot.zero_shot_textcat_scorer.v1"},
    "model": {"@architectures": "spacy_zeroshot.NLIClassifier.v1"},
}


@Language.factory(
    COMPONENT,
    assigns=["doc.cats"],
    default_config=DEFAULT_CONFIG,
    default_score_weights={
        "cats_score": 1.0,
        "cats_score_desc": None,
        "cats_micro_p": None,
        "cats_micro_r": None,
        "cats_micro_f": None,
        "cats_macro_p": None,
        "cats_macro_r": None,
        "cats_macro_f": None,
        "cats_macro_auc": None,
        "cats_f_per_type": None,
    },
)
def make_zero_shot_textcat(
    nlp: Language,
    name: str,
    model: Model[Request, List[Answer]],
    labels: List[str],
    hypothesis_template: Union[str, List[str]],
    hypotheses: List[Dict[str, str]],
    multi_label: bool,
    threshold: float,
    label_thresholds: List[Dict[str, Union[str, float]]],
    top_k: Optional[int],
    abstain: Optional[float],
    calibration: List[Dict[str, Union[str, float]]],
    temperature: float,
    calibrated: bool,
    examples: Union[str, List[Dict[str, str]]],
    n_neighbors: int,
    examples_weight: float,
    key_prefix: str,
    long_text: Literal["windows", "truncate"],
    window_overlap: int,
    pooling: Literal["max", "mean", "first"],
    get_spans: Optional[SpanGetter],
    spans_key: Optional[str],
    trainable: bool,
    max_negatives: int,
    scorer: Optional[Callable],
) -> ZeroShotTextCategorizer:
    """Build a zero-shot text classifier. Its settings are documented at ZeroShotTextCategorizer.

    RAISES (ZeroShotError): Z008 for text that would not come back from a saved config as it was; and as
        ZeroShotTextCategorizer.
    """
    # labels and examples may hold a "$": they are saved beside the config, too
    shown = examples if isinstance(examples, str) else [value for entry in examples for value in entry.values()]
    _reject("${", name, labels=labels, examples=shown)
    _reject(
        "$",
        name,
        hypothesis_template=hypothesis_template,
        hypotheses=[value for entry in hypotheses for value in entry.values()],
        label_thresholds=[value for entry in label_thresholds for value in entry.values()],
        calibration=[value for entry in calibration for value in entry.values()],
        key_prefix=key_prefix,
        spans_key=spans_key,
    )
    return ZeroShotTextCategorizer(
        nlp.vocab,
        model,
        name,
        labels=labels,
        hypothesis_template=hypothesis_template,
        hypotheses=hypotheses,
        multi_label=multi_label,
        threshold=threshold,
        label_thresholds=label_thresholds,
        top_k=top_k,
        abstain=abstain,
        calibration=calibration,
        temperature=temperature,
        calibrated=calibrated,
        examples=examples,
        n_neighbors=n_neighbors,
        examples_weight=examples_weight,
        key_prefix=key_prefix,
        long_text=long_text,
        window_overlap=window_overlap,
        pooling=pooling,
        get_spans=get_spans,
        spans_key=spans_key,
        trainable=trainable,
        max_negatives=max_negatives,
        scorer=scorer,
    )


def _reject(sign: str, component: str, **settings: Union[str, Sequence[Any], None]) -> None:
    for setting, given in settings.items():
        for value in [given] if isinstance(given, str) else given or ():
            if isinstance(value, str) and sign in value:
                raise ZeroShotError("Z008", component, setting=setting, value=value, sign=sign)
