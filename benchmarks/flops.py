"""The floating-point work of one iteration, by formula.

Products of matrices and convolutions are counted, as PyTorch's
FlopCounterMode counts them: 2 for a multiplication and its addition. Sums,
activations and the optimizer are left out on both sides.
"""

from itertools import pairwise
from math import prod

from experiment.config import Config


def flops(config: Config, shape: tuple[int, ...]) -> int:
    """Of one iteration of Algorithm 1 on samples of the given shape.

    A forward pass is F; a layer's gradient with regard to its weights costs
    as much as its forward pass, and so does that with regard to its input.
    D's step: G forward, D forward and weight gradients for x and for G(z),
    input gradients behind the first layer. G's step: both forward, input
    gradients all through D and behind G's first layer, G's weight gradients.
    """
    G, D = _generator(config, shape), _discriminator(config, shape)
    of_d = sum(G) + 2 * (3 * sum(D) - D[0])
    of_g = 3 * sum(G) - G[0] + 2 * sum(D)
    return 2 * config.batch_size * (config.k * of_d + of_g)


def _generator(config: Config, shape: tuple[int, ...]) -> list[int]:
    """Multiplications of each layer for one sample."""
    hidden = config.generator_hidden
    if config.network == "mlp":
        sizes = [config.noise_size, *hidden, prod(shape)]
        return [a * b for a, b in pairwise(sizes)]
    first, second = hidden
    return [
        config.noise_size * 7 * 7 * first,
        7 * 7 * 16 * first * second,
        14 * 14 * 16 * second * shape[-1],
    ]


def _discriminator(config: Config, shape: tuple[int, ...]) -> list[int]:
    hidden = config.discriminator_hidden
    if config.network == "mlp":
        sizes = [prod(shape), *hidden, 1]
        return [a * b for a, b in pairwise(sizes)]
    first, second = hidden
    return [
        14 * 14 * 16 * shape[-1] * first,
        7 * 7 * 16 * first * second,
        7 * 7 * second,
    ]
