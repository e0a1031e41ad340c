"""What the package costs before the first score: python -m benchmarks.start.

Every figure is that of a process of its own; programs take turns, and the median of the rounds is printed.
"""

import json
import statistics
import subprocess
import sys
from collections.abc import Mapping

import typer

from spacy_zeroshot.cli._print import make_console, print_table

# The package is hidden from importlib.metadata, as if it were not installed
HIDE = """
import importlib.metadata as m
plain = m.distributions
m.distributions = lambda **given: (d for d in plain(**given) if d.metadata["Name"] != "spacy-zeroshot")
"""
BLANK = "import spacy; spacy.blank('en')"
IMPORTS = "import spacy, torch, transformers; spacy.blank('en'); from transformers import BertModel"
FIRST_SCORE = """
import spacy
nlp = spacy.blank("en")
nlp.add_pipe("zero_shot_textcat", config={"labels": ["politics", "sport"]})
assert nlp("The minister resigned after losing the vote.").cats
"""
MEASURE = """
import json, resource, time
start = time.perf_counter()
%s
line = next(line for line in open("/proc/self/status") if line.startswith("VmRSS"))
print(json.dumps([time.perf_counter() - start, int(line.split()[1]) / 1024]))
"""
PROGRAMS = {
    "spacy.blank, without the package": HIDE + BLANK,
    "spacy.blank, with the package": BLANK,
    "spaCy, torch and transformers imported": IMPORTS,
    "first score of the bundled model": FIRST_SCORE,
}


def measure(programs: Mapping[str, str], rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Seconds and resident megabytes of each program, round by round, after one that fills the file cache."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in programs}
    for number in range(rounds + 1):
        for name, code in programs.items():
            done = subprocess.run([sys.executable, "-c", MEASURE % code], check=True, capture_output=True, text=True)
            seconds, megabytes = json.loads(done.stdout.splitlines()[-1])
            if number:
                found[name].append((seconds, megabytes))
    return found


def rows(found: Mapping[str, list[tuple[float, float]]]) -> list[list[str]]:
    """The medians, and seconds from the fastest to the slowest round."""
    shown = []
    for name, values in found.items():
        seconds, megabytes = zip(*values)
        spread = f"{min(seconds):.2f} to {max(seconds):.2f}"
        shown.append([name, f"{statistics.median(seconds):.2f}", spread, f"{statistics.median(megabytes):,.0f}"])
    return shown


def main(rounds: int = typer.Option(5, min=1, help="How often each program is timed.")) -> None:
    """Print seconds and resident memory of a blank pipeline with and without the package, and of the first score."""
    print_table(make_console(), ("process", "seconds", "spread", "resident MB"), rows(measure(PROGRAMS, rounds)))


if __name__ == "__main__":
    typer.run(main)
