"""The weights of a run, for a module outside the project."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from experiment import run
from experiment.checkpoints import load_checkpoint, report_damage, require_run
from experiment.files import replacing

Arrays = dict[str, NDArray]


def flax_variables(state: Mapping[str, NDArray]) -> Arrays:
    """One network's weights and statistics as Flax linen names them.

    The layouts are those of ``nn.Dense``, of ``nn.Conv``, of
    ``nn.ConvTranspose`` with ``transpose_kernel=True`` and of
    ``nn.BatchNorm``.

    Args:
        state: of one network, under framework-neutral names:
            ``params/hidden_0/kernel``, ``statistics/norm_0/mean``.

    Returns:
        Arrays under the paths of the variables, ``batch_stats/norm_0/mean``;
        ``flax.traverse_util.unflatten_dict(arrays, sep="/")`` nests them.
    """
    return {
        name.replace("statistics/", "batch_stats/"): array
        for name, array in state.items()
    }


def torch_state_dict(state: Mapping[str, NDArray]) -> Arrays:
    """One network's weights and statistics as PyTorch names them.

    The layouts are those of ``nn.Linear``, ``nn.Conv2d``,
    ``nn.ConvTranspose2d`` and ``nn.BatchNorm2d``.

    Args:
        state: as in ``flax_variables``.

    Returns:
        A state dict: ``hidden.0.weight``, ``norm.0.running_mean``.
    """
    leaves = {
        "kernel": "weight",
        "scale": "weight",
        "bias": "bias",
        "mean": "running_mean",
        "var": "running_var",
    }
    found = {}
    for name, array in state.items():
        _, layer, leaf = name.split("/")
        layer = re.sub(r"_(\d+)$", r".\1", layer)
        found[f"{layer}.{leaves[leaf]}"] = _torch_layout(array)
    return found


def _torch_layout(array: NDArray) -> NDArray:
    """[in, out] to (out, in); [height, width, a, b] to (b, a, ., .)."""
    return array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T


FORMATS: dict[str, Callable[[Mapping[str, NDArray]], Arrays]] = {
    "flax": flax_variables,
    "torch-state-dict": torch_state_dict,
}


def save_network(path: Path, folder: Path, network: str, format: str) -> None:
    """Writes the last weights of one network of a run.

    Args:
        path: safetensors file to create; its metadata says what it holds.
        folder: of a run of either twin.
        network: ``generator`` or ``discriminator``.
        format: one of ``FORMATS``.

    Raises:
        InputError: the folder is damaged.
    """
    config = run.load_config(folder)
    checkpoint = load_checkpoint(folder)
    require_run(folder, config, checkpoint)
    report_damage(checkpoint)
    kept = {
        name.removeprefix(f"{network}/"): array
        for name, array in checkpoint.state.items()
        if name.startswith((f"{network}/params/", f"{network}/statistics/"))
    }
    # safetensors writes the memory of a view in the wrong order.
    arrays = {
        name: np.ascontiguousarray(array)
        for name, array in FORMATS[format](kept).items()
    }
    metadata = {
        "recipe": config.recipe,
        "step": str(checkpoint.step),
        "network": network,
        "format": format,
    }
    with replacing(path) as partial:
        save_file(arrays, partial, metadata=metadata)
