"""Games that differ only in the seed, batched over seeds."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from experiment.errors import InputError
from experiment.stream import Batch, map_arrays
from torch_ref.game import Game, Player
from torch_ref.optim import OPTIMIZERS
from torch_ref.train import Metrics, train


class _Networks(nn.Module):
    """Networks of one shape as one, by vmap over their stacked weights."""

    def __init__(self, networks: Sequence[Any]):
        super().__init__()
        weights, self._buffers_of = stack_module_state(list(networks))
        self._names = list(weights)
        self.weights = nn.ParameterList(weights.values())
        self.config, self.count = networks[0].config, len(networks)
        # In a tuple, for its weights must not count as those of this module.
        self._form = (copy.deepcopy(networks[0]).to("meta"),)
        for i, network in enumerate(networks):
            for name, parameter in network.named_parameters():
                parameter.data = weights[name].data[i]
            for name, buffer in network.named_buffers():
                buffer.data = self._buffers_of[name][i]

    def forward(self, *inputs: Any) -> Tensor:
        def one(weights, buffers, *inputs):
            return functional_call(self._form[0], (weights, buffers), inputs)

        weights = dict(zip(self._names, self.weights, strict=True))
        return vmap(one)(weights, self._buffers_of, *inputs)


class _Discriminators(_Networks):
    def forward(self, *inputs: Any) -> Tensor:
        logits = super().forward(*inputs)
        # The losses are means over the games: by their number, the gradient
        # behind the logits, of D and of G, is each game's own.
        if logits.requires_grad:
            logits.register_hook(lambda gradient: self.count * gradient)
        return logits


_STACKED = {"generator": _Networks, "discriminator": _Discriminators}


def _stack_players(players: Sequence[Player], side: str) -> Player:
    network = _STACKED[side]([player.network for player in players])
    config = network.config
    optimizer = OPTIMIZERS[config.optimizer](config, side, network.weights)
    parameters = [player.network.parameters() for player in players]
    for stacked, *own in zip(network.weights, *parameters, strict=True):
        pairs = zip(players, own, strict=True)
        states = [player.optimizer.state[weight] for player, weight in pairs]
        for name, moment in optimizer.state[stacked].items():
            values = [state[name] for state in states]
            moment.copy_(values[0] if name == "step" else torch.stack(values))
            for i, state in enumerate(states):
                state[name] = moment if name == "step" else moment[i]
    group = optimizer.param_groups[0]
    group["step"].copy_(players[0].optimizer.param_groups[0]["step"])
    for player in players:
        player.optimizer.param_groups[0]["step"] = group["step"]
    return Player(network, optimizer)


def stack_games(games: Sequence[Game]) -> Game:
    """Games of one config but for the seed, as one with a leading axis.

    The given games share its memory: they are trained with it.

    Raises:
        InputError: they are DCGANs, and on a GPU, where vmap knows no batch
            normalisation by cuDNN, or in bfloat16 on a CPU, where it takes
            convolutions out of autocast.
    """
    weight = next(games[0].generator.network.parameters())
    config = games[0].generator.network.config
    if config.network == "dcgan" and weight.is_cuda:
        raise InputError(
            "games of network dcgan do not train batched over seeds on a GPU: "
            "train them one by one, or with --device cpu"
        )
    if config.network == "dcgan" and config.compute == "bfloat16":
        raise InputError(
            "games of network dcgan do not train batched over seeds in "
            "bfloat16 on a CPU: train them one by one, or with compute full"
        )
    return Game(
        _stack_players([game.generator for game in games], "generator"),
        _stack_players([game.discriminator for game in games], "discriminator"),
        games[0].loss,
        games[0].updates,
    )


def train_seeds(game: Game, batches: Any) -> tuple[Game, Metrics]:
    """``train`` batched over seeds; the metrics are means over the games.

    Args:
        game: of ``stack_games``; it changes in place.
        batches: stacked on a leading axis of games, then of iterations.
    """
    batches = map_arrays(lambda array: array.movedim(0, 1), batches)
    if isinstance(batches, Batch):  # D's axis of k steps comes first too
        of_d = map_arrays(lambda a: a.movedim(1, 2), batches.discriminator)
        batches = batches._replace(discriminator=of_d)
    return train(game, batches)
