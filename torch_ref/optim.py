"""The gradient-based rule of Algorithm 1: Adam, or SGD with momentum."""

from collections.abc import Iterable

import torch
from torch.nn import Parameter
from torch.optim import Optimizer

from experiment.config import Config


def adam(config: Config, parameters: Iterable[Parameter]) -> Optimizer:
    """Adam (Kingma & Ba 2015) with the config's rate and decays.

    m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2, and
    p = p - rate (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + 1e-8).
    """
    optimizer = torch.optim.Adam(
        parameters,
        config.learning_rate,
        betas=(config.b1, config.b2),
        eps=1e-8,
        fused=True,
    )
    return _with_state(optimizer, "exp_avg", "exp_avg_sq", counts=True)


def sgd(config: Config, parameters: Iterable[Parameter]) -> Optimizer:
    """Stochastic gradient descent with momentum, as the paper used.

    v = momentum v + g, and p = p - rate v.
    """
    optimizer = torch.optim.SGD(
        parameters, config.learning_rate, momentum=config.momentum, fused=True
    )
    return _with_state(optimizer, "momentum_buffer")


def _with_state(
    optimizer: Optimizer, *moments: str, counts: bool = False
) -> Optimizer:
    """The optimizer with the zeros that PyTorch would make at its first step.

    So that state can be read and written before there was a step.
    """
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            state = optimizer.state[parameter]
            if counts:
                state["step"] = torch.zeros((), device=parameter.device)
            for moment in moments:
                state[moment] = torch.zeros_like(parameter)
    return optimizer


OPTIMIZERS = {"adam": adam, "sgd": sgd}

# The neutral names of optimizer state, by the names of PyTorch.
STATE_NAMES = {
    "exp_avg": "m",
    "exp_avg_sq": "v",
    "step": "step",
    "momentum_buffer": "momentum",
}
