"""Test level: initial weights, optimizers and schedules alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from experiment import schedules
from experiment.initial import initial_state
from experiment.recipes import RECIPES, recipe
from jax_gan import create, optim, select_device, to_numpy
from parity_tests.compare import NO_GAP, gap
from parity_tests.small import small_config, small_data
from parity_tests.vjp import TOLERANCE, random_arrays, relative_gap
from torch_ref import create as create_theirs
from torch_ref import optim as their_optim
from torch_ref import to_numpy as to_numpy_theirs

CONFIG = small_config()
# Seed 1 of recipe lecture: the first four numbers of G's hidden kernel.
GOLDEN = [
    -0.07818939023035958,
    -0.030147175241859572,
    0.0024712262985759456,
    -0.004574642136820388,
]


@pytest.fixture(autouse=True)
def _float64():
    select_device("cpu", CONFIG)


@pytest.mark.parametrize("initializer", ["normal", "uniform", "fan-in"])
@pytest.mark.parametrize("name", RECIPES)
def test_initial_weights(name, initializer, digits):
    """Games of one seed start equal, in every bit."""
    config = recipe(name, initializer=initializer, precision="float64", seed=3)
    data = digits(config)
    found = gap(
        to_numpy(create(config, data)),
        to_numpy_theirs(create_theirs(config, data)),
    )
    assert found.error == 0, found


def test_initial_weights_of_both_precisions():
    """Those of float32 are those of float64, rounded."""
    config, data = small_config(output_bias="constant"), small_data()
    exact = to_numpy_theirs(create_theirs(config, data))
    single = replace(config, precision="float32")
    rounded = to_numpy_theirs(create_theirs(single, data.astype(np.float32)))
    for name, array in exact.items():
        np.testing.assert_array_equal(
            rounded[name], array.astype(rounded[name].dtype), name
        )


def test_initial_weights_are_those_of_earlier_versions():
    """A seed is a promise: its numbers are written out here."""
    state = {"generator/params/hidden_0/kernel": np.zeros((2, 2))}
    config = recipe("lecture", seed=1)
    drawn = initial_state(config, state, np.zeros((1, 1)))
    found = drawn["generator/params/hidden_0/kernel"].ravel()
    np.testing.assert_array_equal(found, GOLDEN)


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
    np.testing.assert_allclose(schedules.momentum(config, t, np), wanted, 1e-15)

    t = np.array([0, 1, 125_000, 2_878_000, 2_879_000])
    wanted = [0.1, 0.1 / 1.000004, 0.1 / 1.000004**125_000]
    rates = schedules.learning_rate(config, "generator", t, np)
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
