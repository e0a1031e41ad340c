"""initialize, update and what comes after: of every kind of head and both layouts, alone and in spaCy's commands."""

import gc
import warnings

import numpy as np
import pytest
import spacy
import torch
from spacy.cli._util import app
from spacy.cli.evaluate import evaluate
from spacy.tokens import DocBin
from spacy.training import Example
from thinc.api import SGD, Adam, fix_random_seed
from typer.testing import CliRunner

from spacy_zeroshot.errors import ZeroShotError, ZeroShotWarning

from .util import make_nlp

TOY = [
    ("A man plays football in the park.", "sport"),
    ("The goalkeeper saved a late penalty.", "sport"),
    ("The minister resigned after losing the vote.", "politics"),
    ("The vote of confidence in parliament.", "politics"),
    ("Astronomers gathered at the observatory.", "science"),
    ("The planets align.", "science"),
]
LABELS = ["sport", "politics", "science"]
E, N, C, X = "entailment", "neutral", "contradiction", "not_entailment"
HEADS = [("LABEL_0",), (E, X), (X, E), (C, N, E), (E, N, C), (N, E, C), (N, C, E), (E, C, N)]
BOTH = pytest.mark.parametrize("folder", ["nli_folder", "decomposed_folder"])


def build(folder, **settings):
    # all of the decomposed model is trained, unless a test says otherwise
    settings = {"labels": LABELS, "trainable": True, "train_encoder": True, **settings}
    return make_nlp(folder, **settings)


def component(nlp):
    return nlp.get_pipe("zero_shot_textcat")


def example(nlp, text, cats):
    return Example.from_dict(nlp.make_doc(text), {"cats": cats})


def toy(nlp, prefix=""):
    return [example(nlp, text, {prefix + label: float(label == right) for label in LABELS}) for text, right in TOY]


def parameters(nlp):
    return component(nlp).model.shims[0].runtime.parameters


def weights(nlp):
    return {name: parameter.detach().numpy().copy() for name, parameter in parameters(nlp).items()}


def gradients(nlp):
    return {name: one.grad.numpy().copy() for name, one in parameters(nlp).items() if one.grad is not None}


def unchanged(nlp, before):
    return all(np.array_equal(values, before[name]) for name, values in weights(nlp).items())


def learn(nlp, examples, steps, rate=0.003):
    optimizer = Adam(rate, L2=0.0)
    return [nlp.update(examples, sgd=optimizer)["zero_shot_textcat"] for _ in range(steps)]


def scores(nlp):
    return [dict(doc.cats) for doc in nlp.pipe(text for text, _ in TOY)]


def accuracy(nlp):
    return sum(max(cats, key=cats.get) == right for cats, (_, right) in zip(scores(nlp), TOY)) / len(TOY)


def check_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other, abs=1e-6)


# initialize


def test_labels_come_from_the_examples(nli_folder):
    nlp = build(nli_folder, labels=[], key_prefix="x:")
    nlp.initialize(lambda: [example(nlp, "a", {"x:b": 1.0, "y:z": 1.0}), example(nlp, "b", {"x:a": 0.0})])
    assert component(nlp).labels == ("b", "a")
    assert list(nlp("text").cats) == ["x:b", "x:a"]
    # and are written where they are configured
    assert nlp.config["components"]["zero_shot_textcat"]["labels"] == ["b", "a"]


def test_none_label_is_no_label_to_learn(nli_folder):
    nlp = build(nli_folder, labels=[], none_label="other", key_prefix="x:")
    gold = [{"x:b": 1.0, "x:other": 0.0}, {"x:b": 0.0, "x:other": 1.0}]
    nlp.initialize(lambda: [example(nlp, "text", cats) for cats in gold])
    assert component(nlp).labels == ("b",)
    found = [component(nlp).gold_cats(cats) for cats in (*gold, {"other": 1.0}, {"other": 0.0})]
    assert found == [{"b": 1.0}, {"b": 0.0}, {"b": 0.0}, {}]


