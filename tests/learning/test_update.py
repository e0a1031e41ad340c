"""initialize, update and get_loss of the component, on every kind of head and both layouts."""

from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple

import numpy as np
import pytest
import spacy
import torch
from spacy.language import Language
from spacy.training import Example
from thinc.api import Adam

from spacy_zeroshot.errors import ZeroShotError

from ..conftest import SHARED_PREMISE
from .conftest import LABELS, TOY

E, N, C, X = "entailment", "neutral", "contradiction", "not_entailment"
HEADS: List[Tuple[str, ...]] = [("LABEL_0",), (E, X), (X, E), (C, N, E), (E, N, C), (N, E, C), (N, C, E), (E, C, N)]
LAYOUTS: Dict[str, Dict[str, Any]] = {"pair": {}, "shared": {"zero_shot": SHARED_PREMISE}}


def component(nlp: Language) -> Any:
    return nlp.get_pipe("zero_shot_textcat")


def weights(nlp: Language) -> Dict[str, np.ndarray]:
    runtime = component(nlp).model.shims[0].runtime
    return {name: parameter.detach().numpy().copy() for name, parameter in runtime.parameters.items()}


def gradients(nlp: Language) -> Dict[str, np.ndarray]:
    runtime = component(nlp).model.shims[0].runtime
    return {k: p.grad.numpy().copy() for k, p in runtime.parameters.items() if p.grad is not None}


def accuracy(nlp: Language) -> float:
    docs = list(nlp.pipe(text for text, _ in TOY))
    return sum(max(doc.cats, key=doc.cats.__getitem__) == right for doc, (_, right) in zip(docs, TOY)) / len(TOY)


# initialize


def test_labels_come_from_the_examples(make_nlp: Callable, nli_folder: Path, make_example: Callable):
    nlp = make_nlp(nli_folder, labels=[], key_prefix="x:")
    examples = [make_example(nlp, "a", {"x:b": 1.0, "y:z": 1.0}), make_example(nlp, "b", {"x:a": 0.0})]
    nlp.initialize(lambda: examples)
    assert component(nlp).labels == ("b", "a")
    assert list(nlp("text").cats) == ["x:b", "x:a"]


def test_labels_of_the_config_stay(make_nlp: Callable, nli_folder: Path, make_example: Callable):
    nlp = make_nlp(nli_folder, labels=["mine"])
    nlp.initialize(lambda: [make_example(nlp, "a", {"other": 1.0})])
    assert component(nlp).labels == ("mine",)


def test_labels_of_init_labels_win(make_nlp: Callable, nli_folder: Path):
    nlp = make_nlp(nli_folder, labels=["mine"])
    nlp.config["initialize"]["components"] = {"zero_shot_textcat": {"labels": ["b", "a"]}}
    nlp.initialize()
    assert component(nlp).labels == ("b", "a")
    assert component(nlp).label_data == ["b", "a"]


def test_z041_no_labels_at_all(make_nlp: Callable, nli_folder: Path, make_example: Callable):
    nlp = make_nlp(nli_folder, labels=[])
    with pytest.raises(ZeroShotError, match="Z041"):
        nlp.initialize(lambda: [make_example(nlp, "a", {})])


def test_frozen_weights_stay(make_nlp: Callable, nli_folder: Path, make_toy: Callable):
    nlp = make_nlp(nli_folder)
    nlp.config["initialize"]["components"] = {"zero_shot_textcat": {"freeze": ["bert.embeddings"]}}
    optimizer = nlp.initialize()
    before = weights(nlp)
    nlp.update(make_toy(nlp), sgd=optimizer)
    changed = {name for name, values in weights(nlp).items() if not np.array_equal(values, before[name])}
    assert changed and not any(name.startswith("bert.embeddings") for name in changed)


