"""The options of the commands that time and profile."""

import argparse
import sys
from pathlib import Path
from typing import Any

from benchmarks import commands as run
from benchmarks.plan import CALLS, HEADLINE, OTHERS, SWEEP
from benchmarks.quick import MINUTES, WORKLOADS
from benchmarks.statistics import ENOUGH_REPETITIONS, FEWEST_REPETITIONS
from benchmarks.worker import TOLERANCES


class _Renamed(argparse.Action):
    """Takes the former name of an option, with a warning on stderr."""

    def __call__(self, parser, namespace, values, option_string=None):
        option = f"--{self.dest.replace('_', '-')}"
        print(f"warning: {option_string} is now {option}", file=sys.stderr)
        setattr(namespace, self.dest, values)


def _add_former_name(command: Any, former: str, dest: str) -> None:
    command.add_argument(
        former,
        dest=dest,
        type=int,
        action=_Renamed,
        default=argparse.SUPPRESS,
        help=argparse.SUPPRESS,
    )


def add_out(command: Any, metavar: str, text: str) -> None:
    """Adds where a command writes."""
    command.add_argument(
        "--out", type=Path, required=True, metavar=metavar, help=text
    )


def add_quick(commands: Any) -> None:
    """Adds the command."""
    command = commands.add_parser(
        "quick",
        help="compare the twins' best variants on your machine, in minutes",
        description="Times the best variant of each twin "
        f"({' and '.join(HEADLINE['cpu'])}; on a GPU "
        f"{' and '.join(HEADLINE['gpu'])}) on {', '.join(WORKLOADS)}, by the "
        "protocol of the ladder: each variant must pass validity checks first, "
        "then runs in its own process and is asked for blocks in random order. "
        "Prints images/s, their ratio, versions and settings, and a line to "
        "copy into an issue. Takes some minutes, more with fewer cores. A "
        "single process repetition gives no interval and no verdict: use the "
        "ladder for these.",
        epilog="Example: python -m benchmarks quick --device gpu",
    )
    command.set_defaults(command=run.run_quick)
    command.add_argument(
        "--device",
        choices=("cpu", "gpu"),
        default="cpu",
        help="default: cpu; on a GPU matmuls are in tf32, as in the README",
    )
    command.add_argument(
        "--budget",
        type=float,
        default=MINUTES,
        metavar="MINUTES",
        help="start no recipe that would end later, judged by the longest so "
        f"far (default: {MINUTES})",
    )
    command.add_argument(
        "--out",
        type=Path,
        metavar="FILE.json",
        help="write every timed block to this file, for python -m benchmarks "
        "report (default: nothing is written)",
    )