def test_labels_of_the_config_stay(nli_folder):
    nlp = build(nli_folder, labels=["mine"])
    nlp.initialize(lambda: [example(nlp, "a", {"other": 1.0})])
    assert component(nlp).labels == ("mine",)


def test_labels_of_init_labels_win(nli_folder):
    nlp = build(nli_folder, labels=["mine"])
    nlp.config["initialize"]["components"] = {"zero_shot_textcat": {"labels": ["b", "a"]}}
    nlp.initialize()
    assert component(nlp).labels == ("b", "a")
    assert component(nlp).label_data == ["b", "a"]


def test_labels_of_init_labels_leave_groups_alone(nli_folder):
    nlp = build(nli_folder, labels=[], label_groups=[{"name": "topic", "labels": LABELS, "multi_label": True}])
    nlp.config["initialize"]["components"] = {"zero_shot_textcat": {"labels": component(nlp).label_data}}
    nlp.initialize()
    assert component(nlp).label_groups[0]["name"] == "topic"


def test_no_labels_at_all_z041(nli_folder):
    nlp = build(nli_folder, labels=[])
    with pytest.raises(ZeroShotError, match="Z041"):
        nlp.initialize(lambda: [example(nlp, "a", {})])


@pytest.mark.parametrize("trainable", [True, False])
def test_examples_are_checked_as_spacy_checks_them(nli_folder, trainable):
    nlp = build(nli_folder, trainable=trainable)
    pipe = component(nlp)
    for wrong in (None, lambda: [], lambda: ["text"], lambda: [nlp.make_doc("text")], [example(nlp, "a", {})]):
        with pytest.raises(TypeError, match="E930|E978"):
            pipe.initialize(wrong)
    with pytest.raises(TypeError, match="E978"):
        nlp.get_pipe("zero_shot_textcat").update(["text"]) if trainable else pipe.initialize(lambda: [1])


def test_gold_that_teaches_nothing_is_told_z124(nli_folder):
    nlp = build(nli_folder, trainable=False)
    with pytest.warns(ZeroShotWarning, match=r"^\[Z124\] zero_shot_textcat: .*trainable = true") as caught:
        nlp.initialize(lambda: toy(nlp))
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error", ZeroShotWarning)
        # nothing to learn from, gold of other components, and one that learns
        nlp.initialize()
        nlp.initialize(lambda: [example(nlp, "a", {"spam": 1.0})])
        learner = build(nli_folder)
        learner.initialize(lambda: toy(learner))


@BOTH
def test_initialize_again_starts_over(folder, request):
    nlp = build(request.getfixturevalue(folder))
    nlp.initialize(lambda: toy(nlp))
    before, start = scores(nlp), weights(nlp)
    losses = learn(nlp, toy(nlp), 4)
    assert not unchanged(nlp, start)
    nlp.initialize(lambda: toy(nlp))
    assert unchanged(nlp, start)
    check_same(scores(nlp), before)
    assert learn(nlp, toy(nlp), 4) == pytest.approx(losses, rel=1e-3)


def test_only_the_interaction_layers_are_trained_without_train_encoder(decomposed_folder):
    nlp = build(decomposed_folder, train_encoder=False)
    nlp.initialize()
    before = weights(nlp)
    learn(nlp, toy(nlp), 1)
    changed = {name.split(".")[0] for name, values in weights(nlp).items() if not np.array_equal(values, before[name])}
    assert "interaction" in changed and "encoder" not in changed


def test_layer_decay_and_head_rate_scale_the_steps(nli_folder):
    nlp = build(nli_folder)
    nlp.config["initialize"]["components"] = {"zero_shot_textcat": {"layer_decay": 0.5, "head_rate": 4.0}}
    nlp.initialize()
    before = weights(nlp)
    # Adam's first step is as long as the rate, whatever the gradient
    nlp.update(toy(nlp), sgd=Adam(0.01, L2=0.0, grad_clip=0.0))
    steps = {name: np.abs(values - before[name]).max() for name, values in weights(nlp).items()}
    assert steps["classifier.bias"] == pytest.approx(0.04, rel=0.01)
    assert steps["bert.encoder.layer.1.output.dense.bias"] == pytest.approx(0.01, rel=0.01)
    assert steps["bert.encoder.layer.0.output.dense.bias"] == pytest.approx(0.005, rel=0.01)
    assert steps["bert.embeddings.LayerNorm.bias"] == pytest.approx(0.0025, rel=0.01)


