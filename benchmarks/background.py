"""Background load: what other processes do with the processors meanwhile."""

import time
from pathlib import Path

MOST = 0.15  # share of the processors, beyond which a report names it
_SECONDS = 0.2


def measure_background() -> float | None:
    """The share of the processors in use while this process sleeps.

    Returns:
        A share in [0, 1]; None where ``/proc/stat`` does not exist.
    """
    before = _jiffies()
    time.sleep(_SECONDS)
    after = _jiffies()
    if before is None or after is None:
        return None
    idle, total = (b - a for a, b in zip(before, after, strict=True))
    return round(1 - idle / max(total, 1), 3)


def _jiffies() -> tuple[int, int] | None:
    """Idle time and all time of the processors since the machine started."""
    path = Path("/proc/stat")
    if not path.exists():
        return None
    numbers = list(map(int, path.read_text().split("\n", 1)[0].split()[1:9]))
    return numbers[3] + numbers[4], sum(numbers)
