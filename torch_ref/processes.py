"""The processes of a run: how they find each other and what they exchange."""

from datetime import timedelta

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray

from experiment.errors import InputError
from experiment.processes import (
    JOIN_SECONDS,
    Place,
    not_found,
    require_coordinator,
    rows_of,
)


def join(place: Place, devices: int | None = None) -> None:
    """Connects the processes of a run, by gloo on CPUs and NCCL on GPUs.

    Args:
        place: of this process among all.
        devices: how many there should be in all; as many as processes.

    Raises:
        InputError: there are other than that, or the others do not answer.
    """
    if devices not in (None, place.processes):
        raise InputError(
            f"--devices {devices}: the launcher started {place.processes} "
            "processes, one for each device; leave --devices out"
        )
    if place.processes == 1 or dist.is_initialized():
        return
    require_coordinator(place)
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    try:
        dist.init_process_group(
            backend,
            init_method=f"tcp://{place.coordinator}",
            rank=place.rank,
            world_size=place.processes,
            timeout=timedelta(seconds=JOIN_SECONDS),
        )
    except dist.DistError as error:
        raise not_found(place, error) from error


def processes() -> int:
    """Processes that train the game, 1 unless ``join`` connected more."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rows(batch_size: int) -> slice:
    """The rows of every minibatch that this process makes."""
    count = processes()
    return rows_of(batch_size, dist.get_rank() if count > 1 else 0, count)


def gather(numbers: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The bytes of every process, stacked in the order of ranks."""
    count = processes()
    if count == 1:
        return numbers[np.newaxis].copy()
    ours = torch.tensor(numbers)
    gathered = [torch.empty_like(ours) for _ in range(count)]
    dist.all_gather(gathered, ours)
    return torch.stack(gathered).numpy()
