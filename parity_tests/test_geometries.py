"""Test level: convolutions of any geometry, as most ports have them.

This project's are of one geometry; here are the pads that make the others of
PyTorch and JAX equal.
"""

import pytest
from hypothesis import assume
from hypothesis import strategies as st
from jax import lax
from torch.nn import functional as F

from jax_gan import select_device
from parity_tests.small import small_config
from parity_tests.vjp import for_all, random_arrays, vjp_gap

CONFIG = small_config()
LAYOUT = ("NHWC", "HWIO", "NHWC")


@pytest.fixture(autouse=True)
def _float64():
    select_device("cpu", CONFIG)


PAIR = {
    "kernel": st.tuples(*[st.integers(1, 4)] * 2),
    "stride": st.tuples(*[st.integers(1, 3)] * 2),
    "pad": st.tuples(*[st.integers(0, 3)] * 2),
    "dilation": st.tuples(*[st.integers(1, 3)] * 2),
    "size": st.tuples(*[st.integers(3, 8)] * 2),
}


def test_general_convolution(measured):
    """Pads (p, p); the kernel is permuted to (height, width, in, out)."""

    def check(kernel, stride, pad, dilation, size):
        geometry = zip(kernel, pad, dilation, size, strict=True)
        assume(all(n + 2 * p > d * (k - 1) for k, p, d, n in geometry))

        def in_jax(h, weight):
            return lax.conv_general_dilated(
                h,
                weight.transpose(2, 3, 1, 0),
                stride,
                [(p, p) for p in pad],
                rhs_dilation=dilation,
                dimension_numbers=LAYOUT,
            )

        def in_torch(h, weight):
            h = h.permute(0, 3, 1, 2)
            h = F.conv2d(h, weight, None, stride, pad, dilation)
            return h.permute(0, 2, 3, 1)

        values = random_arrays(h=(2, *size, 3), weight=(4, 3, *kernel))
        return vjp_gap(in_jax, in_torch, values)

    for_all(check, measured, **PAIR)


def test_general_transposed_convolution(measured):
    """Pads (d(k-1)-p, d(k-1)-p+op), transpose_kernel; (2, 3, 1, 0) again."""

    def check(kernel, stride, pad, output_pad, dilation, size):
        each = zip(stride, dilation, output_pad, strict=True)
        assume(all(op < max(s, d) for s, d, op in each))
        geometry = list(zip(kernel, pad, output_pad, dilation, strict=True))
        pads = [
            (d * (k - 1) - p, d * (k - 1) - p + op) for k, p, op, d in geometry
        ]
        assume(
            all(
                (n - 1) * s + d * (k - 1) - 2 * p + op >= 0
                for (k, p, op, d), s, n in zip(
                    geometry, stride, size, strict=True
                )
            )
        )

        def in_jax(h, weight):
            return lax.conv_transpose(
                h,
                weight.transpose(2, 3, 1, 0),
                stride,
                pads,
                rhs_dilation=dilation,
                dimension_numbers=LAYOUT,
                transpose_kernel=True,
            )

        def in_torch(h, weight):
            h = h.permute(0, 3, 1, 2)
            h = F.conv_transpose2d(
                h, weight, None, stride, pad, output_pad, 1, dilation
            )
            return h.permute(0, 2, 3, 1)

        values = random_arrays(h=(2, *size, 4), weight=(4, 3, *kernel))
        return vjp_gap(in_jax, in_torch, values)

    output_pad = st.tuples(*[st.integers(0, 2)] * 2)
    for_all(check, measured, output_pad=output_pad, **PAIR)
