"""What each command of the twins' command line does."""

import argparse
from dataclasses import asdict, fields, replace
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from experiment import data as datasets
from experiment import figures, run
from experiment.config import Config
from experiment.errors import InputError
from experiment.explore import explore_page
from experiment.export import save_network
from experiment.outputs import check_outputs
from experiment.recipe_file import find_recipe
from experiment.recipes import starts_of
from experiment.restore import load_game, restored
from experiment.stream import fixed_noise
from experiment.training import run_training
from experiment.watch import Collapse, describe_collapse

# What may differ between a run and its continuation.
_FREE_ON_RESUME = ("steps", "sample_every")


def _resumed_config(folder: Path, changes: dict[str, Any]) -> Config:
    """The config of a run folder, with the changes that a run may take."""
    config = run.load_config(folder)
    for name, value in changes.items():
        before = getattr(config, name)
        if value != before and name not in _FREE_ON_RESUME:
            option = name.replace("_", "-")
            raise InputError(
                f"--{option} {value} is not that of {folder}, which has "
                f"{option} {before}: leave it out, or retrain from scratch"
            )
    return replace(config, **changes)


def train(twin: ModuleType, options: argparse.Namespace) -> int:
    """Trains a recipe into a run folder, or resumes one."""
    config = (
        _resumed_config(options.resume, options.changes)
        if options.resume
        else options.config
    )
    data = datasets.load(config, options.data_dir, options.download)
    if options.epochs is not None:
        steps = options.epochs * len(data) / (config.k * config.batch_size)
        config = replace(config, steps=max(1, round(steps)))
    if options.accelerate and config.stream == "device":
        raise InputError(
            f"--accelerate {options.accelerate}: a stream on the device has "
            "its own training loop; leave it out, or take --stream shared"
        )
    variant = options.accelerate or next(iter(twin.VARIANTS))
    device = twin.select_device(options.device, config)
    game = twin.create(config, data, device)

    if options.resume:
        folder = options.resume
        step, state = run.load_checkpoint(folder)
        if step >= config.steps:
            raise InputError(
                f"--steps is {config.steps}, and {folder} has {step} "
                "iterations already: give a larger --steps"
            )
        collapse = run.load_collapse(folder)
        if collapse and options.stop_when_collapsed:
            raise InputError(
                f"{folder} {collapse}. To resume all the same, leave "
                "--stop-when-collapsed out"
            )
        game = restored(twin, game, state, folder)
        advance = twin.VARIANTS[variant](game)
        run.save_config(folder, config)
    else:
        origin = options.initial_weights
        if origin:
            first, state = run.load_checkpoint(origin)
            game = _with_weights(twin, game, state, origin)
        step, advance = 0, twin.VARIANTS[variant](game)
        now = datetime.now().strftime("%Y%m%d-%H%M%S")
        default = Path("runs") / f"{twin.__package__}-{config.recipe}-{now}"
        folder = options.out or default
        run.create_folder(folder, config)
        if origin:
            run.save_origin(folder, origin, first)
    outcome = run_training(
        twin,
        config,
        data,
        device,
        game,
        folder,
        step,
        advance,
        options.stop_when_collapsed,
    )
    if np.isfinite(outcome.images_per_second):
        speed = f"{outcome.images_per_second:,.0f} images/s"
        print(f"{speed}, without compilation")
    last = f"samples/{outcome.step:06d}.png"
    for name in ("samples.gif", "curves.png", last):
        print(folder / name)
    collapsed = run.load_collapse(folder) is not None
    return int(options.stop_when_collapsed and collapsed)


def _with_weights(twin: ModuleType, game: Any, state: Any, origin: Path) -> Any:
    """The game with the weights and statistics of another run's state."""
    fresh = twin.to_numpy(game)
    taken = {k: v for k, v in state.items() if "/optimizer/" not in k}
    kept = {k: v for k, v in fresh.items() if "/optimizer/" in k}
    try:
        return twin.from_numpy(game, taken | kept)
    except InputError as error:
        raise InputError(
            f"--initial-weights {origin}: {error}; take a run of the same "
            "networks, or give the options that made them"
        ) from error


def _game_of(
    twin: ModuleType, options: argparse.Namespace, suffixes: tuple[str, ...]
) -> tuple[Config, int, Any]:
    """Config (with the seed of the noise), step and game of a run folder."""
    check_outputs(options, suffixes)
    config, step, game = load_game(twin, options.run, options.device)
    if options.seed is not None:
        config = replace(config, seed=options.seed)
    return config, step, game


def sample(twin: ModuleType, options: argparse.Namespace) -> int:
    """Draws samples from a run."""
    config, _, game = _game_of(twin, options, (".png",))
    samples = twin.sample_images(game, fixed_noise(config, options.n))
    columns = max(1, round(options.n**0.5))
    figures.save_samples(options.out, samples, columns)
    print(options.out)
    if options.npy:
        with options.npy.open("wb") as file:  # np.save would add a suffix
            np.save(file, samples)
        print(options.npy)
    return 0


