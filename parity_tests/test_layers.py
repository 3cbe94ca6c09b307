"""Rung: every layer and rule alone, forward and backward, in float64.

Errors are relative to the largest value of an array, or to 1 if that is more.
"""

import jax
import numpy as np
import pytest
import torch
from flax import linen as nn
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st
from jax import lax
from torch.func import functional_call
from torch.nn import functional as F

import jax_gan.layers as ours
import torch_ref.layers as theirs
from experiment import schedules
from experiment.recipes import RECIPES, recipe
from jax_gan import create, maxout, models, optim, select_device, to_numpy
from parity_tests.compare import NO_GAP, gap
from parity_tests.small import small_config
from torch_ref import create as create_theirs
from torch_ref import maxout as their_maxout
from torch_ref import models as their_models
from torch_ref import optim as their_optim
from torch_ref import to_numpy as to_numpy_theirs

TOLERANCE = 1e-13

CONFIG = small_config()
SIZE = st.integers(1, 6)
EVEN = st.integers(1, 5).map(lambda half: 2 * half)
DRAWN = {"features": SIZE, "bias": st.booleans()}
LAYOUT = ("NHWC", "HWIO", "NHWC")


@pytest.fixture(autouse=True)
def _float64():
    select_device("cpu", CONFIG)


# Layers


def test_dense(measured):
    def check(m, channels, **drawn):
        return _layer_gap("Dense", (m, channels), **drawn)

    _for_all(check, measured, m=SIZE, channels=SIZE, **DRAWN)


@pytest.mark.parametrize("kind", ["Convolution", "TransposedConvolution"])
def test_convolution(kind, measured):
    def check(m, height, width, channels, **drawn):
        assume(height != width)
        return _layer_gap(kind, (m, height, width, channels), **drawn)

    size = {"m": SIZE, "height": EVEN, "width": EVEN, "channels": SIZE}
    _for_all(check, measured, **size, **DRAWN)


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm(training, measured):
    def check(m, height, width, channels):
        shapes = dict.fromkeys(("scale", "bias", "mean"), (channels,))
        values = _random(h=(m, height, width, channels), **shapes)
        running = {"mean": values.pop("mean"), "var": np.full(channels, 0.7)}
        layer = theirs.BatchNorm(channels).double().train(training)

        def in_jax(h, **params):
            variables = {"params": params, "batch_stats": running}
            if not training:
                return ours.BatchNorm(CONFIG).apply(variables, h)
            mutable = {"mutable": "batch_stats"}
            return ours.BatchNorm(CONFIG).apply(variables, h, **mutable)[0]

        def in_torch(h, scale, bias):
            state = {"running_mean": running["mean"]}
            state["running_var"] = running["var"]
            tensors = {k: torch.tensor(v) for k, v in state.items()}
            tensors |= {"weight": scale, "bias": bias}
            return functional_call(layer, tensors, h)

        return _vjp_gap(in_jax, in_torch, values)

    _for_all(check, measured, m=st.integers(2, 6), **_image())


def test_running_statistics(measured):
    """After five batches, each with a mean and a variance of its own."""

    def check(m, height, width, channels):
        layer = theirs.BatchNorm(channels).double()
        statistics = {"mean": np.zeros(channels), "var": np.ones(channels)}
        params = {"scale": np.ones(channels), "bias": np.zeros(channels)}
        rng = np.random.default_rng(0)
        for number in range(1, 6):
            shape = (m, height, width, channels)
            h = rng.normal(number, number, shape)
            _, updated = ours.BatchNorm(CONFIG).apply(
                {"params": params, "batch_stats": statistics},
                h,
                mutable="batch_stats",
            )
            statistics = updated["batch_stats"]
            layer(torch.tensor(h))
        expected = {"mean": layer.running_mean, "var": layer.running_var}
        return _relative_gap(statistics, expected)

    _for_all(check, measured, m=st.integers(2, 6), **_image())


def _image():
    return {"height": SIZE, "width": SIZE, "channels": SIZE}


def _layer_gap(kind, shape, features, bias):
    inputs = shape[-1]
    layer = getattr(theirs, kind)(inputs, features, bias=bias).double()
    kernel = {
        "Dense": (inputs, features),
        "Convolution": (4, 4, inputs, features),
        "TransposedConvolution": (4, 4, features, inputs),
    }[kind]
    values = _random(h=shape, kernel=kernel, bias=(features,))
    if not bias:
        del values["bias"]

    def in_jax(h, **params):
        layer = getattr(ours, kind)(features, CONFIG, 1.0, use_bias=bias)
        return layer.apply({"params": params}, h)

    def in_torch(h, kernel, **params):
        weight = kernel.T if kernel.ndim == 2 else kernel.permute(3, 2, 0, 1)
        weight = weight.contiguous()  # some gradients of PyTorch insist
        return functional_call(layer, {"weight": weight, **params}, h)

    return _vjp_gap(in_jax, in_torch, values)


