"""Useful work of an encoder, and how fast a plain matrix product does as much on the same machine."""

from typing import Any, Callable, NamedTuple, Sequence

from .clock import Spread, spread

# Side of the matrices: large enough for any processor's peak, small enough for a fraction of a second
SIDE = 2048


class Product(NamedTuple):
    """A plain matrix product.

    multiply (Callable[[], object]): Runs it.
    operations (float): Additions and multiplications of one run.
    """

    multiply: Callable[[], object]
    operations: float


def useful_operations(pipe: Any, texts: Sequence[str], labels: Sequence[str]) -> float:
    """Floating-point operations of an encoder's layers on real tokens, without padding or tokens that are masked.

    Embeddings, the pooler and the head are not counted, nor is what is computed once for all texts: the hypotheses' own
    embeddings, and the layers in which they are read without a text.

    pipe (ZeroShotTextCategorizer): The component.
    texts (Sequence[str]): The texts, none longer than a window.
    labels (Sequence[str]): The labels.
    RETURNS (float): Additions and multiplications.
    """
    runtime = pipe.model.shims[0].runtime
    config = runtime.checkpoint.config
    frame = runtime.tokens.frame
    sizes = [len(piece.ids) for piece in runtime.tokens.split(list(pipe.wording(labels).hypotheses))]
    decoupled = getattr(runtime.layout, "decoupled_layers", None)
    layers = config.num_hidden_layers
    edges = len(frame.prefix) + len(frame.middle)
    total = 0.0
    for piece in runtime.tokens.split(list(texts)):
        text = len(piece.ids) + edges
        hypotheses = [size + len(frame.suffix) for size in sizes]
        if decoupled is None:
            total += layers * sum(_layer_operations(config, text + size, text + size) for size in hypotheses)
        else:
            total += layers * _layer_operations(config, text, text)
            total += (layers - decoupled) * sum(_layer_operations(config, size, text + size) for size in hypotheses)
    return total


def _layer_operations(config: Any, queries: int, keys: int) -> float:
    """Operations of one layer on `queries` tokens that see `keys` tokens each."""
    width, inner = config.hidden_size, config.intermediate_size
    products = 4 * width * width + 2 * width * inner
    attention = 2 * width * keys
    return 2.0 * queries * (products + attention)


def matrix_product(dtype: str, device: str) -> Product:
    """A plain product of two square matrices in torch.

    dtype (str): "float32", "bfloat16" or "float16".
    device (str): A torch device string.
    RETURNS (Product): The product.
    """
    import torch

    generator = torch.Generator().manual_seed(0)
    left, right = (
        torch.randn(SIDE, SIDE, generator=generator).to(device=device, dtype=getattr(torch, dtype)) for _ in range(2)
    )

    def multiply() -> object:
        with torch.inference_mode():
            return left @ right

    return Product(multiply, 2.0 * SIDE**3)


def utilisation(
    operations: float, seconds: Sequence[float], product_operations: float, product_seconds: Sequence[float]
) -> Spread:
    """How near a program comes to a matrix product.

    operations (float): Useful operations of the program.
    seconds (Sequence[float]): What it took, round by round.
    product_operations (float): Operations of the product.
    product_seconds (Sequence[float]): What the product took in the same rounds.
    RETURNS (Spread): Operations per second of the program over those of the product.
    """
    rates = [operations / s for s in seconds]
    return spread([rate * s / product_operations for rate, s in zip(rates, product_seconds)])
