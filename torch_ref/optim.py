"""The gradient-based rule of Algorithm 1: Adam, or momentum in two forms."""

from collections.abc import Iterable

import numpy as np
import torch
from torch.nn import Parameter
from torch.optim import Optimizer

from experiment.config import Config
from experiment.schedules import iteration, learning_rate, momentum

# All optimizers start with the zeros that PyTorch would make at its first
# step, so that their state can be read and written before there was one.


def adam(
    config: Config, player: str, parameters: Iterable[Parameter]
) -> Optimizer:
    """Adam (Kingma & Ba 2015) with the config's rate and decays.

    m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2, and
    p = p - rate (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + 1e-8).
    """
    betas = config.b1, config.b2
    optimizer = torch.optim.Adam(parameters, betas=betas, eps=1e-8, fused=True)
    _schedule(optimizer, config, player)
    for parameter in optimizer.param_groups[0]["params"]:
        optimizer.state[parameter] = {
            "step": torch.zeros((), device=parameter.device),
            "exp_avg": torch.zeros_like(parameter),
            "exp_avg_sq": torch.zeros_like(parameter),
        }
    return optimizer


def sgd(
    config: Config, player: str, parameters: Iterable[Parameter]
) -> Optimizer:
    """Stochastic gradient descent with momentum, as the paper used.

    v = momentum v + g, and p = p - rate v.
    """
    mu = config.momentum
    optimizer = torch.optim.SGD(parameters, momentum=mu, fused=True)
    _schedule(optimizer, config, player)
    for parameter in optimizer.param_groups[0]["params"]:
        if mu:
            buffer = torch.zeros_like(parameter)
            optimizer.state[parameter] = {"momentum_buffer": buffer}
    return optimizer


def _schedule(optimizer: Optimizer, config: Config, player: str) -> None:
    """Sets the step size of this iteration before every step.

    The count of steps lies in the parameter group.
    """
    group = optimizer.param_groups[0]
    group["step"] = torch.zeros((), dtype=torch.int32)

    def set_rate(*_) -> None:
        t = iteration(config, player, np.asarray(group["step"]))
        group["lr"] = float(learning_rate(config, player, t))
        group["step"] += 1

    optimizer.register_step_pre_hook(set_rate)


class ClassicalMomentum(Optimizer):
    """v = mu v - rate g, and p = p + v, with the rates of its group."""

    def __init__(self, parameters: Iterable[Parameter]):
        super().__init__(parameters, {"lr": 0.0, "mu": 0.0})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Moves every weight by its velocity."""
        for group in self.param_groups:
            for p in group["params"]:
                v = self.state[p]["velocity"]
                v.mul_(group["mu"]).add_(p.grad, alpha=-group["lr"])
                p.add_(v)


def classical_momentum(
    config: Config, player: str, parameters: Iterable[Parameter]
) -> Optimizer:
    """Momentum as the authors' code has it (pylearn2; Sutskever et al. 2013).

    v = mu v - rate g, and p = p + v. While mu and rate change this is not
    ``sgd``, whose momentum is free of the rate.
    """
    optimizer = ClassicalMomentum(parameters)
    group = optimizer.param_groups[0]

    def set_momentum(*_) -> None:
        t = iteration(config, player, np.asarray(group["step"]))
        group["mu"] = float(momentum(config, t))

    optimizer.register_step_pre_hook(set_momentum)
    _schedule(optimizer, config, player)  # counts the step after it
    for parameter in group["params"]:
        velocity = torch.zeros_like(parameter)
        optimizer.state[parameter] = {"velocity": velocity}
    return optimizer


OPTIMIZERS = {
    "adam": adam,
    "sgd": sgd,
    "classical-momentum": classical_momentum,
}

# The neutral names of optimizer state, by the names of PyTorch.
STATE_NAMES = {
    "exp_avg": "m",
    "exp_avg_sq": "v",
    "step": "step",
    "momentum_buffer": "momentum",
    "velocity": "velocity",
}
