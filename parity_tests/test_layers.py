"""Test level: every layer and activation alone, forward and backward."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from hypothesis import assume
from hypothesis import strategies as st
from jaxtyping import TypeCheckError
from torch.func import functional_call

import jax_gan.layers as ours
import torch_ref.layers as theirs
from experiment.architecture import architecture
from jax_gan import maxout, models, select_device
from parity_tests.compare import gap
from parity_tests.small import small_config
from parity_tests.vjp import (
    TOLERANCE,
    for_all,
    random_arrays,
    relative_gap,
    vjp_gap,
)
from torch_ref import maxout as their_maxout
from torch_ref import models as their_models

CONFIG = small_config()
ARCHITECTURE = architecture(CONFIG)
SIZE = st.integers(1, 6)
EVEN = st.integers(1, 5).map(lambda half: 2 * half)
DRAWN = {"features": SIZE, "bias": st.booleans()}


@pytest.fixture(autouse=True)
def _float64():
    select_device("cpu", CONFIG)


def test_dense(measured):
    def check(m, channels, **drawn):
        return _layer_gap("Dense", (m, channels), **drawn)

    for_all(check, measured, m=SIZE, channels=SIZE, **DRAWN)


@pytest.mark.parametrize("kind", ["Convolution", "TransposedConvolution"])
def test_convolution(kind, measured):
    def check(m, height, width, channels, **drawn):
        assume(height != width)
        return _layer_gap(kind, (m, height, width, channels), **drawn)

    size = {"m": SIZE, "height": EVEN, "width": EVEN, "channels": SIZE}
    for_all(check, measured, **size, **DRAWN)


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm(training, measured):
    def check(m, height, width, channels):
        shapes = dict.fromkeys(("scale", "bias", "mean"), (channels,))
        values = random_arrays(h=(m, height, width, channels), **shapes)
        running = {"mean": values.pop("mean"), "var": np.full(channels, 0.7)}
        layer = theirs.BatchNorm(channels).double().train(training)

        def in_jax(h, **params):
            h = jnp.asarray(h)
            variables = {"params": params, "batch_stats": running}
            if not training:
                return ours.BatchNorm(ARCHITECTURE).apply(variables, h)
            mutable = {"mutable": "batch_stats"}
            layer = ours.BatchNorm(ARCHITECTURE)
            return layer.apply(variables, h, **mutable)[0]

        def in_torch(h, scale, bias):
            state = {"running_mean": running["mean"]}
            state["running_var"] = running["var"]
            tensors = {k: torch.tensor(v) for k, v in state.items()}
            tensors |= {"weight": scale, "bias": bias}
            return functional_call(layer, tensors, h)

        return vjp_gap(in_jax, in_torch, values)

    for_all(check, measured, m=st.integers(2, 6), **_image())


def test_running_statistics(measured):
    """After five batches, each with another mean and variance."""

    def check(m, height, width, channels):
        layer = theirs.BatchNorm(channels).double()
        statistics = {"mean": np.zeros(channels), "var": np.ones(channels)}
        params = {"scale": np.ones(channels), "bias": np.zeros(channels)}
        rng = np.random.default_rng(0)
        for number in range(1, 6):
            shape = (m, height, width, channels)
            h = rng.normal(number, number, shape)
            _, updated = ours.BatchNorm(ARCHITECTURE).apply(
                {"params": params, "batch_stats": statistics},
                jnp.asarray(h),
                mutable="batch_stats",
            )
            statistics = updated["batch_stats"]
            layer(torch.tensor(h))
        expected = {"mean": layer.running_mean, "var": layer.running_var}
        return relative_gap(statistics, expected)

    for_all(check, measured, m=st.integers(2, 6), **_image())


def _image():
    return {"height": SIZE, "width": SIZE, "channels": SIZE}


def _layer_gap(kind, shape, features, bias):
    inputs = shape[-1]
    layer = getattr(theirs, kind)(inputs, features, bias=bias).double()
    kernel = {
        "Dense": (inputs, features),
        "Convolution": (features, 4, 4, inputs),
        "TransposedConvolution": (inputs, 4, 4, features),
    }[kind]
    values = random_arrays(h=shape, kernel=kernel, bias=(features,))
    if not bias:
        del values["bias"]

    def in_jax(h, **params):
        layer = getattr(ours, kind)(features, ARCHITECTURE, use_bias=bias)
        return layer.apply({"params": params}, jnp.asarray(h))

    def in_torch(h, kernel, **params):
        weight = kernel.T if kernel.ndim == 2 else kernel.permute(0, 3, 1, 2)
        weight = weight.contiguous()  # some gradients of PyTorch insist
        return functional_call(layer, {"weight": weight, **params}, h)

    return vjp_gap(in_jax, in_torch, values)


# Activations and dropout

# Both zeros, where a derivative is a convention, and both saturations.
H = np.array([0.0, -0.0, 1e-300, -1e-300, -40, 40, -700, 700, -1.5, 2.5])


@pytest.mark.parametrize("slope", [0.0, 0.2])
def test_leaky_relu(slope, measured):
    found = vjp_gap(
        lambda h: ours.leaky_relu(h, slope),
        lambda h: theirs.leaky_relu(h, slope),
        {"h": H},
    )
    measured({"activation": found}, TOLERANCE)
    assert jax.grad(ours.leaky_relu)(0.0, slope) == slope


def test_relu(measured):
    found = vjp_gap(
        lambda h: models.relu(h), lambda h: their_models.relu(h), {"h": H}
    )
    measured({"activation": found}, TOLERANCE)
    assert jax.grad(models.relu)(0.0) == 0


def test_maxout(measured):
    def check(m, units, pieces):
        return vjp_gap(
            lambda h: maxout.maxout(h, pieces),
            lambda h: their_maxout.maxout(h, pieces),
            random_arrays(h=(m, units * pieces)),
        )

    for_all(check, measured, m=SIZE, units=SIZE, pieces=SIZE)


def test_maxout_shares_the_gradient_of_a_tie():
    """Two units of three pieces: two tie for the largest, then all three."""
    h = np.array([[2.0, 1.0, 2.0, 0.0, 0.0, -0.0]])
    expected = np.array([[1 / 2, 0, 1 / 2, 1 / 3, 1 / 3, 1 / 3]])
    in_jax = jax.grad(lambda h: maxout.maxout(h, 3).sum())(h)
    tensor = torch.tensor(h, requires_grad=True)
    their_maxout.maxout(tensor, 3).sum().backward()
    found = gap(
        {"jax": in_jax, "torch": tensor.grad.numpy()},
        {"jax": expected, "torch": expected.copy()},
    )
    assert found.error <= TOLERANCE, found


@pytest.mark.parametrize("name", models.OUTPUTS)
def test_output_activation(name, measured):
    found = vjp_gap(
        lambda h: models.OUTPUTS[name](h),
        lambda h: their_models.OUTPUTS[name](h),
        {"h": H},
    )
    measured({"activation": found}, TOLERANCE)


@pytest.mark.parametrize("mask", [None, np.resize([0, 1 / 0.8], H.shape)])
def test_dropout(mask, measured):
    found = vjp_gap(
        lambda h: ours.dropout(h, None if mask is None else jnp.array(mask)),
        lambda h: theirs.dropout(h, None if mask is None else h.new(mask)),
        {"h": H},
    )
    measured({"dropout": found}, TOLERANCE)


def test_shapes_in_signatures_are_checked():
    """While tests run: a vector is no minibatch."""
    with pytest.raises(TypeCheckError):
        maxout.maxout(jnp.ones(4), pieces=2)
    with pytest.raises(TypeCheckError):
        their_maxout.maxout(torch.ones(4), pieces=2)