def test_layer_decay_and_head_rate_scale_the_steps(make_nlp: Callable, nli_folder: Path, make_toy: Callable):
    nlp = make_nlp(nli_folder)
    settings = {"layer_decay": 0.5, "head_rate": 4.0}
    nlp.config["initialize"]["components"] = {"zero_shot_textcat": settings}
    nlp.initialize()
    before = weights(nlp)
    # Adam's first step is as long as the rate, whatever the gradient
    nlp.update(make_toy(nlp), sgd=Adam(0.01, L2=0.0, grad_clip=0.0))
    steps = {name: np.abs(values - before[name]).max() for name, values in weights(nlp).items()}
    assert steps["classifier.bias"] == pytest.approx(0.04, rel=0.01)
    assert steps["bert.encoder.layer.1.output.dense.bias"] == pytest.approx(0.01, rel=0.01)
    assert steps["bert.encoder.layer.0.output.dense.bias"] == pytest.approx(0.005, rel=0.01)
    assert steps["bert.embeddings.LayerNorm.bias"] == pytest.approx(0.0025, rel=0.01)


# update


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("classes", HEADS, ids=lambda classes: "-".join(label[0] for label in classes))
def test_loss_falls_and_accuracy_rises(
    make_checkpoint: Callable, make_nlp: Callable, make_toy: Callable, classes: Tuple[str, ...], layout: str
):
    folder = make_checkpoint(classes=classes, **LAYOUTS[layout])
    nlp = make_nlp(folder)
    nlp.initialize()
    examples = make_toy(nlp)
    optimizer = Adam(0.003, L2=0.0)
    history = [nlp.update(examples, sgd=optimizer)["zero_shot_textcat"] for _ in range(25)]
    assert min(history[-3:]) < 0.5 * history[0]
    assert accuracy(nlp) > 0.8


@pytest.mark.parametrize("layout", LAYOUTS)
def test_gradient_of_the_weights_is_that_of_finite_differences(
    make_checkpoint: Callable, make_nlp: Callable, make_toy: Callable, layout: str
):
    nlp = make_nlp(make_checkpoint(**LAYOUTS[layout]))
    nlp.config["initialize"]["components"] = {"zero_shot_textcat": {"listwise_weight": 0.5}}
    nlp.initialize()
    examples = make_toy(nlp)
    pipe = component(nlp)
    pipe.update(examples)
    found = gradients(nlp)
    parameters = pipe.model.shims[0].runtime.parameters
    for name, place in (("classifier.bias", (2,)), ("bert.encoder.layer.0.output.dense.bias", (5,))):
        data = parameters[name].data
        values = []
        for step in (0.01, -0.01):
            data[place] += step
            values.append(pipe.update(examples)["zero_shot_textcat"])
            data[place] -= step
        assert found[name][place] == pytest.approx((values[0] - values[1]) / 0.02, rel=0.03, abs=1e-3)


def test_without_sgd_gradients_add_up(make_nlp: Callable, nli_folder: Path, make_toy: Callable):
    nlp = make_nlp(nli_folder)
    nlp.initialize()
    pipe = component(nlp)
    examples = make_toy(nlp)
    before = weights(nlp)
    parts = []
    for half in (examples[:3], examples[3:]):
        pipe.update(half)
        parts.append(gradients(nlp))
    assert all(np.array_equal(values, before[name]) for name, values in weights(nlp).items())
    for parameter in pipe.model.shims[0].runtime.parameters.values():
        parameter.grad = None
    pipe.update(examples)
    for name, whole in gradients(nlp).items():
        # the loss is a mean over the batch: two halves add up to twice the whole
        np.testing.assert_allclose(parts[1][name], 2 * whole, atol=2e-4)
    pipe.finish_update(Adam(0.01))
    assert gradients(nlp) == {}
    assert any(not np.array_equal(values, before[name]) for name, values in weights(nlp).items())


def test_small_passes_give_the_same_gradient(make_checkpoint: Callable, make_toy: Callable):
    found = []
    for budget in (64, 8192):
        nlp = spacy.blank("en")
        model = {"@architectures": "spacy_zeroshot.NLIClassifier.v1", "name": str(make_checkpoint())}
        model.update(precision="float32", max_batch_tokens=budget)
        nlp.add_pipe("zero_shot_textcat", config={"labels": LABELS, "trainable": True, "model": model})
        nlp.initialize()
        component(nlp).update(make_toy(nlp))
        found.append(gradients(nlp))
    for name, values in found[0].items():
        np.testing.assert_allclose(values, found[1][name], atol=2e-4)


