"""``python -m benchmarks ladder | report | quality | stability | readme``."""

import argparse
import os
import sys
from math import inf
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks import report, stability, stability_report
from benchmarks.ladder import (
    CALLS,
    HEADLINE,
    OTHERS,
    SWEEP,
    Plan,
    measure,
)
from benchmarks.quality import study, tables
from benchmarks.readme import ROOT, render
from benchmarks.results import load
from benchmarks.variants import FORMS
from benchmarks.worker import TOLERANCES
from experiment.config import InputError
from experiment.data import DIGITS, load_splits
from experiment.parser import Parser, add_data, run_command
from experiment.recipes import RECIPES, recipe


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
        epilog="Start with: python -m benchmarks ladder --workloads lecture "
        "--variants headline --rounds 5 --sets 1 --out runs/ladder.json",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    ladder = commands.add_parser(
        "ladder",
        help="time the variants in turns",
        description="Lets every variant prove that it takes the steps of the "
        "plain one; then starts a process for each, lets it compile and warm "
        "up, and asks all for blocks in random order. The JSON is written as "
        "it goes. Gates and getting ready take half a minute a variant, and "
        "more where it compiles: all of it takes hours.",
        epilog="Then: python -m benchmarks report FILE.json --out DIR",
    )
    ladder.set_defaults(command=_ladder)
    ladder.add_argument("--out", type=Path, required=True, metavar="FILE.json")
    ladder.add_argument(
        "--device", choices=("cpu", "gpu"), default="cpu", help="default: cpu"
    )
    ladder.add_argument(
        "--matmul",
        choices=tuple(TOLERANCES),
        default="strict",
        help="products of matrices: every bit of float32 (default), tf32 on a "
        "GPU, or networks in bfloat16 beside float32 weights",
    )
    ladder.add_argument(
        "--workloads",
        nargs="+",
        default=list(CALLS),
        metavar="W",
        help=f"{', '.join(CALLS)} (default: all), or with a batch size: "
        "mlp:512; the most telling first",
    )
    ladder.add_argument(
        "--variants",
        nargs="+",
        metavar="V",
        help="as 'jax scan', 'torch eager'; 'headline' is the best of each "
        f"twin, and again; 'sweep' is {SWEEP[0]} to {SWEEP[-1]} seeds at once; "
        "default: headline and "
        f"{OTHERS['cpu']} (on a GPU: {OTHERS['gpu']})",
    )
    ladder.add_argument(
        "--rounds", type=int, default=30, help="in a set (default: 30)"
    )
    ladder.add_argument(
        "--sets", type=int, default=3, help="of processes (default: 3)"
    )
    ladder.add_argument(
        "--budget",
        type=float,
        default=inf,
        metavar="MINUTES",
        help="start no set that would end later, by the longest set yet",
    )
    ladder.add_argument(
        "--block",
        type=float,
        default=0.3,
        metavar="SECONDS",
        help="the least that a timed block takes (default: 0.3)",
    )
    pages = commands.add_parser(
        "report",
        help="tables and plots of a measured ladder",
        description="Writes REPORT.md and report.html, one page that needs "
        "no network.",
    )
    pages.set_defaults(command=_report)
    pages.add_argument("file", type=Path, metavar="FILE.json")
    pages.add_argument("--out", type=Path, required=True, metavar="DIR")
    quality = commands.add_parser(
        "quality",
        help="how good the samples are, over seeds",
        description="Trains recipe x loss x seed in both twins, each with "
        "random numbers of its own, judges the samples, and says whether the "
        "twins are equivalent and which loss is better. Goes on with a file "
        "that a stop left.",
        epilog="Start with: python -m benchmarks quality --steps 200 --seeds 2 "
        "--out runs/quality.json",
    )
    quality.set_defaults(command=_quality)
    quality.add_argument("--out", type=Path, required=True, metavar="FILE.json")
    quality.add_argument(
        "--recipes",
        nargs="+",
        default=["mlp"],
        choices=[n for n in RECIPES if RECIPES[n].data in DIGITS],
        metavar="RECIPE",
        help="of digits (default: mlp)",
    )
    quality.add_argument(
        "--seeds", type=int, default=5, help="runs of each (default: 5)"
    )
    quality.add_argument(
        "--steps", type=int, help="iterations, in place of the recipe's"
    )
    add_data(quality)
    _add_stability(commands)
    _add_profile(commands)
    readme = commands.add_parser(
        "readme", help="write the README's tables from the committed JSON"
    )
    readme.set_defaults(command=_readme)
    return parser


