"""Activations, and their derivatives at the kink."""

import torch
from torch.nn import functional as F

from parity_tests.faults.base import (
    DCGAN,
    Patch,
    Plant,
    fault,
)
from torch_ref import models


def _slope_of(slope: float) -> Plant:
    def plant(patch: Patch) -> None:
        patch.setattr(models, "leaky_relu", lambda h, _: F.leaky_relu(h, slope))

    return plant


fault(
    "the slope of leaky ReLU is the default .01",
    "activations",
    "give the slope: both frameworks default to .01, DCGAN uses .2",
)(_slope_of(0.01))


@fault(
    "leaky ReLU has derivative 1 at 0, as jax.nn.leaky_relu",
    "activations",
    "jnp.where(x > 0, x, slope * x)",
    **DCGAN,
)
def _kink(patch: Patch) -> None:
    patch.setattr(
        models, "leaky_relu", lambda h, a: torch.where(h >= 0, h, a * h)
    )


@fault(
    "ReLU has derivative 1/2 at 0, as jnp.maximum(x, 0)",
    "activations",
    "jax.nn.relu",
    equivalent="no unit of G is at exactly 0 before its ReLU",
)
def _half_kink(patch: Patch) -> None:
    patch.setattr(
        models, "relu", lambda h: torch.maximum(h, torch.zeros_like(h))
    )


@fault(
    "hidden units of G are leaky", "activations", "ReLU in G, leaky ReLU in D"
)
def _leaky_generator(patch: Patch) -> None:
    patch.setattr(models, "relu", lambda h: F.leaky_relu(h, 0.01))


@fault(
    "GELU for ReLU, in its tanh form",
    "activations",
    "jax.nn.gelu is approximate by default, PyTorch's exact",
)
def _gelu(patch: Patch) -> None:
    patch.setattr(models, "relu", lambda h: F.gelu(h, approximate="tanh"))


@fault(
    "the sigmoid of G is applied twice",
    "activations",
    "one output activation, inside G",
)
def _double_sigmoid(patch: Patch) -> None:
    patch.setitem(
        models.OUTPUTS, "sigmoid", lambda h: torch.sigmoid(torch.sigmoid(h))
    )
