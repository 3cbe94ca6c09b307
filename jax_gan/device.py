"""Where and in which precision JAX computes, set explicitly."""

import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from numpy.typing import NDArray

from experiment.config import Config
from experiment.errors import InputError
from jax_gan.parallel import split


def select_device(name: str, config: Config) -> jax.Device:
    """The device of a run; sets what JAX needs for it in the whole process.

    Matmuls keep every bit of the precision asked for (no TF32), and
    float64 is switched on for a run that needs it. It is never switched off:
    float32 runs compute the same with it.

    Args:
        name: ``cpu``, ``gpu``, or ``auto`` for the best one available.
        config: gives the precision.

    Raises:
        InputError: JAX sees no such device, or none at all.
    """
    if config.precision == "float64":
        jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_default_matmul_precision", "highest")
    try:
        return jax.devices(None if name == "auto" else name)[0]
    except (RuntimeError, AssertionError) as error:
        if platforms := os.environ.get("JAX_PLATFORMS"):
            raise InputError(
                f"--device {name}: JAX_PLATFORMS is {platforms!r}, and JAX "
                "finds no such device; unset it, or set it to cpu"
            ) from error
        raise InputError(
            f"--device {name}: JAX sees none here; take --device cpu, or "
            "install CUDA's JAX: make gpu-install"
        ) from error


def make_deterministic() -> None:
    """Makes repetitions bit-identical on a GPU too, at the cost of speed.

    XLA then takes no kernel that adds in the order in which threads end, and
    chooses none by its measured time. It reads this when JAX first looks for
    devices: call it before.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = f"{flags} --xla_gpu_deterministic_ops=true"


def place(batch: Any, device: Any = None) -> Any:
    """A batch of NumPy arrays, as arrays on the device; copies.

    ``device_put`` alone would share NumPy's memory on a CPU. Over several
    devices of ``spread``, stacked batches are split.
    """
    if isinstance(device, NamedSharding):
        return split(batch, device)
    return jax.device_put(jax.tree.map(jnp.array, batch), device)


def fetch(metrics: Any) -> dict[str, NDArray]:
    """Metrics as NumPy arrays, by name; waits until they are computed."""
    return {k: np.asarray(value) for k, value in metrics._asdict().items()}
