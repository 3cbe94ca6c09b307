"""The run folder: config, metrics, checkpoints, and how each is read back.

DIR/config.json             the experiment
DIR/initial_weights.json    the run that its initial weights came from, if any
DIR/checkpoint.safetensors  the last checkpoint
DIR/metrics.jsonl           one line for each iteration
DIR/collapse.json           when and how the game collapsed, if it did
DIR/metrics.json            how good its samples are, once evaluated
DIR/tensorboard/            the same for TensorBoard
DIR/samples/, *.png, *.gif  images
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from tensorboard.summary import Writer

from experiment.config import Config
from experiment.errors import InputError
from experiment.files import replace_text, replacing
from experiment.recipe_file import require_recipe, spell_as_keys
from experiment.watch import SIGNS, Collapse


def verify_state(
    found: Mapping[str, NDArray], expected: Mapping[str, NDArray]
) -> None:
    """Holds a flat dict of arrays against what a game needs.

    Raises:
        InputError: names the first array that is missing, unknown, of another
            shape or type, or not finite.
    """
    for name in expected.keys() - found.keys():
        raise InputError(f"state lacks the array {name}")
    for name in found.keys() - expected.keys():
        raise InputError(f"state has an array that is not known: {name}")
    for name, array in found.items():
        wanted = expected[name]
        if array.shape != wanted.shape or array.dtype != wanted.dtype:
            raise InputError(
                f"{name} is {array.dtype}{list(array.shape)}; the recipe "
                f"needs {wanted.dtype}{list(wanted.shape)}"
            )
        if not np.isfinite(array).all():
            raise InputError(f"{name} holds a number that is not finite")


def create_folder(folder: Path, config: Config) -> None:
    """Starts a run folder.

    Raises:
        InputError: the folder exists or cannot be made.
    """
    try:
        folder.mkdir(parents=True)
    except FileExistsError as error:
        text = f"--out {folder} exists already: choose another name"
        if folder.is_dir():
            text += f", or resume it by --resume {folder}"
        raise InputError(text) from error
    except OSError as error:
        raise InputError(
            f"--out {folder}: {error.strerror}; choose another place"
        ) from error
    save_config(folder, config)


def load_config(folder: Path) -> Config:
    """The config of a run folder.

    Raises:
        InputError: the folder holds no readable config.
    """
    path = folder / "config.json"
    try:
        values = json.loads(path.read_text())
        tuples = {k: tuple(v) for k, v in values.items() if isinstance(v, list)}
        config = Config(**{**values, **tuples})
        require_recipe(config.recipe)
        return config
    except FileNotFoundError as error:
        raise InputError(
            f"{folder} is not a run folder: it has no config.json"
        ) from error
    except InputError as error:
        raise InputError(f"{path}: {spell_as_keys(str(error))}") from error
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is damaged ({error}): restore it, or retrain from scratch"
        ) from error


def save_config(folder: Path, config: Config) -> None:
    """Replaces the config of a run folder."""
    replace_text(folder / "config.json", json.dumps(asdict(config), indent=2))


def save_origin(folder: Path, origin: Path, step: int) -> None:
    """Keeps which run, at which iteration, the initial weights came from."""
    text = json.dumps({"run": str(origin), "iteration": step}) + "\n"
    replace_text(folder / "initial_weights.json", text)


def load_origin(folder: Path) -> tuple[str, int] | None:
    """The run and the iteration of its initial weights, if of another run.

    Raises:
        InputError: the file is damaged.
    """
    path = folder / "initial_weights.json"
    if not path.exists():
        return None
    try:
        origin = json.loads(path.read_text())
        return str(origin["run"]), int(origin["iteration"])
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path} is damaged: delete it") from error


def save_evaluation(folder: Path, results: Mapping[str, Any]) -> Path:
    """Replaces what was last measured of a run's samples."""
    path = folder / "metrics.json"
    replace_text(path, json.dumps(results, indent=1) + "\n")
    return path


def save_collapse(folder: Path, collapse: Collapse) -> None:
    """Keeps the collapse that the watch saw."""
    replace_text(folder / "collapse.json", json.dumps(asdict(collapse)) + "\n")


