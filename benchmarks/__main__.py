"""``python -m benchmarks quick``, and the other commands of ``--help``."""

import argparse
import os
import sys
from typing import Any

from benchmarks import commands as run
from benchmarks import options
from benchmarks.plan import CALLS
from benchmarks.stability import FEWEST_SEEDS
from benchmarks.statistics import ENOUGH_REPETITIONS
from experiment.data import DIGITS
from experiment.parser import Parser, add_data, run_command
from experiment.recipes import RECIPES

# Nothing here imports a framework: --help and bad options answer immediately.


def main(arguments: list[str] | None = None) -> int:
    """Runs a command; returns the exit status.

    0 when it is done, 1 when a worker ended or hung, 2 on bad input (after
    one line on stderr), 130 when the user stopped it.
    """
    chosen = _parser().parse_args(arguments)
    return run_command(lambda: chosen.command(chosen))


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m benchmarks",
        description="Times both twins, profiles them, and studies their "
        "samples and their stability.",
        epilog="Start with: python -m benchmarks quick",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    options.add_quick(commands)
    options.add_ladder(commands)
    options.add_report(commands)
    _add_quality(commands)
    _add_stability(commands)
    options.add_profile(commands)
    _add_devices(commands)
    options.add_gpu(commands)
    _add_readme(commands)
    return parser


def _add_quality(commands: Any) -> None:
    command = commands.add_parser(
        "quality",
        help="study how good the samples are, over seeds",
        description="Trains recipe x loss x seed in both twins, with separate "
        "random numbers, judges the samples, and says whether the twins are "
        "equivalent and which loss is better. The JSON is written after every "
        "run, and the same command resumes it.",
        epilog="Start with: python -m benchmarks quality --steps 200 --seeds 2 "
        "--out runs/quality.json",
    )
    command.set_defaults(command=run.run_quality)
    options.add_out(command, "FILE.json", "file of the runs, new or to resume")
    command.add_argument(
        "--recipes",
        nargs="+",
        default=["mlp"],
        choices=[n for n in RECIPES if RECIPES[n].data in DIGITS],
        metavar="RECIPE",
        help="one or more of: %(choices)s (default: mlp)",
    )
    command.add_argument(
        "--seeds",
        type=int,
        default=5,
        help="runs of each recipe, loss and twin (default: 5)",
    )
    command.add_argument(
        "--steps", type=int, help="iterations, in place of the recipe's"
    )
    add_data(command)


def _add_stability(commands: Any) -> None:
    command = commands.add_parser(
        "stability",
        help="study how often a recipe succeeds, over seeds",
        description="Trains a recipe from many seeds in both twins, from the "
        "same initial weights and random numbers, and from initial weights "
        "one unit in the last place away from those of seed 0. Says how many "
        "runs collapsed or diverged, how many made digits, and, from "
        f"{FEWEST_SEEDS} seeds on, whether the twins are equivalent. Prints "
        "the tables, and writes FILE.md and FILE.png next to FILE.json. The "
        "JSON is written after every run, and the same command resumes it, "
        "also with more seeds. A run of digits takes about a "
        "minute and a half of one core: the defaults are 60 runs, an hour and "
        "a half of core time.",
        epilog="Start with: python -m benchmarks stability --recipe lecture "
        "--seeds 2 --perturbed 1 --steps 500 --out runs/stability.json",
    )
    command.set_defaults(command=run.run_stability)
    options.add_out(command, "FILE.json", "file of the runs, new or to resume")
    command.add_argument(
        "--recipe",
        default="digits",
        metavar="NAME",
        help="a recipe on mnist5k or mnist (default: digits)",
    )
    command.add_argument(
        "--seeds", type=int, default=20, help="of each twin (default: 20)"
    )
    command.add_argument(
        "--perturbed",
        type=int,
        default=10,
        metavar="N",
        help="runs of each twin from initial weights one unit in the last "
        "place away from those of seed 0 (default: 10)",
    )
    command.add_argument(
        "--steps", type=int, help="iterations, in place of the recipe's"
    )
    command.add_argument(
        "--jobs",
        type=int,
        default=os.cpu_count(),
        help="processes, each on one core (default: all cores)",
    )
    add_data(command)


def _add_devices(commands: Any) -> None:
    command = commands.add_parser(
        "devices",
        help="measure what training on two devices costs, and model many",
        description="Counts the all-reduces of an iteration in both twins, "
        "and times iterations of one process and of two, each bound to a core: "
        "two that share a minibatch, two that share one of twice the size, and "
        "two that train separate games. A model predicts what many cards would "
        "reach. Prints the page, and writes it as FILE.md next to FILE.json.",
        epilog="Start with: python -m benchmarks devices --workloads lecture "
        "--counted lecture --repetitions 2 --out runs/devices.json",
    )
    command.set_defaults(command=run.run_devices)
    options.add_out(command, "FILE.json", "file for every timed block")
    command.add_argument(
        "--workloads",
        nargs="+",
        default=["lecture", "dcgan"],
        metavar="W",
        help="as those of the ladder (default: lecture dcgan)",
    )
    command.add_argument(
        "--counted",
        nargs="+",
        default=list(CALLS),
        choices=list(CALLS),
        metavar="RECIPE",
        help="whose all-reduces are counted, one or more of: %(choices)s "
        "(default: all; the model needs dcgan64)",
    )
    command.add_argument(
        "--rounds",
        type=int,
        default=5,
        help="timed blocks in each repetition (default: 5)",
    )
    command.add_argument(
        "--repetitions",
        type=int,
        default=ENOUGH_REPETITIONS,
        help="of all processes (default: %(default)s)",
    )
    command.add_argument(
        "--block",
        type=float,
        default=0.3,
        metavar="SECONDS",
        help="least time of a block (default: %(default)s)",
    )
    command.add_argument(
        "--budget",
        type=float,
        default=10.0,
        metavar="MINUTES",
        help="start no repetition that would end later, judged by the longest "
        "so far (default: %(default)s)",
    )


def _add_readme(commands: Any) -> None:
    command = commands.add_parser(
        "readme",
        help="write the README files' tables from the committed JSON",
        description="Writes the tables of the README files from the committed "
        "JSON files, and prints the paths.",
    )
    command.set_defaults(command=run.write_readme)


if __name__ == "__main__":
    sys.exit(main())
