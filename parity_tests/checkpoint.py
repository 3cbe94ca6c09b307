"""Checks a checkpoint of PyTorch against one of JAX, array by array."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from experiment.errors import InputError
from parity_tests.check import require_alike
from parity_tests.comparison import Comparison, Place
from parity_tests.result import Coverage, Result
from parity_tests.runner import Names, renamed
from parity_tests.side import (
    AS_IT_IS,
    KINDS,
    TORCH_COUNT,
    TORCH_STATISTICS,
    Key,
    Layout,
    State,
    key_of,
    layout_of,
    leaves_of,
    neutral_path,
    transposed,
    unique,
)


def check_checkpoint(
    reference: Mapping[str, Any] | Path,
    port: Any,
    *,
    names: Names | None = None,
    layouts: Mapping[str, Layout] | None = None,
    floor: float = 0.0,
    ignore: Sequence[str] = (),
) -> Result:
    """Compares the arrays of two checkpoints by framework-neutral names.

    A ``weight`` of PyTorch is a ``scale`` if it has one axis, a transposed
    ``kernel`` if it has two, and a convolution's if it has more.

    Args:
        reference: a ``state_dict``; a file of one by ``torch.save``, or by
            safetensors.
        port: a tree of arrays, such as Flax's ``{"params": ...,
            "batch_stats": ...}`` or NNX's pure dict; a safetensors file; or
            the folder of an Orbax checkpoint.
        names: what has another name in the port, by the reference's.
        layouts: of the reference's arrays whose axes do not tell it, such as
            an embedding's, by a regular expression of the whole name.
        floor: the largest error that is allowed; by default none.
        ignore: regular expressions of names that are not compared.

    Returns:
        Every array that differs, with what makes it equal if that is known.

    Raises:
        InputError: names or shapes do not match, or a file is none of these.
    """
    own = {theirs: ours for ours, theirs in (names or {}).items()}
    ours = dict(_of_torch(_read(reference), layouts or {}))
    theirs = unique(
        ((renamed(key, own), array) for key, array in _of_jax(_read(port))),
        "the port",
    )
    # A state_dict does not tell statistics by name from what is trained.
    kinds = {key[1:]: key.kind for key in theirs}
    ours = {
        key._replace(kind=kinds.get(key[1:], key.kind)): array
        for key, array in ours.items()
    }
    ignored = [
        key
        for key in {**ours, **theirs}
        if any(re.search(pattern, str(key)) for pattern in ignore)
    ]
    for key in ignored:
        ours.pop(key, None)
        theirs.pop(key, None)
    require_alike(ours, theirs)
    comparison = Comparison(floor, 0.0)
    comparison.add(0, _places(ours), _places(theirs))
    counts = {kind: sum(key.kind == kind for key in ours) for kind in KINDS}
    left_out = tuple(f"{key} ({key.kind}): ignored" for key in ignored)
    return Result(
        tuple(comparison.divergences.values()),
        tuple(comparison.worst.values()),
        Coverage(0, counts, (), 0, left_out),
        tuple(comparison.growth),
    )


def _places(state: State) -> dict[Place, NDArray]:
    return {
        Place("checkpoint", key.kind, str(key)): array
        for key, array in state.items()
    }


def _read(checkpoint: Any) -> Any:
    """The arrays of a file or of a folder; others as they are."""
    if not isinstance(checkpoint, Path):
        return checkpoint
    if checkpoint.is_file():
        load = _load_torch if is_zipfile(checkpoint) else load_file
        try:
            return load(checkpoint)
        except Exception as error:  # of several classes in either library
            line = " ".join(str(error).split())
            raise InputError(
                f"{checkpoint} is neither a safetensors file nor tensors that "
                f"torch.save wrote ({line})"
            ) from error
    if not checkpoint.is_dir():
        raise InputError(f"{checkpoint} is neither a file nor a folder")
    from orbax.checkpoint import StandardCheckpointer

    try:
        return StandardCheckpointer().restore(checkpoint.absolute())
    except (ValueError, OSError) as error:
        line = " ".join(str(error).split())
        raise InputError(
            f"{checkpoint} is no Orbax checkpoint ({line})"
        ) from error


def _load_torch(path: Path) -> Any:
    import torch

    # Tensors alone: a pickle may execute anything.
    return torch.load(path, map_location="cpu", weights_only=True)


def _of_torch(
    state_dict: Mapping[str, Any], layouts: Mapping[str, Layout]
) -> Iterator[tuple[Key, NDArray]]:
    for name, tensor in state_dict.items():
        layer, _, leaf = name.rpartition(".")
        if leaf == TORCH_COUNT:
            continue
        if hasattr(tensor, "detach"):  # a tensor, which NumPy may not read
            tensor = tensor.detach().cpu().numpy()
        array = np.array(tensor)
        if array.dtype == object:
            raise InputError(
                f"{name} of the reference is a {type(tensor).__name__}, not a "
                "tensor: give the state_dict alone"
            )
        known, layout = TORCH_STATISTICS.get(leaf, leaf), AS_IT_IS
        if leaf == "weight":
            known = "scale"
            if array.ndim > 1:
                known = "kernel"
                layout = transposed(*range(2, array.ndim), 1, 0)
        path = f"{layer}.{known}".strip(".").replace(".", "/")
        layout = layout_of(f"model/{path}", layouts, layout)
        kind = "statistics" if leaf in TORCH_STATISTICS else "weights"
        yield Key(kind, "model", path), layout.to_neutral(array)


def _of_jax(tree: Any) -> Iterator[tuple[Key, NDArray]]:
    """The arrays of a tree, or of flat names that have ``.`` or ``/``."""
    for path, array in leaves_of(tree):
        yield key_of(neutral_path(path.replace(".", "/"))), np.array(array)
