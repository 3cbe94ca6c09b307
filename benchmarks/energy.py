"""The energy that a GPU draws, by its own counter."""

import pynvml


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
