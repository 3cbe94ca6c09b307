"""The gradient-based rule of Algorithm 1: Adam, or SGD with momentum."""

import optax

from experiment.config import Config


def adam(config: Config) -> optax.GradientTransformation:
    """Adam (Kingma & Ba 2015) with the config's rate and decays.

    m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2, and
    p = p - rate (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + 1e-8).
    """
    return optax.adam(
        config.learning_rate, b1=config.b1, b2=config.b2, eps=1e-8
    )


def sgd(config: Config) -> optax.GradientTransformation:
    """Stochastic gradient descent with momentum, as the paper used.

    v = momentum v + g, and p = p - rate v.
    """
    return optax.sgd(config.learning_rate, momentum=config.momentum)


OPTIMIZERS = {"adam": adam, "sgd": sgd}

# The neutral names of optimizer state, by the names of Optax.
STATE_NAMES = {"mu": "m", "nu": "v", "count": "step", "trace": "momentum"}
