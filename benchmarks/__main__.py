"""``python -m benchmarks quick``, and the other commands of ``--help``."""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from benchmarks import commands as run
from benchmarks.plan import CALLS, HEADLINE, OTHERS, SWEEP
from benchmarks.quick import MINUTES, WORKLOADS
from benchmarks.stability import FEWEST_SEEDS
from benchmarks.statistics import ENOUGH_SETS, FEWEST_SETS
from benchmarks.worker import TOLERANCES
from experiment.data import DIGITS
from experiment.parser import Parser, add_data, run_command
from experiment.recipes import RECIPES

# Nothing here imports a framework: --help and bad options answer at once.


def main(arguments: list[str] | None = None) -> int:
    """Runs a command; returns the exit status.

    0 when it is done, 1 when a worker ended or hung, 2 on bad input (after
    one line on stderr), 130 when the user stopped it.
    """
    options = _parser().parse_args(arguments)
    return run_command(lambda: options.command(options))


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m benchmarks",
        description="Times the faster forms of both twins in turns, and "
        "reports what the times say.",
        epilog="Start with: python -m benchmarks quick",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_quick(commands)
    _add_ladder(commands)
    _add_report(commands)
    _add_quality(commands)
    _add_stability(commands)
    _add_profile(commands)
    _add_readme(commands)
    return parser


def _add_quick(commands: Any) -> None:
    command = commands.add_parser(
        "quick",
        help="the twins' best forms on your machine, in minutes",
        description="Times the best form of each twin "
        f"({' and '.join(HEADLINE['cpu'])}; on a GPU "
        f"{' and '.join(HEADLINE['gpu'])}) on {', '.join(WORKLOADS)}, by the "
        "protocol of the ladder: each proves first that it takes the steps of "
        "the plain form, then has a process for itself and is asked for blocks "
        "in random order. Prints images/s, their ratio, versions and settings, "
        "and a line to copy into an issue. Takes minutes, the more the fewer "
        "cores. It is one set of processes, so there is no interval and no "
        "verdict: that is for the ladder.",
        epilog="Example: python -m benchmarks quick --device gpu",
    )
    command.set_defaults(command=run.run_quick)
    command.add_argument(
        "--device",
        choices=("cpu", "gpu"),
        default="cpu",
        help="default: cpu; on a GPU products are in tf32, as in the README",
    )
    command.add_argument(
        "--budget",
        type=float,
        default=MINUTES,
        metavar="MINUTES",
        help="start no recipe that would end later, by the longest recipe yet "
        f"(default: {MINUTES})",
    )
    command.add_argument(
        "--out",
        type=Path,
        metavar="FILE.json",
        help="write every timed block there, for python -m benchmarks report "
        "(default: nothing is written)",
    )


def _add_ladder(commands: Any) -> None:
    command = commands.add_parser(
        "ladder",
        help="time the variants in turns",
        description="Lets every variant prove that it takes the steps of the "
        "plain one; then starts a process for each, lets it compile and warm "
        "up, and asks all for blocks in random order. The JSON is written as "
        "it goes. Gates and getting ready take half a minute a variant, and "
        "more where it compiles: all of it takes hours.",
        epilog="Start with: python -m benchmarks ladder --workloads lecture "
        "--variants headline --rounds 5 --sets 1 --out runs/ladder.json. Then: "
        "python -m benchmarks report runs/ladder.json --out runs/ladder",
    )
    command.set_defaults(command=run.run_ladder)
    command.add_argument("--out", type=Path, required=True, metavar="FILE.json")
    command.add_argument(
        "--device", choices=("cpu", "gpu"), default="cpu", help="default: cpu"
    )
    command.add_argument(
        "--matmul",
        choices=tuple(TOLERANCES),
        default="strict",
        help="products of matrices: every bit of float32 (default), tf32 on a "
        "GPU, or networks in bfloat16 beside float32 weights",
    )
    command.add_argument(
        "--workloads",
        nargs="+",
        default=list(CALLS),
        metavar="W",
        help=f"{', '.join(CALLS)} (default: all), or with a batch size: "
        "mlp:512; the most telling first",
    )
    command.add_argument(
        "--variants",
        nargs="+",
        metavar="V",
        help="as 'jax scan', 'torch eager'; 'headline' is the best of each "
        f"twin, and again; 'sweep' is {SWEEP[0]} to {SWEEP[-1]} seeds at once; "
        "default: headline and "
        f"{OTHERS['cpu']} (on a GPU: {OTHERS['gpu']})",
    )
    command.add_argument(
        "--rounds", type=int, default=10, help="in a set (default: 10)"
    )
    command.add_argument(
        "--sets",
        type=int,
        default=ENOUGH_SETS,
        help="of fresh processes; an interval is over sets, so more rounds do "
        f"not narrow it: {FEWEST_SETS} sets are the fewest that have one, and "
        f"{ENOUGH_SETS} find most ratios of 1.05 (default: {ENOUGH_SETS})",
    )
    command.add_argument(
        "--add",
        action="store_true",
        help="add the sets to those of FILE.json, where there is one of this "
        "machine and the same plan",
    )
    command.add_argument(
        "--at-once",
        type=int,
        default=1,
        metavar="N",
        help="processes that start and compile side by side, on a machine "
        "rented by the minute; compilation then takes longer than it would "
        "alone (default: 1)",
    )
    command.add_argument(
        "--budget",
        type=float,
        metavar="MINUTES",
        help="start no set that would end later, by the longest set yet",
    )
    command.add_argument(
        "--block",
        type=float,
        default=0.3,
        metavar="SECONDS",
        help="the least that a timed block takes (default: 0.3)",
    )


