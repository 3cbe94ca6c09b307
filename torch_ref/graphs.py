"""CUDA graphs of a run: iterations recorded once and replayed."""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from experiment.stream import length, map_arrays
from torch_ref.game import Game
from torch_ref.train import Metrics
from torch_ref.weights import from_numpy, to_numpy

Train = Callable[[Game, Any], tuple[Game, Metrics]]


def capture_cuda(
    function: Callable[[], Metrics],
) -> tuple[Callable[[], Any], Metrics]:
    """Records a CUDA graph of the function, after PyTorch's rules for it.

    Libraries set themselves up in a warm-up, on a separate stream, which
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
    """Iterations of a variant of ``train``, recorded once and replayed.

    A replay runs no line of Python: a batch goes to where the first one lay,
    and the optimizers find their learning rates and counts in tensors.
    """

    def __init__(
        self, game: Game, train: Train, batches: Any, capture: Callable
    ):
        self._inputs = map_arrays(torch.clone, batches)
        state = to_numpy(game)  # warm-up and recording train, unasked
        self._replay, self._outputs = capture(
            lambda: train(game, self._inputs)[1]
        )
        from_numpy(game, state)

    def train(self, batches: Any) -> Metrics:
        """The next iterations, as many as were recorded."""
        map_arrays(Tensor.copy_, self._inputs, batches)
        self._replay()
        return Metrics(*(value.clone() for value in self._outputs))


def graph_train(
    train: Train, iterations: int, capture: Callable = capture_cuda
) -> Train:
    """A variant of ``train`` that replays ``iterations`` of one game.

    The first call records. What the iterations leave over goes by ``train``.
    """
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
                graph = graph or Graph(game, train, part, capture)
                parts.append(graph.train(part))
        return game, Metrics(*map(torch.cat, zip(*parts, strict=True)))

    return run
