"""The quality study: how good the samples are, over seeds.

Trains recipe x loss x seed in both twins. Every run draws its random numbers
with its own framework, so the runs are independent. The file is written after
every run, and the same command resumes it. ``quality_report`` has the tables.
"""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from benchmarks.schema import read_json, write_json
from benchmarks.stability import TWINS
from experiment.config import Config
from experiment.data import Splits, load, load_splits
from experiment.errors import InputError
from experiment.machine import describe_machine
from experiment.recipes import recipe
from experiment.scores import Scores
from experiment.stream import fixed_noise

SCHEMA, VERSION = "gan-quality", 1
LOSSES = ("saturating", "non-saturating")
FEWEST_SEEDS = 2  # one has no standard deviation
_CHUNK = 500  # iterations


def study(
    recipes: Sequence[str],
    seeds: int,
    steps: int | None,
    data_dir: Path | None,
    download: bool,
    path: Path,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Trains and judges the runs that the file lacks; returns its contents.

    Args:
        recipes: their names.
        seeds: runs of each recipe, loss and twin.
        steps: iterations, in place of the recipe's.
        data_dir: folder of the data sets that are not embedded.
        download: whether to fetch what is missing there.
        path: the JSON file, which may exist.
        say: takes a line of progress.

    Raises:
        InputError: too few seeds, an unknown recipe, missing data, or a file
            of another study.
    """
    if seeds < FEWEST_SEEDS:
        raise InputError(
            f"--seeds is {seeds}: an interval needs at least {FEWEST_SEEDS}"
        )
    changes = {} if steps is None else {"steps": steps}
    for name in recipes:
        recipe(name, **changes)  # invalid settings end it before training
    splits = load_splits(data_dir, download)
    plan = {"steps": steps, "judged_by": splits.name}
    results: dict[str, Any] = {
        "schema": SCHEMA,
        "version": VERSION,
        "machine": describe_machine(),
        "plan": plan,
        "runs": [],
    }
    if path.exists():
        results = load_study(path)
        if results["plan"] != plan:
            raise InputError(
                f"{path} is of another study, {results['plan']}: give another "
                "--out"
            )
    # Here, since scikit-learn takes two seconds to load.
    from experiment.evaluate import score

    keys = "recipe", "seed", "loss", "twin"
    done = {tuple(one[key] for key in keys) for one in results["runs"]}
    for run in product(recipes, range(seeds), LOSSES, TWINS):
        if run in done:
            continue
        say(", ".join(f"{k} {v}" for k, v in zip(keys, run, strict=True)))
        name, seed, loss, twin = run
        config = recipe(name, loss=loss, seed=seed, stream="device", **changes)
        images = _samples_of_a_run(
            import_module(TWINS[twin]), config, data_dir, splits
        )
        scores = score(images, splits)._asdict()
        names = dict(zip(keys, run, strict=True))
        results["runs"].append({**names, "scores": scores})
        write_json(path, results)
    return results


def _samples_of_a_run(
    twin: Any, config: Config, data_dir: Path | None, splits: Splits
) -> NDArray[np.floating]:
    """Trains; returns as many samples as there are test images."""
    data = load(config, data_dir)
    device = twin.select_device("auto", config)
    game = twin.create(config, data, device)
    train = twin.device_stream(config, data, device)
    starts = range(0, config.steps, _CHUNK)
    text, console = f"{config.steps:,} iterations", Console(stderr=True)
    for first in track(starts, text, transient=True, console=console):
        game, _ = train(game, first, min(_CHUNK, config.steps - first))
    z = fixed_noise(config, len(splits.test.labels))
    return twin.sample_images(game, z)


def load_study(path: Path) -> dict[str, Any]:
    """The contents of a file of ``study``.

    Raises:
        InputError: the file is damaged or of another schema.
    """
    return read_json(path, SCHEMA, VERSION, "quality", "remove it", _verify)


def _verify(results: Mapping[str, Any]) -> None:
    for run in results["runs"]:
        TWINS[run["twin"]]
        Scores(**run["scores"])
