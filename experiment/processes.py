"""Where a process stands among those that train one game together."""

import re
import socket
import time
from collections.abc import Mapping
from typing import NamedTuple

from experiment.errors import InputError

JOIN_SECONDS = 300  # in which all processes must have found each other


class Place(NamedTuple):
    """The place of a process in a run of one or several.

    Attributes:
        rank: its number, from 0; process 0 alone writes.
        processes: how many there are.
        local_rank: its number on its machine, where the launcher gives each
            process a device of its machine.
        coordinator: host:port where they find each other.
    """

    rank: int = 0
    processes: int = 1
    local_rank: int | None = None
    coordinator: str = ""


ALONE = Place()
# For each twin: rank, processes, local rank and address, as a launcher says.
_VARIABLES = {
    "jax_gan": (
        "JAX_PROCESS_ID",
        "JAX_NUM_PROCESSES",
        None,
        "JAX_COORDINATOR_ADDRESS",
    ),
    "torch_ref": ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR"),
}
# Of a step that srun started; a batch script itself has no such variables.
_SLURM = (
    "SLURM_PROCID",
    "SLURM_STEP_NUM_TASKS",
    "SLURM_LOCALID",
    "SLURM_STEP_NODELIST",
)


def find_place(twin: str, environment: Mapping[str, str]) -> Place:
    """The place that a launcher gave this process; alone without one.

    Known are torchrun for PyTorch (``RANK`` and its siblings),
    ``JAX_COORDINATOR_ADDRESS``, ``JAX_NUM_PROCESSES`` and ``JAX_PROCESS_ID``
    for JAX, and SLURM's srun for both.

    Raises:
        InputError: a variable is missing or not a number of the right range.

    Example:
        >>> find_place("torch_ref", {"RANK": "1", "WORLD_SIZE": "2",
        ...     "LOCAL_RANK": "1", "MASTER_ADDR": "a", "MASTER_PORT": "5"})
        Place(rank=1, processes=2, local_rank=1, coordinator='a:5')
    """
    names = _VARIABLES[twin]
    if not any(name in environment for name in (names[0], names[-1])):
        names = _SLURM
        if any(name not in environment for name in (names[1], names[-1])):
            return ALONE
    rank, processes, local_rank = (
        _number(environment, name) if name else None for name in names[:3]
    )
    assert rank is not None
    assert processes is not None
    if not 0 <= rank < processes:
        raise InputError(
            f"{names[0]} is {rank}: it must be from 0 to {processes - 1}, "
            f"since {names[1]} is {processes}"
        )
    if processes == 1:
        return ALONE
    address = _of(environment, names[-1])
    if names is _SLURM:
        address = _slurm_coordinator(environment)
    elif twin == "torch_ref":
        address = f"{address}:{_number(environment, 'MASTER_PORT')}"
    return Place(rank, processes, local_rank, address)


def _of(environment: Mapping[str, str], name: str) -> str:
    if name not in environment:
        raise InputError(
            f"{name} is not set: start all processes by a launcher, or set "
            "all of its variables"
        )
    return environment[name]


def _number(environment: Mapping[str, str], name: str) -> int:
    text = _of(environment, name)
    if not text.isdecimal():
        raise InputError(f"{name} is {text!r}: it must be a whole number")
    return int(text)


def _slurm_coordinator(environment: Mapping[str, str]) -> str:
    """The first host of the step; a port that its job's number gives.

    ``node[001-004,7]`` and ``node001,other`` both start at ``node001``.
    """
    nodes = environment["SLURM_STEP_NODELIST"]
    match = re.match(r"([^\[,]+)(?:\[([^\],-]+))?", nodes)
    if match is None:
        raise InputError(f"SLURM_STEP_NODELIST is {nodes!r}: no host is first")
    job = _number(environment, "SLURM_JOB_ID")
    return f"{match[1]}{match[2] or ''}:{61440 + job % 4096}"


def is_restart(environment: Mapping[str, str]) -> bool:
    """Whether torchrun or SLURM started this run again after a failure."""
    counts = ("TORCHELASTIC_RESTART_COUNT", "SLURM_RESTART_COUNT")
    return any(environment.get(name, "0") != "0" for name in counts)


def require_coordinator(place: Place) -> None:
    """Waits until the coordinator of the processes answers.

    Raises:
        InputError: it does not, within ``JOIN_SECONDS``.
    """
    if place.rank == 0:  # it is the coordinator, or started with it
        return
    host, _, port = place.coordinator.rpartition(":")
    deadline = time.monotonic() + JOIN_SECONDS
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=5).close()
            return
        except (OSError, ValueError) as error:
            if isinstance(error, ValueError) or time.monotonic() > deadline:
                raise not_found(place, error) from error
        time.sleep(0.2)


def not_found(place: Place, error: Exception) -> InputError:
    """What to say when the processes of a run did not find each other."""
    reason = " ".join(str(error).split()) or type(error).__name__
    return InputError(
        f"rank {place.rank} did not find the other processes at "
        f"{place.coordinator} ({reason[:200]}): start all "
        f"{place.processes}, with the address of rank 0's machine"
    )


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def rows_of(batch_size: int, rank: int, processes: int) -> slice:
    """The rows of a minibatch that a process makes: an equal share.

    Example:
        >>> rows_of(100, 1, 4)
        slice(25, 50, None)
    """
    share = batch_size // processes
    return slice(rank * share, (rank + 1) * share)


def require_even(batch_size: int, devices: int) -> None:
    """Checks that devices can share a minibatch.

    Batch statistics and gradients are means over equal shares.

    Raises:
        InputError: they cannot share it evenly.
    """
    if batch_size % devices:
        below = batch_size // devices * devices
        fits = [str(n) for n in (below, below + devices) if n]
        raise InputError(
            f"batch-size {batch_size} cannot be split evenly over {devices} "
            f"devices: take --batch-size {' or '.join(fits)}"
        )
