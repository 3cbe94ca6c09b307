"""What a run is resumed from, and with which config."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from experiment import run
from experiment.checkpoints import FREE_ON_RESUME
from experiment.config import Config
from experiment.errors import InputError
from experiment.events import interrupted, last_setting
from experiment.lock import is_held
from experiment.train_options import KEEP, NEWEST
from experiment.training import Settings, products

_RUNS = Path("runs")


def find_folder(given: Path) -> Path:
    """The run folder to resume: the given one, or the newest interrupted one.

    Raises:
        InputError: it is no run folder, or no run was interrupted.
    """
    if given is not NEWEST:
        run.load_config(given)
        return given
    found = [
        folder
        for folder in _RUNS.glob("*")
        if (folder / "config.json").is_file()
        and interrupted(folder)
        and not is_held(folder)
    ]
    if not found:
        raise InputError(
            f"--resume: no run in {_RUNS} was interrupted; name a run folder"
        )
    newest = max(found, key=lambda f: (f / "events.jsonl").stat().st_mtime)
    print(f"resuming {newest}", file=sys.stderr)
    return newest


def resumed_config(folder: Path, changes: dict[str, Any]) -> Config:
    """The config of a run folder, with the changes that a run may take.

    Raises:
        InputError: a change would make it another run.
    """
    config = run.load_config(folder)
    for name, value in changes.items():
        before = getattr(config, name)
        if value != before and name not in FREE_ON_RESUME:
            option = name.replace("_", "-")
            raise InputError(
                f"--{option} {value} is not that of {folder}, which has "
                f"{option} {before}: leave it out, or retrain from scratch"
            )
    return replace(config, **changes)


def require_more(
    folder: Path, config: Config, step: int, stop_when_collapsed: bool
) -> None:
    """Makes sure that a run has iterations, or an image, to be made.

    Raises:
        InputError: it is complete, or it collapsed and is to stop then.
    """
    made = all(path.exists() for path in products(config, folder, step))
    if step > config.steps or (step == config.steps and made):
        raise InputError(
            f"--steps is {config.steps}, and {folder} has {step} iterations "
            "already: give a larger --steps"
        )
    collapse = run.load_collapse(folder)
    if collapse and collapse.noticed <= step and stop_when_collapsed:
        raise InputError(
            f"{folder} {collapse}. To resume all the same, leave "
            "--stop-when-collapsed out"
        )


def settings_of(options: Any, folder: Path) -> Settings:
    """How a run is kept and when it ends.

    A resumed run keeps its checkpoints as before, unless told otherwise: of a
    study that keeps all, none is deleted.
    """
    keep, minutes = options.keep_checkpoints, options.checkpoint_minutes
    if keep is None:
        keep = last_setting(folder, "keep_checkpoints", KEEP)
        if keep is not None and not (type(keep) is int and keep >= 1):
            keep = KEEP  # a damaged line
    if minutes is None:
        minutes = last_setting(folder, "checkpoint_minutes", None)
        if not (type(minutes) is float and minutes > 0):
            minutes = None
    return Settings(
        None if keep == "all" else keep,
        minutes,
        options.max_hours,
        options.stop_when_collapsed,
    )
