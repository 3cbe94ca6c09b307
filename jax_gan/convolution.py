"""Convolutions whose gradients are fast on a CPU too.

The kernel gradient that autodiff writes for ``lax.conv`` permutes dimension
numbers; XLA's CPU backend then leaves its fast path, and one layer takes a
hundred times longer. So on a CPU every gradient is written as a convolution
in the canonical layout; elsewhere it is the one that autodiff writes. All
have kernel 4, stride 2 and padding 1.

PyTorch needs no twin of this file.
"""

import jax
from jax import Array, lax
from jaxtyping import Float

_LAYOUT = ("NHWC", "HWIO", "NHWC")


def _halve(x: Array, kernel: Array) -> Array:
    return lax.conv_general_dilated(
        x, kernel, (2, 2), [(1, 1), (1, 1)], dimension_numbers=_LAYOUT
    )


def _double(y: Array, kernel: Array) -> Array:
    """Gradient of ``_halve`` with regard to x: stride becomes dilation."""
    flipped = kernel[::-1, ::-1].swapaxes(2, 3)
    return lax.conv_general_dilated(
        y,
        flipped,
        (1, 1),
        [(2, 2), (2, 2)],
        lhs_dilation=(2, 2),
        dimension_numbers=_LAYOUT,
    )


def _kernel_gradient(x: Array, y: Array) -> Array:
    """Gradient of ``_halve`` with regard to the kernel, for cotangent y.

    The batch is summed over, so it takes the place of the input channels.
    """
    gradient = lax.conv_general_dilated(
        x.transpose(3, 1, 2, 0),
        y.transpose(1, 2, 0, 3),
        (1, 1),
        [(1, 1), (1, 1)],
        rhs_dilation=(2, 2),
        dimension_numbers=_LAYOUT,
    )
    return gradient.transpose(1, 2, 0, 3)


@jax.custom_vjp
def convolve(
    x: Float[Array, "m h w i"], kernel: Float[Array, "4 4 i o"]
) -> Float[Array, "m h/2 w/2 o"]:
    """Cross-correlation that halves the image."""
    return _halve(x, kernel)


def _convolve_backward(saved, y):
    def canonical(x, kernel, y):
        return _double(y, kernel), _kernel_gradient(x, y)

    def autodiff(x, kernel, y):
        return jax.vjp(_halve, x, kernel)[1](y)

    return lax.platform_dependent(*saved, y, cpu=canonical, default=autodiff)


convolve.defvjp(
    lambda x, kernel: (_halve(x, kernel), (x, kernel)), _convolve_backward
)


@jax.custom_vjp
def convolve_transposed(
    y: Float[Array, "m h w o"], kernel: Float[Array, "4 4 i o"]
) -> Float[Array, "m 2*h 2*w i"]:
    """The transpose of ``convolve``: doubles the image."""
    return _double(y, kernel)


def _convolve_transposed_backward(saved, x):
    def canonical(y, kernel, x):
        return _halve(x, kernel), _kernel_gradient(x, y)

    def autodiff(y, kernel, x):
        return jax.vjp(_double, y, kernel)[1](x)

    return lax.platform_dependent(*saved, x, cpu=canonical, default=autodiff)


convolve_transposed.defvjp(
    lambda y, kernel: (_double(y, kernel), (y, kernel)),
    _convolve_transposed_backward,
)
