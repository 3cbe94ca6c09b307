"""Rung: first weights, optimizers and schedules alone."""

import jax
import numpy as np
import pytest
import torch
from flax import linen as nn

import jax_gan.layers as ours
from experiment import schedules
from experiment.recipes import RECIPES, recipe
from jax_gan import create, optim, select_device, to_numpy
from parity_tests.compare import NO_GAP, gap
from parity_tests.small import small_config
from parity_tests.vjp import TOLERANCE, random_arrays, relative_gap
from torch_ref import create as create_theirs
from torch_ref import optim as their_optim
from torch_ref import to_numpy as to_numpy_theirs

CONFIG = small_config()


@pytest.fixture(autouse=True)
def _float64():
    select_device("cpu", CONFIG)


@pytest.mark.parametrize("initializer", ["normal", "uniform", "fan-in"])
@pytest.mark.parametrize("name", RECIPES)
def test_initial_weights_rule(name, initializer, monkeypatch, digits):
    """With every random draw replaced by its scale, both games are equal."""
    monkeypatch.setattr(
        ours.random,
        "uniform",
        lambda key, shape, dtype, low, high: jax.numpy.full(
            shape, high - 2 * (high + low), dtype
        ),
    )
    monkeypatch.setattr(nn.initializers, "normal", nn.initializers.constant)
    monkeypatch.setattr(
        torch.Tensor,
        "uniform_",
        lambda w, low, high, generator: w.fill_(high - 2 * (high + low)),
    )
    monkeypatch.setattr(
        torch.Tensor,
        "normal_",
        lambda w, mean, deviation, generator: w.fill_(deviation + mean),
    )
    config = recipe(
        name,
        initializer=initializer,
        generator_scale=0.04,
        discriminator_scale=0.03,
        precision="float64",
    )
    data = digits(config)
    found = gap(
        to_numpy(create(config, data)),
        to_numpy_theirs(create_theirs(config, data)),
    )
    assert found.error <= TOLERANCE, found


# Optimizers

RULES = {
    "adam": {"optimizer": "adam"},
    "adam_b1_0": {"optimizer": "adam", "b1": 0.0},
    "sgd": {"optimizer": "sgd", "momentum": 0.0},
    "momentum": {"optimizer": "sgd", "momentum": 0.5},
    "classical_momentum": {
        "optimizer": "classical-momentum",
        "epoch_steps": 3,
        "saturation_epoch": 3,
        "min_learning_rate": 0.02,
    },
}
PLAYERS = ("generator", "discriminator")


@pytest.mark.parametrize("player", PLAYERS)
@pytest.mark.parametrize("decay", [1.0, 0.9])
@pytest.mark.parametrize("rule", RULES)
def test_optimizer(rule, decay, player, measured):
    """Twenty steps on random gradients; the weights after every one."""
    config = _rule_config(decay, **RULES[rule])
    params = random_arrays(kernel=(5, 3), bias=(3,))
    optimizer = optim.OPTIMIZERS[config.optimizer](config, player)
    state = optimizer.init(params)
    tensors = {
        k: torch.nn.Parameter(torch.tensor(v)) for k, v in params.items()
    }
    build = their_optim.OPTIMIZERS[config.optimizer]
    reference = build(config, player, list(tensors.values()))
    rng, worst = np.random.default_rng(1), NO_GAP
    for _ in range(20):
        gradients = {k: rng.normal(size=v.shape) for k, v in params.items()}
        updates, state = optimizer.update(gradients, state, params)
        params = {k: v + updates[k] for k, v in params.items()}
        for name, tensor in tensors.items():
            tensor.grad = torch.tensor(gradients[name])
        reference.step()
        worst = max(worst, relative_gap(params, tensors))
    measured({"weights": worst}, TOLERANCE)


@pytest.mark.parametrize("player", PLAYERS)
def test_schedule(player, measured):
    """Rate decay^(n // k) of D, rate decay^n of G: written out."""
    config = _rule_config(0.9, **RULES["sgd"])
    rate, steps = (0.03, 1) if player == "generator" else (0.1, 2)
    expected = rate * 0.9 ** (np.arange(20) // steps)

    optimizer = optim.sgd(config, player)
    state, in_jax = optimizer.init(np.zeros(())), []
    parameter = torch.nn.Parameter(torch.zeros((), dtype=torch.float64))
    reference, in_torch = their_optim.sgd(config, player, [parameter]), []
    for _ in range(20):
        update, state = optimizer.update(np.ones(()), state)
        in_jax.append(-float(update))
        before = parameter.item()
        parameter.grad = torch.ones_like(parameter)
        reference.step()
        in_torch.append(before - parameter.item())

    found = {"rate": gap({"rate": np.array(in_jax)}, {"rate": expected})}
    measured(found, TOLERANCE)
    assert gap({"": np.array(in_torch)}, {"": expected}).error <= TOLERANCE


@pytest.mark.parametrize("player", PLAYERS)
def test_classical_momentum(player, measured):
    """v = mu v - rate g, p = p + v, with both schedules written out."""
    config = _rule_config(0.9, **RULES["classical_momentum"])
    rate, steps = (0.03, 1) if player == "generator" else (0.1, 2)
    gradients = np.random.default_rng(0).normal(size=20)

    optimizer = optim.classical_momentum(config, player)
    state, p = optimizer.init(np.zeros(())), 0.0
    parameter = torch.nn.Parameter(torch.zeros((), dtype=torch.float64))
    reference = their_optim.classical_momentum(config, player, [parameter])
    expected, v, rows = 0.0, 0.0, []
    for n, gradient in enumerate(gradients):
        t = n // steps
        mu = 0.5 + 0.2 * min(t // 3, 2) / 2
        v = mu * v - max(rate * 0.9**t, 0.02) * gradient
        expected += v
        update, state = optimizer.update(gradient, state)
        p += float(update)
        parameter.grad = torch.tensor(gradient)
        reference.step()
        rows.append((p, parameter.item(), expected))
    in_jax, in_torch, wanted = np.array(rows).T.copy()
    found = gap(
        {"jax": in_jax, "torch": in_torch},
        {"jax": wanted, "torch": wanted.copy()},
    )
    measured({"weights": found}, TOLERANCE)


def test_schedules_of_the_paper():
    """As pylearn2 follows mnist.yaml: 500 batches an epoch, 250 epochs."""
    config = recipe("paper")
    t = np.array([0, 499, 500, 124_499, 124_500, 10**6])
    epochs = np.array([1, 1, 2, 249, 250, 2001])
    share = np.minimum((epochs - 1) / 249, 1)
    wanted = 0.5 * (1 - share) + 0.7 * share
    np.testing.assert_allclose(schedules.momentum(config, t), wanted, 1e-15)

    t = np.array([0, 1, 125_000, 2_878_000, 2_879_000])
    wanted = [0.1, 0.1 / 1.000004, 0.1 / 1.000004**125_000]
    rates = schedules.learning_rate(config, "generator", t)
    # 1/1.000004 itself is rounded: a power of it is off by 5e-12.
    np.testing.assert_allclose(rates[:3], wanted, 1e-11)
    assert rates[3] > 1e-6
    assert rates[4] == 1e-6


def _rule_config(decay, **changes):
    return small_config(
        k=2,
        learning_rate=0.1,
        generator_learning_rate=0.03,
        decay=decay,
        **changes,
    )
