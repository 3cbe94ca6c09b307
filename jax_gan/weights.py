"""The state of a game as one flat dict of NumPy arrays, and back.

Names and layouts belong to neither framework, so either twin loads what the
other saved: ``generator/params/hidden_0/kernel``,
``discriminator/statistics/norm_0/mean``, ``generator/optimizer/m/...``. A dense
kernel is [in, out], a convolution's [height, width, in, out], a transposed
convolution's [height, width, out, in].
"""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jax import Array
from numpy.typing import NDArray
from optax import tree_utils

from experiment.run import verify_state
from jax_gan.game import Game, Player
from jax_gan.optim import STATE_NAMES


def to_numpy(game: Game) -> dict[str, NDArray]:
    """Weights, statistics and optimizer state, copied."""
    tree = {
        "generator": _nested(game.generator),
        "discriminator": _nested(game.discriminator),
    }
    flat = flatten_dict(tree, sep="/")
    return {name: neutral(leaf).copy() for name, leaf in flat.items()}


def from_numpy(game: Game, arrays: dict[str, NDArray]) -> Game:
    """The game with the state of ``arrays``, copied.

    Raises:
        InputError: names, shapes or types are not those of the game, or a
            number is not finite.
    """
    verify_state(arrays, to_numpy(game))
    ours = {name: _from_neutral(array) for name, array in arrays.items()}
    tree = unflatten_dict(ours, sep="/")
    filled = replace(
        game,
        generator=_filled(game.generator, tree["generator"]),
        discriminator=_filled(game.discriminator, tree["discriminator"]),
    )
    # A copy for each leaf: a run donates them, so none may serve twice.
    device = jax.tree.leaves(game)[0].sharding
    return jax.device_put(jax.tree.map(jnp.array, filled), device)


def _nested(player: Player) -> dict[str, Any]:
    optimizer = {}
    for of_optax, name in STATE_NAMES.items():
        # Adam and the schedule count each for itself, to the same number.
        found = tree_utils.tree_get_all_with_path(
            player.optimizer_state, of_optax
        )
        if found:
            optimizer[name] = found[0][1]
    return {
        "params": player.params,
        "statistics": player.statistics,
        "optimizer": optimizer,
    }


def _filled(player: Player, tree: dict[str, Any]) -> Player:
    state = {
        of_optax: tree["optimizer"][name]
        for of_optax, name in STATE_NAMES.items()
        if name in tree["optimizer"]
    }
    return replace(
        player,
        params=tree["params"],
        statistics=tree.get("statistics", {}),
        optimizer_state=tree_utils.tree_set(player.optimizer_state, **state),
    )


def neutral(weight: Array) -> NDArray:
    """A view of a weight in the framework-neutral layout.

    Convolution (., height, width, .) to [height, width, ., .].
    """
    array = np.asarray(weight)
    return np.moveaxis(array, 0, -1) if array.ndim == 4 else array


def _from_neutral(array: NDArray) -> NDArray:
    return np.moveaxis(array, -1, 0) if array.ndim == 4 else array
