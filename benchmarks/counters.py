"""What the machine does: calls in a second, memory, and a GPU's energy."""

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
    """Of a call, over so many seconds and more.

    It waits after ever more calls, for a wait alone can take as long as the
    work of one on a GPU.
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
    """From now on counts the peak of this process; on Linux only."""
    with suppress(OSError):
        (_PROCESS / "clear_refs").write_text("5")


def peak_bytes() -> int:
    """The most memory that this process held, since ``forget_peak``."""
    with suppress(OSError):
        for line in (_PROCESS / "status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return 1024 * int(line.split()[1])
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def joules() -> float | None:
    """What the first NVIDIA GPU has drawn since its driver was loaded.

    Returns:
        Joules, in steps of about a tenth of a second; None where there is no
        such GPU, or one that does not count.
    """
    try:
        pynvml.nvmlInit()
        gpu = pynvml.nvmlDeviceGetHandleByIndex(0)
        return pynvml.nvmlDeviceGetTotalEnergyConsumption(gpu) / 1000
    except pynvml.NVMLError:
        return None