# update


@pytest.mark.parametrize("classes", [*HEADS, "decomposed"], ids=lambda classes: "".join(one[0] for one in classes))
def test_loss_falls_and_accuracy_rises(make_checkpoint, decomposed_folder, classes):
    nlp = build(decomposed_folder if classes == "decomposed" else make_checkpoint(classes=classes))
    nlp.initialize()
    history = learn(nlp, toy(nlp), 25)
    assert min(history[-3:]) < 0.5 * history[0]
    assert accuracy(nlp) > 0.8


@pytest.mark.parametrize(
    ("folder", "places"),
    [
        ("nli_folder", {"classifier.bias": (2,), "bert.encoder.layer.0.output.dense.bias": (5,)}),
        ("decomposed_folder", {"classifier.bias": (1,), "interaction.0.down.bias": (5,)}),
    ],
)
def test_gradient_of_the_weights_is_that_of_finite_differences(folder, places, request):
    nlp = build(request.getfixturevalue(folder))
    nlp.initialize()
    pipe, examples = component(nlp), toy(nlp)
    pipe.update(examples)
    found = gradients(nlp)
    for name, place in places.items():
        data = parameters(nlp)[name].data
        values = []
        for step in (0.01, -0.01):
            data[place] += step
            pipe.model.shims[0].runtime.scorer.forget()
            values.append(pipe.update(examples)["zero_shot_textcat"])
            data[place] -= step
        # the gradient is that of the sum, the loss the mean of the examples
        assert found[name][place] / len(examples) == pytest.approx((values[0] - values[1]) / 0.02, rel=0.03, abs=1e-3)


@BOTH
def test_gradients_of_parts_add_up_to_those_of_the_whole(folder, request):
    nlp = build(request.getfixturevalue(folder))
    nlp.initialize()
    pipe, examples = component(nlp), toy(nlp)
    before = weights(nlp)
    for part in (examples[:1], examples[1:]):
        nlp.update(part, sgd=False)
    parts = gradients(nlp)
    assert unchanged(nlp, before)
    for parameter in parameters(nlp).values():
        parameter.grad = None
    pipe.update(examples)
    whole = gradients(nlp)
    assert whole.keys() == parts.keys()
    for name, values in whole.items():
        np.testing.assert_allclose(parts[name], values, atol=1e-3)
    pipe.finish_update(SGD(0.01, L2=0.0, grad_clip=0.0))
    assert gradients(nlp) == {}
    assert not unchanged(nlp, before)


def test_small_passes_give_the_same_gradient(nli_folder):
    found = []
    for budget in (64, 8192):
        nlp = build(nli_folder, model={"max_batch_tokens": budget})
        nlp.initialize()
        component(nlp).update(toy(nlp))
        found.append(gradients(nlp))
    for name, values in found[0].items():
        np.testing.assert_allclose(values, found[1][name], atol=1e-3)


@BOTH
def test_updates_keep_no_memory(folder, request):
    nlp = build(request.getfixturevalue(folder))
    nlp.initialize()
    optimizer, batch = Adam(0.001), toy(nlp)[:1]

    def alive_after(updates):
        for _ in range(updates):
            nlp.update(batch, sgd=optimizer)
        gc.collect()
        return sum(isinstance(thing, torch.Tensor) for thing in gc.get_objects())

    first = alive_after(5)
    assert alive_after(20) - first < 20


def test_long_texts_learn_from_all_windows(nli_folder):
    nlp = build(nli_folder, labels=["sport", "science"], window_overlap=8, pooling="mean")
    nlp.initialize()
    text = " ".join(text for text, _ in TOY * 8)
    losses = learn(nlp, [example(nlp, text, {"sport": 1.0, "science": 0.0})], 10)
    assert losses[-1] < losses[0]


