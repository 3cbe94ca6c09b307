"""Faults of a game on several devices, injected in processes of PyTorch."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
import torch.distributed as dist

from experiment import stream as streams
from experiment.stream import Stream
from parity_tests.faults.base import Patch, Plant
from torch_ref import game, layers
from torch_ref.game import Player
from torch_ref.layers import BatchNorm
from torch_ref.processes import processes

FAULTS: dict[str, Plant] = {}


def _listed(name: str) -> Callable[[Plant], Plant]:
    def listed(plant: Plant) -> Plant:
        FAULTS[name] = plant
        return plant

    return listed


@contextmanager
def injected_fault(name: str) -> Iterator[None]:
    """The fault is in this process until the context ends."""
    with Patch() as patch:
        FAULTS[name](patch)
        yield


@_listed("each process normalises by its own rows")
def _local_statistics(patch: Patch) -> None:
    patch.setattr(layers, "mean_over_processes", lambda tensor: tensor)


@_listed("n / (n - 1) of the running variance has the local n")
def _local_n(patch: Patch) -> None:
    correct = BatchNorm._forward_over_processes

    def forward(self, h):
        kept = 0.9 * self.running_var
        output = correct(self, h)
        n = h.numel() // h.shape[-1]
        of_all = n * processes()
        factor = (n / (n - 1)) / (of_all / (of_all - 1))
        self.running_var = kept + (self.running_var - kept) * factor
        return output

    patch.setattr(BatchNorm, "_forward_over_processes", forward)


@_listed("gradients are added up, not averaged")
def _sum(patch: Patch) -> None:
    correct = game.average_gradients

    def add_up(weights):
        correct(weights)
        for weight in weights:
            weight.grad *= processes()

    patch.setattr(game, "average_gradients", add_up)


@_listed("D's gradients are not averaged")
def _local_gradients(patch: Patch) -> None:
    average, correct = game.average_gradients, Player.descend

    def descend(player, loss):
        is_d = "Discriminator" in type(player.network).__name__
        used = (lambda _: None) if is_d else average
        with mock.patch.object(game, "average_gradients", used):
            correct(player, loss)

    patch.setattr(Player, "descend", descend)


@_listed("every process draws the same noise")
def _same_noise(patch: Patch) -> None:
    def noise(self, rng, shape):
        share = self.config.batch_size // processes()
        return streams._noise(self.config, rng, shape)[..., :share, :]

    patch.setattr(Stream, "_noise", noise)


@_listed("running statistics are rank 0's, as DDP broadcasts buffers")
def _broadcast(patch: Patch) -> None:
    correct = BatchNorm._forward_over_processes

    def forward(self, h):
        kept: Any = self.running_mean.clone(), self.running_var.clone()
        output = correct(self, h)
        axes = tuple(range(h.ndim - 1))
        with torch.no_grad():
            local = h.mean(axes), h.var(axes, unbiased=True)
            buffers = self.running_mean, self.running_var
            for buffer, old, new in zip(buffers, kept, local, strict=True):
                buffer.copy_(old.lerp(new, 0.1))
                dist.broadcast(buffer, 0)
        return output

    patch.setattr(BatchNorm, "_forward_over_processes", forward)


@_listed("dropout masks are those of another process")
def _other_masks(patch: Patch) -> None:
    correct = Stream._masks

    def masks(self, rng, shape):
        share = self.config.batch_size // processes()
        first = (self.rows.start + share) % self.config.batch_size
        other = slice(first, first + share)
        return correct(Stream(self.config, self.data, other), rng, shape)

    patch.setattr(Stream, "_masks", masks)