def interpolate(twin: ModuleType, options: argparse.Namespace) -> int:
    """Draws G(z) along straight lines between noise vectors."""
    config, _, game = _game_of(twin, options, (".png", ".gif"))
    if options.n < 2:
        raise InputError(f"--n is {options.n}: a row has at least 2 images")
    walk = options.out.suffix.lower() == ".gif"
    if walk:  # from each to the next, and from the last to the first
        starts = fixed_noise(config, options.rows)
        stops = np.roll(starts, -1, axis=0)
    else:
        ends = fixed_noise(config, 2 * options.rows)
        starts, stops = ends[::2], ends[1::2]
    z = np.linspace(starts, stops, options.n, axis=1, endpoint=not walk)
    z = z.reshape(-1, config.noise_size).astype(config.dtype)
    samples = twin.sample_images(game, z)
    if walk:
        figures.save_walk(options.out, _images(config, samples))
    else:
        figures.save_samples(options.out, samples, options.n)
    print(options.out)
    return 0


def explore(twin: ModuleType, options: argparse.Namespace) -> int:
    """Makes a page to play with a run, or with two next to each other."""
    check_outputs(options, (".html",))
    page = explore_page(twin, options.run, options.device, options.seed)
    options.out.write_text(page, encoding="utf-8")
    print(options.out)
    return 0


def export(twin: ModuleType, options: argparse.Namespace) -> int:
    """Writes one network of a run for a module outside the project."""
    check_outputs(options, (".safetensors",))
    save_network(options.out, options.run, options.network, options.format)
    print(options.out)
    return 0


def nearest(twin: ModuleType, options: argparse.Namespace) -> int:
    """Draws samples, each above its nearest training image."""
    # Here, since scikit-learn takes two seconds to load.
    from experiment.metrics import nearest as nearest_images

    config, _, game = _game_of(twin, options, (".png",))
    samples = twin.sample_images(game, fixed_noise(config, options.n))
    samples = _images(config, samples)
    data = datasets.load(config, options.data_dir, options.download)
    if config.output == "tanh":
        data = (data + 1) / 2
    figures.save_nearest(options.out, samples, nearest_images(samples, data))
    print(options.out)
    return 0


def _images(config: Config, samples: Any) -> Any:
    if samples.ndim == 2:
        raise InputError(
            f"data {config.data} has no images: take a run of another set"
        )
    return samples


def evaluate(twin: ModuleType, options: argparse.Namespace) -> int:
    """Judges the samples of a run, and the baselines."""
    from experiment.evaluate import evaluate as evaluate_game
    from experiment.evaluate import print_scores

    config, step, game = _game_of(twin, options, ())
    collapse = run.load_collapse(options.run)
    splits = datasets.load_splits(options.data_dir, options.download)
    scores = evaluate_game(twin, config, game, splits, options.n)
    results = {
        "recipe": config.recipe,
        "step": step,
        "seed": config.seed,
        "judged_by": splits.name,
        "scores": {name: s._asdict() for name, s in scores.items()},
    }
    path = run.save_evaluation(options.run, results)
    print_scores(scores, splits)
    _print_collapse(collapse, config)
    print(path)
    return 0


def info(twin: ModuleType, options: argparse.Namespace) -> int:
    """Shows every choice of a recipe or a run, and its networks."""
    config = (
        run.load_config(options.run)
        if options.run
        else find_recipe(options.recipe)
    )
    collapse = run.load_collapse(options.run) if options.run else None
    origin = run.load_origin(options.run) if options.run else None
    twin.select_device("auto", config)
    blank = np.zeros((1, *datasets.sample_shape(config)), config.dtype)
    state = twin.to_numpy(twin.create(config, blank))
    console = Console(soft_wrap=True)
    table = Table("choice", "value", "meaning", box=None)
    for item in fields(Config):
        table.add_row(
            item.name.replace("_", "-"),
            str(asdict(config)[item.name]),
            item.metadata["help"],
        )
    console.print(table)
    for side in ("generator", "discriminator"):
        prefix = f"{side}/params/"
        params = {k: v for k, v in state.items() if k.startswith(prefix)}
        total = sum(array.size for array in params.values())
        table = Table(side, "shape", "parameters", box=None)
        for name, array in params.items():
            shape = " x ".join(map(str, array.shape))
            table.add_row(name.removeprefix(prefix), shape, f"{array.size:,}")
        table.add_row("in all", "", f"{total:,}")
        console.print()
        console.print(table)
    if origin:
        path, iteration = origin
        print(f"\nInitial weights: of {path} after iteration {iteration:,}.")
    if starts := starts_of(config):
        print(f"\n{starts}.")
    _print_collapse(collapse, config)
    return 0


def _print_collapse(collapse: Collapse | None, config: Config) -> None:
    if collapse:
        print(f"\nThis run {describe_collapse(collapse, config)}")
