"""Layers, with PyTorch's conventions wherever Flax's differ.

Images are (m, height, width, channels). Convolutions halve or double the
image: kernel 4, stride 2, padding 1.
"""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax import Array, lax
from jaxtyping import Float

from experiment.architecture import Architecture
from jax_gan.convolution import convolve, convolve_transposed


def leaky_relu(h: Array, slope: float) -> Array:
    """h where h > 0, else slope h; its derivative at 0 is slope.

    ``jax.nn.leaky_relu`` has derivative 1 at 0, PyTorch has slope, and black
    pixels put many a unit exactly there.

    Example:
        >>> print(leaky_relu(jnp.array([-1.0, 2.0]), 0.2))
        [-0.2  2. ]
    """
    return jnp.where(h > 0, h, slope * h)


def dropout(h: Array, mask: Array | None) -> Array:
    """h times its mask, which holds 0 or 1/keep; no mask in evaluation."""
    return h if mask is None else h * mask


class Dense(nn.Module):
    """Affine map of the last axis; without bias before a batch norm."""

    features: int
    config: Architecture
    use_bias: bool = True

    @nn.compact
    def __call__(self, h: Float[Array, "m in"]) -> Float[Array, "m out"]:
        """H kernel + bias."""
        kernel, bias = _weights(self, h.shape[-1], self.features)
        return h.astype(kernel.dtype) @ kernel + bias


class Convolution(nn.Module):
    """Halves height and width; the kernel is (out, 4, 4, in)."""

    features: int
    config: Architecture
    use_bias: bool = True

    @nn.compact
    def __call__(self, h: Float[Array, "m h w i"]) -> Float[Array, "m _ _ o"]:
        """Cross-correlation of h with the kernel, plus bias."""
        kernel, bias = _weights(self, self.features, 4, 4, h.shape[-1])
        return convolve(h.astype(kernel.dtype), kernel) + bias


class TransposedConvolution(nn.Module):
    """Doubles height and width; the kernel is (in, 4, 4, out)."""

    features: int
    config: Architecture
    use_bias: bool = True

    @nn.compact
    def __call__(self, h: Float[Array, "m h w i"]) -> Float[Array, "m _ _ o"]:
        """The gradient of a convolution with regard to its input."""
        kernel, bias = _weights(self, h.shape[-1], 4, 4, self.features)
        return convolve_transposed(h.astype(kernel.dtype), kernel) + bias


def _weights(layer: Any, *shape: int) -> tuple[Array, Array | int]:
    """Kernel and bias, 0 where there is none, in the type to compute in.

    Zeros until ``create`` sets them: both twins get the same numbers.
    """
    config, zeros = layer.config, nn.initializers.zeros
    dtype = config.compute_dtype
    kernel = layer.param("kernel", zeros, shape, config.dtype)
    if not layer.use_bias:
        return kernel.astype(dtype), 0
    bias = layer.param("bias", zeros, (layer.features,), config.dtype)
    return kernel.astype(dtype), bias.astype(dtype)


class BatchNorm(nn.Module):
    """Batch normalisation over all axes but the last, by PyTorch's rules.

    The batch is normalised with its biased variance; the running variance is
    unbiased and moves by a tenth. Flax differs in both, and keeps float32
    statistics with float64 weights. A bfloat16 h is normalised in float32.
    """

    config: Architecture

    @nn.compact
    def __call__(self, h: Float[Array, "*m c"]) -> Float[Array, "*m c"]:
        """(h - mean) / sqrt(variance + 1e-5), scaled and shifted."""
        shape, dtype, given = h.shape[-1:], self.config.dtype, h.dtype
        h = h.astype(dtype)
        scale = self.param("scale", nn.initializers.ones, shape, dtype)
        bias = self.param("bias", nn.initializers.zeros, shape, dtype)
        running_mean = self.variable(
            "batch_stats", "mean", jnp.zeros, shape, dtype
        )
        running_var = self.variable(
            "batch_stats", "var", jnp.ones, shape, dtype
        )
        if not self.is_mutable_collection("batch_stats"):  # evaluation
            mean, var = running_mean.value, running_var.value
        else:
            axes = tuple(range(h.ndim - 1))
            mean = h.mean(axes)
            var = jnp.square(h - mean).mean(axes)
            if not self.is_initializing():
                n = h.size // h.shape[-1]
                unbiased = var * (n / (n - 1))
                running_mean.value += 0.1 * (mean - running_mean.value)
                running_var.value += 0.1 * (unbiased - running_var.value)
        h = (h - mean) * (scale * lax.rsqrt(var + 1e-5)) + bias
        return h.astype(given)
