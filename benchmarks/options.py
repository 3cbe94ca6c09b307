"""The options of the commands that time and profile."""

from pathlib import Path
from typing import Any

from benchmarks import commands as run
from benchmarks.plan import CALLS, HEADLINE, OTHERS, SWEEP
from benchmarks.quick import MINUTES, WORKLOADS
from benchmarks.statistics import ENOUGH_SETS, FEWEST_SETS
from benchmarks.worker import TOLERANCES


def add_quick(commands: Any) -> None:
    """Adds the command."""
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


def add_ladder(commands: Any) -> None:
    """Adds the command."""
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


def add_report(commands: Any) -> None:
    """Adds the command."""
    command = commands.add_parser(
        "report",
        help="tables and plots of a measured ladder",
        description="Writes REPORT.md and report.html, one page that needs "
        "no network.",
    )
    command.set_defaults(command=run.write_report)
    command.add_argument("file", type=Path, metavar="FILE.json")
    command.add_argument("--out", type=Path, required=True, metavar="DIR")


def add_profile(commands: Any) -> None:
    """Adds the command."""
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


def add_gpu(commands: Any) -> None:
    """Adds the command."""
    command = commands.add_parser(
        "gpu",
        help="all that a rented GPU is wanted for, in a quarter of an hour",
        description="Compares the plain steps of both twins on the GPU with "
        "PyTorch's on the CPU, times every form once and the best of each twin "
        "in five sets of processes, profiles both, and trains recipe paper by "
        "epochs with its Parzen estimate. Each part writes into DIR as it "
        "goes, and is left out when its time is over. The same command again "
        "adds sets. Needs no network.",
        epilog="Rehearse it first, on any machine: python -m benchmarks gpu "
        "--device cpu --rehearse --out runs/rehearsal",
    )
    command.set_defaults(command=run.run_session)
    command.add_argument("--out", type=Path, required=True, metavar="DIR")
    command.add_argument(
        "--device", choices=("gpu", "cpu"), default="gpu", help="default: gpu"
    )
    command.add_argument(
        "--rehearse", action="store_true", help="tiny, with --device cpu"
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
        help="then copy the files into benchmarks/gpu, and write the report "
        "and the README's table anew",
    )
