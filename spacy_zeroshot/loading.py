"""From a name to a pipeline and the zero-shot component in it: the one way for every command."""

import contextlib
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import spacy
from spacy.language import Language
from spacy.util import import_file

from .component import ZeroShotTextCategorizer
from .corpus import FORMATS, decode_lines
from .errors import ZeroShotError
from .readers import read_rows
from .util import first_line

FACTORY = "zero_shot_textcat"
BUNDLED = "bundled"
# What spaCy and confection raise for a pipeline that cannot be built
NO_PIPELINE = (OSError, ValueError, ImportError, KeyError, TypeError)
# What a user's own Python file can raise beside these
NO_CODE = (ArithmeticError, AssertionError, AttributeError, LookupError, NameError, RuntimeError, SyntaxError)
HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w.-]+")


def open_pipeline(
    pipeline: Language | str | Path | None = None,
    *,
    model: str | None = None,
    labels: Sequence[str] | None = None,
    templates: Sequence[str] = (),
    multi_label: bool | None = None,
    component: str | None = None,
) -> tuple[Language, ZeroShotTextCategorizer]:
    """Open a pipeline and set what is given. Weights are loaded at first use.

    pipeline (Language | str | Path | None): A pipeline, its folder or package; or what names a checkpoint: "bundled",
        a folder written by save_pretrained, or a Hub name.
    model (str | None): A checkpoint, in place of a pipeline. If neither is given, the bundled one.
    labels, templates, multi_label: In place of the pipeline's own.
    component (str | None): The name of the zero-shot component; None for the first.
    RETURNS (tuple[Language, ZeroShotTextCategorizer]): The pipeline and its component.
    RAISES (ZeroShotError): Z061 if it cannot be loaded, Z062 without such a component, Z068 for both, and of settings.
    """
    if pipeline is not None and model is not None:
        raise ZeroShotError("Z068", first="--pipeline", second="--model", reason="a saved pipeline has its model")
    if isinstance(pipeline, Language):
        nlp = pipeline
    else:
        nlp = load_pipeline(str(pipeline or model or BUNDLED)) if model is None else build_pipeline(model)
    pipe = find_component(nlp, component)
    if labels:
        pipe.set_labels(list(labels))
    if templates:
        pipe.hypothesis_template = templates[0] if len(templates) == 1 else list(templates)
    if multi_label is not None:
        pipe.multi_label = multi_label
    return nlp, pipe


def load_pipeline(name: str, config: dict[str, Any] | None = None) -> Language:
    """Load a pipeline, or build one around a checkpoint. config: In place of saved settings, as for spacy.load.
    RAISES (ZeroShotError): Z061 if it cannot be loaded, or what a component of ours says."""
    if names_checkpoint(name):
        return build_pipeline(name)
    try:
        return spacy.load(name, config=config or {})
    except NO_PIPELINE as error:
        raise pipeline_error(error, name) from error


def build_pipeline(model: str = BUNDLED) -> Language:
    """A pipeline of one zero-shot component without labels."""
    nlp = spacy.blank("en")
    nlp.add_pipe(FACTORY, config={"model": {"name": model}})
    # spaCy's limit protects parsers and NER
    nlp.max_length = 1_000_000_000
    return nlp


def find_component(nlp: Language, name: str | None = None) -> ZeroShotTextCategorizer:
    """The component of that name, the first zero-shot one if it is None. RAISES (ZeroShotError): Z062."""
    for found, pipe in nlp.pipeline:
        if isinstance(pipe, ZeroShotTextCategorizer) and name in (None, found):
            return pipe
    shown = str(nlp.path) if nlp.path else f"{nlp.lang}_{nlp.meta['name']}"
    raise ZeroShotError("Z062", name=shown, wanted=name or FACTORY, pipes=nlp.pipe_names)


def unneeded_pipes(nlp: Language, pipe: ZeroShotTextCategorizer) -> list[str]:
    """What a pipeline can do without if one component's scores are all that is wanted: those after it, and other
    zero-shot components. For nlp.select_pipes(disable=...)."""
    earlier = nlp.pipeline[: nlp.pipe_names.index(pipe.name)]
    needed = [name for name, other in earlier if not isinstance(other, ZeroShotTextCategorizer)]
    return [name for name in nlp.pipe_names if name not in (*needed, pipe.name)]


def names_checkpoint(name: str) -> bool:
    """Whether a name is that of a checkpoint, and not of a pipeline."""
    folder = Path(name)
    is_folder = (folder / "config.json").exists() and not (folder / "config.cfg").exists()
    return name == BUNDLED or is_folder or (bool(HUB_NAME.fullmatch(name)) and not folder.exists())


def pipeline_error(error: BaseException, name: str) -> ZeroShotError:
    """Why a pipeline could not be built: the component's own error if that is the cause, else Z061 in one line."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ZeroShotError):
            return cause
        cause = cause.__cause__
    problems: Iterable[Mapping[str, Any]] = getattr(error, "errors", None) or ()
    reason = "; ".join(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in problems)
    return ZeroShotError("Z061", name=name, reason=(reason or first_line(error)).rstrip("."))


def import_code(path: Path | str | None) -> None:
    """Run a user's Python file, which registers functions that a pipeline needs: the option --code. None does nothing.
    RAISES (ZeroShotError): Z060 if it cannot be run."""
    if path is None:
        return
    try:
        import_file("python_code", path)
    except (*NO_PIPELINE, *NO_CODE) as error:
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise ZeroShotError("Z060", what="--code", value=str(path), reason=reason) from error


def use_gpu(gpu_id: int) -> None:
    """Do spaCy's own work on a GPU; -1 is the CPU. Call before a pipeline is loaded. RAISES (ZeroShotError): Z063."""
    if gpu_id >= 0:
        try:
            spacy.require_gpu(gpu_id)
        except ValueError as error:
            raise ZeroShotError("Z063", gpu_id=gpu_id, reason=first_line(error)) from error


def read_label_list(value: str) -> list[str]:
    """Read labels as the option --labels takes them: "a,b,c"; a JSON list, for labels with commas; or a file with one
    label a line, a JSON list, or a table with a field "label".
    RAISES (ZeroShotError): Z060 for a list that is none or a file that is not there, and what reading it raises."""
    text, path = value, Path(value)
    # os.path.isfile says no where Path.is_file raises: labels may be longer than any name of a file
    is_file, ending = os.path.isfile(value), path.suffix.lstrip(".").lower()
    if is_file and ending in (*FORMATS, "gz") and ending != "json":
        return list(dict.fromkeys(row.text.strip() for row in read_rows(path, "label", None) if row.text.strip()))
    if is_file:
        with path.open("rb") as stream:
            text = "".join(decode_lines(stream))
    elif ending in (*FORMATS, "gz") and "," not in value:
        raise ZeroShotError("Z060", what="--labels", value=value, reason="there is no such file")
    if not text.lstrip().startswith("[") and not (is_file and ending == "json"):
        return [label.strip() for label in (text.splitlines() if is_file else text.split(",")) if label.strip()]
    with contextlib.suppress(ValueError):
        found = json.loads(text)
        if isinstance(found, list) and all(isinstance(label, str) for label in found):
            return found
    reason = 'it is no JSON list of strings. Write "a,b,c", or \'["a, b", "c"]\''
    raise ZeroShotError("Z060", what="--labels", value=value, reason=reason)