def load_collapse(folder: Path) -> Collapse | None:
    """The collapse of a run, if the watch saw one.

    Raises:
        InputError: the file is damaged.
    """
    path = folder / "collapse.json"
    if not path.exists():
        return None
    try:
        collapse = Collapse(**json.loads(path.read_text()))
        iterations = collapse.since, collapse.noticed
        if not all(type(number) is int for number in iterations):
            raise ValueError("its iterations are not whole numbers")
        if not 0 < collapse.since <= collapse.noticed:
            raise ValueError("its iterations are out of order")
        SIGNS[collapse.sign]
        return collapse
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"{path} is damaged ({error!r}): remove it, and the run is "
            "watched from here on"
        ) from error


def save_checkpoint(
    folder: Path, step: int, state: Mapping[str, NDArray]
) -> None:
    """Writes a checkpoint, which then takes the place of the last one."""
    metadata = {"step": str(step), "sha256": _digest(step, state)}
    with replacing(folder / "checkpoint.safetensors") as partial:
        save_file(dict(state), partial, metadata=metadata)


def load_checkpoint(folder: Path) -> tuple[int, dict[str, NDArray]]:
    """Step and state of a run folder's last checkpoint.

    Raises:
        InputError: there is none, or it is cut short or damaged.
    """
    path = folder / "checkpoint.safetensors"
    if not path.exists():
        raise InputError(
            f"{folder} has no checkpoint: name another run, or retrain from "
            "scratch"
        )
    try:
        with safe_open(path, "numpy") as file:
            names = file.keys()  # a file is no dict, and cannot be iterated
            state = {name: file.get_tensor(name) for name in names}
            metadata = file.metadata()
            step = int(metadata["step"])
            if metadata["sha256"] != _digest(step, state):
                raise ValueError("its checksum differs")
            return step, state
    except (SafetensorError, OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"{path} is damaged ({' '.join(str(error).split())}): restore it "
            "or retrain from scratch"
        ) from error


def _digest(step: int, state: Mapping[str, NDArray]) -> str:
    """A checksum of a checkpoint's step, names and numbers."""
    digest = hashlib.sha256(str(step).encode())
    for name in sorted(state):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(state[name]).tobytes())
    return digest.hexdigest()


class MetricsLog:
    """Metrics of every iteration, appended to a run folder."""

    def __init__(self, folder: Path, step: int):
        """Opens the log at ``step`` and drops what was written after it."""
        self._path = folder / "metrics.jsonl"
        self._writer = Writer(str(folder / "tensorboard"))
        collapse = load_collapse(folder)
        if collapse and collapse.noticed > step:
            (folder / "collapse.json").unlink()
        if self._path.exists():
            kept = [row for row in _rows(self._path) if row["step"] <= step]
            replace_text(
                self._path, "".join(json.dumps(row) + "\n" for row in kept)
            )

    def append(self, history: Mapping[str, NDArray]) -> None:
        """Adds iterations; TensorBoard gets their mean.

        Args:
            history: one value an iteration in each column, among them
                ``step``; nan, where nothing was measured, is left out.
        """
        columns = {k: v for k, v in history.items() if k != "step"}
        with self._path.open("a") as file:
            for i, step in enumerate(history["step"].tolist()):
                row = {name: float(v[i]) for name, v in columns.items()}
                kept = {k: v for k, v in row.items() if not np.isnan(v)}
                file.write(json.dumps({"step": step, **kept}) + "\n")
        for name, column in columns.items():
            self._writer.add_scalar(name, float(np.nanmean(column)), step)
        self._writer.flush()

    def close(self) -> None:
        """Closes TensorBoard's file."""
        self._writer.close()


def load_metrics(folder: Path) -> dict[str, NDArray[np.float64]]:
    """Metrics of a run folder, one array over the iterations for each.

    Where an iteration lacks one, it is nan. No iterations, no arrays.
    """
    path = folder / "metrics.jsonl"
    rows = _rows(path) if path.exists() else []
    names = dict.fromkeys([*rows[0], "sample_spread"] if rows else [])
    return {
        name: np.array([row.get(name, np.nan) for row in rows])
        for name in names
    }


_NEEDED = {"step", "generator_loss", "real_probability", "fake_probability"}


def _rows(path: Path) -> list[dict[str, Any]]:
    """The lines of a log; one that a crash cut short is left out."""
    rows = []
    for line in path.read_text(errors="replace").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        known = isinstance(row, dict) and row.keys() >= _NEEDED
        if known and all(isinstance(v, int | float) for v in row.values()):
            rows.append(row)
    return rows
