"""Recording of the reference's trajectories, in the format of FORMAT.md."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save as format_tensors

import torch_ref
from experiment.config import Config
from experiment.errors import InputError
from experiment.stream import Batch, DiscriminatorBatch, Stream
from parity_tests.conventions import CONVENTIONS
from parity_tests.trajectory import (
    SCHEMA,
    SIDES,
    VERSION,
    file_name,
    index_digest,
    prefixed,
)
from torch_ref.weights import named_parameters, neutral

STATES_AT = (1, 2, 3, 10, 100)


def record(
    config: Config,
    data: NDArray[np.floating],
    steps: int,
    folder: Path,
    states_at: Iterable[int] = STATES_AT,
) -> None:
    """Runs the reference and writes its trajectory.

    The files are written next to ``folder`` and renamed when all are there.

    Args:
        config: the experiment; its ``steps`` is not used.
        data: its training set, (n, *sample), in the config's precision.
        steps: iterations of Algorithm 1.
        folder: where to; it must not exist.
        states_at: iterations, from 1, after which state and gradients are
            written; the last iteration is always one of them.

    Raises:
        InputError: the folder exists or cannot be made, or ``steps``,
            ``states_at``, the data's type or ``compute`` is wrong.
    """
    if steps < 1 or steps > 999_999:
        raise InputError(f"steps is {steps}: it must be in [1, 999999]")
    if min(states_at, default=1) < 1:
        raise InputError(f"states-at has {min(states_at)}: iterations are >= 1")
    if data.dtype != config.dtype:
        raise InputError(
            f"data is {data.dtype}, the config {config.precision}: load it in "
            "that precision"
        )
    if config.compute != "full":
        raise InputError(
            f"compute is {config.compute}: its rounding has no bound to replay "
            "against; record with compute full"
        )
    states = sorted({at for at in states_at if at <= steps} | {steps})
    partial = folder.with_name(f"{folder.name}.partial")
    if folder.exists():
        raise InputError(f"{folder} exists already: choose another name")
    try:
        partial.mkdir(parents=True)
    except FileExistsError as error:
        raise InputError(
            f"{partial} is left of a recording that was stopped: remove it"
        ) from error
    except OSError as error:
        raise InputError(f"{partial}: {error.strerror}") from error
    try:
        _write(config, data, steps, partial, states)
        os.rename(partial, folder)
    except BaseException:
        shutil.rmtree(partial)
        raise


def _write(
    config: Config,
    data: NDArray[np.floating],
    steps: int,
    folder: Path,
    states: list[int],
) -> None:
    """Runs the reference into a folder that exists."""
    device = torch_ref.select_device("cpu", config)
    game = torch_ref.create(config, data, device)
    stream = Stream(config, data)
    files = {}

    def save(step: int, tensors: dict[str, NDArray]) -> None:
        # Safetensors writes memory as it lies: a transposed view must not be.
        tensors = {
            f"{step:06d}/{name}": np.array(array, order="C")
            for name, array in tensors.items()
        }
        content = format_tensors(tensors)
        (folder / file_name(step)).write_bytes(content)
        files[file_name(step)] = {
            "sha256": hashlib.sha256(content).hexdigest(),
            "tensors": {
                name: {"dtype": str(array.dtype), "shape": array.shape}
                for name, array in sorted(tensors.items())
            },
        }

    save(0, prefixed("state/", torch_ref.to_numpy(game)))
    for step in range(1, steps + 1):
        batch = stream.batch(step - 1)
        game, metrics = game.step(torch_ref.place(batch, device))
        tensors = flat_batch(batch)
        tensors |= prefixed("metrics/", torch_ref.fetch(metrics))
        if step in states:
            tensors |= prefixed("state/", torch_ref.to_numpy(game))
            tensors |= prefixed("gradients/", _gradients(game))
        save(step, tensors)
    index = {
        "schema": SCHEMA,
        "version": VERSION,
        "precision": config.precision,
        "config": {**asdict(config), "sample_shape": data.shape[1:]},
        "steps": steps,
        "states": states,
        "conventions": CONVENTIONS,
        "files": files,
    }
    index["sha256"] = index_digest(index)
    # A tensor's type and shape on one line.
    text = re.sub(
        r'\{\s*"dtype"[^{}]*\}|\[[^][{}]*\]',
        lambda found: " ".join(found[0].split()),
        json.dumps(index, indent=1),
    )
    (folder / "index.json").write_text(text + "\n")


def flat_batch(batch: Batch | DiscriminatorBatch) -> dict[str, NDArray]:
    """A batch of the stream under the names of a trajectory."""
    of_d, of_g = batch if isinstance(batch, Batch) else (batch, None)
    found = {
        "discriminator/x": of_d.x,
        "discriminator/z": of_d.z,
        **prefixed("discriminator/real_masks/", of_d.real_masks),
        **prefixed("discriminator/fake_masks/", of_d.fake_masks),
    }
    if of_g is not None:
        found["generator/z"] = of_g.z
        found |= prefixed("generator/masks/", of_g.masks)
    return found


def _gradients(game: Any) -> dict[str, NDArray]:
    """What both optimizers were last given."""
    found = {}
    for side in SIDES:
        network = getattr(game, side).network
        for name, parameter in named_parameters(network):
            assert parameter.grad is not None, "there was no step yet"
            found[f"{side}/{name}"] = neutral(parameter.grad).numpy()
    return found
