"""One command line for both twins: from a recipe to a judged run."""

import argparse
import os
import sys
from importlib import import_module
from pathlib import Path

from experiment.inputs import check_inputs
from experiment.parser import (
    Parser,
    add_data,
    add_device,
    add_images,
    run_command,
)
from experiment.processes import ALONE, find_place
from experiment.recipes import DEFAULT
from experiment.train_options import (
    KNOWN,
    NEWEST,
    add_config,
    add_life,
    check_train,
    needs_processes,
    resume_after_failure,
)

# Nothing here imports a framework: --help and bad options answer quickly.
# The names of each twin's VARIANTS.
VARIANTS = {
    "jax_gan": ("scan", "step", "unroll-10", "flat"),
    "torch_ref": (
        "auto",
        "eager",
        "compile",
        "reduce-overhead",
        "graph",
        "graph-10",
        "compile-graph-10",
    ),
}


def main(name: str, arguments: list[str] | None = None) -> int:
    """Runs a command with the twin of this name; returns the exit status.

    0 when it is done, 1 when the run stopped since its game had collapsed, 2 on
    bad input (after one line on stderr); others as of ``run_command``.
    """
    given = sys.argv[1:] if arguments is None else arguments
    options = _parser(name).parse_args(given)
    return run_command(lambda: _run(name, options, given))


def _run(name: str, options: argparse.Namespace, arguments: list[str]) -> int:
    if options.command == "train":
        check_train(options)
        resume_after_failure(options)
    if options.command != "train" or find_place(name, os.environ) == ALONE:
        check_inputs(options)
    if options.command == "train" and needs_processes(name, options):
        module = import_module("torch_ref.launch")
        return module.launch(options.devices, options.device, arguments)
    of = "info" if options.command == "info" else "commands"
    commands = import_module(f"experiment.{of}")
    twin = import_module(f"{name}.api")
    return getattr(commands, options.command)(twin, options)