def test_long_texts_learn_from_all_windows(make_nlp: Callable, nli_folder: Path, make_example: Callable):
    nlp = make_nlp(nli_folder, labels=["sport", "science"], window_overlap=8, pooling="mean")
    nlp.initialize()
    text = " ".join(text for text, _ in TOY * 8)
    example = make_example(nlp, text, {"sport": 1.0, "science": 0.0})
    optimizer = Adam(0.003)
    losses = [nlp.update([example], sgd=optimizer)["zero_shot_textcat"] for _ in range(10)]
    assert losses[-1] < losses[0]


def test_span_getters_are_read_in_training_too(make_nlp: Callable, nli_folder: Path, make_example: Callable):
    nlp = make_nlp(nli_folder, get_spans={"@span_getters": "spacy-transformers.sent_spans.v1"})
    nlp.add_pipe("sentencizer", first=True)
    nlp.initialize()
    example = make_example(nlp, "The planets align. A man plays.", {"sport": 1.0, "science": 0.0})
    with pytest.raises(ZeroShotError, match="Z010"):
        nlp.update([example], sgd=Adam(0.003))
    optimizer = Adam(0.003)
    losses = [nlp.update([example], sgd=optimizer, annotates=["sentencizer"]) for _ in range(10)]
    assert losses[-1]["zero_shot_textcat"] < losses[0]["zero_shot_textcat"]


def test_dropout_is_drawn_in_training_only(make_nlp: Callable, nli_folder: Path, make_toy: Callable):
    nlp = make_nlp(nli_folder)
    nlp.initialize()
    pipe, examples = component(nlp), make_toy(nlp)
    torch.manual_seed(0)
    plain = [pipe.update(examples)["zero_shot_textcat"] for _ in range(2)]
    dropped = [pipe.update(examples, drop=0.5)["zero_shot_textcat"] for _ in range(2)]
    assert plain[0] == pytest.approx(plain[1], rel=1e-5)
    assert dropped[0] != pytest.approx(dropped[1], rel=1e-3)
    assert pipe.update(examples)["zero_shot_textcat"] == pytest.approx(plain[0], rel=1e-5)
    assert nlp(TOY[0][0]).cats == nlp(TOY[0][0]).cats


def test_a_failed_update_leaves_no_dropout_behind(make_nlp: Callable, nli_folder: Path, make_example: Callable):
    nlp = make_nlp(nli_folder)
    nlp.initialize()
    before = nlp(TOY[0][0]).cats
    with pytest.raises(ZeroShotError, match="Z011"):
        component(nlp).update([make_example(nlp, "a", {"sport " * 600: 1.0})], drop=0.5)
    assert nlp(TOY[0][0]).cats == before


def test_nothing_to_learn_from(make_nlp: Callable, nli_folder: Path, make_example: Callable):
    nlp = make_nlp(nli_folder)
    optimizer = nlp.initialize()
    before = weights(nlp)
    examples = [make_example(nlp, "text", {}), make_example(nlp, " ", {"sport": 1.0})]
    assert nlp.update(examples, sgd=optimizer) == {"zero_shot_textcat": 0.0}
    assert all(np.array_equal(values, before[name]) for name, values in weights(nlp).items())


def test_z040_soft_gold_cats(make_nlp: Callable, nli_folder: Path, make_example: Callable):
    nlp = make_nlp(nli_folder)
    nlp.initialize()
    with pytest.raises(ZeroShotError, match=r"Z040.*0\.4"):
        nlp.update([make_example(nlp, "text", {"sport": 0.4})])


def test_nli_pairs_teach_hypotheses(make_nlp: Callable, shared_folder: Path, make_example: Callable):
    nlp = make_nlp(shared_folder, labels=["entailed"], hypothesis_template="{}")
    nlp.initialize()
    examples = [
        make_example(nlp, "A man plays football.", {"A man plays.": 1.0, "The planets align.": 0.0}),
        make_example(nlp, "The minister resigned.", {"The vote of parliament.": 0.0}),
    ]
    optimizer = Adam(0.003)
    losses = [nlp.update(examples, sgd=optimizer)["zero_shot_textcat"] for _ in range(20)]
    assert losses[-1] < 0.5 * losses[0]


