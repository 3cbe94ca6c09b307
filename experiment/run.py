"""The run folder: what its small files are, and how each is read back.

DIR/config.json             the experiment
DIR/initial_weights.json    the run that its initial weights came from, if any
DIR/checkpoints/            the last checkpoints: checkpoints.py
DIR/events.jsonl            what happened to the run: events.py
DIR/lock                    which process writes it: lock.py
DIR/metrics.jsonl           one line for each iteration: metrics_log.py
DIR/collapse.json           when and how the game collapsed, if it did
DIR/metrics.json            how good its samples are, once evaluated
DIR/tensorboard/            the same for TensorBoard
DIR/samples/, *.png, *.gif  images
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiment.config import Config
from experiment.errors import InputError
from experiment.files import read_text, replace_text
from experiment.lock import LOCK
from experiment.recipe_file import require_recipe, spell_as_keys
from experiment.watch import SIGNS, Collapse

VERSION = 1  # of config.json


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


def make_folder(folder: Path) -> None:
    """Makes an empty folder; one that exists will do.

    Raises:
        InputError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise InputError(
            f"--out {folder} exists already: choose another name"
        ) from error
    except OSError as error:
        raise InputError(
            f"--out {folder}: {error.strerror}; choose another place"
        ) from error


def require_empty(folder: Path) -> None:
    """Makes sure that nothing is in a folder but a lock.

    Raises:
        InputError: there is, or it is no folder.
    """
    if not folder.is_dir():
        raise InputError(f"--out {folder} exists already: choose another name")
    if any(path.name != LOCK for path in folder.iterdir()):
        raise InputError(
            f"--out {folder} exists already: choose another name, or resume it "
            f"by --resume {folder}"
        )


def create_folder(
    folder: Path, config: Config, origin: tuple[str, int] | None = None
) -> None:
    """Starts a run folder.

    Args:
        folder: to make, or an empty one.
        config: the experiment.
        origin: the run, and its iteration, of the initial weights, if they
            are of another run.

    Raises:
        InputError: the folder holds anything but a lock, or cannot be made.
    """
    make_folder(folder)
    require_empty(folder)
    if origin:
        name, step = origin
        text = json.dumps({"run": name, "iteration": step}) + "\n"
        replace_text(folder / "initial_weights.json", text)
    save_config(folder, config)  # the last: with it, it is a run folder


def load_config(folder: Path) -> Config:
    """The config of a run folder.

    Raises:
        InputError: the folder holds no readable config.
    """
    path = folder / "config.json"
    try:
        values = json.loads(read_text(path))
        version = values.pop("version", VERSION)  # the first ones had none
        if version != VERSION:
            raise InputError(
                f"version is {version!r}, and this program knows {VERSION}: "
                "take the program that wrote it"
            )
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
    values = {"version": VERSION, **asdict(config)}
    replace_text(folder / "config.json", json.dumps(values, indent=2))


def load_origin(folder: Path) -> tuple[str, int] | None:
    """The run and the iteration of its initial weights, if of another run.

    Raises:
        InputError: the file is damaged.
    """
    path = folder / "initial_weights.json"
    if not path.exists():
        return None
    try:
        origin = json.loads(read_text(path))
        return str(origin["run"]), int(origin["iteration"])
    except (OSError, ValueError, TypeError, KeyError) as error:
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
        collapse = Collapse(**json.loads(read_text(path)))
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


def forget_collapse(folder: Path, step: int) -> Collapse | None:
    """The collapse of a run before an iteration; a later one is forgotten.

    Raises:
        InputError: the file is damaged.
    """
    collapse = load_collapse(folder)
    if collapse and collapse.noticed > step:
        (folder / "collapse.json").unlink()
        return None
    return collapse
