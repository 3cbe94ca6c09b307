"""Optimizers: constants, form and schedule."""

from collections.abc import Callable
from math import exp, log
from typing import Any

import numpy as np
import torch

from parity_tests.faults.base import (
    Patch,
    Plant,
    fault,
)
from torch_ref import optim


def _with_groups(name: str, **changes: Any) -> Plant:
    """An optimizer whose constants differ."""

    def plant(patch: Patch) -> None:
        sound = optim.OPTIMIZERS[name]

        def changed(config, player, parameters):
            optimizer = sound(config, player, parameters)
            for group in optimizer.param_groups:
                group.update(changes)
            return optimizer

        patch.setitem(optim.OPTIMIZERS, name, changed)

    return plant


fault("Adam's b1 is .9", "optimizers", "b1 .5 for GANs, .9 by default")(
    _with_groups("adam", betas=(0.9, 0.999))
)
fault("Adam's b2 is .9991", "optimizers", "compare at least three steps")(
    _with_groups("adam", betas=(0.5, 0.9991))
)
fault("Adam's epsilon is 1e-7, as in Keras", "optimizers", "eps=1e-8")(
    _with_groups("adam", eps=1e-7)
)
fault("Adam has weight decay", "optimizers", "none in a GAN's Adam")(
    _with_groups("adam", weight_decay=1e-4)
)
fault(
    "momentum is Nesterov's",
    "optimizers",
    "nesterov=False",
    optimizer="sgd",
    learning_rate=0.02,
)(_with_groups("sgd", nesterov=True))
fault(
    "momentum is dampened",
    "optimizers",
    "dampening=0",
    optimizer="sgd",
    learning_rate=0.02,
)(_with_groups("sgd", dampening=0.5))


def _with_update(rule: Callable, **config: Any) -> Plant:
    """An optimizer with ``rule(optimizer, group)`` in place of its step."""

    def plant(patch: Patch) -> None:
        for name, sound in list(optim.OPTIMIZERS.items()):

            def changed(config, player, parameters, sound=sound):
                optimizer: Any = sound(config, player, parameters)
                step = optimizer.step

                def ruled():
                    rule(optimizer, optimizer.param_groups[0], step)

                optimizer.step = ruled
                return optimizer

            patch.setitem(optim.OPTIMIZERS, name, changed)

    return plant


def _by_hand(change: Callable, optimizer: Any, group: Any, _: Any) -> None:
    """Adam written out, its last line left to ``change``."""
    b1, b2 = group["betas"]
    group["step"] += 1
    with torch.no_grad():
        for p in group["params"]:
            state = optimizer.state[p]
            state["step"] += 1
            t = int(state["step"])
            state["exp_avg"].lerp_(p.grad, 1 - b1)
            state["exp_avg_sq"].mul_(b2).addcmul_(p.grad, p.grad, value=1 - b2)
            m, v = state["exp_avg"], state["exp_avg_sq"]
            p -= change(m, v, 1 - b1**t, 1 - b2**t)


_RATE = 5e-4  # of the recipe mlp


def _in_float32(correction: float) -> float:
    """1 - b2^t as float32 computes it: t digits of b2 are lost."""
    t = round(log(1 - correction) / log(0.999))
    return float(np.float32(1) - np.float32(0.999) ** np.float32(t))


fault(
    "Adam's moments are not corrected for their start at 0",
    "optimizers",
    "bias correction, 1 - b^t",
)(
    _with_update(
        lambda *a: _by_hand(
            lambda m, v, c1, c2: _RATE * m / (v.sqrt() + 1e-8), *a
        )
    )
)
fault(
    "Adam's epsilon is under the root",
    "optimizers",
    "eps, not eps_root, in Optax",
)(
    _with_update(
        lambda *a: _by_hand(
            lambda m, v, c1, c2: _RATE * (m / c1) / (v / c2 + 1e-8).sqrt(), *a
        )
    )
)
fault(
    "Adam's bias correction is in float32, as Optax's without x64",
    "optimizers",
    "-expm1(t log b) in place of 1 - b^t, or x64",
)(
    _with_update(
        lambda *a: _by_hand(
            lambda m, v, c1, c2: (
                _RATE * (m / c1) / ((v / _in_float32(c2)).sqrt() + 1e-8)
            ),
            *a,
        )
    )
)


def _scaled_rate(factor: Callable) -> Callable:
    """Takes the optimizer's step, then moves the weights by factor of it."""

    def rule(optimizer: Any, group: Any, step: Callable) -> None:
        before = [p.detach().clone() for p in group["params"]]
        count = int(group["step"])
        step()
        with torch.no_grad():
            for p, old in zip(group["params"], before, strict=True):
                p.copy_(old + (p - old) * factor(count))

    return rule


fault(
    "the learning rate is larger by a millionth",
    "optimizers",
    "float64 shows it, float32 hides it",
)(_with_update(_scaled_rate(lambda count: 1 + 1e-6)))
fault(
    "the schedule is off by one step",
    "optimizers",
    "count from 0: the first step has the full rate",
    decay=0.99,
)(_with_update(_scaled_rate(lambda count: 0.99)))
fault(
    "D's schedule counts its own steps, not iterations",
    "optimizers",
    "count // k for D",
    decay=0.99,
    k=2,
)(
    _with_update(
        _scaled_rate(lambda count: exp(log(0.99) * (count - count // 2)))
    )
)


@fault(
    "one learning rate for both players",
    "optimizers",
    "each player has its own",
    generator_learning_rate=1e-3,
)
def _one_rate(patch: Patch) -> None:
    for name, sound in list(optim.OPTIMIZERS.items()):

        def shared(config, player, parameters, sound=sound):
            return sound(config, "discriminator", parameters)

        patch.setitem(optim.OPTIMIZERS, name, shared)


def _pylearn2_momentum(decay: float) -> Plant:
    def plant(patch: Patch) -> None:
        sound = optim.sgd

        def changed(config, player, parameters):
            optimizer: Any = sound(config, player, parameters)
            group = optimizer.param_groups[0]
            velocity = {p: torch.zeros_like(p) for p in group["params"]}

            def step():
                rate = 0.02 * exp(log(decay) * int(group["step"]))
                group["step"] += 1
                with torch.no_grad():
                    for p, v in velocity.items():
                        v.mul_(config.momentum).sub_(rate * p.grad)
                        p += v
                        buffer = optimizer.state[p]["momentum_buffer"]
                        buffer.copy_(-v / rate)

            optimizer.step = step
            return optimizer

        patch.setitem(optim.OPTIMIZERS, "sgd", changed)

    return plant


fault(
    "momentum holds the rate, as pylearn2's v = mu v - rate g; the rate falls",
    "optimizers",
    "v = mu v + g, p = p - rate v, in both",
    optimizer="sgd",
    learning_rate=0.02,
    decay=0.99,
)(_pylearn2_momentum(0.99))
fault(
    "momentum holds the rate, as pylearn2's; the rate is constant",
    "optimizers",
    "none needed while rate and momentum are constant",
    equivalent="v only carries the constant rate as a factor",
    optimizer="sgd",
    learning_rate=0.02,
)(_pylearn2_momentum(1.0))
