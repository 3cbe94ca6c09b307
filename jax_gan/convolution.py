"""Convolutions of kernel 4, stride 2 and padding 1, fast on a CPU too.

The kernel gradient that autodiff writes for ``lax.conv`` misses the fast path
of XLA's CPU backend by a factor of a hundred, and float64 has no fast path
there at all. So on a CPU a convolution is written as patches of the image
times the kernel, one matmul; elsewhere it is ``lax.conv``. The
gradients are written out: with regard to its input a convolution has the
transposed one as its gradient, and the other way round, and they share the
kernel's. Kernels are (o, 4, 4, i): so lies what a matmul makes of y and the
patches of x. PyTorch needs no twin of this file.
"""

from collections.abc import Callable
from functools import reduce

import jax
import jax.numpy as jnp
from jax import Array, lax

_LAYOUT = ("NHWC", "OHWI", "NHWC")
_Taps = tuple[tuple[int, int], ...]


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
    kernel = jnp.zeros((y.shape[-1], 4, 4, x.shape[-1]), x.dtype)
    _, gradient = jax.vjp(lambda k: library_convolve(x, k), kernel)
    return gradient(y)[0]


def patches_convolve(x: Array, kernel: Array) -> Array:
    """``convolve`` as patches (m, h/2, w/2, 4 4 i) times (4 4 i, o)."""
    return _patches(x) @ kernel.reshape(len(kernel), -1).T


def patches_convolve_transposed(y: Array, kernel: Array) -> Array:
    """``convolve_transposed``: y makes patches, which overlap and add up."""
    m, height, width, o = y.shape
    patches = y @ kernel.reshape(o, -1)
    x = _overlap(patches.reshape(m, height, width, 4, 4, -1))
    return x.reshape(m, 2 * height, 2 * width, -1)


def patches_kernel_gradient(x: Array, y: Array) -> Array:
    """``kernel_gradient`` as y (o, m h/2 w/2) times patches.

    The barrier keeps XLA from folding the transposition into the product: with
    a left factor that is transposed it takes a path half as fast.
    """
    i, o = x.shape[-1], y.shape[-1]
    rows = lax.optimization_barrier(y.reshape(-1, o).T)
    return (rows @ _patches(x).reshape(-1, 16 * i)).reshape(o, 4, 4, i)


def _patches(x: Array) -> Array:
    _, height, width, _ = x.shape
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    taps = [
        x[:, a : a + height : 2, b : b + width : 2]
        for a in range(4)
        for b in range(4)
    ]
    return jnp.concatenate(taps, axis=-1)


def _overlap(taps: Array) -> Array:
    """Adds taps (m, h, w, 4, 4, i) at stride 2: pixels (m, h, 2, w, 2, i).

    Pixel 2p is tap 1 of p and tap 3 of p - 1; pixel 2p + 1 is tap 2 of p and
    tap 0 of p + 1; so in rows as in columns.
    """

    def tap(a: int, b: int, u: int, v: int) -> Array:
        shifts = (0, 0, 0), (u, -u, 0), (v, -v, 0), (0, 0, 0)
        return lax.pad(taps[:, :, :, a, b], jnp.zeros((), taps.dtype), shifts)

    def pixel(row: _Taps, column: _Taps) -> Array:
        taken = [tap(a, b, u, v) for a, u in row for b, v in column]
        return reduce(jnp.add, taken)

    parities = ((1, 0), (3, 1)), ((2, 0), (0, -1))  # taps and their shifts
    rows = [
        jnp.stack([pixel(row, column) for column in parities], axis=3)
        for row in parities
    ]
    return jnp.stack(rows, axis=2)


def _by_platform(on_cpu: Callable, elsewhere: Callable) -> Callable:
    """One of two equal functions, chosen when XLA knows the platform."""
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
    """Halves the image: (m, h, w, i) with kernel (o, 4, 4, i)."""
    return _convolve(x, kernel)


@jax.custom_vjp
def convolve_transposed(y: Array, kernel: Array) -> Array:
    """Doubles the image: (m, h, w, o) with kernel (o, 4, 4, i)."""
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
