"""The bundled model's layout: an encoder reads texts and hypotheses each on its own, a few layers read both.

A text is read once for all its hypotheses, a hypothesis once for all texts. The cosine of both means is one kind of
evidence. From its states before one of the encoder's upper layers, a hypothesis goes on through interaction layers, in
which the tokens of its label attend to the text's states of the same level and to each other; a head on their mean
gives the other kind. So a label costs only its own tokens in a few layers, and its score cannot depend on the other
labels. Splitting a cross-encoder like this goes back to DeFormer (Cao et al., 2020), PreTTR (MacAvaney et al., 2020).
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from thinc.types import Ints1d
from torch import Tensor, nn

from ..errors import ZeroShotError
from ..util import first_line
from .batching import Batch, HypothesisSet, Window, ranges, sorted_slices
from .cache import Cache, TensorFile, n_bytes
from .device import has_native_bfloat16, plain_tensors, to_device
from .packing import PackedSequences, RaggedIndex, few_sizes, gather, move, pack, ragged, segment_mean
from .tokenization import PairTokenizer
from .types import DECOMPOSED, WEIGHTS

# Only attention is padded, so batches may be more uneven than a stock model's.
EVENNESS = 0.7
# Bytes that are kept of hypotheses, of label sets ready for the interaction layers, and of texts in training
HYPOTHESIS_BYTES, PREPARED_BYTES, TEXT_BYTES = 128 << 20, 128 << 20, 8 << 30
# Index arrays of label sets that are kept
KEPT = 64
# Our names of a layer's parts, and BertModel's
PARTS = {
    "attention_output": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "up": "intermediate.dense",
    "down": "output.dense",
    "norm": "output.LayerNorm",
}
FUSED = ("attention.self.query", "attention.self.key", "attention.self.value")
WORDS, BLOCK = "encoder.embeddings.word_embeddings", 32
SIZES = (
    *("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "layer_norm_eps"),
    *("vocab_size", "max_position_embeddings", "type_vocab_size"),
)
CLASSES = {0: "not_entailment", 1: "entailment"}
# torch's own op for this, which has no public name
ONEDNN_BFLOAT16 = hasattr(torch.ops.mkldnn, "_linear_pointwise") and has_native_bfloat16(torch.device("cpu"))


@dataclass
class DecomposedConfig:
    """What config.json says of a model of this layout."""

    encoder: dict[str, Any]  # sizes, as BertConfig names them
    interaction_layers: int = 3
    interaction_from: int = 9  # the first interaction layer reads states before this layer of the encoder
    # what goes through them: a label's wordpieces, read within the template, or a sentence's of one's own; no other way
    hypothesis_states: str = "label"
    respell_labels: bool = False  # whether labels are read as tokenization.plain_label has them
    # what a cosine is worth: scale and offset in the margin of entailment, and scale where labels compete
    similarity: Sequence[float] = (0.0, 0.0, 0.0)
    competition_temperature: float = 1.0
    competition_head_weight: float = 1.0
    id2label: dict[int, str] = field(default_factory=lambda: dict(CLASSES))
    torch_dtype: str = "float32"
    more: dict[str, Any] = field(default_factory=dict)

    model_type = DECOMPOSED

    @property
    def hidden_size(self) -> int:
        return int(self.encoder["hidden_size"])

    @property
    def max_position_embeddings(self) -> int:
        return int(self.encoder["max_position_embeddings"])

    @classmethod
    def from_folder(cls, folder: Path) -> "DecomposedConfig":
        """Read a checkpoint's config. RAISES (ZeroShotError): Z030 for what cannot be run."""
        values = json.loads((folder / "config.json").read_text(encoding="utf8"))
        known = {key: value for key, value in values.items() if key in cls.__dataclass_fields__}
        more = {key: value for key, value in values.items() if key not in {*known, "model_type", "architectures"}}
        config = cls(**{"encoder": {}, **known, "more": more})
        config.id2label = {int(number): label for number, label in config.id2label.items()}
        if reason := config._why_not():
            raise ZeroShotError("Z030", layout=DECOMPOSED, name=str(folder), reason=reason)
        return config

    def to_dict(self) -> dict[str, Any]:
        """The content of config.json."""
        values = asdict(self)
        more = values.pop("more")
        return {"model_type": DECOMPOSED, "architectures": ["DecomposedEncoder"], **values, **more}

    def _why_not(self) -> str | None:
        if missing := [key for key in SIZES if key not in self.encoder]:
            return f"its encoder has no {missing[0]}"
        if self.encoder.get("hidden_act", "gelu") != "gelu":
            return f"the activation {self.encoder['hidden_act']} is not known"
        layers, last = self.encoder["num_hidden_layers"], self.interaction_from + self.interaction_layers
        if not (self.interaction_layers > 0 <= self.interaction_from and last <= layers):
            return f"its encoder has {layers} layers, and the interaction layers need {last}"
        if self.hypothesis_states != "label":
            return f"hypothesis_states = {self.hypothesis_states!r} is not label"
        if self.id2label != CLASSES:
            return f"its classes {list(self.id2label.values())} are not not_entailment and entailment"
        return None


