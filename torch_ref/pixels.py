"""A training set on the device, where images stay in 8 bits."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from experiment.pixels import Data, Pixels


@dataclass(frozen=True)
class DevicePixels:
    """Images to be read as an array of numbers: x = levels[pixels].

    Attributes:
        pixels: the images in 8 bits, (n, h, w, c).
        levels: the number of each of the 256 levels.
    """

    pixels: Tensor
    levels: Tensor

    @property
    def dtype(self) -> Any:
        """The type of the numbers."""
        return self.levels.dtype

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: Any) -> Tensor:
        # PyTorch takes bytes for a mask.
        return self.levels[self.pixels[index].long()]


def place_data(data: Data, device: Any = None) -> Tensor | DevicePixels:
    """Copies a training set to the device."""
    if isinstance(data, Pixels):
        parts = data.pixels, data.levels
        return DevicePixels(*(torch.tensor(p, device=device) for p in parts))
    return torch.tensor(data, device=device)