def add_ladder(commands: Any) -> None:
    """Adds the command."""
    command = commands.add_parser(
        "ladder",
        help="time every variant in turns, with intervals",
        description="Runs the validity checks of every variant: it must take "
        "the steps of the plain step. Then starts a process for each, lets it "
        "compile and warm up, and asks all for blocks in random order. The "
        "JSON is written after every round. Checks and warm-up take half a "
        "minute a variant, longer if it compiles; all variants together take "
        "hours.",
        epilog="Start with: python -m benchmarks ladder --workloads lecture "
        "--variants headline --rounds 5 --repetitions 1 --out runs/ladder.json."
        " Then: python -m benchmarks report runs/ladder.json --out runs/ladder",
    )
    command.set_defaults(command=run.run_ladder)
    add_out(command, "FILE.json", "file for every timed block")
    command.add_argument(
        "--device", choices=("cpu", "gpu"), default="cpu", help="default: cpu"
    )
    command.add_argument(
        "--matmul",
        choices=tuple(TOLERANCES),
        default="strict",
        help="precision of matmuls: full float32 (strict, the default), tf32 "
        "on a GPU, or networks in bfloat16 with float32 weights",
    )
    command.add_argument(
        "--workloads",
        nargs="+",
        default=list(CALLS),
        metavar="W",
        help=f"{', '.join(CALLS)} (default: all), or with a batch size: "
        "mlp:512; the most important first",
    )
    command.add_argument(
        "--variants",
        nargs="+",
        metavar="V",
        help="as 'jax scan', 'torch eager'; 'headline' is the best of each "
        f"twin with its A/A duplicate; 'sweep' is {SWEEP[0]} to {SWEEP[-1]} "
        f"seeds together; default: headline and {OTHERS['cpu']} (on a GPU: "
        f"{OTHERS['gpu']})",
    )
    command.add_argument(
        "--rounds", type=int, default=10, help="of a repetition (default: 10)"
    )
    command.add_argument(
        "--repetitions",
        type=int,
        default=ENOUGH_REPETITIONS,
        help="of all processes. An interval is over repetitions, so more "
        f"rounds do not narrow it: it needs at least {FEWEST_REPETITIONS}, and "
        f"{ENOUGH_REPETITIONS} detect most ratios of 1.05 (default: "
        f"{ENOUGH_REPETITIONS})",
    )
    _add_former_name(command, "--sets", "repetitions")
    command.add_argument(
        "--add",
        action="store_true",
        help="add the repetitions to those of FILE.json, if it is of this "
        "machine and the same plan",
    )
    command.add_argument(
        "--jobs",
        type=int,
        default=1,
        metavar="N",
        help="processes that start and compile concurrently, for a machine "
        "rented by the minute; each then takes longer to compile (default: 1)",
    )
    _add_former_name(command, "--at-once", "jobs")
    command.add_argument(
        "--budget",
        type=float,
        metavar="MINUTES",
        help="start no repetition that would end later, judged by the longest "
        "so far (default: no limit)",
    )
    command.add_argument(
        "--block",
        type=float,
        default=0.3,
        metavar="SECONDS",
        help="the least that a timed block takes (default: 0.3)",
    )


def add_report(commands: Any) -> None:
    """Adds the command."""
    command = commands.add_parser(
        "report",
        help="write tables and plots of a measured ladder",
        description="Writes REPORT.md and report.html, one page that needs "
        "no network.",
        epilog="Example: python -m benchmarks report runs/ladder.json --out "
        "runs/ladder",
    )
    command.set_defaults(command=run.write_report)
    command.add_argument(
        "file", type=Path, metavar="FILE.json", help="file of ladder or quick"
    )
    add_out(command, "DIR", "folder for both files")


def add_profile(commands: Any) -> None:
    """Adds the command."""
    command = commands.add_parser(
        "profile",
        help="show where an iteration's time goes",
        description="Profiles each variant in its own process: the operators "
        "of a CPU, or kernels of a GPU, that take the most time, and their "
        "utilisation of an iteration. Prints the page, and writes it as "
        "FILE.md next to FILE.json.",
        epilog="Start with: python -m benchmarks profile --workloads lecture "
        "--out runs/profile.json",
    )
    command.set_defaults(command=run.run_profile)
    add_out(command, "FILE.json", "file for the profiles")
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


def add_gpu(commands: Any) -> None:
    """Adds the command."""
    command = commands.add_parser(
        "gpu",
        help="measure all that a rented GPU is needed for, in 15 minutes",
        description="Compares the plain steps of both twins on the GPU with "
        "PyTorch's on the CPU, times every variant once and the best of each "
        "twin in five process repetitions, profiles both, and trains recipe "
        "paper by epochs with its Parzen estimate. Each part writes into DIR "
        "as it runs, and is skipped when its time is over. Run again, the same "
        "command adds repetitions. Needs no network.",
        epilog="Rehearse it first, on any machine: python -m benchmarks gpu "
        "--device cpu --rehearse --out runs/rehearsal",
    )
    command.set_defaults(command=run.run_session)
    add_out(command, "DIR", "folder of the session, new or of an earlier one")
    command.add_argument(
        "--device", choices=("gpu", "cpu"), default="gpu", help="default: gpu"
    )
    command.add_argument(
        "--rehearse",
        action="store_true",
        help="every part with tiny sizes, with --device cpu",
    )
    command.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="folder of mnist in torchvision's layout, for the epochs of "
        "recipe paper (default: the 5,000 embedded digits)",
    )
    command.add_argument(
        "--commit",
        action="store_true",
        help="then copy the files into benchmarks/gpu, and update the report "
        "and the README's table",
    )
