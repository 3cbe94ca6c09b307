"""A small digit classifier, the judge of samples, in NumPy.

Two convolutions (5x5, stride 2, no padding; ReLU), a hidden layer of 64
(ReLU), ten logits. ``python -m benchmarks.classifier`` trained its weights,
which lie next to this file with their test accuracy.
"""

from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from safetensors.numpy import load_file

WEIGHTS = Path(__file__).parent / "classifier.safetensors"
# Images at a time: their 5x5 windows take 15 kB each.
_BLOCK = 1_000


class Classified(NamedTuple):
    """What the classifier says of images.

    Attributes:
        features: its last hidden layer, (n, 64).
        probabilities: of the ten digits, (n, 10).
    """

    features: NDArray[np.float64]
    probabilities: NDArray[np.float64]

    @property
    def digits(self) -> NDArray[np.integer]:
        """The likeliest digit of each image, (n,)."""
        return self.probabilities.argmax(1)


def classify(images: NDArray[np.floating]) -> Classified:
    """Features and probabilities of images (n, 28, 28, 1) in [0, 1]."""
    blocks = range(_BLOCK, len(images), _BLOCK)
    parts = [_classify(part) for part in np.split(images, blocks)]
    return Classified(*map(np.concatenate, zip(*parts, strict=True)))


def _classify(images: NDArray[np.floating]) -> Classified:
    weights = _weights()

    def dense(name: str, h: NDArray) -> NDArray:
        return h @ weights[f"{name}/kernel"] + weights[f"{name}/bias"]

    h = images.astype(np.float32)
    for name in ("convolution_0", "convolution_1"):
        h = np.maximum(dense(name, _windows(h)), 0)
    h = np.maximum(dense("hidden", h.reshape(len(h), -1)), 0)
    logits = dense("output", h).astype(np.float64)
    odds = np.exp(logits - logits.max(1, keepdims=True))
    return Classified(h.astype(np.float64), odds / odds.sum(1, keepdims=True))


def _windows(h: NDArray[np.float32]) -> NDArray[np.float32]:
    """Every second 5x5 window, flat: (m, h, w, c) to (m, h', w', 25 c)."""
    windows = sliding_window_view(h, (5, 5), axis=(1, 2))[:, ::2, ::2]
    windows = windows.transpose(0, 1, 2, 4, 5, 3)
    return windows.reshape(*windows.shape[:3], -1)


@cache
def _weights() -> dict[str, NDArray[np.float32]]:
    return load_file(WEIGHTS)
