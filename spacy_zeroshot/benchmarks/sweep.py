"""How long `tune` sweeps, once all is scored: python -m spacy_zeroshot.benchmarks.sweep.

The strengths are drawn at random; the sweep's time does not depend on what they are.
"""

import time

import numpy as np
import typer

from ..tuning.search import Candidate, search


def time_sweep(texts: int, labels: int, templates: int, compete: bool) -> float:
    """Time one search over all settings.

    texts, labels, templates (int): How many.
    compete (bool): Whether labels compete.
    RETURNS (float): Seconds.
    """
    draw = np.random.default_rng(0)
    gold = np.eye(labels, dtype="bool")[draw.integers(0, labels, texts)]
    if not compete:
        gold |= draw.random((texts, labels)) < 0.1
    unbiased = np.zeros(labels)
    strengths = [draw.normal(size=(texts, labels)) + 2.0 * gold for _ in range(templates)]
    candidates = [Candidate(f"template {number}", found, unbiased) for number, found in enumerate(strengths)]
    start = time.perf_counter()
    search(candidates, gold, [f"label {number}" for number in range(labels)], compete)
    return time.perf_counter() - start


def main(
    texts: int = typer.Option(3000, min=10), labels: int = typer.Option(12, min=2), templates: int = typer.Option(8)
) -> None:
    """Print the seconds of a sweep over thresholds, top-k, temperatures and templates, cross-validated."""
    for compete in (True, False):
        seconds = sorted(time_sweep(texts, labels, templates, compete) for _ in range(3))[1]
        mode = "single-label" if compete else "multi-label"
        print(f"{texts:,} texts, {labels} labels, {templates} templates, {mode}: {seconds:.2f} s (median of 3)")


if __name__ == "__main__":
    typer.run(main)
