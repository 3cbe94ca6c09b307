"""A training set on the device, where images stay in 8 bits."""

from dataclasses import dataclass
from typing import Any

import jax
from jax import Array
from jax.tree_util import register_dataclass

from experiment.pixels import Data, Pixels


@register_dataclass
@dataclass(frozen=True)
class DevicePixels:
    """Images to be read as an array of numbers: x = levels[pixels].

    Attributes:
        pixels: the images in 8 bits, (n, h, w, c).
        levels: the number of each of the 256 levels.
    """

    pixels: Array
    levels: Array

    @property
    def dtype(self) -> Any:
        """The type of the numbers."""
        return self.levels.dtype

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: Any) -> Array:
        return self.levels[self.pixels[index]]


def place_data(data: Data, device: Any = None) -> Array | DevicePixels:
    """Copies a training set to the device."""
    if isinstance(data, Pixels):
        parts = data.pixels, data.levels
        return DevicePixels(*(jax.device_put(p, device) for p in parts))
    return jax.device_put(data, device)
