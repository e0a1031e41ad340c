"""Which pipeline scores a corpus: a few settings that travel to every worker, and what they mean."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from ..decisions import Rule, by_rank, decide
from ..errors import COMPONENT, ZeroShotError

if TYPE_CHECKING:
    from spacy.language import Language

BUNDLED = "bundled"
# A pipeline without parser or NER has no need of spaCy's limit.
NO_LIMIT = 1_000_000_000


class PipelineSpec(NamedTuple):
    """A pipeline by name: cheap to send to another process, which opens it there.

    pipeline (Optional[str]): A pipeline's folder or package; None builds one around a checkpoint.
    model (str): The checkpoint: "bundled", a folder, or a Hub name.
    labels (Tuple[str, ...]): Labels in place of the pipeline's own.
    templates (Tuple[str, ...]): Hypothesis templates in place of the pipeline's own.
    multi_label (Optional[bool]): Whether each label stands on its own; None leaves it to the pipeline.
    gpu_id (int): The GPU for spaCy's work; -1 for the CPU.
    """

    pipeline: Optional[str] = None
    model: str = BUNDLED
    labels: Tuple[str, ...] = ()
    templates: Tuple[str, ...] = ()
    multi_label: Optional[bool] = None
    gpu_id: int = -1

    @classmethod
    def of(cls, name: str) -> "PipelineSpec":
        """Read what a user names.

        name (str): A pipeline's folder or package, "bundled", a checkpoint's folder, or a Hub name with a slash.
        RETURNS (PipelineSpec): The pipeline.
        """
        from spacy.util import is_package

        is_checkpoint = (Path(name) / "config.json").exists() and not (Path(name) / "config.cfg").exists()
        is_hub_name = "/" in name and not Path(name).exists() and not is_package(name)
        return cls(model=name) if name == BUNDLED or is_checkpoint or is_hub_name else cls(pipeline=name)

    def open(self) -> "Language":
        """Load or build the pipeline. Weights are loaded at first use.

        RETURNS (Language): The pipeline.
        RAISES (ZeroShotError): Z061 if it cannot be loaded, Z001 without labels, or what a setting is wrong with.
        """
        import spacy
        from spacy import require_gpu

        if self.gpu_id >= 0:
            try:
                require_gpu(self.gpu_id)
            except ValueError as error:
                raise ZeroShotError("Z063", "annotate", gpu_id=self.gpu_id, reason=str(error)) from error
        if self.pipeline is None:
            nlp = spacy.blank("en")
            nlp.add_pipe(COMPONENT, config={"model": {"name": self.model}})
            nlp.max_length = NO_LIMIT
        else:
            nlp = self._load(self.pipeline)
        self._set(nlp)
        return nlp

    def fingerprint(self, nlp: "Language") -> Dict[str, object]:
        """What of this decides the scores.

        nlp (Language): What open() gave.
        RETURNS (Dict[str, object]): Settings, and hashes of what they name.
        """
        if self.pipeline is None:
            weights = hash_checkpoint(self.model)
            name = self.model
        else:
            name = self.pipeline
            weights = _hash_folder(Path(nlp.path)) if getattr(nlp, "path", None) else ""
        return {
            "pipeline": name,
            "weights": weights,
            "labels": list(self.labels),
            "templates": list(self.templates),
            "multi_label": self.multi_label,
        }

    def _load(self, name: str) -> "Language":
        import spacy

        try:
            return spacy.load(name)
        except (OSError, ValueError, ImportError, KeyError, TypeError) as error:
            from ..checks import pipeline_error

            raise pipeline_error(error, name, "annotate") from error

    def _set(self, nlp: "Language") -> None:
        ours: List[Any] = [pipe for _, pipe in nlp.pipeline if hasattr(pipe, "set_labels")]
        changed = self.labels or self.templates or self.multi_label is not None
        if changed and not ours:
            raise ZeroShotError("Z062", "annotate", name=self.pipeline, pipes=nlp.pipe_names)
        for pipe in ours[:1] if changed else []:
            if self.labels:
                pipe.set_labels(list(self.labels))
            if self.templates:
                pipe.templates = list(self.templates)
            if self.multi_label is not None:
                pipe.multi_label = self.multi_label
        for pipe in ours:
            pipe.wording()


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


def hash_checkpoint(model: str) -> str:
    """A checkpoint's contents in short.

    model (str): "bundled", a folder, or a Hub name.
    RETURNS (str): SHA-256 in hexadecimal; "" for a Hub name.
    """
    if model == BUNDLED:
        from ..model.source import bundled_hash

        return bundled_hash()
    return _hash_folder(Path(model)) if Path(model).is_dir() else ""


def _hash_folder(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(str(path.relative_to(folder)).encode() + b"\0")
        with path.open("rb") as file_:
            while block := file_.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
