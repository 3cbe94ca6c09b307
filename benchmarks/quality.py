"""The study: how good the samples are, by recipe, loss, twin and seed.

Every run has random numbers of its own, drawn by its framework, so that what
the seeds differ by is what runs differ by. Whether the twins are equivalent
is said by ``benchmarks.equivalence``, of the Frechet distance. The file is
written as the study goes, and the same command goes on with it.
"""

import json
from collections.abc import Callable, Sequence
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from scipy import stats

from benchmarks.equivalence import (
    MARGINS,
    compare,
    ratio_of_geometric_means,
)
from experiment.config import Config, InputError
from experiment.data import Splits, load, load_splits
from experiment.files import replace_text
from experiment.machine import describe_machine
from experiment.pages import describe, markdown_table
from experiment.recipes import recipe
from experiment.stream import fixed_noise

SCHEMA, VERSION = "gan-quality", 1
TWINS = {"JAX": "jax_gan", "PyTorch": "torch_ref"}
LOSSES = ("saturating", "non-saturating")
FEWEST_SEEDS = 2  # one has no deviation
_STRETCH = 500
METRICS = {
    "frechet_distance": "Frechet distance",
    "digits": "digits shown",
    "largest_share": "commonest digit",
    "confidence": "confidence",
    "precision": "precision",
    "recall": "recall",
    "log_likelihood": "Parzen, nats",
}


def study(
    recipes: Sequence[str],
    seeds: int,
    steps: int | None,
    data_dir: Path | None,
    download: bool,
    path: Path,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Trains and judges what the file does not have yet; its contents.

    Raises:
        InputError: too few seeds, an unknown recipe, data that are not there,
            or a file of another study.
    """
    if seeds < FEWEST_SEEDS:
        raise InputError(
            f"--seeds is {seeds}: an interval needs at least {FEWEST_SEEDS}"
        )
    changes = {} if steps is None else {"steps": steps}
    for name in recipes:
        recipe(name, **changes)  # refused before any is trained
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
        of_run = dict(zip(keys, run, strict=True))
        results["runs"].append({**of_run, "scores": scores})
        replace_text(path, json.dumps(results, indent=1) + "\n")
    return results


def _samples_of_a_run(
    twin: Any, config: Config, data_dir: Path | None, splits: Splits
) -> NDArray[np.floating]:
    """As many samples as there are test images, after training."""
    data = load(config, data_dir)
    device = twin.select_device("auto", config)
    game = twin.create(config, data, device)
    train = twin.device_stream(config, data, device)
    starts = range(0, config.steps, _STRETCH)
    text, console = f"{config.steps:,} iterations", Console(stderr=True)
    for first in track(starts, text, transient=True, console=console):
        game, _ = train(game, first, min(_STRETCH, config.steps - first))
    z = fixed_noise(config, len(splits.test.labels))
    return twin.sample_images(game, z)


def load_study(path: Path) -> dict[str, Any]:
    """What a study wrote.

    Raises:
        InputError: the file is damaged or of another schema.
    """
    try:
        results = json.loads(path.read_text())
        known = (results["schema"], results["version"]) == (SCHEMA, VERSION)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is no study ({error}): remove it") from error
    if not known:
        raise InputError(f"{path} is not a {SCHEMA} of version {VERSION}")
    return results


def tables(results: dict[str, Any]) -> str:
    """The study as Markdown: every metric, and both claims."""
    runs = results["runs"]
    recipes = list(dict.fromkeys(one["recipe"] for one in runs))

    def values(*of: str, metric: str = "frechet_distance") -> list[float]:
        name, loss, twin = of
        return [
            one["scores"][metric]
            for one in runs
            if (one["recipe"], one["loss"], one["twin"]) == (name, loss, twin)
        ]

    rows, claims = [], []
    for name, loss, twin in product(recipes, LOSSES, TWINS):
        row = [f"{name}, {loss}", twin, str(len(values(name, loss, twin)))]
        for metric in METRICS:
            row.append(_mean(values(name, loss, twin, metric=metric)))
        rows.append(row)
    for name, loss in product(recipes, LOSSES):
        ours, theirs = (values(name, loss, twin) for twin in TWINS)
        ratio, within = compare(MARGINS["frechet_distance"], ours, theirs)
        verdict = "equivalent" if within else "not shown equivalent"
        what = f"{name}, {loss}: PyTorch over JAX (90 %)"
        claims.append([what, f"{ratio:.2f}", verdict])
    for name, twin in product(recipes, TWINS):
        saturating, other = (values(name, loss, twin) for loss in LOSSES)
        ratio = ratio_of_geometric_means(other, saturating, 0.95)
        verdict = (
            "non-saturating is better"
            if ratio.low > 1
            else "saturating is better"
            if ratio.high < 1
            else "no difference shown"
        )
        what = f"{name}, {twin}: saturating over non-saturating (95 %)"
        claims.append([what, f"{ratio:.2f}", verdict])
    header = ["recipe and loss", "twin", "seeds", *METRICS.values()]
    machine = f"{describe(results['machine'])}; float32."
    judge = f"Judged by {results['plan']['judged_by']}; mean ± 95 % interval."
    return "\n\n".join(
        [
            markdown_table(header, rows),
            judge,
            markdown_table(
                ["ratio of Frechet distances", "ratio", "verdict"], claims
            ),
            machine,
        ]
    )


def _mean(values: Sequence[float]) -> str:
    """Mean and half its 95 % interval over seeds."""
    half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
    return f"{np.mean(values):.3g} ± {half:.2g}"
