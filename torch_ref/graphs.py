"""CUDA graphs of a run: iterations recorded once and replayed."""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from experiment.config import InputError
from experiment.stream import length, map_arrays
from torch_ref.game import Game
from torch_ref.train import Metrics, train
from torch_ref.weights import from_numpy, to_numpy

Train = Callable[[Game, Any], tuple[Game, Metrics]]


def require_gpu(game: Game, name: str) -> None:
    """Raises an InputError unless the game is on a GPU."""
    if not next(game.generator.network.parameters()).is_cuda:
        raise InputError(
            f"--accelerate {name} is for GPUs, and this run is on the CPU: "
            "leave it out, or take --device gpu"
        )


def is_steady(game: Game) -> bool:
    """Whether step size and momentum stay, which a replay cannot move."""
    config = game.generator.network.config
    return config.decay == 1 and config.optimizer != "classical-momentum"


def capture_cuda(
    function: Callable[[], Metrics],
) -> tuple[Callable[[], Any], Metrics]:
    """Records a CUDA graph of the function, after PyTorch's rules for it.

    Libraries set themselves up in a warm-up, on a stream of its own, which
    must not be recorded. Returns the repetition and the tensors it writes.
    """
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side), warnings.catch_warnings(action="ignore"):
        for _ in range(3):  # it warns that this is not recorded
            function()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = function()
    return graph.replay, outputs


class Graph:
    """So many iterations of one game, recorded once and replayed.

    A replay runs no line of Python: a batch goes to where the first one lay.
    """

    def __init__(self, game: Game, batches: Any, capture: Callable):
        self._game, self._inputs = game, map_arrays(torch.clone, batches)
        for player in (game.generator, game.discriminator):
            player.optimizer.param_groups[0]["capturable"] = True
        state = to_numpy(game)  # warm-up and recording train, unasked
        self._replay, self._outputs = capture(
            lambda: train(game, self._inputs)[1]
        )
        from_numpy(game, state)

    def train(self, batches: Any) -> Metrics:
        """The next iterations, as many as were recorded."""
        map_arrays(Tensor.copy_, self._inputs, batches)
        self._replay()
        G, D = self._game.generator, self._game.discriminator
        count = length(batches)
        # As the optimizers' hooks would have counted.
        G.optimizer.param_groups[0]["step"] += count
        D.optimizer.param_groups[0]["step"] += count * D.network.config.k
        return Metrics(*(value.clone() for value in self._outputs))


def graph_train(
    game: Game, iterations: int, capture: Callable = capture_cuda
) -> Train:
    """``train`` of this game by replays of so many iterations.

    The first call records. What the iterations leave over goes eagerly.

    Raises:
        InputError: the game is not on a GPU, or is not steady.
    """
    name = "graph" if iterations == 1 else f"graph-{iterations}"
    if capture is capture_cuda:
        require_gpu(game, name)
    if not is_steady(game):
        raise InputError(
            f"--accelerate {name}: this recipe's step size or momentum moves, "
            "and a graph would repeat the first; leave --accelerate out"
        )
    graph: Graph | None = None

    def run(game: Game, batches: Any) -> tuple[Game, Metrics]:
        nonlocal graph
        parts, count = [], length(batches)
        for first in range(0, count, iterations):
            piece = slice(first, first + iterations)
            part = map_arrays(lambda array, at=piece: array[at], batches)
            if first + iterations > count:
                parts.append(train(game, part)[1])
            else:
                graph = graph or Graph(game, part, capture)
                parts.append(graph.train(part))
        return game, Metrics(*map(torch.cat, zip(*parts, strict=True)))

    return run