class Layer(nn.Module):
    """A BERT layer over packed tokens, with one projection for queries, keys and values."""

    def __init__(self, config: dict[str, Any]):
        super().__init__()
        width, wide, epsilon = config["hidden_size"], config["intermediate_size"], config["layer_norm_eps"]
        self.heads = config["num_attention_heads"]
        self.width = width
        self.qkv = nn.Linear(width, 3 * width)
        self.attention_output = nn.Linear(width, width)
        self.attention_norm = nn.LayerNorm(width, eps=epsilon)
        self.up, self.down = nn.Linear(width, wide), nn.Linear(wide, width)
        self.norm = nn.LayerNorm(width, eps=epsilon)
        self.dropout = nn.Dropout(0.0)

    def forward(self, states: Tensor, rows: RaggedIndex, padding: Tensor | None) -> Tensor:
        """Sequences that attend to themselves. states (Tensor): Shape (tokens, width), packed. RETURNS: The next."""
        query, key, value = self.to_heads(rows.pad(self.qkv(states)))
        mask = None if padding is None else ~padding[:, None, None, :]
        if not states.requires_grad or states.is_cuda:
            context = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        else:
            # on a CPU the backward pass of the fused attention takes ten times as long as that of its parts
            scores = (query * query.shape[-1] ** -0.5) @ key.transpose(2, 3)
            if padding is not None:
                scores = scores.masked_fill(padding[:, None, None, :], -torch.inf)
            context = self.dropout(scores.softmax(-1)).to(value.dtype) @ value
        return self.feed_forward(rows.unpad(context.transpose(1, 2)), states)

    def interact(
        self, states: Tensor, qkv: Tensor, texts: Tensor, padding: Tensor | None, rows: RaggedIndex, pairs: RaggedIndex
    ) -> Tensor:
        """Hypotheses (states and qkv: packed) that attend to their text (shape (texts, longest, width)) and to
        themselves. Their tokens are indexed by text, and by pair of text and hypothesis. RETURNS: The next states."""
        # The scores of both lie side by side in one softmax. They are multiplied apart: in one product, all but a few
        # of the scores between hypotheses would be masked.
        width, heads = self.width, self.heads
        key, value = self.to_heads(F.linear(texts, self.qkv.weight[width:], self.qkv.bias[width:]), 2)
        [query] = self.to_heads(rows.pad(qkv[:, :width]), 1)
        own_query, own_key, own_value = self.to_heads(pairs.pad(qkv))
        scale = query.shape[-1] ** -0.5
        scores = (query * scale) @ key.transpose(2, 3)
        if padding is not None:
            scores.masked_fill_(padding[:, None, None, :], -torch.inf)
        # in float32, which compiles no kernel for each number of pairs
        own = (own_query.float() @ own_key.float().transpose(2, 3)).mul_(scale).to(scores.dtype)
        own_padding = pairs.padding()
        if own_padding is not None:
            own.masked_fill_(own_padding[:, None, None, :], -torch.inf)
        # (pairs, heads, n, n) -> packed (tokens, heads * n) -> (texts, heads, tokens of a text, n)
        own = rows.pad(pairs.unpad(own.transpose(1, 2)))
        own = own.view(*own.shape[:2], heads, -1).transpose(1, 2)
        weights = self.dropout(torch.cat([scores, own], -1).softmax(-1)).to(value.dtype)
        seen = scores.shape[-1]
        context = rows.unpad((weights[..., :seen] @ value).transpose(1, 2))
        # and back
        own = pairs.pad(rows.unpad(weights[..., seen:].transpose(1, 2)))
        own = own.view(*own.shape[:2], heads, -1).transpose(1, 2)
        own_context = (own.float() @ own_value.float()).to(context.dtype)
        return self.feed_forward(context + pairs.unpad(own_context.transpose(1, 2)), states)

    def feed_forward(self, context: Tensor, states: Tensor) -> Tensor:
        """The rest of a layer after attention, over packed tokens."""
        states = self.attention_norm(states + self.dropout(self.attention_output(context)))
        return self.norm(states + self.dropout(self.down(linear_gelu(self.up, states))))

    def to_heads(self, padded: Tensor, parts: int = 3) -> tuple[Tensor, ...]:
        """From shape (rows, n, parts * width) to parts of shape (rows, heads, n, head width)."""
        rows, n, _ = padded.shape
        return padded.view(rows, n, parts, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)


