"""What a measurement was made on."""

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pynvml


def describe_machine() -> dict[str, Any]:
    """Processor, GPUs, cores, Python and the versions that decide the speed."""
    return {
        "cpu": _cpu(),
        "gpus": _gpus(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Versions of the packages that compute."""
    names = ("jax", "jaxlib", "flax", "optax", "torch", "numpy")
    return {name: version(name) for name in names}


def _gpus() -> list[str]:
    """The names of the NVIDIA GPUs, where there are some."""
    try:
        pynvml.nvmlInit()
        count = pynvml.nvmlDeviceGetCount()
        handles = map(pynvml.nvmlDeviceGetHandleByIndex, range(count))
        return [pynvml.nvmlDeviceGetName(handle) for handle in handles]
    except pynvml.NVMLError:
        return []


def _cpu() -> str:
    """The processor's name, where Linux tells it."""
    path = Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":")[1].strip()
    return platform.processor() or platform.machine()
