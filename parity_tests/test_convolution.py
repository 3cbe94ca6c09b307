"""The CPU's convolution gradients, against autodiff and against PyTorch."""

import jax
import numpy as np
import pytest
import torch
from jax import lax

from jax_gan.convolution import convolve, convolve_transposed

LAYOUT = ("NHWC", "HWIO", "NHWC")


def _plain(x, kernel):
    return lax.conv_general_dilated(
        x, kernel, (2, 2), [(1, 1), (1, 1)], dimension_numbers=LAYOUT
    )


def _plain_transposed(y, kernel):
    return lax.conv_transpose(
        y,
        kernel,
        (2, 2),
        [(2, 2), (2, 2)],
        dimension_numbers=LAYOUT,
        transpose_kernel=True,
    )


CASES = {
    "convolution": (convolve, _plain, (3, 12, 8, 5), (4, 4, 5, 7)),
    "transposed": (
        convolve_transposed,
        _plain_transposed,
        (3, 6, 4, 7),
        (4, 4, 5, 7),
    ),
}


@pytest.fixture(params=CASES)
def case(request):
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_default_matmul_precision", "highest")
    ours, plain, x_shape, kernel_shape = CASES[request.param]
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=x_shape), rng.normal(size=kernel_shape)
    output, pull_back = jax.vjp(ours, x, kernel)
    cotangent = rng.normal(size=output.shape)
    found = [output, *pull_back(cotangent)]
    return request.param, plain, x, kernel, cotangent, found


def test_equals_autodiff(case):
    _, plain, x, kernel, cotangent, found = case
    output, pull_back = jax.vjp(plain, x, kernel)
    for a, b in zip(found, [output, *pull_back(cotangent)], strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)


def test_equals_pytorch(case):
    name, _, x, kernel, cotangent, found = case
    function = {
        "convolution": torch.nn.functional.conv2d,
        "transposed": torch.nn.functional.conv_transpose2d,
    }[name]
    x = torch.tensor(x).permute(0, 3, 1, 2).requires_grad_()
    kernel = torch.tensor(kernel).permute(3, 2, 0, 1).requires_grad_()
    output = function(x, kernel, stride=2, padding=1)
    output.backward(torch.tensor(cotangent).permute(0, 3, 1, 2))
    theirs = (
        output.detach().permute(0, 2, 3, 1),
        x.grad.permute(0, 2, 3, 1),
        kernel.grad.permute(2, 3, 1, 0),
    )
    for a, b in zip(found, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)


def test_derivative_at_the_kink():
    """leaky_relu has its slope at 0, where PyTorch has it."""
    from jax_gan.layers import leaky_relu

    at_zero = jax.grad(leaky_relu)(0.0, 0.2)
    h = torch.zeros((), requires_grad=True)
    torch.nn.functional.leaky_relu(h, 0.2).backward()
    assert float(at_zero) == pytest.approx(float(h.grad), abs=1e-7)
