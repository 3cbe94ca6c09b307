"""Variants of ``train`` by how the work reaches the device.

All compute the same.

``train --accelerate NAME`` takes one; the first is the default.
"""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch._functorch import config as functorch
from torch.optim import Optimizer

from experiment.errors import InputError
from experiment.stream import slices
from torch_ref.game import Game
from torch_ref.graphs import Train, graph_train
from torch_ref.processes import processes
from torch_ref.train import Metrics, train

Variant = Callable[[Game], Train]


def compile_train(game: Game, mode: str = "default") -> Train:
    """``train`` with its step, optimizers too, by ``torch.compile``.

    Raises:
        InputError: there is no C++ compiler.
    """
    # The compiler that PyTorch will call.
    default = "clang++" if sys.platform == "darwin" else "g++"
    compiler = os.environ.get("CXX", default)
    if not _runs(shlex.split(compiler)):
        raise InputError(
            f"--accelerate compile: {compiler} is no C++ compiler that runs; "
            "install g++ or set CXX, or leave --accelerate out"
        )
    for player in (game.generator, game.discriminator):
        _unfuse(player.optimizer)
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


def _runs(compiler: list[str]) -> bool:
    """Whether a compiler answers."""
    if not compiler or not shutil.which(compiler[0]):
        return False
    asked = subprocess.run([*compiler, "--version"], capture_output=True)
    return asked.returncode == 0


def _unfuse(optimizer: Optimizer) -> None:
    """Has an optimizer step by plain operations in place of a fused kernel.

    ``torch.compile`` fuses those with all around them, and traces no fused
    kernel. Adam counts in float64 then: plain operations would lose digits of
    1 - b2^t in float32.
    """
    group = optimizer.param_groups[0]
    if "fused" in group:
        group["fused"] = False
    for state in optimizer.state.values():
        if "step" in state:
            state["step"] = state["step"].double()


def _on_gpu(game: Game) -> bool:
    return next(game.generator.network.parameters()).is_cuda


def _fastest(game: Game) -> Train:
    """Plain over several processes, whose all-reduces no graph has shown."""
    use_graph = _on_gpu(game) and processes() == 1
    return graph_train(train, 10) if use_graph else train


def _of_one_process(name: str, variant: Variant) -> Variant:
    def checked(game: Game) -> Train:
        if processes() > 1:
            raise InputError(
                f"--accelerate {name} is for one process: leave it out, or "
                "train on one device"
            )
        return variant(game)

    return checked


def _of_gpus(name: str, variant: Variant) -> Variant:
    def checked(game: Game) -> Train:
        if not _on_gpu(game):
            raise InputError(
                f"--accelerate {name} is for GPUs, and this run is on the "
                "CPU: leave it out, or take --device gpu"
            )
        return variant(game)

    return checked


_OF_GPUS: dict[str, Variant] = {
    "reduce-overhead": partial(compile_train, mode="reduce-overhead"),
    "graph": lambda _: graph_train(train, 1),
    "graph-10": lambda _: graph_train(train, 10),
    "compile-graph-10": lambda game: graph_train(compile_train(game), 10),
}
VARIANTS: dict[str, Variant] = {
    "auto": _fastest,
    "eager": lambda _: train,
    "compile": _of_one_process("compile", compile_train),
    **{
        name: _of_one_process(name, _of_gpus(name, variant))
        for name, variant in _OF_GPUS.items()
    },
}