# Activations and dropout

# Both zeros, where a derivative is a convention, and both saturations.
H = np.array([0.0, -0.0, 1e-300, -1e-300, -40, 40, -700, 700, -1.5, 2.5])


@pytest.mark.parametrize("slope", [0.0, 0.2])
def test_leaky_relu(slope, measured):
    found = _vjp_gap(
        lambda h: ours.leaky_relu(h, slope),
        lambda h: theirs.leaky_relu(h, slope),
        {"h": H},
    )
    measured({"activation": found}, TOLERANCE)
    assert jax.grad(ours.leaky_relu)(0.0, slope) == slope


def test_relu(measured):
    found = _vjp_gap(
        lambda h: models.relu(h), lambda h: their_models.relu(h), {"h": H}
    )
    measured({"activation": found}, TOLERANCE)
    assert jax.grad(models.relu)(0.0) == 0


def test_maxout(measured):
    def check(m, units, pieces):
        return _vjp_gap(
            lambda h: maxout.maxout(h, pieces),
            lambda h: their_maxout.maxout(h, pieces),
            _random(h=(m, units * pieces)),
        )

    _for_all(check, measured, m=SIZE, units=SIZE, pieces=SIZE)


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
    found = _vjp_gap(
        lambda h: models.OUTPUTS[name](h),
        lambda h: their_models.OUTPUTS[name](h),
        {"h": H},
    )
    measured({"activation": found}, TOLERANCE)


@pytest.mark.parametrize("mask", [None, np.resize([0, 1 / 0.8], H.shape)])
def test_dropout(mask, measured):
    found = _vjp_gap(
        lambda h: ours.dropout(h, mask),
        lambda h: theirs.dropout(h, None if mask is None else h.new(mask)),
        {"h": H},
    )
    measured({"dropout": found}, TOLERANCE)


# First weights


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
    params = _random(kernel=(5, 3), bias=(3,))
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
        worst = max(worst, _relative_gap(params, tensors))
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
    measured({"weights": found})
    assert found.error <= TOLERANCE, found


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


# The general convolution: not of this project, but of most ports.

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

        values = _random(h=(2, *size, 3), weight=(4, 3, *kernel))
        return _vjp_gap(in_jax, in_torch, values)

    _for_all(check, measured, **PAIR)


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

        values = _random(h=(2, *size, 4), weight=(4, 3, *kernel))
        return _vjp_gap(in_jax, in_torch, values)

    output_pad = st.tuples(*[st.integers(0, 2)] * 2)
    _for_all(check, measured, output_pad=output_pad, **PAIR)


# How all of them are compared


def _for_all(check, measured, **strategies):
    """The gap that ``check`` finds stays within bounds for twenty draws."""
    worst = NO_GAP

    @settings(
        derandomize=True,
        deadline=None,
        max_examples=20,
        phases=[Phase.generate],  # every shape compiles: shrinking is slow
    )
    @given(**strategies)
    def each(**drawn):
        nonlocal worst
        found = check(**drawn)
        worst = max(worst, found)
        assert found.error <= TOLERANCE, found

    each()
    measured({"layer": worst}, TOLERANCE)


def _random(**shapes):
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=shape) for name, shape in shapes.items()}


def _vjp_gap(in_jax, in_torch, values):
    """Output and all gradients of a function, for a random cotangent."""

    @jax.jit
    def both(values, cotangent):
        output, pull_back = jax.vjp(lambda values: in_jax(**values), values)
        return output, *pull_back(cotangent)

    shape = jax.eval_shape(lambda values: in_jax(**values), values).shape
    cotangent = np.random.default_rng(1).normal(size=shape)
    output, gradients = both(values, cotangent)
    tensors = {
        k: torch.tensor(v, requires_grad=True) for k, v in values.items()
    }
    expected = in_torch(**tensors)
    expected.backward(torch.tensor(cotangent))
    return _relative_gap(
        {"output": output, **gradients},
        {"output": expected, **{k: t.grad for k, t in tensors.items()}},
    )


def _relative_gap(ours, theirs):
    theirs = {k: tensor.detach().numpy() for k, tensor in theirs.items()}
    scales = {k: max(1, np.abs(v).max()) for k, v in theirs.items()}
    return gap(
        {k: np.array(array) / scales[k] for k, array in ours.items()},
        {k: array / scales[k] for k, array in theirs.items()},
    )
