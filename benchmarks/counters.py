"""Counters of the machine: calls per second, peak memory, GPU energy."""

import resource
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pynvml

_PROCESS = Path("/proc/self")


def calls_per_second(
    call: Callable[[], Any], wait: Callable[[Any], None], seconds: float
) -> float:
    """How often a call runs in a second, measured for at least ``seconds``.

    The number of calls between two waits doubles each time: on a GPU a wait
    alone can take as long as one call.
    """
    wait(call())
    count, more, start = 0, 1, time.perf_counter()
    while time.perf_counter() - start < seconds:
        for _ in range(more):
            result = call()
        wait(result)
        count, more = count + more, 2 * more
    return count / (time.perf_counter() - start)


def forget_peak() -> None:
    """Resets the peak memory of this process; on Linux only."""
    with suppress(OSError):
        (_PROCESS / "clear_refs").write_text("5")


def peak_bytes() -> int:
    """Peak memory of this process since ``forget_peak``."""
    with suppress(OSError):
        for line in (_PROCESS / "status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return 1024 * int(line.split()[1])
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def joules() -> float | None:
    """Energy of the first NVIDIA GPU since its driver was loaded.

    Returns:
        Joules, updated about every tenth of a second; None without such a
        GPU, or where it does not count.
    """
    try:
        pynvml.nvmlInit()
        gpu = pynvml.nvmlDeviceGetHandleByIndex(0)
        return pynvml.nvmlDeviceGetTotalEnergyConsumption(gpu) / 1000
    except pynvml.NVMLError:
        return None
