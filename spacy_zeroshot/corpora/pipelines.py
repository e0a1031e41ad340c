"""Which pipeline scores a corpus: a few settings that travel to every worker, and what they mean."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, NamedTuple, Optional, Tuple

from ..errors import ZeroShotError
from ..model.source import BUNDLED, bundled_hash
from ..opening import build_pipeline, load_pipeline, names_checkpoint, use_gpu

if TYPE_CHECKING:
    from spacy.language import Language


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
        return cls(model=name) if names_checkpoint(name) else cls(pipeline=name)

    def open(self) -> "Language":
        """Load or build the pipeline. Weights are loaded at first use.

        RETURNS (Language): The pipeline.
        RAISES (ZeroShotError): Z061 if it cannot be loaded, Z001 without labels, or what a setting is wrong with.
        """
        use_gpu(self.gpu_id, "annotate")
        nlp = build_pipeline(self.model) if self.pipeline is None else load_pipeline(self.pipeline, "annotate")
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


def hash_checkpoint(model: str) -> str:
    """A checkpoint's contents in short.

    model (str): "bundled", a folder, or a Hub name.
    RETURNS (str): SHA-256 in hexadecimal; "" for a Hub name.
    """
    if model == BUNDLED:
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
