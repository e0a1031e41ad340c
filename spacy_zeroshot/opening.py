"""From a name to a pipeline: loaded, or built around a checkpoint."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, List, Mapping, Optional, Sequence

from .errors import COMPONENT, ZeroShotError
from .model.source import BUNDLED

if TYPE_CHECKING:
    from spacy.language import Language

# spaCy's limit protects parsers and NER, and a pipeline of one component has none.
NO_LIMIT = 1_000_000_000


def names_checkpoint(name: str) -> bool:
    """Whether a user means a checkpoint, and not a pipeline.

    name (str): A pipeline's folder or package, "bundled", a checkpoint's folder, or a Hub name with a slash.
    RETURNS (bool): Whether it is one of the last three.
    """
    from spacy.util import is_package

    is_folder = (Path(name) / "config.json").exists() and not (Path(name) / "config.cfg").exists()
    is_hub_name = "/" in name and not Path(name).exists() and not is_package(name)
    return name == BUNDLED or is_folder or is_hub_name


def load_pipeline(name: str, command: str) -> "Language":
    """Load a pipeline.

    name (str): Its folder or package.
    command (str): The command's name, for errors.
    RETURNS (Language): The pipeline.
    RAISES (ZeroShotError): Z061 if it cannot be loaded, or what a component of ours says.
    """
    import spacy

    try:
        return spacy.load(name)
    except (OSError, ValueError, ImportError, KeyError, TypeError) as error:
        raise pipeline_error(error, name, command) from error


def build_pipeline(model: str) -> "Language":
    """Build a pipeline of one zero-shot component.

    model (str): "bundled", a checkpoint's folder, or a Hub name.
    RETURNS (Language): The pipeline.
    """
    import spacy

    nlp = spacy.blank("en")
    nlp.add_pipe(COMPONENT, config={"model": {"name": model}})
    nlp.max_length = NO_LIMIT
    return nlp


def use_gpu(gpu_id: int, command: str) -> None:
    """Do spaCy's own work on a GPU. Call before a pipeline is loaded.

    gpu_id (int): The GPU's number; -1 for the CPU.
    command (str): The command's name, for errors.
    RAISES (ZeroShotError): Z063 if it cannot be used.
    """
    from spacy import require_gpu

    if gpu_id >= 0:
        try:
            require_gpu(gpu_id)
        except ValueError as error:
            raise ZeroShotError("Z063", command, gpu_id=gpu_id, reason=str(error)) from error


def zero_shot_names(nlp: "Language") -> List[str]:
    """The names of a pipeline's zero-shot components. nlp (Language): The pipeline. RETURNS (List[str]): In order."""
    return [name for name in nlp.pipe_names if nlp.get_pipe_meta(name).factory == COMPONENT]


def pipeline_error(error: BaseException, name: str, command: str) -> ZeroShotError:
    """Say in one line why a pipeline could not be built.

    error (BaseException): What spaCy or confection raised.
    name (str): The pipeline.
    command (str): The command's name.
    RETURNS (ZeroShotError): The component's own error if that is the cause, else Z061.
    """
    cause: Optional[BaseException] = error
    while cause is not None:
        if isinstance(cause, ZeroShotError):
            return cause
        cause = cause.__cause__
    problems: Sequence[Mapping[str, Any]] = getattr(error, "errors", None) or ()
    if problems:
        reason = "; ".join(f"{'.'.join(str(part) for part in p['loc'])}: {p['msg']}" for p in problems)
    else:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return ZeroShotError("Z061", command, name=name, reason=reason.rstrip("."))
