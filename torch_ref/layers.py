"""Layers that take images as JAX does: (m, height, width, channels).

The permutations are views: to PyTorch these are its own layers on tensors in
the ``channels_last`` format, its fastest. Convolutions halve or double the
image: kernel 4, stride 2, padding 1.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from torch_ref.parallel import mean_over_processes
from torch_ref.processes import processes


def leaky_relu(h: Tensor, slope: float) -> Tensor:
    """h where h > 0, else slope h; its derivative at 0 is slope.

    Example:
        >>> import torch
        >>> leaky_relu(torch.tensor([-1.0, 2.0]), 0.2)
        tensor([-0.2000,  2.0000])
    """
    return nn.functional.leaky_relu(h, slope)


def dropout(h: Tensor, mask: Tensor | None) -> Tensor:
    """h times its mask, which holds 0 or 1/keep; no mask in evaluation."""
    return h if mask is None else h * mask


class Dense(nn.Linear):
    """Affine map of the last axis; without bias before a batch norm."""


class Convolution(nn.Conv2d):
    """Halves height and width; the kernel is (out, in, 4, 4)."""

    def __init__(self, channels: int, features: int, bias: bool = True):
        super().__init__(channels, features, 4, stride=2, padding=1, bias=bias)

    def forward(self, h: Float[Tensor, "m h w i"]) -> Float[Tensor, "m _ _ o"]:
        """Cross-correlation of h with the kernel, plus bias."""
        return _to_nhwc(super().forward(_to_nchw(h)))


class TransposedConvolution(nn.ConvTranspose2d):
    """Doubles height and width; the kernel is (in, out, 4, 4)."""

    def __init__(self, channels: int, features: int, bias: bool = True):
        super().__init__(channels, features, 4, stride=2, padding=1, bias=bias)

    def forward(  # type: ignore[override]
        self, h: Float[Tensor, "m h w i"]
    ) -> Float[Tensor, "m _ _ o"]:
        """The gradient of a convolution with regard to its input."""
        return _to_nhwc(super().forward(_to_nchw(h)))


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation over all axes but the last.

    The batch is normalised with its biased variance; the running variance is
    unbiased and moves by a tenth.
    """

    def forward(self, h: Float[Tensor, "m h w c"]) -> Float[Tensor, "m h w c"]:
        """(h - mean) / sqrt(variance + 1e-5), scaled and shifted."""
        if self.training and processes() > 1:
            return self._forward_over_processes(h)
        return _to_nhwc(super().forward(_to_nchw(h)))

    def _forward_over_processes(self, h: Tensor) -> Tensor:
        """The same by the statistics of all processes' rows.

        PyTorch's ``SyncBatchNorm`` takes no tensor of a CPU. The variance is
        that of the centred h, as PyTorch's own and XLA's are.
        """
        given, h = h.dtype, h.to(self.weight.dtype)
        axes = tuple(range(h.ndim - 1))
        mean = mean_over_processes(h.mean(axes))
        var = mean_over_processes((h - mean).square().mean(axes))
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.momentum is not None
        with torch.no_grad():
            n = h.numel() // h.shape[-1] * processes()
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(var * (n / (n - 1)), self.momentum)
        scale = self.weight * torch.rsqrt(var + self.eps)
        return ((h - mean) * scale + self.bias).to(given)


def _to_nchw(h: Tensor) -> Tensor:
    return h.permute(0, 3, 1, 2)


def _to_nhwc(h: Tensor) -> Tensor:
    return h.permute(0, 2, 3, 1)
