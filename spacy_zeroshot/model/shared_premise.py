"""The shared-premise layout: a text is encoded once and serves all hypotheses.

Text tokens see only the text. A hypothesis is read on its own in the lower layers, so that these are computed once
for all texts; in the upper layers it sees the text and itself. So its score cannot depend on the other hypotheses,
and a label costs only its own words, in the upper layers. Splitting a cross-encoder like this goes back to DeFormer
(Cao et al., 2020), PreTTR (MacAvaney et al., 2020) and MICE; a model must be trained with it.

The functions below run the layers of a BERT-like encoder on two streams: texts, whose keys and values are kept, and
rows of hypotheses that read them. Tokens lie flat, one after another, wherever they do not look at each other:
nothing is spent on padding but in attention itself.
"""

from typing import Any, List, NamedTuple, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .flat_rows import Rows, segment_mean

KeyValues = List[Tuple[Tensor, Tensor]]


class HypothesisTokens(NamedTuple):
    """Rows of hypotheses on their way through the upper layers.

    rows (Rows): hypothesis [SEP] hypothesis [SEP] ... for each row.
    begun (Tensor): Shape (distinct tokens, 4 * width): what begin_hypotheses gives for hypotheses, each once.
    begun_of_token (Tensor): Shape (tokens,): where in `begun` each flat token is found.
    text_of_row (Tensor): Shape (rows,): the text that each row reads.
    hypothesis_of_token (Tensor): Shape (tokens,): the number of the hypothesis that each flat token belongs to.
    """

    rows: Rows
    begun: Tensor
    begun_of_token: Tensor
    text_of_row: Tensor
    hypothesis_of_token: Tensor


class TextStates(NamedTuple):
    """Encoded texts.

    last (Tensor): Shape (tokens, width): the last layer's states, flat.
    rows (Rows): Where they lie.
    keys_values (KeyValues): Of each layer that hypotheses read, keys and values of shape (tokens, width), flat.
    """

    last: Tensor
    rows: Rows
    keys_values: KeyValues

    def pooled(self) -> Tensor:
        """Mean over each text's tokens, of length one: a sentence embedding. RETURNS: Shape (texts, width)."""
        return F.normalize(segment_mean(self.last, self.rows.owner, self.rows.mask.shape[0]), dim=-1)


def encode_texts(encoder: Any, rows: Rows, keep_from: Optional[int] = None) -> TextStates:
    """Encode texts on their own.

    encoder (PreTrainedModel): A BERT-like encoder with absolute positions.
    rows (Rows): [CLS] text [SEP] for each text.
    keep_from (Optional[int]): Keep the keys and values of this layer and those above it, for hypotheses to read.
        None keeps none.
    RETURNS (TextStates): Their states.
    """
    states = embed(encoder, rows, 0)
    bias = bias_of(rows.mask[:, None, None, :], states)
    keys_values: KeyValues = []
    for number, layer in enumerate(encoder.encoder.layer):
        states, key, value = read_itself(layer, states, rows, bias)
        if keep_from is not None and number >= keep_from:
            keys_values.append((key, value))
    return TextStates(states, rows, keys_values)


def begin_hypotheses(encoder: Any, rows: Rows, n_layers: int) -> Tensor:
    """Run the lower layers on hypotheses, which read themselves only, and what the next layer does before they read.

    encoder (PreTrainedModel): The encoder of the texts.
    rows (Rows): hypothesis [SEP] for each hypothesis.
    n_layers (int): How many layers; 0 for embeddings only.
    RETURNS (Tensor): Shape (tokens, 4 * width): the states, and the next layer's queries, keys and values, flat.
    """
    states = embed(encoder, rows, 1)
    bias = bias_of(rows.mask[:, None, None, :], states)
    for layer in encoder.encoder.layer[:n_layers]:
        states, *_ = read_itself(layer, states, rows, bias)
    projected = (part(states) for part in projections(encoder.encoder.layer[n_layers]))
    return torch.cat([states, *projected], dim=-1)


def encode_hypotheses(encoder: Any, texts: TextStates, hypotheses: HypothesisTokens) -> Tensor:
    """Run the upper layers on rows of hypotheses that read a text each.

    encoder (PreTrainedModel): The encoder of the texts.
    texts (TextStates): The texts, with the keys and values of these layers.
    hypotheses (HypothesisTokens): The hypotheses.
    RETURNS (Tensor): Shape (tokens, width): the last layer's states, flat.
    """
    rows, begun, begun_of_token, text_of_row, hypothesis_of_token = hypotheses
    n_rows, longest = rows.mask.shape
    n_text_tokens, text_longest = texts.last.shape[0], texts.rows.mask.shape[1]
    own = torch.where(rows.mask.flatten(), gather(hypothesis_of_token, rows.where), -1).view(n_rows, longest)
    sees_own = own[:, :, None] == own[:, None, :]
    sees_text = texts.rows.mask[text_of_row][:, None, :].expand(-1, longest, -1)
    bias = bias_of(torch.cat([sees_text, sees_own], dim=-1)[:, None], texts.last)
    text_where = texts.rows.where.view(-1, text_longest)[text_of_row]
    states, *projected = (part.contiguous() for part in begun.chunk(4, dim=-1))
    states = gather(states, begun_of_token)
    where = gather(begun_of_token, rows.where)
    upper = encoder.encoder.layer[-len(texts.keys_values) :]
    for number, (layer, (text_key, text_value)) in enumerate(zip(upper, texts.keys_values)):
        if number:
            projected = [part(states) for part in projections(layer)]
            where = rows.where
        query, key, value = projected
        # A row's keys: those of its text, then its own, out of both laid flat one after the other.
        both = torch.cat([text_where, where.view(n_rows, longest) + n_text_tokens], dim=1).flatten()
        context = attend(
            to_heads(layer, query, where, n_rows),
            to_heads(layer, torch.cat([text_key, key]), both, n_rows),
            to_heads(layer, torch.cat([text_value, value]), both, n_rows),
            bias,
        )
        states = feed_forward(layer, from_heads(context, rows), states)
    return states


