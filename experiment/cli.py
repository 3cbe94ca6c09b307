"""One command line for both twins: from a recipe to a judged run."""

import argparse
from dataclasses import asdict, fields, replace
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, get_args, get_origin

import numpy as np
from rich.console import Console
from rich.table import Table

from experiment import data as datasets
from experiment import figures, run
from experiment.config import Config, InputError
from experiment.parser import Parser, add_data, run_command
from experiment.recipes import RECIPES, recipe
from experiment.stream import fixed_noise
from experiment.training import run_training

# What may differ between a run and its continuation.
_FREE_ON_RESUME = ("steps", "sample_every")


def main(twin: ModuleType, arguments: list[str] | None = None) -> int:
    """Runs a command with the given twin; returns the exit status.

    0 when it is done, 2 on bad input (after one line on stderr), 130 when
    the user stopped it.
    """
    options = _parser(twin).parse_args(arguments)
    return run_command(lambda: options.command(twin, options))


def _parser(twin: ModuleType) -> argparse.ArgumentParser:
    name = twin.__name__
    parser = Parser(
        prog=f"python -m {name}",
        description="A generative adversarial network (Goodfellow et al. "
        "2014), trained by Algorithm 1 of the paper.",
        epilog=f"Start with: python -m {name} train",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    train = commands.add_parser(
        "train",
        help="train a recipe into a run folder",
        description="Trains a recipe and writes a run folder: samples and "
        "their GIF, curves, metrics.jsonl, TensorBoard events, a checkpoint. "
        "Options below the recipe change one of its choices each.",
        epilog=f"Example: python -m {name} train --recipe lecture --steps "
        "2000 --out runs/first",
    )
    train.set_defaults(command=_train)
    _add_config(train)
    how = train.add_argument_group("where and how")
    how.add_argument("--out", type=Path, help="run folder to create")
    how.add_argument(
        "--resume", type=Path, metavar="DIR", help="run folder to go on with"
    )
    how.add_argument(
        "--epochs",
        type=float,
        help="length in passes over the data, in place of --steps",
    )
    first, *others = twin.FORMS
    how.add_argument(
        "--accelerate",
        choices=twin.FORMS,
        metavar="NAME",
        help="how the steps reach the device, for speed; the result is the "
        f"same: {first} (default), {', '.join(others)}",
    )
    add_data(how)
    _add_device(how)

    sample = commands.add_parser(
        "sample",
        help="draw samples from a run of either twin",
        description="Draws samples from the last checkpoint of a run folder, "
        "whichever twin wrote it.",
    )
    sample.set_defaults(command=_sample)
    sample.add_argument("--n", type=int, default=64, help="number of samples")
    sample.add_argument(
        "--npy", type=Path, help="also write the samples as an array there"
    )

    interpolate = commands.add_parser(
        "interpolate",
        help="walk between noise vectors of a run",
        description="Draws rows of pictures, each on a straight line between "
        "two noise vectors (the paper's Figure 3); as a GIF, one round of "
        "straight lines.",
        epilog=f"Example: python -m {name} interpolate --run runs/first "
        "--out walk.gif",
    )
    interpolate.set_defaults(command=_interpolate)
    interpolate.add_argument("--rows", type=int, default=8, help="of pictures")
    interpolate.add_argument(
        "--n", type=int, default=12, help="pictures in a row"
    )

    neighbours = commands.add_parser(
        "nearest",
        help="show samples above their nearest training images",
        description="Draws samples, each above the training image nearest to "
        "it in pixels, black on white (the rightmost column of the paper's "
        "Figure 2): what G knows by heart would show.",
    )
    neighbours.set_defaults(command=_nearest)
    neighbours.add_argument(
        "--n", type=int, default=40, help="number of samples"
    )
    add_data(neighbours)

    judge = commands.add_parser(
        "evaluate",
        help="measure how good the samples of a run are",
        description="Measures samples of the last checkpoint, and baselines: "
        "the paper's Parzen window log-likelihood, and by a digit classifier "
        "the Frechet distance, the digits shown, its confidence, precision "
        "and recall. Prints a table, writes DIR/metrics.json. Takes two "
        "minutes with MNIST.",
        epilog="With --data-dir the run is judged by MNIST, else by the 5,000 "
        f"embedded digits. Example: python -m {name} evaluate --run "
        "runs/first --data-dir data",
    )
    judge.set_defaults(command=_evaluate)
    judge.add_argument(
        "--n",
        type=int,
        default=10_000,
        help="samples, at most as many as training images (default: 10,000, "
        "as in the paper)",
    )
    add_data(judge)

    for command in (sample, interpolate, neighbours, judge):
        command.add_argument(
            "--run", type=Path, required=True, metavar="DIR", help="run folder"
        )
        command.add_argument(
            "--seed", type=int, help="of the noise; default: the run's"
        )
        _add_device(command)
    for command in (sample, neighbours):
        command.add_argument(
            "--out", type=Path, required=True, help="PNG file to create"
        )
    interpolate.add_argument(
        "--out", type=Path, required=True, help="PNG or GIF file to create"
    )

    info = commands.add_parser(
        "info",
        help="show a recipe or a run: every choice, and the networks",
        description="Prints every choice of a recipe or of a run folder, and "
        "the size of both networks.",
    )
    info.set_defaults(command=_info)
    of = info.add_mutually_exclusive_group()
    of.add_argument("--recipe", default="mlp", help=", ".join(RECIPES))
    of.add_argument("--run", type=Path, metavar="DIR", help="run folder")
    return parser


def _add_config(parser: argparse.ArgumentParser) -> None:
    """An option for each field of Config, by its type and its help."""
    group = parser.add_argument_group("the experiment")
    for item in fields(Config):
        option: dict[str, Any] = {"help": item.metadata["help"]}
        known = get_args(item.type) if get_origin(item.type) is Literal else ()
        if item.name == "recipe":
            option["help"] += f": {', '.join(RECIPES)} (default: mlp)"
        elif get_origin(item.type) is tuple:
            option.update(type=int, nargs="+", metavar="N")
        elif known:
            option["metavar"] = "{" + ",".join(known) + "}"
        else:
            option["type"] = int if item.type is int else float
            option["metavar"] = "N" if item.type is int else "X"
        group.add_argument(f"--{item.name.replace('_', '-')}", **option)


def _add_device(group: Any) -> None:
    group.add_argument(
        "--device",
        choices=("auto", "cpu", "gpu"),
        default="auto",
        metavar="{auto,cpu,gpu}",
        help="where to compute (default: auto, the best at hand)",
    )


def _config(options: argparse.Namespace) -> Config:
    """The recipe, or the resumed run's config, with the options' changes."""
    values = {item.name: getattr(options, item.name) for item in fields(Config)}
    changes: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in values.items()
        if value is not None
    }
    if options.resume is None:
        return recipe(changes.pop("recipe", "mlp"), **changes)
    config = run.load_config(options.resume)
    for name, value in changes.items():
        before = getattr(config, name)
        if value != before and name not in _FREE_ON_RESUME:
            option = name.replace("_", "-")
            raise InputError(
                f"--{option} {value} is not that of {options.resume}, which "
                f"has {option} {before}: leave it out, or train anew"
            )
    return replace(config, **changes)


