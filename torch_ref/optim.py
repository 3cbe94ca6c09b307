"""The gradient-based rule of Algorithm 1: Adam, or SGD with momentum."""

from collections.abc import Iterable
from math import exp, log

import torch
from torch.nn import Parameter
from torch.optim import Optimizer

from experiment.config import Config

# Both optimizers start with the zeros that PyTorch would make at its first
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
    momentum = config.momentum
    optimizer = torch.optim.SGD(parameters, momentum=momentum, fused=True)
    _schedule(optimizer, config, player)
    for parameter in optimizer.param_groups[0]["params"]:
        if momentum:
            buffer = torch.zeros_like(parameter)
            optimizer.state[parameter] = {"momentum_buffer": buffer}
    return optimizer


def _schedule(optimizer: Optimizer, config: Config, player: str) -> None:
    """Before every step: rate decay^t, where t counts iterations.

    The count of steps lies in the parameter group.
    """
    rate, decay, steps = config.schedule_of(player)
    group = optimizer.param_groups[0]
    group["step"] = torch.zeros((), dtype=torch.int32)

    def set_rate(*_) -> None:
        group["lr"] = rate * exp(log(decay) * (int(group["step"]) // steps))
        group["step"] += 1

    optimizer.register_step_pre_hook(set_rate)


OPTIMIZERS = {"adam": adam, "sgd": sgd}

# The neutral names of optimizer state, by the names of PyTorch.
STATE_NAMES = {
    "exp_avg": "m",
    "exp_avg_sq": "v",
    "step": "step",
    "momentum_buffer": "momentum",
}
