"""Layout, padding and shape of the networks."""

from collections.abc import Callable
from typing import Any

import torch

from parity_tests.faults.base import (
    DCGAN,
    Patch,
    fault,
)
from torch_ref import layers, models


@fault(
    "an image is flattened channels first",
    "layout",
    "permute to NHWC before the flatten, or permute the dense kernel's rows",
    **DCGAN,
)
def _flatten_channels_first(patch: Patch) -> None:
    sound = models.DCGANDiscriminator.forward

    def forward(self, x, masks):
        dense = self.output.forward

        def wrong(h):
            return dense(
                h.reshape(len(h), 7, 7, -1).flatten(1, 2).mT.flatten(1)
            )

        with Patch() as inner:
            inner.setattr(self.output, "forward", wrong)
            return sound(self, x, masks)

    patch.setattr(models.DCGANDiscriminator, "forward", forward)


@fault(
    "G's first image is unflattened channels first",
    "layout",
    "reshape to (m, 7, 7, c), not to (m, c, 7, 7)",
    **DCGAN,
)
def _unflatten_channels_first(patch: Patch) -> None:
    sound = layers.BatchNorm.forward

    def forward(self, h):
        if h.shape[1:3] == (7, 7) and h.shape[3] == 8 and h.is_contiguous():
            m, c = len(h), h.shape[3]
            h = h.reshape(m, c, 7, 7).permute(0, 2, 3, 1)
        return sound(self, h)

    patch.setattr(layers.BatchNorm, "forward", forward)


def _with_kernel(patch: Patch, kind: Any, change: Callable) -> None:
    """A convolution that uses its kernel (out, in, 4, 4) changed."""
    sound = kind.forward

    def forward(self, h):
        with Patch() as inner:
            weight = self.weight
            inner.setitem(self._parameters, "weight", change(weight))
            return sound(self, h)

    patch.setattr(kind, "forward", forward)


@fault(
    "height and width of a kernel are swapped",
    "layout",
    "kernel.permute(2, 3, 1, 0): (out, in, h, w) to (h, w, in, out)",
    **DCGAN,
)
def _swapped_kernel(patch: Patch) -> None:
    _with_kernel(patch, layers.Convolution, lambda kernel: kernel.mT)


@fault(
    "a kernel is flipped: convolution, not cross-correlation",
    "layout",
    "conv_transpose(..., transpose_kernel=True) flips; no flip anywhere else",
    **DCGAN,
)
def _flipped_kernel(patch: Patch) -> None:
    kind = layers.TransposedConvolution
    _with_kernel(patch, kind, lambda kernel: kernel.flip(2, 3))


@fault(
    "padding is at the end of the image, as SAME puts an odd pixel",
    "layout",
    "explicit pads [(1, 1), (1, 1)], never 'SAME'",
    **DCGAN,
)
def _uneven_padding(patch: Patch) -> None:
    sound = layers.Convolution.forward

    def forward(self, h):
        h = h.roll((-1, -1), (1, 2))
        h = torch.cat([h[:, :-1], torch.zeros_like(h[:, -1:])], 1)
        h = torch.cat([h[:, :, :-1], torch.zeros_like(h[:, :, -1:])], 2)
        return sound(self, h)

    patch.setattr(layers.Convolution, "forward", forward)


@fault(
    "a transposed convolution is off by one pixel",
    "layout",
    "pads (k - 1 - p, k - 1 - p + output_padding)",
    **DCGAN,
)
def _shifted_transposed(patch: Patch) -> None:
    sound = layers.TransposedConvolution.forward

    def forward(self, h):
        return sound(self, h).roll(1, 1)

    patch.setattr(layers.TransposedConvolution, "forward", forward)
