"""What a check of a pipeline finds, as data."""

from typing import Any, NamedTuple

from .errors import MESSAGES, ZeroShotError

ERROR, WARNING = "error", "warning"


class Finding(NamedTuple):
    """Something a user should know.

    level (str): "error" or "warning".
    code (str): Its code in MESSAGES.
    component (str): The component's name in the pipeline.
    message (str): What is wrong, and the way out.
    """

    level: str
    code: str
    component: str
    message: str


def finding(level: str, code: str, component: str, **values: Any) -> Finding:
    """Word a finding.

    level (str): ERROR or WARNING.
    code (str): A code of MESSAGES.
    component (str): The component's name in the pipeline.
    values: What the message names.
    RETURNS (Finding): The finding.
    """
    return Finding(level, code, component, MESSAGES[code].format(**values))


def from_error(error: ZeroShotError) -> Finding:
    """Make an error a finding. error (ZeroShotError): The error. RETURNS (Finding): With its code and message."""
    return finding(ERROR, error.code, error.component, **error.values)