def test_span_getters_are_read_in_training_too(nli_folder):
    nlp = build(nli_folder, get_spans={"@span_getters": "spacy-transformers.sent_spans.v1"})
    nlp.add_pipe("sentencizer", first=True)
    nlp.initialize()
    examples = [example(nlp, "The planets align. A man plays.", {"sport": 1.0, "science": 0.0})]
    with pytest.raises(ZeroShotError, match="Z010"):
        nlp.update(examples, sgd=Adam(0.003))
    optimizer = Adam(0.003)
    losses = [nlp.update(examples, sgd=optimizer, annotates=["sentencizer"]) for _ in range(10)]
    assert losses[-1]["zero_shot_textcat"] < losses[0]["zero_shot_textcat"]


def test_dropout_is_drawn_in_training_only(nli_folder):
    nlp = build(nli_folder)
    nlp.initialize()
    pipe, examples = component(nlp), toy(nlp)
    torch.manual_seed(0)
    plain = [pipe.update(examples)["zero_shot_textcat"] for _ in range(2)]
    dropped = [pipe.update(examples, drop=0.5)["zero_shot_textcat"] for _ in range(2)]
    assert plain[0] == pytest.approx(plain[1], rel=1e-5)
    assert dropped[0] != pytest.approx(dropped[1], rel=1e-3)
    assert pipe.update(examples)["zero_shot_textcat"] == pytest.approx(plain[0], rel=1e-5)
    assert nlp(TOY[0][0]).cats == nlp(TOY[0][0]).cats


def test_a_failed_update_leaves_no_dropout_behind(nli_folder):
    nlp = build(nli_folder)
    nlp.initialize()
    before = nlp(TOY[0][0]).cats
    with pytest.raises(ZeroShotError, match=r"^\[Z011\] zero_shot_textcat: "):
        component(nlp).update([example(nlp, "a", {"sport " * 600: 1.0})], drop=0.5)
    assert nlp(TOY[0][0]).cats == before


def test_nothing_to_learn_from(nli_folder):
    nlp = build(nli_folder)
    optimizer = nlp.initialize()
    before = weights(nlp)
    examples = [example(nlp, "text", {}), example(nlp, " ", {"sport": 1.0})]
    assert nlp.update(examples, sgd=optimizer) == {"zero_shot_textcat": 0.0}
    assert unchanged(nlp, before)


def test_soft_gold_cats_z040(nli_folder):
    nlp = build(nli_folder)
    nlp.initialize()
    with pytest.raises(ZeroShotError, match=r"Z040.*0\.4"):
        nlp.update([example(nlp, "text", {"sport": 0.4})])
    # those of another component are nobody's business here
    assert nlp.update([example(nlp, "text", {"sport": 1.0, "spam": 0.4})])["zero_shot_textcat"] > 0


@pytest.mark.parametrize("prefix", ["", "k:"])
def test_gold_with_the_prefix_and_without_teaches_the_same(nli_folder, prefix):
    fix_random_seed(0)
    plain = build(nli_folder)
    plain.initialize()
    expected = learn(plain, toy(plain), 3)
    fix_random_seed(0)
    nlp = build(nli_folder, key_prefix="k:")
    nlp.initialize()
    assert learn(nlp, toy(nlp, prefix), 3) == pytest.approx(expected, rel=1e-3)
    assert expected[0] > 0
    found = nlp.evaluate(toy(nlp, prefix))
    assert set(found["cats_f_per_type"]) == {"k:" + label for label in LABELS}
    assert found["cats_score"] == pytest.approx(plain.evaluate(toy(plain))["cats_score"])


def test_labels_of_groups_are_learnt_as_they_are_worded(nli_folder):
    groups = [
        {"name": "topic", "labels": ["sport", "science"]},
        {"name": "mood", "labels": ["glad"], "hypothesis_template": "The writer is {}.", "key_prefix": "m:"},
    ]
    nlp = build(nli_folder, labels=[], label_groups=groups)
    nlp.initialize()
    examples = [example(nlp, TOY[0][0], {"sport": 1.0, "science": 0.0, "m:glad": 1.0})]
    own = [{"label": "m:glad", "text": "The writer is glad."}]
    spelt = build(nli_folder, labels=["sport", "science", "m:glad"], hypotheses=own)
    spelt.initialize()
    assert component(nlp).update(examples) == pytest.approx(component(spelt).update(examples), rel=1e-4)


