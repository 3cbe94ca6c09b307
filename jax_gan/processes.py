"""The processes of a run: how they find each other and what they exchange."""

from contextlib import suppress

import jax
import numpy as np
from jax.experimental import multihost_utils
from numpy.typing import NDArray

from experiment.errors import InputError
from experiment.processes import (
    JOIN_SECONDS,
    Place,
    not_found,
    require_coordinator,
    rows_of,
)

# Without a sign of life for so long, a process counts as lost.
_HEARTBEAT_SECONDS = 30


def join(place: Place, devices: int | None = None) -> None:
    """Connects the processes of a run; before JAX looks for devices.

    Args:
        place: of this process among all.
        devices: how many there should be in all. Of a CPU, JAX makes as many
            virtual ones.

    Raises:
        InputError: the processes cannot share them evenly, or the others do
            not answer.
    """
    if devices is not None:
        if devices % place.processes:
            raise InputError(
                f"--devices {devices} cannot be shared evenly by "
                f"{place.processes} processes: take a multiple of "
                f"{place.processes}"
            )
        _make_virtual(devices // place.processes)
    if place.processes == 1 or jax.distributed.is_initialized():
        return
    require_coordinator(place)
    local = place.local_rank
    try:
        jax.distributed.initialize(
            place.coordinator,
            place.processes,
            place.rank,
            local_device_ids=None if local is None else [local],
            cluster_detection_method="deactivate",
            initialization_timeout=JOIN_SECONDS,
            heartbeat_timeout_seconds=_HEARTBEAT_SECONDS,
        )
    except RuntimeError as error:
        raise not_found(place, error) from error


def _make_virtual(count: int) -> None:
    """Has the CPU stand for devices, unless JAX has started already."""
    if count > 1:
        with suppress(RuntimeError):  # ``spread`` counts what there is
            jax.config.update("jax_num_cpu_devices", count)


def processes() -> int:
    """Processes that train the game, 1 unless ``join`` connected more."""
    return jax.process_count()


def rows(batch_size: int) -> slice:
    """The rows of every minibatch that this process makes."""
    return rows_of(batch_size, jax.process_index(), processes())


def gather(numbers: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The bytes of every process, stacked in the order of ranks."""
    return np.array(multihost_utils.process_allgather(numbers))
