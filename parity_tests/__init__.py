"""The parity method: two implementations of one training step, compared.

``check_pair`` compares any two; ``torch_side``, ``jax_side`` and ``nnx_side``
make a side of a training step. ``check_forward`` compares a layer or network,
``check_checkpoint`` weights. Each loads its framework when it is first used.
The rest of the package applies the method to this project's GAN.
"""

from importlib import import_module
from typing import Any

from parity_tests.causes import explain
from parity_tests.check import check_pair
from parity_tests.checkpoint import check_checkpoint
from parity_tests.forward import check_forward
from parity_tests.recorded import replay
from parity_tests.recorder import record
from parity_tests.side import Event, Key, Layout, Taken, flattened, transposed
from parity_tests.side_faults import check_faults

_OF = {
    "torch_side": "parity_tests.side_torch",
    "jax_side": "parity_tests.side_jax",
    "keep_gradients": "parity_tests.side_jax",
    "nnx_side": "parity_tests.side_nnx",
}


def __getattr__(name: str) -> Any:
    """The makers of sides, from the module that loads their framework."""
    if name not in _OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_OF[name]), name)


__all__ = [
    "Event",
    "Key",
    "Layout",
    "Taken",
    "check_checkpoint",
    "check_faults",
    "check_forward",
    "check_pair",
    "explain",
    "flattened",
    "record",
    "replay",
    "transposed",
    *_OF,
]