def test_listwise_loss_is_added_where_labels_compete(make_nlp: Callable, nli_folder: Path, make_example: Callable):
    def loss(weight: float, cats: Dict[str, float]) -> float:
        nlp = make_nlp(nli_folder)
        nlp.config["initialize"]["components"] = {"zero_shot_textcat": {"listwise_weight": weight}}
        nlp.initialize()
        return component(nlp).update([make_example(nlp, "A man plays.", cats)])["zero_shot_textcat"]

    one = {"sport": 1.0, "science": 0.0}
    several = {"sport": 1.0, "science": 1.0, "politics": 0.0}
    assert loss(2.0, one) - loss(0.0, one) == pytest.approx(2 * (loss(1.0, one) - loss(0.0, one)), rel=1e-4)
    assert loss(1.0, one) > loss(0.0, one)
    assert loss(1.0, several) == loss(0.0, several)


def test_not_trainable_means_nothing_changes(make_nlp: Callable, nli_folder: Path, make_toy: Callable):
    nlp = make_nlp(nli_folder, trainable=False)
    optimizer = nlp.initialize()
    before = weights(nlp)
    assert nlp.update(make_toy(nlp), sgd=optimizer) == {"zero_shot_textcat": 0.0}
    nlp.update(make_toy(nlp), sgd=nlp.resume_training())
    assert not component(nlp).is_trainable
    assert all(np.array_equal(values, before[name]) for name, values in weights(nlp).items())


# In a pipeline


def test_averages_come_and_go_without_a_trace(make_nlp: Callable, shared_folder: Path, make_toy: Callable):
    nlp = make_nlp(shared_folder)
    nlp.initialize()
    optimizer = Adam(0.003, use_averages=True)
    examples: List[Example] = make_toy(nlp)
    for _ in range(5):
        nlp.update(examples, sgd=optimizer)
    trained, scores = weights(nlp), nlp(TOY[0][0]).cats
    with nlp.use_params(optimizer.averages):
        averaged = nlp(TOY[0][0]).cats
        assert any(not np.array_equal(values, trained[name]) for name, values in weights(nlp).items())
    assert averaged != scores
    assert all(np.array_equal(values, trained[name]) for name, values in weights(nlp).items())
    assert nlp(TOY[0][0]).cats == scores


def test_annotating_components_write_cats_in_training(make_nlp: Callable, nli_folder: Path, make_toy: Callable):
    seen: List[Dict[str, float]] = []

    @spacy.Language.component("look_at_cats")
    def look(doc: Any) -> Any:
        seen.append(dict(doc.cats))
        return doc

    nlp = make_nlp(nli_folder)
    nlp.add_pipe("look_at_cats")
    optimizer = nlp.initialize()
    nlp.update(make_toy(nlp), sgd=optimizer, annotates=["zero_shot_textcat", "look_at_cats"])
    assert len(seen) == len(TOY) and all(list(cats) == LABELS for cats in seen)


def test_evaluate_with_labels_of_each_document(make_nlp: Callable, nli_folder: Path, make_example: Callable):
    nlp = make_nlp(nli_folder, labels=["unused"])
    nlp.initialize()
    examples = []
    for text, right in TOY:
        example = make_example(nlp, text, {right: 1.0, f"not {right}": 0.0})
        example.predicted._.zero_shot_labels = [right, f"not {right}"]
        examples.append(example)
    optimizer = Adam(0.003)
    for _ in range(20):
        nlp.update(examples, sgd=optimizer)
    scores = nlp.evaluate(examples)
    assert scores["cats_micro_f"] == scores["cats_score"] == 1.0
    assert scores["cats_score_desc"] == "micro F"
    assert set(scores["cats_f_per_type"]) == {key for eg in examples for key in eg.reference.cats}
