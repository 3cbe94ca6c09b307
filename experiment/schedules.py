"""What changes during training: learning rates and momentum.

Functions of t, the iteration from 0, as an array of ``xp``: ``numpy``,
``jax.numpy`` or ``torch``, so one text serves both twins.
"""

from math import log
from typing import Any

from experiment.config import Config


def iteration(config: Config, player: str, step: Any) -> Any:
    """The iteration t in which a player takes its ``step``, both from 0.

    D ("discriminator") takes k steps in each, G ("generator") one.

    Example:
        >>> iteration(Config(k=3), "discriminator", 7)
        2
    """
    return step // config.k if player == "discriminator" else step


def learning_rate(config: Config, player: str, t: Any, xp: Any) -> Any:
    """A player's learning rate: max(rate decay^t, min_learning_rate).

    As pylearn2's ExponentialDecay, which mnist.yaml uses. A power of decay
    would lose three digits in float32; its logarithm keeps them.

    Example:
        >>> import numpy as np
        >>> config = Config(learning_rate=1.0, decay=0.5, min_learning_rate=0.2)
        >>> learning_rate(config, "generator", np.arange(4), np).round(6)
        array([1.  , 0.5 , 0.25, 0.2 ])
    """
    rate = config.learning_rate
    if player == "generator" and config.generator_learning_rate is not None:
        rate = config.generator_learning_rate
    decayed = rate * xp.exp(log(config.decay) * t)
    return xp.clip(decayed, config.min_learning_rate, None)


def momentum(config: Config, t: Any, xp: Any) -> Any:
    """The momentum mu: constant within an epoch, linear over epochs.

    From ``momentum`` in epoch 1 to ``final_momentum`` in ``saturation_epoch``
    and after, as pylearn2's MomentumAdjustor, which mnist.yaml uses.

    Example:
        >>> import numpy as np
        >>> config = Config(saturation_epoch=3, epoch_steps=2)
        >>> momentum(config, np.arange(7), np).round(6)
        array([0.5, 0.5, 0.6, 0.6, 0.7, 0.7, 0.7])
    """
    rise = config.saturation_epoch - 1
    slope = (config.final_momentum - config.momentum) / rise
    # A float times an integer: JAX would divide integers in float32.
    return config.momentum + slope * xp.clip(
        t // config.epoch_steps, None, rise
    )
