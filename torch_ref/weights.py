"""The state of a game as one flat dict of NumPy arrays, and back.

Names and layouts belong to neither framework, so either twin loads what the
other saved: ``generator/params/hidden_0/kernel``,
``discriminator/statistics/norm_0/mean``, ``generator/optimizer/m/...``. A dense
kernel is [in, out], a convolution's [height, width, in, out], a transposed
convolution's [height, width, out, in].
"""

import re
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import Parameter

from experiment.run import verify_state
from torch_ref.game import Game, Player
from torch_ref.layers import BatchNorm
from torch_ref.optim import STATE_NAMES


def to_numpy(game: Game) -> dict[str, NDArray]:
    """Weights, statistics and optimizer state, copied."""
    arrays = {
        name: view.detach().cpu().numpy().copy()
        for name, view in _neutral_views(game)
    }
    for name in arrays:
        if name.endswith("/step"):  # PyTorch counts in floating point
            arrays[name] = arrays[name].astype(np.int32)
    return arrays


def from_numpy(game: Game, arrays: dict[str, NDArray]) -> Game:
    """The game with the state of ``arrays``, copied into it in place.

    Raises:
        InputError: names, shapes or types are not those of the game, or a
            number is not finite.
    """
    verify_state(arrays, to_numpy(game))
    with torch.no_grad():
        for name, view in _neutral_views(game):
            view.copy_(torch.tensor(arrays[name]))
    return game


def _neutral_views(game: Game) -> Iterator[tuple[str, Tensor]]:
    """Views of the game's memory in the framework-neutral layout, by name.

    PyTorch counts steps for each parameter: that name comes repeatedly.
    """
    players = {"generator": game.generator, "discriminator": game.discriminator}
    for side, player in players.items():
        for name, view in _views(player):
            yield f"{side}/{name}", view


def _views(player: Player) -> Iterator[tuple[str, Tensor]]:
    for name, parameter in named_parameters(player.network):
        yield f"params/{name}", neutral(parameter)
        for of_torch, value in player.optimizer.state[parameter].items():
            moment = f"optimizer/{STATE_NAMES[of_torch]}"
            if of_torch == "step":
                yield moment, value
            else:
                yield f"{moment}/{name}", neutral(value)
    yield "optimizer/step", player.optimizer.param_groups[0]["step"]
    for path, layer in player.network.named_modules():
        if isinstance(layer, BatchNorm):
            place = _neutral_path(path)
            for kind, name in (
                ("running_mean", "mean"),
                ("running_var", "var"),
            ):
                yield f"statistics/{place}/{name}", getattr(layer, kind)


def named_parameters(network: nn.Module) -> Iterator[tuple[str, Parameter]]:
    """The weights of a network under their framework-neutral names."""
    for path, layer in network.named_modules():
        place = _neutral_path(path)
        for kind, parameter in layer.named_parameters(recurse=False):
            weight = "scale" if isinstance(layer, BatchNorm) else "kernel"
            yield f"{place}/{kind.replace('weight', weight)}", parameter


def _neutral_path(path: str) -> str:
    """``hidden.0`` is ``hidden_0``, as in Flax."""
    return re.sub(r"\.(\d+)", r"_\1", path)


def neutral(weight: Tensor) -> Tensor:
    """A view of a weight in the framework-neutral layout.

    Dense (out, in) to [in, out]; convolution to [height, width, ., .].
    """
    if weight.ndim == 4:
        return weight.permute(2, 3, 1, 0)
    return weight.T if weight.ndim == 2 else weight
