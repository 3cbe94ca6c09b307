"""Where and in which precision PyTorch computes, set explicitly."""

import os
from typing import Any

import torch
from numpy.typing import NDArray

from experiment.config import Config
from experiment.errors import InputError
from experiment.stream import map_arrays
from torch_ref.parallel import mean_over_processes

DTYPES = {"float32": torch.float32, "float64": torch.float64}


def select_device(name: str, config: Config) -> torch.device:
    """The device of a run; sets PyTorch's precision for the whole process.

    Matmuls keep every bit of the precision asked for (no TF32).

    Args:
        name: ``cpu``, ``gpu``, or ``auto`` for the best one available.
        config: the experiment; PyTorch's precision is that of its tensors.

    Raises:
        InputError: a GPU is asked for and PyTorch sees none.
    """
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    if name == "gpu" and not torch.cuda.is_available():
        raise InputError(
            f"--device {name}: PyTorch sees none here; take --device cpu, or "
            "install a CUDA build of torch"
        )
    use_gpu = name == "gpu" or (name == "auto" and torch.cuda.is_available())
    return torch.device("cuda" if use_gpu else "cpu")


def make_deterministic() -> None:
    """Makes repetitions bit-identical on a GPU too, at the cost of speed.

    cuBLAS and cuDNN then take no kernel that adds in the order in which
    threads end, and an operation that has no other raises an error. cuBLAS
    reads its variable when PyTorch first uses the GPU: call it before.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)


def place(batch: Any, device: torch.device | None = None) -> Any:
    """A batch of NumPy arrays, as tensors on the device; copies."""
    return map_arrays(lambda array: torch.tensor(array, device=device), batch)


def fetch(metrics: Any) -> dict[str, NDArray]:
    """Metrics as NumPy arrays, by name; waits until they are computed.

    Of several processes, their means: those of the whole minibatch.
    """
    return {
        k: mean_over_processes(value).cpu().numpy()
        for k, value in metrics._asdict().items()
    }