@BOTH
def test_nli_pairs_teach_hypotheses(folder, request):
    nlp = build(request.getfixturevalue(folder), labels=["entailed"], hypothesis_template="{}")
    nlp.initialize()
    examples = [
        example(nlp, "A man plays football.", {"A man plays.": 1.0, "The planets align.": 0.0}),
        example(nlp, "The minister resigned.", {"The vote of parliament.": 0.0}),
    ]
    losses = learn(nlp, examples, 20)
    assert losses[-1] < 0.5 * losses[0]


def test_not_trainable_means_nothing_changes(nli_folder):
    nlp = build(nli_folder, trainable=False)
    optimizer = nlp.initialize()
    before = weights(nlp)
    assert nlp.update(toy(nlp), sgd=optimizer) == {"zero_shot_textcat": 0.0}
    nlp.update(toy(nlp), sgd=nlp.resume_training())
    assert not component(nlp).is_trainable
    assert unchanged(nlp, before)


def test_training_can_be_switched_on_and_off(nli_folder):
    nlp = build(nli_folder, trainable=False)
    before = scores(nlp)
    component(nlp).trainable = True
    nlp.initialize()
    losses = learn(nlp, toy(nlp), 5)
    assert losses[-1] < losses[0]
    trained = scores(nlp)
    component(nlp).trainable = False
    check_same(scores(nlp), trained)
    assert trained != before


def test_learns_after_a_first_score_under_inference_mode(nli_folder):
    nlp = build(nli_folder)
    with torch.inference_mode():
        nlp(TOY[0][0])
    optimizer = nlp.resume_training()
    losses = [nlp.update(toy(nlp), sgd=optimizer)["zero_shot_textcat"] for _ in range(3)]
    assert losses[-1] < losses[0]


# In a pipeline


@BOTH
def test_averages_come_and_go_without_a_trace(folder, request):
    nlp = build(request.getfixturevalue(folder))
    nlp.initialize()
    optimizer = Adam(0.003, use_averages=True)
    examples = toy(nlp)
    for _ in range(5):
        nlp.update(examples, sgd=optimizer)
    trained, cats = weights(nlp), nlp(TOY[0][0]).cats
    with nlp.use_params(optimizer.averages):
        averaged = nlp(TOY[0][0]).cats
        assert not unchanged(nlp, trained)
    assert averaged != cats
    assert unchanged(nlp, trained)
    assert nlp(TOY[0][0]).cats == pytest.approx(cats, abs=1e-6)


def test_annotating_components_write_cats_in_training(nli_folder):
    seen = []

    @spacy.Language.component("look_at_cats")
    def look(doc):
        seen.append(dict(doc.cats))
        return doc

    nlp = build(nli_folder)
    nlp.add_pipe("look_at_cats")
    optimizer = nlp.initialize()
    nlp.update(toy(nlp), sgd=optimizer, annotates=["zero_shot_textcat", "look_at_cats"])
    assert len(seen) == len(TOY) and all(list(cats) == LABELS for cats in seen)


def test_evaluate_with_labels_of_each_document(nli_folder):
    nlp = build(nli_folder, labels=["unused"])
    nlp.initialize()
    examples = []
    for text, right in TOY:
        one = example(nlp, text, {right: 1.0, f"not {right}": 0.0})
        one.predicted._.zero_shot_labels = [right, f"not {right}"]
        examples.append(one)
    learn(nlp, examples, 20)
    found = nlp.evaluate(examples)
    assert found["cats_micro_f"] == found["cats_score"] == 1.0
    assert found["cats_score_desc"] == "micro F"
    assert set(found["cats_f_per_type"]) == {key for one in examples for key in one.reference.cats}


