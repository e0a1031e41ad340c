"""Processes and threads give what one alone gives."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from .util import LABELS, TEXTS, make_nlp, table

ROOT = Path(__file__).parent.parent
FOLDERS = ["nli_folder", "decomposed_folder"]
# In a process of its own, so that a deadlock ends in a timeout. argv: checkpoint, warm-up
TWO_PROCESSES = """
import json, sys
import torch
from tests.util import TEXTS, make_nlp
nlp = make_nlp(sys.argv[1], spans_key="w")
torch.set_num_threads(2)
if sys.argv[2] == "torch":
    torch.randn(1500, 1500) @ torch.randn(1500, 1500)
if sys.argv[2] == "used":
    nlp("Some text.")
docs = [nlp.make_doc(text) for text in TEXTS * 4]
docs[1]._.zero_shot_labels = ["art", "sport"]
scored = list(nlp.pipe(docs, n_process=2, batch_size=3))
assert [doc.text for doc in scored] == TEXTS * 4
assert all(len(doc.spans["w"]) == len(doc.spans["w"].attrs["cats"]) for doc in scored)
assert all(doc._.zero_shot is not None for doc in scored)
pairs = list(nlp.pipe([(text, i) for i, text in enumerate(TEXTS)], as_tuples=True, n_process=2, batch_size=2))
assert [context for _, context in pairs] == list(range(len(TEXTS)))
print(json.dumps([doc.cats for doc in scored]))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("folder", "before"),
    [
        ("nli_folder", "used"),
        ("decomposed_folder", "used"),
        pytest.param("nli_folder", "nothing", marks=pytest.mark.slow),
        pytest.param("decomposed_folder", "torch", marks=pytest.mark.slow),
    ],
)
def test_two_processes(folder, before, request):
    folder = request.getfixturevalue(folder)
    done = subprocess.run(
        [sys.executable, "-c", TWO_PROCESSES, str(folder), before],
        capture_output=True,
        text=True,
        timeout=240,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # tokenizers warns where a fork follows its threads
    assert "fork" not in done.stderr
    rows = json.loads(done.stdout)
    assert list(rows[1]) == ["art", "sport"]
    alone = make_nlp(folder)
    expected = table([alone(text) for text in TEXTS])
    found = np.array([[row[label] for label in sorted(LABELS)] for i, row in enumerate(rows) if i != 1])
    assert np.abs(found - np.delete(np.tile(expected, (4, 1)), 1, axis=0)).max() < 1e-5


def test_one_failing_document_among_two_processes(nli_folder):
    nlp = make_nlp(nli_folder)
    docs = [nlp.make_doc(text) for text in TEXTS]
    docs[1]._.zero_shot_labels = ["a", "a"]
    nlp.set_error_handler(ignore)
    scored = list(nlp.pipe(docs, n_process=2, batch_size=3))
    assert [doc.text for doc in scored] == [TEXTS[0], *TEXTS[2:]]


def ignore(name, proc, docs, error):
    assert len(docs) == 1


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("used", [False, True])
def test_four_threads_share_a_pipe(folder, used, request):
    nlp, alone = (make_nlp(request.getfixturevalue(folder)) for _ in range(2))
    texts = [f"{text} {i}" for i in range(10) for text in TEXTS]
    expected = table([alone(text) for text in texts])
    if used:
        nlp(texts[0])

    def work(start):
        order = texts[start:] + texts[:start]
        scores = table([nlp(text) for text in order] if start % 2 else list(nlp.pipe(order, batch_size=7)))
        return np.roll(scores, start, axis=0)

    with ThreadPoolExecutor(4) as threads:
        for scores in threads.map(work, [0, 11, 22, 33]):
            assert np.abs(scores - expected).max() < 1e-5


@pytest.mark.parametrize("folder", FOLDERS)
def test_threads_with_other_label_sets_do_not_meet(folder, request):
    nlp = make_nlp(request.getfixturevalue(folder))
    pipe = nlp.get_pipe("zero_shot_textcat")
    docs = [nlp.make_doc(f"{text} {i}") for i in range(6) for text in TEXTS if text]
    asked = [
        None,
        pipe.label_set(["art", "science"]),
        pipe.label_set(templates=["It is {}!", "{}"]),
        pipe.label_set(multi_label=True),
    ]

    def work(label_set):
        return [
            np.array([found.scores for found in pipe.predict(docs, label_set)]),
            pipe.scores_from(pipe.label_logits(docs, label_set), label_set or pipe.label_set()),
        ]

    expected = [work(label_set) for label_set in asked]
    with ThreadPoolExecutor(4) as threads:
        for number, found in enumerate(threads.map(work, asked * 4)):
            np.testing.assert_allclose(found, expected[number % 4], atol=1e-5)


def test_settings_change_while_another_thread_scores(nli_folder):
    nlp = make_nlp(nli_folder)
    pipe = nlp.get_pipe("zero_shot_textcat")
    sets = [["sport", "politics"], ["art", "music", "science"]]
    expected = {tuple(labels): make_nlp(nli_folder, labels=labels)(TEXTS[0]).cats for labels in sets}
    pipe.set_labels(sets[0])

    def score(_):
        return [dict(nlp(TEXTS[0]).cats) for _ in range(25)]

    with ThreadPoolExecutor(3) as threads:
        running = [threads.submit(score, i) for i in range(3)]
        number = 0
        while not all(one.done() for one in running):
            number += 1
            pipe.set_labels(sets[number % 2])
        for one in running:
            for cats in one.result():
                assert cats == pytest.approx(expected[tuple(cats)], abs=1e-5)
