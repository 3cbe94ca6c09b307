"""Images that stay in 8 bits: only those that are indexed become numbers."""

import hashlib
import mmap
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from experiment.config import Config


@dataclass(frozen=True, eq=False)
class Pixels:
    """Images to be read as an array of numbers: x = levels[pixels].

    Attributes:
        pixels: the images in 8 bits, (n, h, w, c).
        levels: the number of each of the 256 levels.
        sha256: of the pixels, where it is known.
        mapping: the file that the pixels are read from, if any.
    """

    pixels: NDArray[np.uint8]
    levels: NDArray[np.floating]
    sha256: str | None = None
    mapping: mmap.mmap | None = None

    @property
    def dtype(self) -> np.dtype:
        """The type of the numbers."""
        return self.levels.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """As an array has it: (n, h, w, c)."""
        return self.pixels.shape

    @property
    def size(self) -> int:
        """How many numbers they are."""
        return prod(self.shape)

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: Any) -> NDArray[np.floating]:
        numbers = self.levels[self.pixels[index]]
        if self.mapping is not None:
            # Else all that was ever read would count as the process's memory.
            self.mapping.madvise(mmap.MADV_DONTNEED)
        return numbers

    def __array__(
        self, dtype: DTypeLike | None = None, copy: bool | None = None
    ) -> NDArray:
        if copy is False:
            raise ValueError("the numbers of images are always a copy")
        wanted = self.dtype if dtype is None else dtype
        return self[:].astype(wanted, copy=False)

    def astype(self, dtype: DTypeLike) -> "Pixels":
        """The same images as numbers of another type."""
        levels = self.levels.astype(dtype)
        return Pixels(self.pixels, levels, self.sha256, self.mapping)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the pixels."""
        if self.sha256:
            return self.sha256
        return hashlib.sha256(
            np.ascontiguousarray(self.pixels).data
        ).hexdigest()


# A training set, (n, *sample).
Data = NDArray[np.floating] | Pixels


def levels_of(config: Config) -> NDArray[np.floating]:
    """The numbers of 256 levels, in the range that G's output covers.

    They are [0, 1], or [-1, 1] where the output is ``tanh``.
    """
    # Divided here: XLA multiplies by 1/255, one ulp off.
    levels = np.arange(256, dtype=np.uint8) / 255.0
    if config.output == "tanh":
        levels = 2 * levels - 1
    return levels.astype(config.dtype)


def data_digest(data: Data) -> str:
    """SHA-256 of a training set: of its numbers, its shape and their type."""
    found = hashlib.sha256(f"{data.dtype} {data.shape}".encode())
    if isinstance(data, Pixels):
        found.update(data.levels.data)
        found.update(data.digest.encode())
    else:
        found.update(np.ascontiguousarray(data).data)
    return found.hexdigest()
