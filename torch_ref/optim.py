"""The gradient-based rule of Algorithm 1: Adam, or momentum by two rules.

Learning rate, momentum and count of steps are tensors next to the weights:
a CUDA graph or a compiled step changes them as a plain step does.
"""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from experiment.config import Config
from experiment.schedules import iteration, learning_rate, momentum
from torch_ref.momentum import ClassicalMomentum

# All optimizers start with the zeros that PyTorch would make at its first
# step, so that their state can be read and written before there was one.


def adam(
    config: Config, player: str, parameters: Iterable[Parameter]
) -> Optimizer:
    """Adam (Kingma & Ba 2015) with the config's learning rate and decay rates.

    m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2, and
    p = p - rate (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + 1e-8).
    """
    weights = list(parameters)
    rate, fused = _scalar(weights[0]), _fits_fused(weights[0])
    optimizer = torch.optim.Adam(
        weights,
        lr=rate,
        betas=(config.b1, config.b2),
        eps=1e-8,
        fused=fused,
        capturable=rate.is_cuda,
    )
    _schedule(optimizer, config, player)
    # Plain operations would lose digits of 1 - b2^t in float32.
    dtype = torch.float32 if fused else torch.float64
    for weight in weights:
        optimizer.state[weight] = {
            "step": torch.zeros((), dtype=dtype, device=rate.device),
            "exp_avg": torch.zeros_like(weight),
            "exp_avg_sq": torch.zeros_like(weight),
        }
    return optimizer


def sgd(
    config: Config, player: str, parameters: Iterable[Parameter]
) -> Optimizer:
    """Stochastic gradient descent with momentum, as the paper used.

    v = momentum v + g, and p = p - rate v.
    """
    weights, mu = list(parameters), config.momentum
    rate, fused = _scalar(weights[0]), _fits_fused(weights[0])
    optimizer = torch.optim.SGD(weights, lr=rate, momentum=mu, fused=fused)
    _schedule(optimizer, config, player)
    for weight in weights:
        if mu:
            buffer = torch.zeros_like(weight)
            optimizer.state[weight] = {"momentum_buffer": buffer}
    return optimizer


def _scalar(weight: Parameter) -> Tensor:
    """A zero where the weight is and of its type."""
    return torch.zeros((), dtype=weight.dtype, device=weight.device)


def _fits_fused(weight: Parameter) -> bool:
    """Whether the fused kernels hold the weight's type.

    Those of a GPU read the learning rate as float32.
    """
    return not (weight.is_cuda and weight.dtype == torch.float64)


def _schedule(optimizer: Optimizer, config: Config, player: str) -> None:
    """Sets the learning rate of this iteration before every step.

    The count of steps lies in the parameter group.
    """
    group = optimizer.param_groups[0]
    group["step"] = torch.zeros_like(group["lr"], dtype=torch.int32)

    def set_rate(*_) -> None:
        t = _time(optimizer, config, player)
        group["lr"].copy_(learning_rate(config, player, t, torch))

    def count(*_) -> None:
        group["step"].add_(1)

    set_rate()
    if config.decay != 1:  # else it stays
        optimizer.register_step_pre_hook(set_rate)
    optimizer.register_step_pre_hook(count)


def _time(optimizer: Optimizer, config: Config, player: str) -> Tensor:
    """The iteration of the coming step, in the type of the learning rate."""
    group = optimizer.param_groups[0]
    return iteration(config, player, group["step"]).to(group["lr"].dtype)


def classical_momentum(
    config: Config, player: str, parameters: Iterable[Parameter]
) -> Optimizer:
    """Momentum as the authors' code has it (pylearn2; Sutskever et al. 2013).

    v = mu v - rate g, and p = p + v. While mu and rate change this is not
    ``sgd``, whose momentum does not contain the learning rate.
    """
    weights = list(parameters)
    rate, mu = _scalar(weights[0]), _scalar(weights[0])
    optimizer = ClassicalMomentum(weights, rate, mu)

    def set_momentum(*_) -> None:
        t = _time(optimizer, config, player)
        mu.copy_(momentum(config, t, torch))

    optimizer.register_step_pre_hook(set_momentum)
    _schedule(optimizer, config, player)  # counts the step after it
    for weight in weights:
        optimizer.state[weight] = {"velocity": torch.zeros_like(weight)}
    return optimizer


OPTIMIZERS = {
    "adam": adam,
    "sgd": sgd,
    "classical-momentum": classical_momentum,
}

# The framework-neutral names of optimizer state, by the names of PyTorch.
STATE_NAMES = {
    "exp_avg": "m",
    "exp_avg_sq": "v",
    "step": "step",
    "momentum_buffer": "momentum",
    "velocity": "velocity",
}
