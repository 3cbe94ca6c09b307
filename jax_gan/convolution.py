"""Convolutions of kernel 4, stride 2 and padding 1, fast on a CPU too.

The kernel gradient that autodiff writes for ``lax.conv`` misses the fast path
of XLA's CPU backend by a factor of a hundred, and float64 has no fast path
there at all. So on a CPU a convolution is written as patches of the image
times the kernel, one product of matrices; elsewhere it is ``lax.conv``. The
gradients are written out: with regard to its input a convolution has the
transposed one as its gradient, and the other way round, and they share the
kernel's. PyTorch needs no twin of this file.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array, lax

_LAYOUT = ("NHWC", "HWIO", "NHWC")


def library_convolve(x: Array, kernel: Array) -> Array:
    """``convolve`` by XLA's own convolution."""
    return lax.conv_general_dilated(
        x, kernel, (2, 2), [(1, 1), (1, 1)], dimension_numbers=_LAYOUT
    )


def library_convolve_transposed(y: Array, kernel: Array) -> Array:
    """``convolve_transposed`` by XLA's own convolution."""
    return lax.conv_transpose(
        y,
        kernel,
        (2, 2),
        [(2, 2), (2, 2)],
        dimension_numbers=_LAYOUT,
        transpose_kernel=True,
    )


def library_kernel_gradient(x: Array, y: Array) -> Array:
    """``kernel_gradient`` by XLA's own convolution."""
    kernel = jnp.zeros((4, 4, x.shape[-1], y.shape[-1]), x.dtype)
    _, gradient = jax.vjp(lambda k: library_convolve(x, k), kernel)
    return gradient(y)[0]


def patches_convolve(x: Array, kernel: Array) -> Array:
    """``convolve`` as patches (m, h/2, w/2, 4 4 i) times (4 4 i, o)."""
    return _patches(x) @ kernel.reshape(-1, kernel.shape[-1])


def patches_convolve_transposed(y: Array, kernel: Array) -> Array:
    """``convolve_transposed``: y makes patches, which overlap and add up."""
    m, height, width, o = y.shape
    patches = y @ kernel.reshape(-1, o).T
    taps = patches.reshape(m, height, width, 4, 4, -1)
    rows = _overlap(taps, axis=1, taps_axis=3)  # (m, h, 2, w, 4, i)
    x = _overlap(rows, axis=3, taps_axis=4)  # (m, h, 2, w, 2, i)
    return x.reshape(m, 2 * height, 2 * width, -1)


def patches_kernel_gradient(x: Array, y: Array) -> Array:
    """``kernel_gradient`` as patches (4 4 i, m h/2 w/2) times y."""
    i, o = x.shape[-1], y.shape[-1]
    gradient = _patches(x).reshape(-1, 16 * i).T @ y.reshape(-1, o)
    return gradient.reshape(4, 4, i, o)


def _patches(x: Array) -> Array:
    _, height, width, _ = x.shape
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    taps = [
        x[:, a : a + height : 2, b : b + width : 2]
        for a in range(4)
        for b in range(4)
    ]
    return jnp.concatenate(taps, axis=-1)


def _overlap(patches: Array, axis: int, taps_axis: int) -> Array:
    """Adds the 4 taps of patches at stride 2 along one axis.

    Pixel 2p is tap 1 of p and tap 3 of p - 1; pixel 2p + 1 is tap 2 of p and
    tap 0 of p + 1. The axis gets one of length 2 behind it, for these two.
    """

    def tap(i: int, shift: int = 0) -> Array:
        taken = lax.index_in_dim(patches, i, taps_axis, keepdims=False)
        padding = [(0, 0, 0)] * taken.ndim
        padding[axis] = (shift, -shift, 0)
        return lax.pad(taken, jnp.zeros((), taken.dtype), padding)

    return jnp.stack([tap(1) + tap(3, 1), tap(2) + tap(0, -1)], axis + 1)


def _by_platform(on_cpu: Callable, elsewhere: Callable) -> Callable:
    """One function of two equal forms, chosen when XLA knows the platform."""
    return lambda *arrays: lax.platform_dependent(
        *arrays, cpu=on_cpu, default=elsewhere
    )


_convolve = _by_platform(patches_convolve, library_convolve)
_transposed = _by_platform(
    patches_convolve_transposed, library_convolve_transposed
)
_kernel_gradient = _by_platform(
    patches_kernel_gradient, library_kernel_gradient
)


@jax.custom_vjp
def convolve(x: Array, kernel: Array) -> Array:
    """Halves the image: (m, h, w, i) with kernel (4, 4, i, o)."""
    return _convolve(x, kernel)


@jax.custom_vjp
def convolve_transposed(y: Array, kernel: Array) -> Array:
    """Doubles the image: (m, h, w, o) with kernel (4, 4, i, o)."""
    return _transposed(y, kernel)


convolve.defvjp(
    lambda x, kernel: (_convolve(x, kernel), (x, kernel)),
    lambda saved, dy: (
        _transposed(dy, saved[1]),
        _kernel_gradient(saved[0], dy),
    ),
)
convolve_transposed.defvjp(
    lambda y, kernel: (_transposed(y, kernel), (y, kernel)),
    lambda saved, dx: (
        _convolve(dx, saved[1]),
        _kernel_gradient(dx, saved[0]),
    ),
)
