"""Games small enough to be broken seventy times in a minute."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiment.config import Config
from experiment.data import sample_shape
from experiment.recipes import recipe


def small_config(**changes: Any) -> Config:
    """The recipe mlp in float64 with a dozen units a layer."""
    config = recipe(
        "mlp",
        generator_hidden=(16, 16),
        discriminator_hidden=(12, 12),
        batch_size=8,
        noise_size=5,
        precision="float64",
    )
    return replace(config, **changes)


def small_recipe(name: str, **changes: Any) -> Config:
    """A recipe in float64, with few units a layer and small minibatches.

    Losses, rules, k and rates are the recipe's, but for the changes.
    """
    config = recipe(name, **{"precision": "float64", **changes})

    def few(units: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(min(n, 12) for n in units)

    return replace(
        config,
        generator_hidden=few(config.generator_hidden),
        discriminator_hidden=few(config.discriminator_hidden),
        discriminator_dense=few(config.discriminator_dense),
        batch_size=min(config.batch_size, 8),
        noise_size=min(config.noise_size, 5),
    )


def small_data(config: Config | None = None) -> NDArray[np.float64]:
    """Fifty examples of pixels k/255 with a black half, as digits have.

    Black pixels put units at exactly 0, where derivatives are a convention.

    Args:
        config: gives their shape; [28, 28, 1] without one.
    """
    shape = sample_shape(config) if config else (28, 28, 1)
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (50, *shape)) / 255
    if len(shape) == 3:
        pixels[:, :, shape[1] // 2 :] = 0
    return pixels
