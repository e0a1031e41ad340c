"""Keeps transformers from reporting, at every load, what this package checks for itself."""

import contextlib
import logging
import threading
from typing import Iterator

# Reports on weights that are new, missing or left over: in transformers 4 "Some weights of ...", in 5 a table; and on
# the loss of a headless encoder, which OpenVINO's look at every attribute brings up
REPORTS = ("Some weights of", "LOAD REPORT", "`loss_type=")
LOGGERS = ("transformers.modeling_utils", "transformers.utils.loading_report")


@contextlib.contextmanager
def quiet_loading() -> Iterator[None]:
    """Hide the report on loaded weights, and progress bars of files that are here already.

    The report is hidden for the calling thread only, and the user's own logging settings stay as they are.
    """
    from transformers.utils import logging as verbosity

    thread = threading.get_ident()

    def wanted(record: logging.LogRecord) -> bool:
        reports = any(report in str(record.msg) for report in REPORTS)
        return not (reports and record.thread == thread)

    loggers = [logging.getLogger(name) for name in LOGGERS]
    bars = verbosity.is_progress_bar_enabled()
    for logger in loggers:
        logger.addFilter(wanted)
    verbosity.disable_progress_bar()
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(wanted)
        if bars:
            verbosity.enable_progress_bar()
