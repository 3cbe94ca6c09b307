"""Test level: the losses and their gradients, far into saturation too."""

from typing import get_args

import jax
import numpy as np
import pytest
import torch
from scipy.special import expit

import jax_gan.losses
import torch_ref.losses
from experiment.config import Config
from parity_tests.compare import gap

# 40 saturates a sigmoid in float64; softplus forms must not. The kinks of
# hinge are at 1 and -1.
LOGITS = np.concatenate(
    [np.linspace(-40, 40, 41), [-700.0, 700.0, 1e-9, 1.0, -1.0]]
)
OF_X, OF_FAKE = LOGITS, LOGITS[::-1].copy()

# What each logit adds to D's loss, of x and of G(z), and to G's: in NumPy,
# each with its derivative.
_LOG_D = (lambda a: -np.logaddexp(0, -a), lambda a: expit(-a))
_LOG_1_D = (lambda a: -np.logaddexp(0, a), lambda a: -expit(a))
_SQUARE = (lambda a: (a - 1) ** 2 / 2, lambda a: a - 1)


def _negative(term):
    return tuple(lambda a, f=f: -f(a) for f in term)


TERMS = {
    "saturating": (_negative(_LOG_D), _negative(_LOG_1_D), _LOG_1_D),
    "non-saturating": (
        _negative(_LOG_D),
        _negative(_LOG_1_D),
        _negative(_LOG_D),
    ),
    "hinge": (
        (lambda a: np.maximum(0, 1 - a), lambda a: -1.0 * (a < 1)),
        (lambda a: np.maximum(0, 1 + a), lambda a: 1.0 * (a > -1)),
        (lambda a: -a, lambda a: -np.ones_like(a)),
    ),
    "least-squares": (
        _SQUARE,
        (lambda a: a**2 / 2, lambda a: a),
        _SQUARE,
    ),
}
LOSS = pytest.mark.parametrize("name", TERMS)
TWINS = {"jax_gan": jax_gan.losses, "torch_ref": torch_ref.losses}
TWIN = pytest.mark.parametrize("twin", TWINS)


def test_every_loss_is_here():
    known = set(get_args(Config.__dataclass_fields__["loss"].type))
    assert known == TERMS.keys()
    assert all(twin.LOSSES.keys() == known for twin in TWINS.values())


@LOSS
def test_generator_loss(name, measured):
    found = _compare(*_functions(name, "generator"), OF_FAKE)
    measured({"loss": found}, 1e-13)


@LOSS
def test_discriminator_loss(name, measured):
    found = _compare(*_functions(name, "discriminator"), OF_X, OF_FAKE)
    measured({"loss": found}, 1e-13)


@TWIN
@LOSS
def test_formulas(name, twin):
    """Values and gradients of both players against NumPy's."""
    of_x, of_fake, of_generator = TERMS[name]
    value, (real, fake) = _differentiated(twin, name, "discriminator")
    expected = of_x[0](OF_X).mean() + of_fake[0](OF_FAKE).mean()
    np.testing.assert_allclose(value, expected, rtol=1e-14)
    of_mean = 1 / len(LOGITS)
    np.testing.assert_allclose(real, of_x[1](OF_X) * of_mean, rtol=1e-13)
    np.testing.assert_allclose(fake, of_fake[1](OF_FAKE) * of_mean, rtol=1e-13)
    value, (gradient,) = _differentiated(twin, name, "generator")
    expected = of_generator[0](OF_FAKE).mean()
    np.testing.assert_allclose(value, expected, rtol=1e-14)
    expected = of_generator[1](OF_FAKE) * of_mean
    np.testing.assert_allclose(gradient, expected, rtol=1e-13)


PROBABILITIES = {
    "saturating": expit,
    "non-saturating": expit,
    "hinge": lambda a: np.where(a > 0, 1.0, 0.0),
    "least-squares": lambda a: a,
}


@TWIN
@LOSS
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_probability(name, twin, dtype):
    logits = np.array([-2, -1e-30, 0, 1e-30, 0.3, 7], dtype)
    jax.config.update("jax_enable_x64", dtype == np.float64)
    make = jax.numpy.asarray if twin == "jax_gan" else torch.tensor
    found = np.asarray(TWINS[twin].LOSSES[name].probability(make(logits)))
    assert found.dtype == dtype
    rtol = 10 * np.finfo(dtype).eps
    np.testing.assert_allclose(found, PROBABILITIES[name](logits), rtol=rtol)


def _functions(name, player):
    return (getattr(twin.LOSSES[name], player) for twin in TWINS.values())


def _differentiated(twin, name, player):
    """A loss at the logits above, and its gradients, in NumPy."""
    logits = (OF_X, OF_FAKE) if player == "discriminator" else (OF_FAKE,)
    function = getattr(TWINS[twin].LOSSES[name], player)
    return (_in_jax if twin == "jax_gan" else _in_torch)(function, *logits)


def _in_jax(function, *logits):
    jax.config.update("jax_enable_x64", True)
    arguments = tuple(range(len(logits)))
    value, gradients = jax.value_and_grad(function, arguments)(*logits)
    return np.array(value), [np.array(array) for array in gradients]


def _in_torch(function, *logits):
    tensors = [torch.tensor(array, requires_grad=True) for array in logits]
    value = function(*tensors)
    value.backward()
    return value.detach().numpy(), [tensor.grad.numpy() for tensor in tensors]


def _compare(ours, theirs, *logits):
    """The gap of both twins; of a large value, in parts of the value."""

    def named(value, gradients):
        arrays = {f"gradient_{i}": g for i, g in enumerate(gradients)}
        return {"value": value / scale, **arrays}

    ours, theirs = _in_jax(ours, *logits), _in_torch(theirs, *logits)
    scale = max(1.0, abs(float(ours[0])))
    return gap(named(*ours), named(*theirs))
