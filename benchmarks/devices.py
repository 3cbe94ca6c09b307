"""What training on two devices costs: times, all-reduces, and a model.

A device is a process that is bound to one core. Each twin trains a workload in
four arrangements, all alive and asked for blocks in random order. In every
repetition the processes are fresh, because the process is what varies (see
``benchmarks.statistics``).
"""

import random
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from itertools import product
from math import inf
from pathlib import Path
from typing import Any

from benchmarks.background import measure_background
from benchmarks.devices_groups import (
    ARRANGEMENTS,
    TWINS,
    Group,
    Starter,
    available_cores,
)
from benchmarks.devices_report import page
from benchmarks.plan import workload
from benchmarks.processes import WorkerError
from benchmarks.schema import read_json, write_json
from experiment.errors import InputError
from experiment.files import replace_text
from experiment.machine import describe_machine
from experiment.processes import require_even

SCHEMA, VERSION = "gan-devices-cost", 1
_COUNTED_BATCH = 4  # all-reduces do not depend on the batch size


@dataclass(frozen=True)
class Plan:
    """What to measure, and how long.

    Attributes:
        workloads: recipes, or ``recipe:batch-size``.
        counted: recipes whose all-reduces are counted.
        rounds: of a repetition.
        repetitions: of all processes.
        block_seconds: the least that a block takes.
        minutes: no repetition starts that would end later, judged by the
            longest so far.

    Raises:
        InputError: a value is out of its range.
    """

    workloads: tuple[str, ...]
    counted: tuple[str, ...]
    rounds: int
    repetitions: int
    block_seconds: float
    minutes: float

    def __post_init__(self):
        """Checks every value."""
        for name in self.workloads:
            require_even(workload(name)[1], 2)
        for name in ("rounds", "repetitions"):
            if not 1 <= getattr(self, name) <= 1000:
                raise InputError(
                    f"--{name} is {getattr(self, name)}: it must be from 1 to "
                    "1000"
                )
        times = {"--budget": self.minutes, "--block": self.block_seconds}
        for option, value in times.items():
            if not 0 < value < 1e6:
                raise InputError(
                    f"{option} is {value}: it must be a positive number"
                )


def measure(
    plan: Plan, out: Path, say: Callable[[str], None]
) -> dict[str, Any]:
    """Measures, and writes the file and its page after every repetition.

    Args:
        plan: what to measure.
        out: the JSON file; the page has its name with .md.
        say: takes a line of progress.

    Raises:
        InputError: this machine has too few cores, or binds no processes.

    Returns:
        The contents of the file; ``failed`` says how a process ended, if one
        did.
    """
    begun, cores = time.monotonic(), available_cores()
    results: dict[str, Any] = {
        "schema": SCHEMA,
        "version": VERSION,
        "machine": describe_machine(),
        "plan": asdict(plan),
        "failed": None,
        "reductions": {},
        "workloads": {
            name: {
                "recipe": workload(name)[0],
                "batch_size": workload(name)[1],
                "repetitions": [],
            }
            for name in plan.workloads
        },
    }
    with tempfile.TemporaryDirectory() as cache:
        start = Starter(cores, Path(cache))
        try:
            for name in plan.counted:
                say(f"all-reduces of {name}")
                counted = {twin: _count(twin, name, start) for twin in TWINS}
                results["reductions"][name] = counted
            _write(results, out)
            _repeat(plan, results, begun, start, out, say)
        except WorkerError as error:
            results["failed"] = str(error)
            say(f"error: {error}; what was measured before is kept in {out}")
            _write(results, out)
    return results


def _count(twin: str, name: str, start: Starter) -> dict[str, Any]:
    group = start(twin, f"{name}:{_COUNTED_BATCH}", "strong", counts=True)
    try:
        return group.answers()[0]
    finally:
        group.stop()


def _repeat(plan, results, begun, start, out, say) -> None:
    """The repetitions that the time allows."""
    longest = 0.0
    for number in range(1, plan.repetitions + 1):
        spent = time.monotonic() - begun
        if spent + longest > 60 * plan.minutes:
            say(f"stopped before repetition {number}: time")
            return
        for name in plan.workloads:
            say(f"repetition {number} of {plan.repetitions}, {name}")
            found = _repetition(plan, name, number, start)
            results["workloads"][name]["repetitions"].append(found)
        _write(results, out)
        longest = max(longest, time.monotonic() - begun - spent)


def _repetition(
    plan: Plan, name: str, number: int, start: Starter
) -> dict[str, Any]:
    """Background load of each round, seconds of an iteration by group."""
    groups: dict[str, Group] = {}
    try:
        for twin, arrangement in product(TWINS, ARRANGEMENTS):
            group = start(twin, name, arrangement)
            groups[f"{twin} {arrangement}"] = group
        for group in groups.values():  # all are ready before one is timed
            group.answers()
        for group in groups.values():
            group.warm(plan.block_seconds)
        seconds: dict[str, list[float]] = {key: [] for key in groups}
        background = []
        # Another order in every repetition, and the same if it is run again.
        rng = random.Random(number)
        for _ in range(plan.rounds):
            background.append(measure_background())
            for key in rng.sample(list(groups), len(groups)):
                seconds[key].append(groups[key].iteration())
        return {"background": background, "seconds": seconds}
    finally:
        for group in groups.values():
            group.stop()


def _write(results: dict[str, Any], out: Path) -> None:
    write_json(out, results)
    replace_text(out.with_suffix(".md"), page(results))


def load_devices(path: Path) -> dict[str, Any]:
    """The contents of a file of ``measure``, verified.

    Raises:
        InputError: the file is damaged, or of another schema or version.
    """
    return read_json(path, SCHEMA, VERSION, "devices", "measure again", _verify)


def _verify(results: Mapping[str, Any]) -> None:
    for of in results["workloads"].values():
        for repetition in of["repetitions"]:
            for times in repetition["seconds"].values():
                if not all(0 < time < inf for time in times):
                    raise ValueError("a time")
    page(results)
