"""Part "start": from a cold python to the first score, in processes of their own."""

import subprocess
import sys

from .clock import spread, synchroniser, time_in_turn
from .results import Start

IMPORTS = "import torch; from transformers import AutoModel, AutoTokenizer"
FIRST_SCORE = """
import spacy
nlp = spacy.blank("en")
nlp.add_pipe("zero_shot_textcat", config={"labels": ["politics", "sport"]})
assert nlp("The minister resigned after losing the vote.").cats
"""


def measure_start(rounds: int) -> Start:
    """Time a first score and the imports it is measured against, in turn.

    rounds (int): How often, after one time that fills the system's file cache.
    RETURNS (Start): What was found.
    """
    programs = {"first score": lambda: _run(FIRST_SCORE), "imports": lambda: _run(IMPORTS)}
    for program in programs.values():
        program()
    seconds = time_in_turn(programs, rounds, synchroniser("cpu"))
    first, imports = seconds["first score"], seconds["imports"]
    return Start(spread(first), spread(imports), spread([a / b for a, b in zip(first, imports)]))


def _run(program: str) -> None:
    subprocess.run([sys.executable, "-c", program], check=True)
