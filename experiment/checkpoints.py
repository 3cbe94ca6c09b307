"""The checkpoints of a run folder: the last few, each of them whole.

DIR/checkpoints/000500.safetensors holds the state after 500 iterations, the
config, a digest of the training data, the versions that wrote it and a
checksum of it all. Earlier versions wrote one DIR/checkpoint.safetensors.

None is called the best. The losses of a GAN do not rank its samples, and a
measure that does, such as a Fréchet distance, would take longer than the
iterations between two checkpoints. ``evaluate`` judges the last one.
"""

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from experiment.config import Config
from experiment.errors import InputError
from experiment.files import replacing
from experiment.machine import versions
from experiment.pixels import Data, data_digest

# What may differ between a run and its continuation.
FREE_ON_RESUME = ("steps", "sample_every")
_DAMAGES = SafetensorError, OSError, ValueError, TypeError, KeyError


class Checkpoint(NamedTuple):
    """What a run can be resumed from.

    Attributes:
        step: iterations so far.
        state: flat dict of arrays, as a twin's ``to_numpy`` gives it.
        about: of ``describe``; empty if an earlier version wrote it.
        damaged: a sentence on each later checkpoint, which is damaged.
    """

    step: int
    state: dict[str, NDArray]
    about: dict[str, str]
    damaged: tuple[str, ...] = ()


def describe(
    config: Config, data: Data, learning_rate_factor: float = 1.0
) -> dict[str, str]:
    """What a checkpoint says of its run, next to the state.

    Args:
        config: of the run folder.
        data: the training set; its digest is kept.
        learning_rate_factor: of the config's learning rates, by which the run
            continues.
    """
    return {
        "config": json.dumps(asdict(config)),
        "data": data_digest(data),
        "learning_rate_factor": repr(learning_rate_factor),
        "versions": json.dumps(versions()),
    }


def save_checkpoint(
    folder: Path,
    step: int,
    state: Mapping[str, NDArray],
    about: Mapping[str, str] | None = None,
) -> None:
    """Writes a checkpoint: whole, or not at all.

    Raises:
        OSError, SafetensorError: it could not be written.
    """
    about = dict(about or {})
    digest = _digest(step, state, about)
    metadata = {"step": str(step), **about, "sha256": digest}
    path = folder / "checkpoints" / f"{step:06d}.safetensors"
    path.parent.mkdir(exist_ok=True)
    with replacing(path) as partial:
        save_file(dict(state), partial, metadata=metadata)


def load_checkpoint(folder: Path) -> Checkpoint:
    """The newest checkpoint of a run folder that is whole.

    Raises:
        InputError: there is none.
    """
    paths = newest_first(folder)
    if not paths:
        raise InputError(
            f"{folder} has no checkpoint: name another run, or retrain from "
            "scratch"
        )
    damaged: list[str] = []
    for path in paths:
        try:
            return _read(path)._replace(damaged=tuple(damaged))
        except _DAMAGES as error:
            reason = " ".join(str(error).split())
            damaged.append(f"{path} is damaged ({reason})")
    raise InputError(
        f"{'; '.join(damaged)}: restore one of them, or retrain from scratch"
    )


def has_checkpoint(folder: Path) -> bool:
    """Whether a run folder has a checkpoint, whole or damaged."""
    return bool(newest_first(folder))


def require_run(
    folder: Path,
    config: Config,
    checkpoint: Checkpoint,
    data: Data | None = None,
) -> None:
    """Makes sure that a checkpoint is of its folder's config and data.

    Args:
        folder: the run folder.
        config: in its ``config.json``.
        checkpoint: of ``load_checkpoint``.
        data: the training set, where it matters.

    Raises:
        InputError: it is of another config, or of other data.
    """
    if not checkpoint.about:
        return
    saved = json.loads(checkpoint.about["config"])
    for item in fields(Config):
        now = json.loads(json.dumps(getattr(config, item.name)))
        then = saved.get(item.name, now)
        if now != then and item.name not in FREE_ON_RESUME:
            name = item.name.replace("_", "-")
            raise InputError(
                f"{folder / 'config.json'} has {name} {now}, but the "
                f"checkpoint of iteration {checkpoint.step} was trained with "
                f"{then}: restore the file"
            )
    if data is None:
        return
    if describe(config, data)["data"] != checkpoint.about["data"]:
        raise InputError(
            f"the data differ from those that {folder} was trained on (another "
            "checksum): give the same --data-dir, or start another run from "
            f"its weights by --initial-weights {folder}"
        )


def report_damage(checkpoint: Checkpoint) -> None:
    """Says on stderr which checkpoints are damaged, and which one serves."""
    for sentence in checkpoint.damaged:
        print(
            f"{sentence}; the one of iteration {checkpoint.step} serves",
            file=sys.stderr,
        )


def set_aside(folder: Path, step: int) -> None:
    """Renames what is later than a checkpoint: damaged, and now in the way."""
    for path in newest_first(folder):
        if _step_of(path) > step:
            path.rename(path.with_suffix(".damaged"))


def newest_first(folder: Path) -> list[Path]:
    """The checkpoints of a run folder, whole or damaged."""
    paths = sorted(
        (
            path
            for path in (folder / "checkpoints").glob("*.safetensors")
            if path.stem.isdecimal()
        ),
        key=_step_of,
        reverse=True,
    )
    single = folder / "checkpoint.safetensors"  # of earlier versions
    return [*paths, single] if single.exists() else paths


def _step_of(path: Path) -> int:
    """By the file's name; of an earlier version's single file -1."""
    return int(path.stem) if path.stem.isdecimal() else -1


def _read(path: Path) -> Checkpoint:
    """A checkpoint that is whole.

    Raises:
        SafetensorError, OSError, ValueError, TypeError, KeyError: it is not.
    """
    if not path.is_file():  # a named pipe would never end
        raise ValueError("it is no file")
    with safe_open(path, "numpy") as file:
        names = file.keys()  # a file is no dict, and cannot be iterated
        state = {name: file.get_tensor(name) for name in names}
        about = dict(file.metadata())
    step, sha256 = int(about.pop("step")), about.pop("sha256")
    if sha256 != _digest(step, state, about):
        raise ValueError("its checksum differs")
    if _step_of(path) not in (-1, step):
        raise ValueError(f"it is of iteration {step}")
    for name, array in state.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{name} holds a number that is not finite")
    return Checkpoint(step, state, about)


def _digest(
    step: int, state: Mapping[str, NDArray], about: Mapping[str, str]
) -> str:
    """A checksum of a checkpoint's step, names, numbers and description."""
    digest = hashlib.sha256(str(step).encode())
    for name in sorted(about):
        digest.update(f"{name}={about[name]}".encode())
    for name in sorted(state):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(state[name]).tobytes())
    return digest.hexdigest()
