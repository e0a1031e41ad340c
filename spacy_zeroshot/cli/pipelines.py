"""The pipeline a command works with: loaded, or built around a checkpoint."""

from typing import TYPE_CHECKING, NamedTuple, Optional, Sequence

from ..errors import COMPONENT, ZeroShotError
from ..opening import build_pipeline, load_pipeline, names_checkpoint, zero_shot_names

if TYPE_CHECKING:
    from spacy.language import Language

    from ..component import ZeroShotTextCategorizer


class Opened(NamedTuple):
    """A pipeline and the zero-shot component in it that a command works with.

    nlp (Language): The pipeline. What comes after the component, and other zero-shot components, are disabled.
    pipe (ZeroShotTextCategorizer): The component.
    """

    nlp: "Language"
    pipe: "ZeroShotTextCategorizer"


def open_any(name: str, command: str) -> Opened:
    """Open what a user names: a pipeline, or a checkpoint.

    name (str): A pipeline's folder or package, "bundled", a checkpoint's folder, or a Hub name with a slash.
    command (str): The command's name, for errors.
    RETURNS (Opened): The pipeline.
    RAISES (ZeroShotError): Z061, Z062, or what the component says of its settings.
    """
    return open_model(name) if names_checkpoint(name) else open_pipeline(name, command)


def open_pipeline(name: str, command: str) -> Opened:
    """Load a pipeline.

    name (str): Its folder or package.
    command (str): The command's name, for errors.
    RETURNS (Opened): The pipeline.
    RAISES (ZeroShotError): Z061 if it cannot be loaded, Z062 if it has no zero-shot component.
    """
    nlp = load_pipeline(name, command)
    found = zero_shot_names(nlp)
    if not found:
        raise ZeroShotError("Z062", command, name=name, pipes=nlp.pipe_names)
    return _narrow(nlp, found[0], found[1:])


def open_model(model: str) -> Opened:
    """Build a pipeline of one zero-shot component.

    model (str): "bundled", a Hub name, or a checkpoint's folder.
    RETURNS (Opened): The pipeline.
    """
    return _narrow(build_pipeline(model), COMPONENT, ())


def prepare(pipe: "ZeroShotTextCategorizer", labels: Optional[Sequence[str]] = None) -> None:
    """Load the model and read the labels once, so that what fails for every text fails before the first.

    pipe (ZeroShotTextCategorizer): The component.
    labels (Optional[Sequence[str]]): Labels to read, None for the component's own.
    RAISES (ZeroShotError): Z001, Z011, or what the checkpoint lacks.
    """
    from ..evidence import Question, Request

    pipe.model.predict(Request([Question("text", pipe.wording(labels).hypotheses)], pipe.reading))


def set_templates(pipe: "ZeroShotTextCategorizer", templates: Sequence[str]) -> None:
    """Word labels through other templates, unless none are given.

    pipe (ZeroShotTextCategorizer): The component.
    templates (Sequence[str]): The templates.
    RAISES (ZeroShotError): Z004 for a bad one.
    """
    from ..hypotheses import check_template

    if templates:
        pipe.templates = tuple(check_template(template, pipe.name) for template in templates)


def _narrow(nlp: "Language", name: str, others: Sequence[str]) -> Opened:
    later = nlp.pipe_names[nlp.pipe_names.index(name) + 1 :]
    for unused in dict.fromkeys([*later, *others]):
        nlp.disable_pipe(unused)
    return Opened(nlp, nlp.get_pipe(name))  # type: ignore[arg-type]
