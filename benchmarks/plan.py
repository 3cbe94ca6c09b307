"""What the ladder measures: workloads, variants, and how long."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.variant_names import STEPS, iterations, parse
from benchmarks.worker import TimingJob
from experiment.errors import InputError
from experiment.machine import describe_machine
from experiment.recipes import recipe

# Iterations in one call of a variant, by recipe; several calls make a block.
CALLS = {"lecture": 100, "mlp": 20, "paper": 20, "dcgan": 10, "dcgan64": 10}
FASTER = {"cpu": 1, "gpu": 3}  # and as many times the iterations in a call
LARGEST_BATCH = 5000  # mnist5k has no more
HEADLINE = {
    "cpu": ("jax scan", "torch eager"),
    "gpu": ("jax scan", "torch graph-10"),
}
OTHERS = {
    "cpu": "jax step, jax device, jax seeds-8, jax tutorial, torch compile, "
    "torch device, torch seeds-8, torch tutorial",
    "gpu": "jax step, jax device, jax seeds-8, jax tutorial, torch eager, "
    "torch compile, torch reduce-overhead, torch graph, "
    "torch compile-graph-10, torch device, torch seeds-8, torch tutorial",
}
SWEEP = (1, 4, 16, 64, 256)  # seeds trained together
GEMM = {"cpu": 1536, "gpu": 8192}
STREAMED = {"cpu": 2**26, "gpu": 2**28}  # elements, more than a cache holds


@dataclass(frozen=True)
class Plan:
    """What to measure, and how long.

    Attributes:
        device: ``cpu`` or ``gpu``.
        matmul: ``strict``, ``tf32`` or ``bfloat16``.
        workloads: recipes, or ``recipe:batch-size``.
        variants: names, the most important first.
        rounds: of a repetition.
        repetitions: of all processes.
        block_seconds: the least that a block takes.
        minutes: no repetition starts that would end later, judged by the
            longest so far; None without a limit.
        patience: seconds for a worker to pass its validity checks, or to
            get ready.
        jobs: processes that start and compile concurrently. If more than one,
            those of all workloads start together; their first calls then take
            longer than alone. Blocks are timed alone in any case.

    Raises:
        InputError: a value is out of its range.
    """

    device: str
    matmul: str
    workloads: tuple[str, ...]
    variants: tuple[str, ...]
    rounds: int
    repetitions: int
    block_seconds: float
    minutes: float | None = None
    patience: float = 900.0
    jobs: int = 1

    def __post_init__(self):
        """Checks every value."""
        for name in self.workloads:
            workload(name)
        for name in self.variants:
            parse(name)
        for name in ("rounds", "repetitions"):
            if not 1 <= getattr(self, name) <= 1000:
                raise InputError(
                    f"--{name} is {getattr(self, name)}: it must be from 1 to "
                    "1000"
                )
        if self.jobs < 1:
            raise InputError(f"--jobs is {self.jobs}: it must be at least 1")
        times = {"--budget": self.minutes, "--block": self.block_seconds}
        for option, value in times.items():
            if value is not None and not 0 < value < 1e6:
                raise InputError(
                    f"{option} is {value}: it must be a positive number"
                )

    def contents(self) -> dict[str, Any]:
        """What a file keeps of a plan, by the keys of its schema."""
        return {
            "device": self.device,
            "matmul": self.matmul,
            "workloads": list(self.workloads),
            "variants": list(self.variants),
            "rounds": self.rounds,
            "sets": self.repetitions,
            "block_seconds": self.block_seconds,
            "minutes": self.minutes,
            "patience": self.patience,
            "at_once": self.jobs,
        }


def workload(name: str) -> tuple[str, int]:
    """Recipe and batch size of a workload.

    Raises:
        InputError: there is no such recipe, or no such batch size.

    Example:
        >>> workload("mlp"), workload("lecture:512")
        (('mlp', 100), ('lecture', 512))
    """
    kind, colon, size = name.partition(":")
    if kind not in CALLS:
        raise InputError(
            f"workload {name!r} is unknown; known: {', '.join(CALLS)}, each "
            "also with a batch size, as mlp:512"
        )
    if not colon:
        return kind, recipe(kind).batch_size
    digits = size.isascii() and size.isdecimal()
    if not digits or not 1 <= int(size) <= LARGEST_BATCH:
        raise InputError(
            f"workload {name!r}: a batch size is an integer from 1 to "
            f"{LARGEST_BATCH:,}"
        )
    return kind, int(size)


def job_of(plan: Plan, name: str, variant: str, check: bool) -> TimingJob:
    """The job of the worker of a variant of a workload."""
    kind, size = workload(name)
    usual = recipe(kind).batch_size
    # Fewer iterations of a large batch, so that a call takes as long.
    calls = FASTER[plan.device] * CALLS[kind] * usual // max(usual, size)
    return TimingJob(
        variant,
        kind,
        size,
        STEPS if check else iterations(variant, calls),
        plan.device,
        plan.matmul,
        plan.block_seconds,
        GEMM[plan.device],
        STREAMED[plan.device],
        check,
    )


def require_same(plan: Plan, results: Mapping[str, Any], path: Path) -> None:
    """Checks that repetitions of a plan may be added to those of a file.

    Raises:
        InputError: the file is of another machine, or of another plan.
    """
    machine = describe_machine()
    earlier = {"gpus": [], **results["machine"]}
    for what, value in machine.items():
        if earlier.get(what) != value:
            raise InputError(
                f"--add: {path} was measured on another machine ({what} "
                f"{earlier.get(what)}, here {value}): choose another --out"
            )
    contents = plan.contents()
    for name in ("device", "matmul", "workloads", "variants", "rounds"):
        kept, wanted = results["plan"][name], contents[name]
        if kept != wanted:
            raise InputError(
                f"--add: {path} is of another plan ({name} {kept}, now "
                f"{wanted}): choose another --out"
            )