def _parser(name: str) -> argparse.ArgumentParser:
    parser = Parser(
        prog=f"python -m {name}",
        description="A generative adversarial network (Goodfellow et al. "
        "2014), trained by Algorithm 1 of the paper.",
        epilog=f"Start with: python -m {name} train",
    )
    commands = parser.add_subparsers(
        required=True, metavar="COMMAND", dest="command"
    )

    train = commands.add_parser(
        "train",
        help="train a recipe into a run folder",
        description="Trains a recipe and writes a run folder: samples and "
        "their GIF, curves, metrics.jsonl, TensorBoard events, checkpoints. "
        "Options below the recipe change one of its choices each.",
        epilog=f"Example: python -m {name} train --recipe lecture --steps "
        "2000 --out runs/first",
    )
    add_config(train)
    how = train.add_argument_group("where and how")
    how.add_argument("--out", type=Path, help="run folder to create")
    how.add_argument(
        "--resume",
        type=Path,
        nargs="?",
        const=NEWEST,
        metavar="DIR",
        help="run folder to resume; without a name the newest interrupted one "
        "in runs",
    )
    how.add_argument(
        "--initial-weights",
        type=Path,
        metavar="RUN",
        help="run folder whose weights and batch statistics to start from, at "
        "iteration 0 and with a fresh optimizer; default: drawn from the seed, "
        "the same in both twins",
    )
    how.add_argument(
        "--stop-when-collapsed",
        action="store_true",
        help="end the run, with status 1, when its game has collapsed; without "
        "it a collapse is only reported",
    )
    how.add_argument(
        "--epochs",
        type=float,
        help="length in passes over the data, in place of --steps",
    )
    first, *others = VARIANTS[name]
    how.add_argument(
        "--accelerate",
        choices=VARIANTS[name],
        metavar="NAME",
        help="how the steps reach the device, for speed; the result is the "
        f"same: {first} (default), {', '.join(others)}",
    )
    add_data(how)
    add_images(how)
    add_device(how)
    how.add_argument(
        "--devices",
        type=int,
        metavar="N",
        help="devices that train the game together, each with an equal share "
        "of every minibatch; without a GPU, N "
        + (
            "virtual ones of the CPU"
            if name == "jax_gan"
            else "processes on the CPU"
        )
        + " (default: 1, or all of those that a launcher starts)",
    )
    how.add_argument(
        "--deterministic",
        action="store_true",
        help="make repetitions bit-identical on a GPU too, at the cost of "
        "speed; on a CPU they always are",
    )
    add_life(train)

    sample = commands.add_parser(
        "sample",
        help="draw samples from a run of either twin",
        description="Draws samples from the last checkpoint of a run folder, "
        "whichever twin wrote it.",
    )
    sample.add_argument("--n", type=int, default=64, help="number of samples")
    sample.add_argument(
        "--npy", type=Path, help="also write the samples as an array there"
    )

    interpolate = commands.add_parser(
        "interpolate",
        help="walk between noise vectors of a run",
        description="Draws rows of images, each on a straight line between "
        "two noise vectors (the paper's Figure 3); as a GIF, one round of "
        "straight lines.",
        epilog=f"Example: python -m {name} interpolate --run runs/first "
        "--out walk.gif",
    )
    interpolate.add_argument("--rows", type=int, default=8, help="of images")
    interpolate.add_argument(
        "--n", type=int, default=12, help="images in a row"
    )

    page = commands.add_parser(
        "explore",
        help="make a page to play with a run, or with two",
        description="Makes one HTML file, which needs no network: drag over a "
        "plane through four noise vectors and see what G makes of them; move "
        "through the sample images that the run saved during training. Two "
        "runs, of either implementation, stand next to each other, with the "
        "same noise vectors.",
        epilog=f"Example: python -m {name} explore --run runs/jax --run "
        "runs/torch --out explore.html",
    )
    page.add_argument(
        "--run",
        type=Path,
        required=True,
        action="append",
        metavar="DIR",
        help="run folder; give it twice to compare two runs",
    )

    weights = commands.add_parser(
        "export",
        help="write a network of a run for a module of another project",
        description="Writes the weights and batch statistics of one network "
        "of a run, of either implementation, as a safetensors file: under the "
        "names and in the layouts of PyTorch's layers (torch-state-dict) or "
        "of Flax linen's (flax).",
        epilog=f"Example: python -m {name} export --run runs/first --format "
        "flax --out generator.safetensors",
    )
    weights.add_argument(
        "--format", required=True, choices=("flax", "torch-state-dict")
    )
    weights.add_argument(
        "--network",
        choices=("generator", "discriminator"),
        default="generator",
        help="which of the two (default: generator)",
    )

    neighbours = commands.add_parser(
        "nearest",
        help="show samples above their nearest training images",
        description="Draws samples, each above the training image nearest to "
        "it in pixels, black on white (the rightmost column of the paper's "
        "Figure 2). If G had memorised the data, they would be equal.",
    )
    neighbours.add_argument(
        "--n", type=int, default=40, help="number of samples"
    )
    add_data(neighbours)
    add_images(neighbours)

    judge = commands.add_parser(
        "evaluate",
        help="measure how good the samples of a run are",
        description="Measures samples of the last checkpoint, and baselines: "
        "the paper's Parzen window log-likelihood, and by a digit classifier "
        "the Fréchet distance, the digits shown, its confidence, precision "
        "and recall. Prints a table, writes DIR/metrics.json. Takes two "
        "minutes with MNIST.",
        epilog="With --data-dir the run is judged by MNIST, else by the 5,000 "
        f"embedded digits. Example: python -m {name} evaluate --run "
        "runs/first --data-dir data",
    )
    judge.add_argument(
        "--n",
        type=int,
        default=10_000,
        help="samples, at most as many as training images (default: 10,000, "
        "as in the paper)",
    )
    add_data(judge)

    for command in (sample, interpolate, weights, neighbours, judge):
        command.add_argument(
            "--run", type=Path, required=True, metavar="DIR", help="run folder"
        )
    for command in (sample, interpolate, page, neighbours, judge):
        command.add_argument(
            "--seed", type=int, help="of the noise; default: the run's"
        )
        add_device(command)
    kinds = {
        sample: "PNG",
        neighbours: "PNG",
        interpolate: "PNG or GIF",
        page: "HTML",
        weights: "safetensors",
    }
    for command, kind in kinds.items():
        command.add_argument(
            "--out", type=Path, required=True, help=f"{kind} file to create"
        )

    info = commands.add_parser(
        "info",
        help="show a recipe or a run: every choice, and the networks",
        description="Prints every choice of a recipe or of a run folder, and "
        "the size of both networks.",
    )
    of = info.add_mutually_exclusive_group()
    of.add_argument("--recipe", default=DEFAULT, help=KNOWN)
    of.add_argument("--run", type=Path, metavar="DIR", help="run folder")
    return parser
