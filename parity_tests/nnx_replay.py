"""The GAN in Flax NNX as an implementation that replays a trajectory."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from experiment.errors import InputError
from parity_tests.nnx_gan import (
    LOSSES,
    create_layers,
    create_optimizer,
    iterate,
)

# What nnx_gan.py has of the choices of a config.
KNOWN = {
    "network": ("mlp", "dcgan"),
    "optimizer": ("adam", "sgd"),
    "updates": ("alternating",),
    "loss": tuple(LOSSES),
}
# The framework-neutral names of optimizer state, by the names of Optax.
NAMES = {"mu": "m", "nu": "v", "count": "step", "trace": "momentum"}


class NNX:
    """The game, as a replay drives it."""

    def load_state(self, config, state):
        """Builds both players and fills every variable of theirs.

        Raises:
            InputError: nnx_gan.py lacks a choice of the config.
        """
        for choice, known in KNOWN.items():
            if config[choice] not in known:
                raise InputError(
                    f"{choice} {config[choice]!r} is not in nnx_gan.py, which "
                    f"has {', '.join(known)}: replay with parity_tests."
                    "implementations:Jax"
                )
        jax.config.update("jax_enable_x64", config["precision"] == "float64")
        jax.config.update("jax_default_matmul_precision", "highest")
        G, D = create_layers(config)
        rate = config["learning_rate"]
        of_D = create_optimizer(config, D, rate, config["k"])
        rate = config["generator_learning_rate"] or rate
        self.game = G, D, create_optimizer(config, G, rate, 1), of_D
        self.step = nnx.jit(partial(iterate, config))
        for name, variable in self.variables():
            # Not [...], which would keep the float32 that NNX gives statistics.
            variable.set_value(jnp.array(state[name]))

    def variables(self):
        """Every variable of the game, under its framework-neutral name."""
        G, D, of_G, of_D = self.game
        players = {"generator": (G, of_G), "discriminator": (D, of_D)}
        for side, (layers, optimizer) in players.items():
            for path, v in nnx.to_flat_state(nnx.state(layers)):
                kind = "params" if isinstance(v, nnx.Param) else "statistics"
                yield "/".join(map(str, (side, kind, *path))), v
            moments = nnx.to_flat_state(nnx.state(optimizer.opt_state))
            for path, v in moments:
                name = side, "optimizer", NAMES[str(path[1])], *path[2:]
                yield "/".join(map(str, name)), v

    def iterate(self, batch):
        """One iteration of Algorithm 1; its metrics."""
        metrics = self.step(*self.game, jax.tree.map(jnp.array, batch))
        return {name: float(value) for name, value in metrics.items()}

    def read_state(self):
        """Weights, statistics and moments, copied."""
        return {name: np.array(v[...]) for name, v in self.variables()}