# After training


@pytest.fixture(params=["nli_folder", "decomposed_folder"])
def trained(request):
    nlp = build(request.getfixturevalue(request.param))
    nlp.initialize()
    before = scores(nlp)
    learn(nlp, toy(nlp), 5)
    assert scores(nlp) != before
    return nlp


def test_saved_and_loaded_with_the_same_scores(trained, tmp_path):
    expected = scores(trained)
    trained.to_disk(tmp_path)
    check_same(scores(spacy.load(tmp_path)), expected)
    other = spacy.blank("en").from_config(trained.config)
    check_same(scores(other.from_bytes(trained.to_bytes())), expected)


def test_training_goes_on_from_a_saved_pipeline(trained, tmp_path):
    trained.to_disk(tmp_path)
    loaded = spacy.load(tmp_path)
    optimizer = loaded.resume_training()
    optimizer.learn_rate = 0.003
    examples = toy(loaded)
    losses = [loaded.update(examples, sgd=optimizer)["zero_shot_textcat"] for _ in range(15)]
    assert losses[-1] < 0.7 * losses[0]
    expected = scores(loaded)
    loaded.to_disk(tmp_path / "again")
    check_same(scores(spacy.load(tmp_path / "again")), expected)


def test_training_goes_on_from_a_sourced_component(trained):
    nlp = spacy.blank("en")
    nlp.add_pipe("zero_shot_textcat", source=trained)
    check_same(scores(nlp), scores(trained))
    losses = learn(nlp, toy(nlp), 15)
    assert losses[-1] < 0.7 * losses[0]


def test_the_saved_checkpoint_is_a_model_of_its_own(trained, tmp_path):
    trained.to_disk(tmp_path)
    nlp = build(tmp_path / "zero_shot_textcat" / "model", trainable=False)
    check_same(scores(nlp), scores(trained))


@BOTH
def test_learns_in_bfloat16(folder, request, tmp_path):
    nlp = build(request.getfixturevalue(folder), model={"precision": "bfloat16"})
    nlp.initialize()
    losses = learn(nlp, toy(nlp), 20)
    assert losses[-1] < 0.6 * losses[0]
    # autocast: what is computed is rounded, what is learnt is not
    assert {one.dtype for one in parameters(nlp).values() if one.requires_grad} == {torch.float32}
    nlp.to_disk(tmp_path)
    for one, other in zip(scores(spacy.load(tmp_path)), scores(nlp)):
        assert one == pytest.approx(other, abs=0.02)


@pytest.mark.slow
def test_learns_from_the_bundled_model(tmp_path):
    nlp = build(None, train_encoder=False)
    nlp.initialize()
    losses = learn(nlp, toy(nlp)[::2], 6, rate=1e-4)
    assert losses[-1] < losses[0]
    expected = scores(nlp)
    nlp.to_disk(tmp_path)
    # changed weights are saved as such, not as a reference
    assert (tmp_path / "zero_shot_textcat" / "model" / "model.safetensors").exists()
    check_same(scores(spacy.load(tmp_path)), expected)


def test_spacy_evaluate(trained, tmp_path):
    examples = toy(trained)
    DocBin(docs=[one.reference for one in examples]).to_disk(tmp_path / "dev.spacy")
    trained.to_disk(tmp_path / "pipeline")
    found = evaluate(str(tmp_path / "pipeline"), tmp_path / "dev.spacy", silent=True)
    expected = trained.evaluate(examples)
    assert found["cats_macro_f"] == pytest.approx(expected["cats_macro_f"])
    assert set(found["cats_f_per_type"]) == set(LABELS)


@pytest.mark.parametrize("trainable", [True, False])
def test_spacy_debug_model(nli_folder, trainable, tmp_path):
    build(nli_folder, trainable=trainable).config.to_disk(tmp_path / "config.cfg")
    result = CliRunner().invoke(app, ["debug", "model", str(tmp_path / "config.cfg"), "zero_shot_textcat", "-P3"])
    assert result.exit_code == 0 and "model looks good" in result.output, result.output
