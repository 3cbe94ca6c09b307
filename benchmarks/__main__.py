"""``python -m benchmarks speed``: both twins on a CPU, timed in turns.

JAX runs a block of iterations as one ``lax.scan``; PyTorch runs it eagerly,
with fused optimizers and channels-last images. Each round times one block of
both, in random order, so that what else the machine does falls on both.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.readme import ROOT, render
from experiment.machine import describe_machine
from experiment.recipes import recipe

TWINS = {"jax": "jax_gan", "torch": "torch_ref"}
# Iterations in a block, by recipe: about half a second on two cores.
BLOCKS = {"lecture": 300, "mlp": 40, "dcgan": 8}


def main(arguments: list[str] | None = None) -> int:
    """Times the recipes asked for; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    speed = commands.add_parser("speed", help="time both twins in turns")
    speed.add_argument(
        "--recipes", nargs="+", choices=list(BLOCKS), default=list(BLOCKS)
    )
    speed.add_argument(
        "--rounds", type=int, default=30, help="blocks of each twin (30)"
    )
    speed.add_argument("--out", type=Path, help="JSON file to write")
    speed.set_defaults(command=_speed)
    readme = commands.add_parser(
        "readme", help="write the README's tables from the committed JSON"
    )
    readme.set_defaults(command=_readme)
    options = parser.parse_args(arguments)
    return options.command(parser, options)


def _readme(*_: Any) -> int:
    path = ROOT / "README.md"
    path.write_text(render(path.read_text()))
    return 0


def _speed(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    if options.rounds < 1:
        parser.error(f"--rounds is {options.rounds}: it must be at least 1")

    console = Console()
    report: dict[str, Any] = {"machine": describe_machine(), "recipes": {}}
    for name in options.recipes:
        result = time_in_turns(name, BLOCKS[name], options.rounds)
        report["recipes"][name] = result
        console.print(
            f"{name}, batch {result['batch_size']}: "
            f"JAX {result['ms_per_iteration']['jax']} ms, "
            f"PyTorch {result['ms_per_iteration']['torch']} ms an iteration; "
            f"PyTorch / JAX {result['torch_over_jax']}",
            highlight=False,
            soft_wrap=True,
        )
    if options.out:
        options.out.write_text(json.dumps(report, indent=1) + "\n")
        console.print(options.out)
    return 0


def time_in_turns(name: str, iterations: int, rounds: int) -> dict[str, Any]:
    """Seconds of every block of both twins, and their medians.

    Args:
        name: the recipe.
        iterations: of Algorithm 1 in a block.
        rounds: blocks of each twin.
    """
    command = [sys.executable, "-m", "benchmarks.worker"]
    workers = {
        twin: subprocess.Popen(
            [*command, module, name, str(iterations)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for twin, module in TWINS.items()
    }
    order = random.Random(0)
    blocks: dict[str, list[float]] = {twin: [] for twin in TWINS}
    try:
        for worker in workers.values():
            _answer(worker)  # ready
        for number in range(rounds + 2):
            for twin in order.sample(list(TWINS), 2):
                _ask(workers[twin])
                seconds = float(_answer(workers[twin]))
                if number >= 2:  # two rounds of warm-up
                    blocks[twin].append(seconds)
    finally:
        for worker in workers.values():
            worker.kill()
    pace = {
        twin: 1000 * statistics.median(seconds) / iterations
        for twin, seconds in blocks.items()
    }
    ratios = [
        b / a for a, b in zip(blocks["jax"], blocks["torch"], strict=True)
    ]
    return {
        "batch_size": recipe(name).batch_size,
        "iterations_in_a_block": iterations,
        "ms_per_iteration": {t: round(ms, 3) for t, ms in pace.items()},
        "torch_over_jax": round(statistics.median(ratios), 3),
        "seconds_of_blocks": blocks,
    }


def _ask(worker: subprocess.Popen) -> None:
    assert worker.stdin is not None
    worker.stdin.write("block\n")
    worker.stdin.flush()


def _answer(worker: subprocess.Popen) -> str:
    assert worker.stdout is not None
    line = worker.stdout.readline()
    if not line:
        raise SystemExit("error: a worker ended; its message is above")
    return line


if __name__ == "__main__":
    sys.exit(main())
