"""What a CUDA graph records, on a CPU: operations on tensors, and no Python."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class _Tape(TorchDispatchMode):
    """Notes each operation with its tensors, which then stay where they are."""

    def __init__(self):
        super().__init__()
        self.calls: list[tuple[Callable, tuple, dict, list[Tensor]]] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function is torch.ops.aten._local_scalar_dense.default:
            raise RuntimeError("a number read while it is recorded is frozen")
        kwargs = kwargs or {}
        output = function(*args, **kwargs)
        self.calls.append((function, args, kwargs, _tensors(output)))
        return output


def _tensors(value: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]


def capture_tape(function: Callable[[], Any]) -> tuple[Callable, Any]:
    """Records a run of the function, as ``capture_cuda`` does on a GPU.

    Returns the repetition and the tensors that it writes. It repeats each
    operation on the recorded tensors and puts what it makes where the first
    run put it; so a learning rate that was a number of Python stays as it was,
    and what no operation moves does not move.
    """
    for _ in range(3):  # as the warm-up before a CUDA graph
        function()
    tape = _Tape()
    with tape:
        outputs = function()

    def replay() -> None:
        with torch.no_grad():
            for function, args, kwargs, recorded in tape.calls:
                made = _tensors(function(*args, **kwargs))
                for new, old in zip(made, recorded, strict=True):
                    if new.data_ptr() != old.data_ptr():
                        old.copy_(new)

    return replay, outputs