def read_itself(layer: Any, states: Tensor, rows: Rows, bias: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
    """Run a layer on rows that see themselves only.

    layer (nn.Module): A BERT layer.
    states (Tensor): Shape (tokens, width), flat.
    rows (Rows): Where they lie.
    bias (Tensor): Shape (rows, 1, 1, longest): see `bias_of`.
    RETURNS (Tuple[Tensor, Tensor, Tensor]): The next states, and the keys and values, all flat.
    """
    query, key, value = (part(states) for part in projections(layer))
    n_rows = rows.mask.shape[0]
    context = attend(
        to_heads(layer, query, rows.where, n_rows),
        to_heads(layer, key, rows.where, n_rows),
        to_heads(layer, value, rows.where, n_rows),
        bias,
    )
    return feed_forward(layer, from_heads(context, rows), states), key, value


def attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
    """Attention of padded heads.

    query (Tensor): Shape (rows, heads, queries, head width).
    key, value (Tensor): Shape (rows, heads, keys, head width).
    bias (Tensor): Shape (rows, 1, 1 or queries, keys): zero for what is seen.
    RETURNS (Tensor): Shape (rows, heads, queries, head width).
    """
    if not query.requires_grad or query.is_cuda:
        return F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
    # On a CPU the backward pass of torch's fused attention takes ten times as long as that of its parts.
    weights = (query * query.shape[-1] ** -0.5) @ key.transpose(2, 3) + bias
    return weights.softmax(-1).to(value.dtype) @ value


def bias_of(sees: Tensor, states: Tensor) -> Tensor:
    """Zero where a query sees a key, a large negative number where it does not, in the precision of attention.

    sees (Tensor): Any shape, boolean.
    states (Tensor): States that attention will read.
    RETURNS (Tensor): The same shape.
    """
    device = states.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else states.dtype
    bias = torch.zeros(sees.shape, dtype=dtype, device=states.device)
    return bias.masked_fill_(~sees, torch.finfo(dtype).min / 2)


def embed(encoder: Any, rows: Rows, type_id: int) -> Tensor:
    """The embedding layer, with positions given.

    encoder (PreTrainedModel): The encoder.
    rows (Rows): The tokens.
    type_id (int): Token type of all tokens; the last type where the encoder has fewer.
    RETURNS (Tensor): Shape (tokens, width).
    """
    table = encoder.embeddings
    # RoBERTa-like encoders count positions from padding_idx + 1
    padding = table.position_embeddings.padding_idx
    offset = 0 if padding is None else padding + 1
    type_id = min(type_id, table.token_type_embeddings.num_embeddings - 1)
    states = table.word_embeddings(rows.ids) + table.position_embeddings(rows.positions + offset)
    return table.dropout(table.LayerNorm(states + table.token_type_embeddings.weight[type_id]))


def projections(layer: Any) -> Tuple[Any, Any, Any]:
    """Query, key and value of a BERT layer."""
    attention = layer.attention.self
    return attention.query, attention.key, attention.value


def gather(flat: Tensor, where: Tensor) -> Tensor:
    """Rows of a matrix, or numbers of a vector, by index.

    flat (Tensor): Shape (tokens,) or (tokens, width).
    where (Tensor): Shape (n,).
    RETURNS (Tensor): Shape (n,) or (n, width).
    """
    # F.embedding copies whole rows: many times faster than index_select or flat[where] on a CPU, both ways
    return F.embedding(where, flat) if flat.dim() == 2 else flat[where]


def to_heads(layer: Any, flat: Tensor, where: Tensor, n_rows: int) -> Tensor:
    """Flat states to padded heads.

    layer (nn.Module): A BERT layer.
    flat (Tensor): Shape (tokens, width).
    where (Tensor): Shape (rows * longest,): the flat token at each padded place.
    n_rows (int): How many rows there are.
    RETURNS (Tensor): Shape (rows, heads, longest, width / heads).
    """
    heads = layer.attention.self.num_attention_heads
    return gather(flat, where).view(n_rows, -1, heads, flat.shape[1] // heads).transpose(1, 2)


def from_heads(context: Tensor, rows: Rows) -> Tensor:
    """Padded heads, shape (rows, heads, longest, width / heads), to flat states, shape (tokens, width)."""
    return gather(context.transpose(1, 2).flatten(2).flatten(0, 1), rows.back)


def feed_forward(layer: Any, context: Tensor, states: Tensor) -> Tensor:
    """The rest of a BERT layer after attention, on flat states."""
    attended = layer.attention.output(context, states)
    return layer.output(layer.intermediate(attended), attended)


def classify(module: Any, pooled: Tensor) -> Tensor:
    """Run the checkpoint's own classification head on pooled states.

    module (PreTrainedModel): A BERT-like sequence classification model.
    pooled (Tensor): Shape (n, width), float32.
    RETURNS (Tensor): Shape (n, classes).
    """
    first = pooled.unsqueeze(1).to(module.dtype)
    pooler = getattr(module.base_model, "pooler", None)
    return module.classifier(first) if pooler is None else module.classifier(module.dropout(pooler(first)))