def linear_gelu(linear: nn.Linear, states: Tensor) -> Tensor:
    """GELU of a linear layer: on a CPU in bfloat16 by oneDNN in one pass, as torch.compile does it. Apart, GELU takes
    a tenth of the encoder's time there."""
    half = states.dtype == linear.weight.dtype == torch.bfloat16 and not torch.is_grad_enabled()
    if half and ONEDNN_BFLOAT16 and states.device.type == "cpu":
        return torch.ops.mkldnn._linear_pointwise(states, linear.weight, linear.bias, "gelu", [], "none")
    return F.gelu(linear(states))


class WordEmbeddings(nn.Module):
    """A table of word embeddings that is never trained. A weight has four bits, and BLOCK neighbours share a scale: a
    byte of codes holds one of a block's first half, and one of the second in its upper bits (Q4_0 of llama.cpp). So
    96,000 words take 21 MB; they stay in the memory-mapped file they were loaded from."""

    def __init__(self, size: int, width: int):
        super().__init__()
        self.register_buffer("codes", torch.zeros(size, width // 2, dtype=torch.uint8))
        self.register_buffer("scales", torch.zeros(size, width // BLOCK, dtype=torch.float16))
        self.codes: Tensor
        self.scales: Tensor

    def forward(self, ids: Tensor) -> Tensor:
        """The embeddings of so many ids, shape (ids, width), float32."""
        codes = F.embedding(ids, self.codes).unflatten(-1, (-1, BLOCK // 2))
        scales = F.embedding(ids, self.scales).float()
        return ((torch.cat([codes & 15, codes >> 4], -1).float() - 8) * scales[..., None]).flatten(-2)

    def _apply(self, fn: Any, recurse: bool = True) -> "WordEmbeddings":
        # module.to(device, dtype): only the device counts
        device = fn(self.scales[:0]).device
        self.codes, self.scales = self.codes.to(device), self.scales.to(device)
        return self


class Embeddings(nn.Module):
    """BERT's embeddings, for sequences of the first token type."""

    def __init__(self, config: dict[str, Any]):
        super().__init__()
        width = config["hidden_size"]
        self.word_embeddings = WordEmbeddings(config["vocab_size"], width)
        self.position_embeddings = nn.Embedding(config["max_position_embeddings"], width)
        self.token_type_embeddings = nn.Embedding(config["type_vocab_size"], width)
        self.LayerNorm = nn.LayerNorm(width, eps=config["layer_norm_eps"])

    def forward(self, ids: Tensor, positions: Tensor) -> Tensor:
        places = self.position_embeddings.weight + self.token_type_embeddings.weight[0]
        return self.LayerNorm(self.word_embeddings(ids).to(places.dtype) + F.embedding(positions, places))


class Encoder(nn.Module):
    """BERT over packed sequences."""

    def __init__(self, config: dict[str, Any]):
        super().__init__()
        self.embeddings = Embeddings(config)
        self.layer = nn.ModuleList(Layer(config) for _ in range(config["num_hidden_layers"]))

    def forward(self, packed: PackedSequences, keep: range = range(0)) -> tuple[Tensor, list[Tensor]]:
        """Sentence embeddings, shape (sequences, width): the mean of the last states, at length one; and as `read`."""
        last, levels = self.read(packed, keep)
        return F.normalize(segment_mean(last, packed.rows), dim=-1), levels

    def read(self, packed: PackedSequences, keep: range) -> tuple[Tensor, list[Tensor]]:
        """The last states, and those before each layer to keep: packed, shape (tokens, width)."""
        states = self.embeddings(packed.ids, packed.positions)
        padding = packed.rows.padding()
        levels = []
        for number, layer in enumerate(self.layer):
            if number in keep:
                levels.append(states)
            states = layer(states, packed.rows, padding)
        return states, levels


class InteractionLayers(nn.ModuleList):
    """As Layer.interact, layer after layer, with the states of texts that each of them reads."""

    def forward(
        self, states: Tensor, qkv: Tensor, texts: Sequence[Tensor], *more: Tensor | RaggedIndex | None
    ) -> Tensor:
        layer: Any
        for number, (layer, read) in enumerate(zip(self, texts, strict=True)):
            qkv = layer.qkv(states) if number else qkv
            states = layer.interact(states, qkv, read, *more)
        return states


class DecomposedEncoder(nn.Module):
    """The encoder, the interaction layers and the head."""

    def __init__(self, config: DecomposedConfig):
        super().__init__()
        self.config = config
        width = config.hidden_size
        self.encoder = Encoder(config.encoder)
        self.interaction: Any = InteractionLayers(Layer(config.encoder) for _ in range(config.interaction_layers))
        self.pooler, self.classifier = nn.Linear(width, width), nn.Linear(width, 2)
        self.similarity = nn.Parameter(torch.tensor(config.similarity, dtype=torch.float32))

    @property
    def device(self) -> torch.device:
        return self.pooler.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.pooler.weight.dtype

    @property
    def levels(self) -> range:
        """The encoder's layers whose input the interaction layers read."""
        return range(self.config.interaction_from, self.config.interaction_from + self.config.interaction_layers)

    def head(self, pooled: Tensor) -> Tensor:
        """The head's margin of entailment, shape (pairs,), float32."""
        logits = self.classifier(torch.tanh(self.pooler(pooled.to(self.dtype)))).float()
        return logits[:, 1] - logits[:, 0]

    def logits(self, head_margins: Tensor, cosines: Tensor) -> Tensor:
        """Both kinds of evidence, shape (pairs,), in two logits, shape (pairs, 2), for and against. Where labels
        compete the head may weigh less than the cosine: it knows the labels it was trained on better than others. The
        margin of entailment, which every label has for itself, is not touched by that."""
        scale, offset, competing = self.similarity.float()
        config = self.config
        entailment = config.competition_head_weight * head_margins + competing * cosines
        entailment = entailment / config.competition_temperature
        return torch.stack([entailment, entailment - (head_margins + scale * cosines + offset)], -1)


class Hypotheses(NamedTuple):
    """The distinct hypotheses of a batch."""

    key: tuple[Any, ...]  # of their sets
    sequences: list[Ints1d]  # token ids, with special tokens
    numbers: dict[int, Ints1d]  # which ones a set has, by the set's number
    kept: Ints1d  # places of the tokens that go through the interaction layers, among the tokens of all
    lengths: Ints1d  # (hypotheses,): how many of each are kept
    first: Ints1d  # (hypotheses,): place of its first one among those


class PreparedHypotheses(NamedTuple):
    vectors: Tensor  # (hypotheses, width)
    states: Tensor  # (tokens, width)
    qkv: Tensor  # (tokens, 3 * width): in the first interaction layer, which does not need the text for them


class ChunkIndex(NamedTuple):
    tokens: Tensor  # (tokens,): where each token's states lie among those of the batch's hypotheses
    rows: RaggedIndex  # tokens by text
    pairs: RaggedIndex  # tokens by pair of text and hypothesis


class Chunk(NamedTuple):
    """Hypotheses that go through the interaction layers together."""

    texts: slice  # of the batch
    longest: int  # padded tokens of these texts
    indices: ChunkIndex


class DecomposedBatch(NamedTuple):
    sequences: list[Ints1d]  # token ids of the texts, longest first
    texts: PackedSequences  # the same
    hypotheses: Hypotheses
    text_of_pair: Tensor  # (pairs,)
    hypothesis_of_pair: Tensor  # (pairs,)
    chunks: list[Chunk]  # all pairs in order


class DecomposedScorer:
    """Scores all hypotheses of a text with one pass over the text. A PairScorer and a TextEncoder; threads share it.
    A `multiple` above 1 asks for few shapes: see few_sizes."""

    classes = 2
    evenness = EVENNESS
    # as large batches as a CPU runs at full speed, with few labels and with many
    cpu_tokens = 4096
    text_passes = "once for all labels"

    def __init__(self, module: DecomposedEncoder, tokenizer: PairTokenizer, max_length: int, multiple: int = 1):
        self.module = module
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.max_tokens = max_length - sum(map(len, tokenizer.single))
        self.multiple = multiple
        self._hypotheses: Cache[bytes, Tensor] = Cache(HYPOTHESIS_BYTES, n_bytes)
        self._training_texts = TensorFile(TEXT_BYTES)
        self.recent_texts: Cache[bytes, Tensor] = Cache(0, n_bytes)
        self._distinct_sets: Cache[Any, Hypotheses] = Cache(KEPT)
        self._alike: Cache[Any, ChunkIndex] = Cache(KEPT)
        self._prepared: Cache[Any, PreparedHypotheses] = Cache(PREPARED_BYTES, lambda one: sum(map(n_bytes, one)))

    @property
    def encoder(self) -> "DecomposedScorer":
        return self

    def embed_batch(self, texts: Sequence[Ints1d]) -> Tensor:
        return self.module.encoder(self._pack([self.tokenizer.add_special_tokens(ids) for ids in texts]))[0]

    def max_premise_tokens(self, longest_hypothesis: int) -> int:
        # a hypothesis takes no room from the text, but has to fit itself
        return self.max_tokens if longest_hypothesis <= self.max_tokens else 0

    def batches(self, windows: Sequence[Window], sets: Sequence[HypothesisSet], budget: int) -> Iterator[Batch]:
        device = self.module.device
        sequences = [self.tokenizer.add_special_tokens(window.ids) for window in windows]
        lengths = np.fromiter(map(len, sequences), "int64", len(windows))
        for chosen in sorted_slices(lengths, budget, EVENNESS):
            part = [windows[i] for i in chosen]
            texts = [sequences[i] for i in chosen]
            hypotheses = self._distinct({window.set: sets[window.set] for window in part})
            numbers = [hypotheses.numbers[window.set] for window in part]
            n_pairs = np.fromiter(map(len, numbers), "int64", len(part))
            of_pair = np.concatenate(numbers)
            inputs = DecomposedBatch(
                texts,
                self._pack(texts),
                hypotheses,
                to_device(np.repeat(np.arange(len(part)), n_pairs), device),
                to_device(of_pair, device),
                list(self._chunks(hypotheses, of_pair, n_pairs, lengths[chosen], budget)),
            )
            first = np.fromiter((window.first for window in part), "int64", len(part))
            n_tokens = int(lengths[chosen].sum() + hypotheses.lengths[of_pair].sum())
            yield Batch(ranges(first, n_pairs), inputs, n_tokens)

    def forward(self, batch: Batch) -> Tensor:
        inputs: DecomposedBatch = batch.inputs
        rows = inputs.texts.rows
        vectors, levels = self._read_texts(inputs)
        hypotheses = self.prepare(inputs.hypotheses)
        padded = [rows.pad(states) for states in levels]
        margins = []
        for texts, longest, (tokens, *indices) in inputs.chunks:
            # none of the padding of longer texts
            longest = min(longest, rows.longest)
            read = [states[texts, :longest] for states in padded]
            own = gather(hypotheses.states, tokens), gather(hypotheses.qkv, tokens)
            states = self.module.interaction(*own, read, rows.padding(texts, longest), *indices)
            margins.append(self.module.head(segment_mean(states, indices[1])))
        cosines = (vectors @ hypotheses.vectors.T)[inputs.text_of_pair, inputs.hypothesis_of_pair]
        return self.module.logits(torch.cat(margins), cosines)

    def forget(self) -> None:
        self._prepared.clear()
        if not self._is_frozen():
            for cache in (self._hypotheses, self._training_texts, self.recent_texts):
                cache.clear()

    def prepare(self, hypotheses: Hypotheses) -> PreparedHypotheses:
        """What the interaction layers need of hypotheses; remembered unless weights are being trained."""
        training = torch.is_grad_enabled()
        found = None if training else self._prepared.get(hypotheses.key)
        if found is not None:
            return found
        sequences, levels = hypotheses.sequences, self.module.levels[:1]
        if training and not self._is_frozen():
            vectors, [states] = self.module.encoder(self._pack(sequences), levels)
        else:
            vectors, [states] = self._remembered(self._hypotheses, sequences, levels, torch.float32)
        states = states[to_device(hypotheses.kept, states.device)]
        prepared = PreparedHypotheses(vectors, states, self.module.interaction[0].qkv(states))
        if not training and len(hypotheses.numbers) == 1:
            self._prepared.add({hypotheses.key: prepared})
        return prepared

    def _pack(self, sequences: Sequence[Ints1d]) -> PackedSequences:
        return move(pack(sequences, self.multiple), self.module.device)

    def _is_frozen(self) -> bool:
        return not any(parameter.requires_grad for parameter in self.module.encoder.parameters())

    def _read_texts(self, inputs: DecomposedBatch) -> tuple[Tensor, Sequence[Tensor]]:
        """Vectors of texts, and their states for each interaction layer, packed."""
        training, levels = torch.is_grad_enabled(), self.module.levels
        if not self._is_frozen() if training else not self.recent_texts.limit:
            return self.module.encoder(inputs.texts, levels)
        kept = (self._training_texts, torch.float16) if training else (self.recent_texts, self.module.dtype)
        vectors, states = self._remembered(kept[0], inputs.sequences, levels, kept[1])
        filling = len(inputs.texts.ids) - states.shape[1]
        return vectors, F.pad(states, (0, 0, 0, filling)).unbind(0)

    def _remembered(
        self, cache: Cache[bytes, Tensor], sequences: Sequence[Ints1d], levels: range, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        """As the encoder, which is not trained: vectors of sequences; their states, shape (levels, tokens, width)."""

        def encode(keys: Sequence[bytes]) -> list[Tensor]:
            rows = [np.frombuffer(key, dtype="int64") for key in keys]
            found: dict[int, Tensor] = {}
            # no inference tensors: these may be wanted in training
            with torch.inference_mode(False), torch.no_grad():
                for chosen in sorted_slices([len(row) for row in rows], self.cpu_tokens, EVENNESS):
                    vectors, states = self.module.encoder(self._pack([rows[i] for i in chosen]), levels)
                    lengths = [len(rows[i]) for i in chosen]
                    parts = torch.stack(states)[:, : sum(lengths)].float().split(lengths, dim=1)
                    for i, vector, part in zip(chosen, vectors, parts, strict=True):
                        # copied: a view would keep the whole batch
                        found[i] = torch.cat([vector[None], part.flatten(0, 1)]).to(dtype)
            return [found[i] for i in range(len(rows))]

        kept = cache.compute([sequence.tobytes() for sequence in sequences], encode)
        # autocast stacks no float16; what a file kept is not on the device
        found = [one.to(self.module.device).float() for one in kept]
        width = found[0].shape[1]
        states = torch.cat([one[1:].view(len(levels), -1, width) for one in found], 1)
        return torch.stack([one[0] for one in found]), states.to(self.module.dtype)

    def _distinct(self, sets: dict[int, HypothesisSet]) -> Hypotheses:
        """Number the distinct hypotheses of a batch."""
        key = tuple(sorted((number, one.key) for number, one in sets.items()))
        found = self._distinct_sets.get(key)
        if found is None:
            place_of: dict[tuple[bytes, tuple[int, int]], int] = {}
            numbers = {}
            for number, one in sets.items():
                keys = zip((piece.tobytes() for piece in one.pieces), one.spans, strict=True)
                numbers[number] = np.array([place_of.setdefault(each, len(place_of)) for each in keys])
            sequences = [self.tokenizer.add_special_tokens(np.frombuffer(ids, "int64")) for ids, _ in place_of]
            sizes = np.fromiter(map(len, sequences), "int64", len(sequences))
            begins = np.cumsum(sizes) - sizes
            first, last = np.array([span for _, span in place_of]).T
            # of one without wordpieces, the special tokens
            lengths = np.where(last > first, last - first, sizes)
            kept = ranges(begins + np.where(last > first, len(self.tokenizer.single[0]) + first, 0), lengths)
            found = Hypotheses(key, sequences, numbers, kept, lengths, np.cumsum(lengths) - lengths)
            self._distinct_sets.add({key: found})
        return found

    def _chunks(
        self, hypotheses: Hypotheses, of_pair: Ints1d, n_pairs: Ints1d, lengths: Ints1d, budget: int
    ) -> Iterator[Chunk]:
        """Cut a batch's pairs into chunks of about `budget` tokens at most: whole texts, or one text's in parts."""
        ends = np.cumsum(n_pairs)
        tokens = np.add.reduceat(hypotheses.lengths[of_pair], ends - n_pairs)
        start = 0
        while start < len(n_pairs):
            stop = start + max(1, int(np.searchsorted(np.cumsum(tokens[start:]), budget, side="right")))
            if self.multiple > 1 and stop == len(n_pairs):
                # few shapes: what is left over goes in powers of two
                stop = start + (1 << ((stop - start).bit_length() - 1))
            longest = few_sizes(int(lengths[start])) if self.multiple > 1 else int(lengths[start])
            pairs = of_pair[ends[start] - n_pairs[start] : ends[stop - 1]]
            parts = [(pairs, n_pairs[start:stop])]
            if tokens[start] > budget:
                cuts = np.flatnonzero(np.diff(np.cumsum(hypotheses.lengths[pairs]) // budget)) + 1
                parts = [(part, np.array([len(part)])) for part in np.split(pairs, cuts)]
            for part, sizes in parts:
                yield Chunk(slice(start, stop), longest, self._index(hypotheses, part, sizes))
            start = stop

    def _index(self, hypotheses: Hypotheses, of_pair: Ints1d, n_pairs: Ints1d) -> ChunkIndex:
        # chunks of equally many texts with one and the same set are alike
        alike = len(hypotheses.numbers) == 1 and len(of_pair) == len(n_pairs) * len(hypotheses.lengths)
        key = hypotheses.key, len(n_pairs)
        found = self._alike.get(key) if alike else None
        if found is None:
            counts = hypotheses.lengths[of_pair]
            rows = np.add.reduceat(counts, np.cumsum(n_pairs) - n_pairs)
            total = int(rows.sum())
            size = few_sizes(total) if self.multiple > 1 and rows.min() != rows.max() else total
            tokens = np.zeros(size, dtype="int64")
            tokens[:total] = ranges(hypotheses.first[of_pair], counts)
            # no inference tensors: these may be wanted in training
            with torch.inference_mode(False):
                indices = torch.from_numpy(tokens), ragged(rows, self.multiple, size), ragged(counts, 1, size)
                found = move(ChunkIndex(*indices), self.module.device)
            if alike:
                self._alike.add({key: found})
        return found


def load_decomposed(
    folder: Path, dtype: torch.dtype | None = None, device: torch.device | None = None
) -> DecomposedEncoder:
    """Load a folder that save_decomposed wrote; dtype None keeps the precision it is stored in."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    name = str(folder)
    config = DecomposedConfig.from_folder(folder)
    with plain_tensors():
        with torch.device("meta"):
            module = DecomposedEncoder(config)
        try:
            stored = load_file(folder / WEIGHTS)
            # on a mapping of their own: that of weights which are converted goes, and with it what was read of it
            again = load_file(folder / WEIGHTS)
            stored |= {name: again[name] for name in again if name.startswith(WORDS)}
            tensors = {"similarity": torch.tensor(config.similarity)}
            for ours, theirs in _names(module):
                parts = [stored[name] for name in theirs]
                tensors[ours] = torch.cat(parts) if parts[1:] else parts[0]
            module.load_state_dict(tensors, assign=True)
        except KeyError as error:
            raise ZeroShotError("Z024", name=name, reason=f"{error.args[0]} is missing") from error
        except (SafetensorError, RuntimeError, OSError) as error:
            raise ZeroShotError("Z024", name=name, reason=first_line(error)) from error
        module.to(device=device, dtype=dtype or module.dtype)
        # of three numbers, rounding would be the only effect
        module.similarity.data = module.similarity.data.float()
        return module.eval()


def save_decomposed(module: DecomposedEncoder, folder: Path) -> None:
    """Write config.json and model.safetensors, weights in the precision they are in, under BertModel's names."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    config = module.config
    config.similarity = module.similarity.tolist()
    config.torch_dtype = str(module.dtype).removeprefix("torch.")
    text = json.dumps(config.to_dict(), indent=2, ensure_ascii=False)
    (folder / "config.json").write_text(text + "\n", encoding="utf8")
    state = module.state_dict()
    tensors = {}
    for ours, theirs in _names(module):
        parts = state[ours].detach().cpu().chunk(len(theirs))
        tensors.update({key: part.clone() for key, part in zip(theirs, parts, strict=True)})
    save_file(tensors, folder / WEIGHTS, {"format": "pt"})


def _names(module: DecomposedEncoder) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every tensor's name in the module, and its names in the file, where queries, keys and values have one each."""
    for name in module.state_dict():
        head, _, kind = name.rpartition(".")
        where, _, part = head.rpartition(".")
        # "encoder" is both the whole of BertModel and its stack of layers
        where = where.replace("encoder.layer.", "encoder.encoder.layer.")
        if part == "qkv":
            yield name, tuple(f"{where}.{fused}.{kind}" for fused in FUSED)
        elif part in PARTS:
            yield name, (f"{where}.{PARTS[part]}.{kind}",)
        elif name != "similarity":
            yield name, (name,)
