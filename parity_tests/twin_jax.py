"""The twin in JAX as a side."""

from dataclasses import replace
from functools import cache
from typing import Any

import jax
from flax.traverse_util import flatten_dict
from numpy.typing import NDArray

import jax_gan
from experiment.config import Config
from experiment.pixels import Data
from jax_gan.weights import neutral
from parity_tests.side import Key
from parity_tests.side_jax import keep_gradients
from parity_tests.twin import PLAYERS, TwinSide

# jit tells optimizers apart by identity: games of equal configs share one
# compiled step.
_keep_gradients = cache(keep_gradients)


class JaxTwin(TwinSide):
    """The game in JAX, whose optimizers keep their gradients."""

    twin = jax_gan

    def __init__(self, config: Config, data: Data):
        """As ``TwinSide``."""
        super().__init__(config, data)
        players = {
            player: _keeping(getattr(self.game, player)) for player in PLAYERS
        }
        # On the device as the next steps' game will be, or they compile again.
        self.game = jax.device_put(replace(self.game, **players), self.device)

    def gradients(self, player: str) -> dict[Key, NDArray]:
        """As ``TwinSide``."""
        kept = getattr(self.game, player).optimizer_state.gradients
        return {
            Key("weights", player, path): neutral(leaf).copy()
            for path, leaf in flatten_dict(kept, sep="/").items()
        }


def _keeping(player: Any) -> Any:
    optimizer = _keep_gradients(player.optimizer)
    state = optimizer.init(player.params)
    return replace(player, optimizer=optimizer, optimizer_state=state)
