"""Injected faults: each breaks the PyTorch twin on purpose.

The suite must catch every one that changes anything, so that a pass of the
suite means something. Each stands for a silent difference between the
frameworks or for a slip that a port can make, and has the line that fixes it:
the catalogue of traps is made from them.
"""

from parity_tests.faults import (  # noqa: F401
    activations,
    algorithm,
    architecture,
    batch_norm,
    dropout,
    losses,
    numbers,
    optimizers,
    paper,
)
from parity_tests.faults.base import FAULTS, Fault

__all__ = ["FAULTS", "Fault"]
