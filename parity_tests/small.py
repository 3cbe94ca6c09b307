"""A game small enough to be broken seventy times in a minute."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiment.config import Config
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


def small_data() -> NDArray[np.float64]:
    """Fifty images of pixels k/255 with a black half, as digits have.

    Black pixels put units at exactly 0, where derivatives are a convention.
    """
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (50, 28, 28, 1)) / 255
    pixels[:, :, 14:] = 0
    return pixels
