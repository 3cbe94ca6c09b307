"""Convolutions of kernel 4, stride 2 and padding 1, fast on a CPU too.

The kernel gradient that autodiff writes for ``lax.conv`` misses the fast path
of XLA's CPU backend by a factor of a hundred, and float64 has no fast path
there at all. So on a CPU a convolution is written as patches of the image
times the kernel, one product of matrices, gradients included; elsewhere it is
``lax.conv``. PyTorch needs no twin of this file.
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


def patches_convolve(x: Array, kernel: Array) -> Array:
    """``convolve`` as patches (m, h/2, w/2, 4 4 i) times (4 4 i, o)."""
    _, height, width, _ = x.shape
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    taps = [
        x[:, a : a + height : 2, b : b + width : 2]
        for a in range(4)
        for b in range(4)
    ]
    patches = jnp.concatenate(taps, axis=-1)
    return patches @ kernel.reshape(-1, kernel.shape[-1])


def patches_convolve_transposed(y: Array, kernel: Array) -> Array:
    """``convolve_transposed``: y makes patches, which overlap and add up."""
    m, height, width, o = y.shape
    patches = y @ kernel.reshape(-1, o).T
    taps = patches.reshape(m, height, width, 4, 4, -1)
    rows = _overlap(taps, axis=1, taps_axis=3)  # (m, h, 2, w, 4, i)
    x = _overlap(rows, axis=3, taps_axis=4)  # (m, h, 2, w, 2, i)
    return x.reshape(m, 2 * height, 2 * width, -1)


def _overlap(patches: Array, axis: int, taps_axis: int) -> Array:
    """Adds the 4 taps of patches at stride 2 along one axis.

    Pixel 2p is tap 1 of p and tap 3 of p - 1; pixel 2p + 1 is tap 2 of p and
    tap 0 of p + 1. The axis gets one of length 2 behind it, for these two.
    """

    def tap(i: int, shift: int = 0) -> Array:
        # On a CPU the gradient of take is faster than that of a slice.
        taken = jnp.take(patches, i, taps_axis)
        padding = [(0, 0, 0)] * taken.ndim
        padding[axis] = (shift, -shift, 0)
        return lax.pad(taken, jnp.zeros((), taken.dtype), padding)

    return jnp.stack([tap(1) + tap(3, 1), tap(2) + tap(0, -1)], axis + 1)


def _by_platform(on_cpu: Callable, elsewhere: Callable, doc: str) -> Callable:
    """One function of two equal forms, chosen when XLA knows the platform.

    The gradient chooses for itself: autodiff of the choice would keep what
    both forms need.
    """

    @jax.custom_vjp
    def chosen(x: Array, kernel: Array) -> Array:
        return lax.platform_dependent(x, kernel, cpu=on_cpu, default=elsewhere)

    def forward(x: Array, kernel: Array):
        return chosen(x, kernel), (x, kernel)

    def backward(saved: tuple[Array, Array], cotangent: Array):
        def gradient(form: Callable) -> Callable:
            return lambda x, kernel, y: jax.vjp(form, x, kernel)[1](y)

        return lax.platform_dependent(
            *saved, cotangent, cpu=gradient(on_cpu), default=gradient(elsewhere)
        )

    chosen.defvjp(forward, backward)
    chosen.__doc__ = doc
    return chosen


convolve = _by_platform(
    patches_convolve,
    library_convolve,
    "Halves the image: (m, h, w, i) with kernel (4, 4, i, o).",
)
convolve_transposed = _by_platform(
    patches_convolve_transposed,
    library_convolve_transposed,
    "Doubles the image: (m, h, w, o) with kernel (4, 4, i, o).",
)
