"""Embeddings of texts by the encoder that a component has loaded already, whatever its architecture."""

from typing import Any, Sequence

from thinc.types import Floats2d


def embed_by(shim: Any, texts: Sequence[str]) -> Floats2d:
    """Embed texts by a component's own encoder, fine-tuned or not. Loads it if it was not used yet.

    A sentence embedding model pools as its checkpoint says; of any other the mean of the last states is taken.

    shim (CheckpointShim): The component's checkpoint.
    texts (Sequence[str]): The texts; of a long one the mean of its windows is taken.
    RETURNS (Floats2d): Shape (texts, width), float32, rows of length one.
    RAISES (ZeroShotError): Z240 for an encoder-decoder, and what loading raises.
    """
    from .embeddings import Embedder
    from .encoder import SentenceEncoder

    runtime = shim.runtime
    encoder = getattr(runtime.layout, "encoder", None)
    if not isinstance(encoder, SentenceEncoder):
        encoder = _around(runtime, shim)
    with runtime.autocast():
        return Embedder(shim.source, max_batch_tokens=runtime.budget, encoder=encoder).embed(texts)


def weights_of(shim: Any) -> str:
    """What tells embeddings of the installed bundled model from those of a pipeline's own checkpoint.

    shim (CheckpointShim): The component's checkpoint.
    RETURNS (str): The bundled weights' hash, or "own".
    """
    from .source import bundled_hash

    return bundled_hash() if shim.source.is_bundled and not shim.changed else "own"


def _around(runtime: Any, shim: Any) -> Any:
    import torch

    from .encoder import SentenceEncoder
    from .pooling import Pooling

    checkpoint = runtime.checkpoint._replace(module=runtime.checkpoint.module.base_model)
    multiple = 1 if runtime.dtype == torch.float32 else 16
    return SentenceEncoder(checkpoint, runtime.tokens, Pooling(), multiple, shim.source.name, shim.component)