def _add_report(commands: Any) -> None:
    command = commands.add_parser(
        "report",
        help="tables and plots of a measured ladder",
        description="Writes REPORT.md and report.html, one page that needs "
        "no network.",
    )
    command.set_defaults(command=run.write_report)
    command.add_argument("file", type=Path, metavar="FILE.json")
    command.add_argument("--out", type=Path, required=True, metavar="DIR")


def _add_quality(commands: Any) -> None:
    command = commands.add_parser(
        "quality",
        help="how good the samples are, over seeds",
        description="Trains recipe x loss x seed in both twins, each with "
        "random numbers of its own, judges the samples, and says whether the "
        "twins are equivalent and which loss is better. Goes on with a file "
        "that a stop left.",
        epilog="Start with: python -m benchmarks quality --steps 200 --seeds 2 "
        "--out runs/quality.json",
    )
    command.set_defaults(command=run.run_quality)
    command.add_argument("--out", type=Path, required=True, metavar="FILE.json")
    command.add_argument(
        "--recipes",
        nargs="+",
        default=["mlp"],
        choices=[n for n in RECIPES if RECIPES[n].data in DIGITS],
        metavar="RECIPE",
        help="of digits (default: mlp)",
    )
    command.add_argument(
        "--seeds", type=int, default=5, help="runs of each (default: 5)"
    )
    command.add_argument(
        "--steps", type=int, help="iterations, in place of the recipe's"
    )
    add_data(command)


def _add_stability(commands: Any) -> None:
    command = commands.add_parser(
        "stability",
        help="how often a recipe holds, over seeds",
        description="Trains a recipe from many seeds in both twins, from the "
        "same initial weights and random numbers, and from initial weights "
        "one unit in the last place away from those of seed 0. Says how many "
        "runs collapsed or diverged, how many made digits, and, from "
        f"{FEWEST_SEEDS} seeds on, whether the twins are equivalent. Prints "
        "the tables, and writes FILE.md and FILE.png beside FILE.json. The "
        "JSON is written after every run, and the same command resumes it; "
        "more seeds may be asked for then. A run of digits takes about a "
        "minute and a half of one core: the defaults are 60 runs, an hour and "
        "a half of core time.",
        epilog="Start with: python -m benchmarks stability --recipe lecture "
        "--seeds 2 --perturbed 1 --steps 500 --out runs/stability.json",
    )
    command.set_defaults(command=run.run_stability)
    command.add_argument("--out", type=Path, required=True, metavar="FILE.json")
    command.add_argument(
        "--recipe",
        default="digits",
        metavar="NAME",
        help="one of mnist5k or mnist (default: digits)",
    )
    command.add_argument(
        "--seeds", type=int, default=20, help="of each twin (default: 20)"
    )
    command.add_argument(
        "--perturbed",
        type=int,
        default=10,
        metavar="N",
        help="runs of each twin from one unit in the last place beside the "
        "initial weights of seed 0 (default: 10)",
    )
    command.add_argument(
        "--steps", type=int, help="iterations, in place of the recipe's"
    )
    command.add_argument(
        "--jobs",
        type=int,
        default=os.cpu_count(),
        help="processes, each on one core (default: as many as cores)",
    )
    add_data(command)


def _add_profile(commands: Any) -> None:
    command = commands.add_parser(
        "profile",
        help="where an iteration's time goes",
        description="Profiles each variant in a process of its own: the "
        "operators of a CPU, or kernels of a GPU, that take the most time, "
        "and how much of an iteration they keep busy. Prints the page, and "
        "writes it as FILE.md beside FILE.json.",
        epilog="Start with: python -m benchmarks profile --workloads lecture "
        "--out runs/profile.json",
    )
    command.set_defaults(command=run.run_profile)
    command.add_argument("--out", type=Path, required=True, metavar="FILE.json")
    command.add_argument(
        "--device", choices=("cpu", "gpu"), default="cpu", help="default: cpu"
    )
    command.add_argument(
        "--workloads",
        nargs="+",
        default=["dcgan"],
        metavar="W",
        help="as those of the ladder (default: dcgan)",
    )
    command.add_argument(
        "--variants",
        nargs="+",
        metavar="V",
        help="as 'jax scan', 'torch eager' (default: the best of each twin)",
    )
    command.add_argument(
        "--steps",
        type=int,
        default=10,
        help="iterations of a run (default: 10)",
    )


def _add_readme(commands: Any) -> None:
    command = commands.add_parser(
        "readme", help="write the README's tables from the committed JSON"
    )
    command.set_defaults(command=run.write_readme)


if __name__ == "__main__":
    sys.exit(main())
