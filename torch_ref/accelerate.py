"""Forms of ``train`` by how the work reaches the device, all equal to it.

``train --accelerate NAME`` takes one; the first is the default.
"""

import shutil
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch._functorch import config as functorch

from experiment.config import InputError
from experiment.stream import slices
from torch_ref.game import Game
from torch_ref.graphs import Train, graph_train, is_steady, require_gpu
from torch_ref.train import Metrics, train


def compile_train(game: Game, mode: str = "default") -> Train:
    """``train`` with its step by ``torch.compile``.

    Raises:
        InputError: there is no C++ compiler, or a mode of GPUs and none.
    """
    if mode == "reduce-overhead":
        require_gpu(game, mode)
    if not any(map(shutil.which, ("c++", "g++", "clang++"))):
        raise InputError(
            "--accelerate compile: PyTorch finds no C++ compiler; install "
            "g++, or leave --accelerate out"
        )
    for player in (game.generator, game.discriminator):
        # Its hooks set the step size by NumPy, which does not compile.
        optimizer: Any = player.optimizer
        optimizer.step = torch.compiler.disable(optimizer.step)
    # Simultaneous players go back through one graph twice.
    updates = game.generator.network.config.updates
    functorch.donated_buffer = updates == "alternating"
    step = torch.compile(game.updates, mode=mode)

    def run(game: Game, batches: Any) -> tuple[Game, Metrics]:
        rows = []
        for batch in slices(batches):
            torch.compiler.cudagraph_mark_step_begin()
            # Copies: reduce-overhead writes its next outputs over the last.
            rows.append([value.clone() for value in step(game, batch)[1]])
        return game, Metrics(*map(torch.stack, zip(*rows, strict=True)))

    return run


def _fastest(game: Game) -> Train:
    on_gpu = next(game.generator.network.parameters()).is_cuda
    if on_gpu and is_steady(game):
        return graph_train(game, iterations=10)
    return train


FORMS: dict[str, Callable[[Game], Train]] = {
    "auto": _fastest,
    "eager": lambda _: train,
    "compile": compile_train,
    "reduce-overhead": partial(compile_train, mode="reduce-overhead"),
    "graph": partial(graph_train, iterations=1),
    "graph-10": partial(graph_train, iterations=10),
}
