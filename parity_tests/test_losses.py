"""Rung: the losses and their gradients, far into saturation too."""

import jax
import numpy as np
import pytest
import torch

import jax_gan.losses
import torch_ref.losses
from parity_tests.compare import gap

# 40 saturates a sigmoid in float64; softplus forms must not.
LOGITS = np.concatenate([np.linspace(-40, 40, 41), [-700.0, 700.0, 1e-9]])


@pytest.mark.parametrize("name", ["saturating", "non-saturating"])
def test_generator_loss(name, measured):
    found = _compare(
        jax_gan.losses.GENERATOR_LOSSES[name],
        torch_ref.losses.GENERATOR_LOSSES[name],
        LOGITS,
    )
    measured({"loss": found}, 1e-13)


def test_discriminator_loss(measured):
    found = _compare(
        jax_gan.losses.discriminator_loss,
        torch_ref.losses.discriminator_loss,
        LOGITS,
        LOGITS[::-1].copy(),
    )
    measured({"loss": found}, 1e-13)


def test_closed_forms():
    """Against log(sigmoid) written out, where that is exact."""
    logits = np.linspace(-5, 5, 11)
    D = 1 / (1 + np.exp(-logits))
    losses = torch_ref.losses
    tensor = torch.tensor(logits)
    np.testing.assert_allclose(
        losses.discriminator_loss(tensor, tensor),
        -np.log(D).mean() - np.log(1 - D).mean(),
        rtol=1e-14,
    )
    np.testing.assert_allclose(
        losses.saturating_loss(tensor), np.log(1 - D).mean(), rtol=1e-14
    )
    np.testing.assert_allclose(
        losses.non_saturating_loss(tensor), -np.log(D).mean(), rtol=1e-14
    )


def _compare(ours, theirs, *logits):
    jax.config.update("jax_enable_x64", True)
    arguments = tuple(range(len(logits)))
    value, gradients = jax.value_and_grad(ours, arguments)(*logits)
    tensors = [torch.tensor(array, requires_grad=True) for array in logits]
    their_value = theirs(*tensors)
    their_value.backward()
    names = [f"gradient_{i}" for i in arguments]
    return gap(
        {
            "value": np.array(value),
            **dict(zip(names, map(np.array, gradients), strict=True)),
        },
        {
            "value": their_value.detach().numpy(),
            **{n: t.grad.numpy() for n, t in zip(names, tensors, strict=True)},
        },
    )
