"""One game on many devices: a process for each, with a share of every batch.

Each process holds the whole game and computes on its rows of a minibatch. The
losses are means, so the gradient of a minibatch is the mean of the processes'
gradients: one all-reduce of all weights of a player. Batch normalisation takes
the statistics of the whole minibatch, so the game is that of one device.

No network is wrapped. ``DistributedDataParallel`` expects one forward pass
before a backward pass that gives all its gradients. D has two, and G's step
goes back through D without D's gradients.
"""

from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import Parameter

from experiment.errors import InputError
from experiment.processes import Place
from torch_ref.processes import processes


def spread(
    device: torch.device, place: Place, devices: int | None = None
) -> torch.device:
    """Where this process computes: a GPU for each, or the CPU.

    Args:
        device: what ``select_device`` gave.
        place: of this process among all.
        devices: how many in all; ``join`` has compared it.

    Raises:
        InputError: this machine has fewer GPUs than processes.
    """
    if place.processes == 1 or device.type == "cpu":
        return device
    found, local_rank = torch.cuda.device_count(), place.local_rank or 0
    if local_rank >= found:
        raise InputError(
            f"rank {place.rank} has no GPU: PyTorch sees {found} on this "
            "machine; start one process for each"
        )
    torch.cuda.set_device(local_rank)
    return torch.device("cuda", local_rank)


def device_count(device: Any) -> int:
    """Devices of the game in all processes: one in each."""
    return processes()


class _MeanOverProcesses(torch.autograd.Function):
    """The mean over processes; its gradient is the mean of theirs."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        total = tensor.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total / processes()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _MeanOverProcesses.apply(gradient)


def mean_over_processes(tensor: Tensor) -> Tensor:
    """The mean of a tensor over all processes, differentiable.

    What descends is the mean of the processes' losses: a process gets its
    share of the gradient, and ``average_gradients`` adds the shares.
    """
    return tensor if processes() == 1 else _MeanOverProcesses.apply(tensor)


def average_gradients(parameters: Iterable[Parameter]) -> None:
    """Puts the mean over all processes in place of each gradient.

    One all-reduce takes all of them, so that its latency counts once.
    """
    if processes() == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    flat /= processes()
    parts = flat.split([gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))