def _add_stability(commands: Any) -> None:
    command = commands.add_parser(
        "stability",
        help="how often a recipe holds, over seeds",
        description="Trains a recipe from many seeds in both twins, from the "
        "same initial weights and random numbers, and from initial weights "
        "one unit in the last place away from those of seed 0. Says how many "
        "runs collapsed, how many made digits, and, from "
        f"{stability_report.FEWEST_SEEDS} seeds on, whether the twins are "
        "equivalent. Prints the tables, and writes FILE.md and FILE.png "
        "beside FILE.json. The JSON is written after every run, and the same "
        "command resumes it; more seeds may be asked for then. A run of "
        "digits takes about a minute and a half of one core: the defaults are "
        "60 runs, an hour and a half of core time.",
        epilog="Start with: python -m benchmarks stability --recipe lecture "
        "--seeds 2 --perturbed 1 --steps 500 --out runs/stability.json",
    )
    command.set_defaults(command=_stability)
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
    command.set_defaults(command=_profile)
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


def _require_place(out: Path) -> None:
    if out.is_dir():
        raise InputError(f"--out {out} is a folder: name a file in it")
    out.parent.mkdir(parents=True, exist_ok=True)


def _ladder(options: argparse.Namespace) -> int:
    _require_place(options.out)
    if options.matmul == "tf32" and options.device == "cpu":
        raise InputError("--matmul tf32 is for GPUs: add --device gpu")
    best = HEADLINE[options.device]
    sets = {
        "headline": [*best, *(f"{name} again" for name in best)],
        "sweep": [f"{twin} seeds-{n}" for n in SWEEP for twin in FORMS],
    }
    names = options.variants or [
        "headline",
        *OTHERS[options.device].split(", "),
    ]
    variants = [v for name in names for v in sets.get(name, [name])]
    plan = Plan(
        options.device,
        options.matmul,
        tuple(dict.fromkeys(options.workloads)),
        tuple(dict.fromkeys(variants)),
        options.rounds,
        options.sets,
        options.block,
        None if options.budget == inf else options.budget,
    )
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    return measure(plan, options.out, lambda line: console.print(line))


def _report(options: argparse.Namespace) -> int:
    report.write(options.out, load(options.file))
    print(options.out / "REPORT.md")
    print(options.out / "report.html")
    return 0


def _quality(options: argparse.Namespace) -> int:
    _require_place(options.out)
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    results = study(
        options.recipes,
        options.seeds,
        options.steps,
        load_splits(options.data_dir, options.download),
        options.data_dir,
        options.out,
        lambda line: console.print(line),
    )
    print(tables(results))
    return 0


def _stability(options: argparse.Namespace) -> int:
    if options.out.suffix != ".json":
        raise InputError(
            f"--out {options.out} must end in .json: the page and the plot "
            "have the same name, but .md and .png"
        )
    changes = {} if options.steps is None else {"steps": options.steps}
    plan = stability.Plan(
        recipe(options.recipe, **changes), options.data_dir, options.download
    )
    runs = stability.plan_runs(options.seeds, options.perturbed)
    _require_place(options.out)
    for suffix in (".md", ".png"):
        taken = options.out.with_suffix(suffix)
        if taken.exists() and not options.out.exists():
            raise InputError(
                f"--out {options.out}: {taken} exists already, and the page "
                "would take its place; choose another name"
            )
    # A process of spawn imports this module, and PyTorch with it, before
    # measure can tell it how many threads to start.
    os.environ["OMP_NUM_THREADS"] = "1"
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    results = stability.measure(
        plan,
        runs,
        options.jobs,
        options.out,
        lambda line: console.print(line),
    )
    print(stability_report.tables(results))
    for path in stability_report.write(options.out, results):
        print(path)
    return 0


def _profile(options: argparse.Namespace) -> int:
    from benchmarks.ladder import HEADLINE
    from benchmarks.profile import Plan, measure
    from benchmarks.profile_report import page

    plan = Plan(
        options.device,
        tuple(dict.fromkeys(options.workloads)),
        tuple(dict.fromkeys(options.variants or HEADLINE[options.device])),
        options.steps,
    )
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    results = measure(plan, options.out, lambda line: console.print(line))
    print(page(results))
    return 1 if results["failed"] else 0


def _readme(_: argparse.Namespace) -> int:
    path = ROOT / "README.md"
    path.write_text(render(path.read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
