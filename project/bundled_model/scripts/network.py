"""The model as it is trained: padded and dense, so that it runs on a GPU as well as on a CPU.

A text is read once, `<s> text </s>`, a hypothesis once for all texts, by the same encoder; the cosine of their
means is one kind of evidence. From the hypothesis' states before the encoder's last layers, interaction layers
of their own go on, in which its states see the text's states of the same level and each other; their mean goes
to the head: the other kind (as in DeFormer, Cao et al. 2020, and PreTTR, MacAvaney et al. 2020).
"""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import load_file
from torch import Tensor, nn

from .base import BLOCK, PARTS

ENCODER = ("tower.", "pos", "kind", "ln.")
EMBEDDINGS = {  # names here: names in a BertModel
    "word.weight": "embeddings.word_embeddings.weight",
    "pos": "embeddings.position_embeddings.weight",
    "kind": "embeddings.token_type_embeddings.weight",
    "ln.weight": "embeddings.LayerNorm.weight",
    "ln.bias": "embeddings.LayerNorm.bias",
}


def four_bits(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Codes and scales of weights, as Q4_0 of llama.cpp has them: of weights that were in it already, the same.

    RETURNS (tuple[ndarray, ndarray]): codes (rows, width / 2), of a block's first half and, in a byte's upper bits, of
        its second; scales (rows, width / 32), float16.
    """
    blocks = weights.reshape(len(weights), -1, BLOCK)
    largest = np.take_along_axis(blocks, np.abs(blocks).argmax(-1)[..., None], -1)
    scales = (largest / -8).astype("f2")
    steps = np.divide(blocks, scales.astype("f4"), out=np.zeros_like(blocks), where=scales != 0)
    codes = np.clip(np.rint(steps) + 8, 0, 15).astype("u1")
    packed = codes[..., : BLOCK // 2] | codes[..., BLOCK // 2 :] << 4
    return packed.reshape(len(weights), -1), scales[..., 0]


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """Attention of (rows, heads, n, width) arrays; mask is True for what is seen."""
    if q.is_cuda or not torch.is_grad_enabled():
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    # on a CPU the backward pass of the fused attention takes ten times as long as that of its parts
    weights = (q * q.shape[-1] ** -0.5) @ k.transpose(2, 3)
    return weights.masked_fill(~mask, -1e9).softmax(-1) @ v


class Layer(nn.Module):
    """One BERT layer, whose keys and values may have another text's states before its own."""

    def __init__(self, width: int, heads: int, inner: int, epsilon: float) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.ao = (nn.Linear(width, width) for _ in range(4))
        self.fi, self.fo = nn.Linear(width, inner), nn.Linear(inner, width)
        self.aln, self.oln = nn.LayerNorm(width, eps=epsilon), nn.LayerNorm(width, eps=epsilon)

    def forward(self, x: Tensor, mask: Tensor, text: Tensor | None = None, drop: float = 0.0) -> Tensor:
        """x (rows, n, width); mask (rows, 1, 1 or n, keys); text (rows, m, width): states read before x's own."""
        k, v = self.k(x), self.v(x)
        if text is not None:
            k, v = torch.cat([self.k(text), k], 1), torch.cat([self.v(text), v], 1)
        q, k, v = (y.unflatten(-1, (self.heads, -1)).transpose(1, 2) for y in (self.q(x), k, v))
        context = attend(q, k, v, mask).transpose(1, 2).flatten(2)
        x = self.aln(x + F.dropout(self.ao(context), drop, self.training))
        return self.oln(x + F.dropout(self.fo(F.gelu(self.fi(x))), drop, self.training))


class Network(nn.Module):
    """The encoder, the interaction layers and the head."""

    def __init__(self, config: dict, interaction: int = 3) -> None:
        super().__init__()
        width = config["hidden_size"]
        sizes = width, config["num_attention_heads"], config["intermediate_size"], config["layer_norm_eps"]
        self.word = nn.Embedding(config["vocab_size"], width).requires_grad_(False)
        self.pos = nn.Parameter(torch.zeros(config["max_position_embeddings"], width))
        self.kind = nn.Parameter(torch.zeros(config["type_vocab_size"], width))
        self.ln = nn.LayerNorm(width, eps=config["layer_norm_eps"])
        self.tower = nn.ModuleList(Layer(*sizes) for _ in range(config["num_hidden_layers"]))
        self.first = len(self.tower) - interaction
        self.cross = nn.ModuleList(Layer(*sizes) for _ in range(interaction))
        self.pooler, self.classifier = nn.Linear(width, width), nn.Linear(width, 2)
        for module in (self.pooler, self.classifier):
            nn.init.normal_(module.weight, std=0.02)
            nn.init.zeros_(module.bias)

    def load_base(self, folder: Path) -> None:
        """Take the encoder from a BertModel folder; the interaction layers start as copies of its last ones."""
        found = {name: torch.from_numpy(a.astype("f4")) for name, a in load_file(folder / "model.safetensors").items()}
        own = {name: found[bert] for name, bert in EMBEDDINGS.items()}
        for number in range(len(self.tower)):
            for name, bert in PARTS.items():
                for kind in ("weight", "bias"):
                    own[f"tower.{number}.{name}.{kind}"] = found[f"encoder.layer.{number}.{bert}.{kind}"]
        self.load_state_dict(own, strict=False)
        self.cross.load_state_dict(copy.deepcopy(self.tower[self.first :].state_dict()))

    def load(self, prefix: Path, encoder: bool = True, interaction: bool = True) -> dict[str, np.ndarray]:
        """Load what `save` wrote as PREFIX.*.npz: the encoder, the interaction layers and the head, or one of both.

        RETURNS (dict[str, ndarray]): arrays that are not weights of this network.
        RAISES (FileNotFoundError): If there is no such file.
        """
        found = {}
        for path in sorted(prefix.parent.glob(prefix.name + ".*npz")):
            found.update(np.load(path))
        if not found:
            raise FileNotFoundError(f"{prefix}.*npz: give the files' name without .npz")
        own = dict(self.named_parameters())
        with torch.no_grad():
            for name in [name for name in found if name in own]:
                array = torch.from_numpy(found.pop(name).astype("f4")).to(own[name].device)
                if name == "kind":
                    array = torch.cat([array, own[name][len(array) :]])  # one token type is all that is used
                if encoder if name.startswith(ENCODER) else interaction:
                    own[name].copy_(array)
        return found

    def save(self, path: Path, encoder: bool) -> None:
        """Write the trained weights in float16: the interaction layers and the head, and the encoder if asked to."""
        arrays = {n: p.detach().half().cpu().numpy() for n, p in self.named_parameters() if n != "word.weight"}
        kept: dict[str, Any] = {n: a for n, a in arrays.items() if encoder or not n.startswith(ENCODER)}
        np.savez(path, **kept)

    def exported(self) -> dict[str, np.ndarray]:
        """RETURNS (dict[str, ndarray]): weights by the names of the package's layout, float16, words in four bits."""
        own = {name: p.detach().half().cpu().numpy() for name, p in self.named_parameters()}
        out = {f"encoder.{bert}": own[name] for name, bert in EMBEDDINGS.items()}
        words = "encoder.embeddings.word_embeddings"
        del out[f"{words}.weight"]
        out[f"{words}.codes"], out[f"{words}.scales"] = four_bits(self.word.weight.detach().cpu().numpy())
        for source, target, count in (
            ("tower", "encoder.encoder.layer", len(self.tower)),
            ("cross", "interaction", len(self.cross)),
        ):
            for number in range(count):
                for name, bert in PARTS.items():
                    for kind in ("weight", "bias"):
                        out[f"{target}.{number}.{bert}.{kind}"] = own[f"{source}.{number}.{name}.{kind}"]
        return out | {n: a for n, a in own.items() if n.startswith(("pooler.", "classifier."))}

    def read(self, ids: Tensor, mask: Tensor, drop: float = 0.0) -> tuple[Tensor, list[Tensor]]:
        """ids, mask (rows, n). RETURNS: vectors (rows, width) of length one, states before each of the last layers."""
        x = self.ln(self.word(ids) + self.pos[: ids.shape[1]] + self.kind[0])
        seen, levels = mask[:, None, None, :], []
        for number, layer in enumerate(self.tower):
            if number >= self.first:
                levels.append(x)
            x = layer(x, seen, drop=drop)
        shares = mask.unsqueeze(-1).float()  # the mean in float32: cosines differ in their third digit
        return F.normalize((x.float() * shares).sum(1) / shares.sum(1), dim=-1), levels

    def entail(
        self, levels: list[Tensor], text_mask: Tensor, begun: Tensor, owner: Tensor, m: int, drop: float = 0.0
    ) -> Tensor:
        """Let hypotheses read their texts.

        begun (texts, n, width): states of all hypotheses of a text, one after the other; owner (texts, n): to which of
        the m hypotheses each belongs, -1 for padding. RETURNS: head logits (texts, m, 2).
        """
        same = owner[:, :, None] == owner[:, None, :]  # padding sees padding: no row without keys
        seen = torch.cat([text_mask[:, None, :].expand(-1, owner.shape[1], -1), same], dim=-1)[:, None]
        x = begun
        for layer, text in zip(self.cross, levels, strict=True):
            x = layer(x, seen, text, drop=drop)
        shares = (owner[:, None, :] == torch.arange(m, device=owner.device)[:, None]).float()
        pooled = shares @ x.float() / shares.sum(-1, keepdim=True).clamp(min=1)
        return self.classifier(F.dropout(torch.tanh(self.pooler(pooled)), drop, self.training)).float()