def _train(twin: ModuleType, options: argparse.Namespace) -> int:
    if options.resume and options.out:
        raise InputError(
            f"--out {options.out}: a resumed run stays in its folder, "
            f"{options.resume}; leave --out out"
        )
    if options.epochs is not None and options.steps is not None:
        raise InputError(
            f"--epochs {options.epochs} and --steps {options.steps} both say "
            "how long: leave one out"
        )
    config = _config(options)
    data = datasets.load(config, options.data_dir, options.download)
    if options.epochs is not None:
        if not 0 < options.epochs <= 1e6:
            raise InputError(
                f"epochs is {options.epochs}: it must be a positive number, "
                "at most 1,000,000"
            )
        steps = options.epochs * len(data) / (config.k * config.batch_size)
        config = replace(config, steps=max(1, round(steps)))
    if options.accelerate and config.stream == "device":
        raise InputError(
            f"--accelerate {options.accelerate}: a stream on the device has a "
            "form of its own; leave it out, or take --stream shared"
        )
    form = options.accelerate or next(iter(twin.FORMS))
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
        game = _restored(twin, game, state, folder)
        train = twin.FORMS[form](game)
        run.save_config(folder, config)
    else:
        step, train = 0, twin.FORMS[form](game)
        now = datetime.now().strftime("%Y%m%d-%H%M%S")
        default = Path("runs") / f"{twin.__name__}-{config.recipe}-{now}"
        folder = options.out or default
        run.create_folder(folder, config)
    outcome = run_training(
        twin, config, data, device, game, folder, step, train
    )
    if np.isfinite(outcome.images_per_second):
        speed = f"{outcome.images_per_second:,.0f} images/s"
        print(f"{speed}, without compilation")
    last = f"samples/{config.steps:06d}.png"
    for name in ("samples.gif", "curves.png", last):
        print(folder / name)
    return 0


