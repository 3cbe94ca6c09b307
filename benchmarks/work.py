"""The work of one iteration, by formula: matmuls, and optimizer traffic.

Matmuls and convolutions are counted as PyTorch's FlopCounterMode counts them:
2 FLOP for a multiplication and its addition. Sums and activations are left out
for both frameworks.
"""

from collections.abc import Mapping
from itertools import pairwise
from math import prod

from numpy.typing import NDArray

from experiment.config import Config


def flops(config: Config, shape: tuple[int, ...]) -> int:
    """FLOP of one iteration on samples of the given shape.

    A layer's gradient with regard to its weights costs as much as its forward
    pass, and so does that with regard to its input.
    """
    G, D = _generator(config, shape), _discriminator(config, shape)
    multiplications = _UPDATES[config.updates](G, D, config.k)
    return 2 * config.batch_size * multiplications


def optimizer_bytes(config: Config, state: Mapping[str, NDArray]) -> int:
    """Bytes that the optimizers move to and from memory in an iteration.

    A step reads weights, gradients and moments, and writes weights and
    moments; D takes k steps.

    Args:
        config: the experiment.
        state: the arrays of its game, by framework-neutral names.
    """
    total = 0
    for side, steps in (("generator", 1), ("discriminator", config.k)):
        weights = _bytes(state, f"{side}/params/")
        moments = _bytes(state, f"{side}/optimizer/")
        total += steps * (3 * weights + 2 * moments)
    return total


def _bytes(state: Mapping[str, NDArray], prefix: str) -> int:
    return sum(a.nbytes for name, a in state.items() if name.startswith(prefix))


def _alternating(G: list[int], D: list[int], k: int) -> int:
    """Multiplications of Algorithm 1 for one sample.

    D's step: G forward, D forward and weight gradients for x and for G(z),
    input gradients behind the first layer. G's step: both forward, input
    gradients all through D and behind G's first layer, G's weight gradients.
    """
    discriminator = sum(G) + 2 * (3 * sum(D) - D[0])
    generator = 3 * sum(G) - G[0] + 2 * sum(D)
    return k * discriminator + generator


def _simultaneous(G: list[int], D: list[int], _: int) -> int:
    """The same of the authors' code: one forward pass serves both updates."""
    return 3 * sum(G) - G[0] + 2 * (3 * sum(D) - D[0]) + sum(D)


_UPDATES = {"alternating": _alternating, "simultaneous": _simultaneous}


def _generator(config: Config, shape: tuple[int, ...]) -> list[int]:
    """Multiplications of each layer for one sample."""
    hidden = config.generator_hidden
    if config.network != "dcgan":
        sizes = [config.noise_size, *hidden, prod(shape)]
        return [a * b for a, b in pairwise(sizes)]
    side = shape[0] // 2 ** len(hidden)
    return [
        config.noise_size * side**2 * hidden[0],
        *_convolutions(side, *hidden, shape[-1]),
    ]


def _discriminator(config: Config, shape: tuple[int, ...]) -> list[int]:
    hidden = config.discriminator_hidden
    if config.network != "dcgan":
        pieces = config.pieces if config.network == "maxout" else 1
        layers = [a * b * pieces for a, b in pairwise([prod(shape), *hidden])]
        return [*layers, hidden[-1]]
    side = shape[0] // 2 ** len(hidden)
    layers = _convolutions(side, *hidden[::-1], shape[-1])
    sizes = [side**2 * hidden[-1], *config.discriminator_dense, 1]
    return [*layers[::-1], *(a * b for a, b in pairwise(sizes))]


def _convolutions(side: int, *features: int) -> list[int]:
    """Of kernel 4 x 4, each between images of ``side`` and of twice that."""
    return [
        (side * 2**i) ** 2 * 16 * a * b
        for i, (a, b) in enumerate(pairwise(features))
    ]
