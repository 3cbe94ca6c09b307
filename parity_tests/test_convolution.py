"""Every form of the convolutions, against each other and PyTorch."""

import jax
import numpy as np
import pytest
import torch

from jax_gan import convolution

FORMS = ("convolve", "convolve_transposed")
SHAPES = {
    "convolve": ((3, 12, 8, 5), (7, 4, 4, 5)),
    "convolve_transposed": ((3, 6, 4, 7), (7, 4, 4, 5)),
}
TOLERANCE = {"rtol": 0, "atol": 1e-12}


def _value_and_gradients(function, name):
    """At fixed random numbers: output, and gradients for a cotangent."""
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_default_matmul_precision", "highest")
    rng = np.random.default_rng(0)
    x, kernel = (rng.normal(size=shape) for shape in SHAPES[name])
    output, pull_back = jax.vjp(function, x, kernel)
    cotangent = rng.normal(size=output.shape)
    return (x, kernel, cotangent), [output, *pull_back(cotangent)]


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("prefix", ["", "patches_", "library_"])
def test_equals_pytorch(prefix, name):
    function = getattr(convolution, prefix + name)
    (x, kernel, cotangent), found = _value_and_gradients(function, name)
    theirs = {
        "convolve": torch.nn.functional.conv2d,
        "convolve_transposed": torch.nn.functional.conv_transpose2d,
    }[name]
    x = torch.tensor(x).permute(0, 3, 1, 2).requires_grad_()
    kernel = torch.tensor(kernel).permute(0, 3, 1, 2).requires_grad_()
    output = theirs(x, kernel, stride=2, padding=1)
    output.backward(torch.tensor(cotangent).permute(0, 3, 1, 2))
    expected = (
        output.detach().permute(0, 2, 3, 1),
        x.grad.permute(0, 2, 3, 1),
        kernel.grad.permute(0, 2, 3, 1),
    )
    for ours, reference in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, reference, **TOLERANCE)


@pytest.mark.parametrize("form", ["patches", "library"])
def test_kernel_gradient(form):
    jax.config.update("jax_enable_x64", True)
    rng = np.random.default_rng(0)
    x, y = (rng.normal(size=SHAPES[name][0]) for name in FORMS)
    found = getattr(convolution, f"{form}_kernel_gradient")(x, y)
    expected = torch.nn.grad.conv2d_weight(
        torch.tensor(x).permute(0, 3, 1, 2),
        (7, 5, 4, 4),
        torch.tensor(y).permute(0, 3, 1, 2),
        stride=2,
        padding=1,
    ).permute(0, 2, 3, 1)
    np.testing.assert_allclose(found, expected, **TOLERANCE)


@pytest.mark.parametrize("name", FORMS)
def test_form_by_platform(name):
    """A CPU multiplies matrices, a GPU convolves."""
    x, kernel = (np.zeros(shape, np.float32) for shape in SHAPES[name])
    function = jax.jit(getattr(convolution, name))

    def lowered(platform):
        traced = function.trace(x, kernel)
        return traced.lower(lowering_platforms=(platform,)).as_text()

    assert "stablehlo.convolution" not in lowered("cpu")
    assert "stablehlo.convolution" in lowered("cuda")


def test_derivative_at_the_kink():
    """leaky_relu has its slope at 0, where PyTorch has it."""
    from jax_gan.layers import leaky_relu

    at_zero = jax.grad(leaky_relu)(0.0, 0.2)
    h = torch.zeros((), requires_grad=True)
    torch.nn.functional.leaky_relu(h, 0.2).backward()
    assert float(at_zero) == pytest.approx(float(h.grad), abs=1e-7)