def _restored(twin: ModuleType, game: Any, state: Any, folder: Path) -> Any:
    try:
        return twin.from_numpy(game, state)
    except InputError as error:
        raise InputError(
            f"the checkpoint of {folder} does not fit its config: {error}"
        ) from error


def _game_of(
    twin: ModuleType, options: argparse.Namespace, suffixes: tuple[str, ...]
) -> tuple[Config, int, Any]:
    """Config (with the seed of the noise), step and game of a run folder.

    What the command will create must be free, and end in one of ``suffixes``.
    """
    for name in ("n", "rows"):
        if not 1 <= getattr(options, name, 1) <= 100_000:
            raise InputError(
                f"--{name} is {getattr(options, name)}: it must be from 1 to "
                "100,000"
            )
    out, npy = getattr(options, "out", None), getattr(options, "npy", None)
    if npy is not None and npy == out:
        raise InputError(f"--npy {npy} is --out too: name another")
    for path in (out, npy):
        if path is not None and path.exists():
            raise InputError(f"{path} exists already: choose another name")
        if path is not None and not path.parent.is_dir():
            raise InputError(f"{path.parent} is not a folder: make it first")
    if out is not None and out.suffix.lower() not in suffixes:
        raise InputError(
            f"--out {out}: its name must end in {' or '.join(suffixes)}"
        )
    config = run.load_config(options.run)
    step, state = run.load_checkpoint(options.run)
    device = twin.select_device(options.device, config)
    blank = np.zeros((1, *datasets.sample_shape(config)), config.dtype)
    game = _restored(
        twin, twin.create(config, blank, device), state, options.run
    )
    if options.seed is not None:
        config = replace(config, seed=options.seed)
    return config, step, game


def _sample(twin: ModuleType, options: argparse.Namespace) -> int:
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


def _interpolate(twin: ModuleType, options: argparse.Namespace) -> int:
    config, _, game = _game_of(twin, options, (".png", ".gif"))
    if options.n < 2:
        raise InputError(f"--n is {options.n}: a way has at least 2 pictures")
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


def _nearest(twin: ModuleType, options: argparse.Namespace) -> int:
    # Here, since scikit-learn takes two seconds to load.
    from experiment.metrics import nearest

    config, _, game = _game_of(twin, options, (".png",))
    samples = twin.sample_images(game, fixed_noise(config, options.n))
    samples = _images(config, samples)
    data = datasets.load(config, options.data_dir, options.download)
    if config.output == "tanh":
        data = (data + 1) / 2
    figures.save_nearest(options.out, samples, nearest(samples, data))
    print(options.out)
    return 0


def _images(config: Config, samples: Any) -> Any:
    if samples.ndim == 2:
        raise InputError(
            f"data {config.data} has no images: take a run of another set"
        )
    return samples


def _evaluate(twin: ModuleType, options: argparse.Namespace) -> int:
    from experiment.evaluate import evaluate, print_scores

    config, step, game = _game_of(twin, options, ())
    splits = datasets.load_splits(options.data_dir, options.download)
    scores = evaluate(twin, config, game, splits, options.n)
    results = {
        "recipe": config.recipe,
        "step": step,
        "seed": config.seed,
        "judged_by": splits.name,
        "scores": {name: s._asdict() for name, s in scores.items()},
    }
    print_scores(scores, splits)
    print(run.save_evaluation(options.run, results))
    return 0


def _info(twin: ModuleType, options: argparse.Namespace) -> int:
    config = (
        run.load_config(options.run) if options.run else recipe(options.recipe)
    )
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
    return 0
