"""The ladder: every variant of both twins timed in turns, and kept as JSON.

First every variant passes its gates, in a process of its own. Then a set
starts a fresh process for each variant of a workload. They get ready one by
one, stay alive and are asked for a block each, in a new random order every
round, so that whatever else the machine does falls on all. Every block is kept.
"""

import json
import os
import random
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.results import SCHEMA, VERSION
from benchmarks.variants import STEPS, iterations, parse
from benchmarks.worker import Job
from experiment.config import InputError
from experiment.files import replace_text
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
SWEEP = (1, 4, 16, 64, 256)  # seeds at once
GEMM = {"cpu": 1536, "gpu": 8192}
STREAMED = {"cpu": 2**26, "gpu": 2**28}  # numbers, that no cache holds
MOST_GATES = 8  # at once: they share the memory
# They would bind PyTorch and not XLA: each takes the threads of its default.
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


class WorkerError(Exception):
    """A worker ended, hung, or said what is no answer."""


class Worker:
    """A process that answers in lines of JSON."""

    def __init__(self, name: str, command: Sequence[str], **environment: str):
        self.name = name
        self._unread = b""
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={k: v for k, v in os.environ.items() if k not in _THREADS}
            | environment,
        )

    def fileno(self) -> int:
        """Of its answers, so that ``select`` can wait for several workers."""
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    def ask(self) -> None:
        """Asks for the next thing: to get ready, and then for a block each."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(b"\n")
            self._process.stdin.flush()
        except OSError as error:
            raise WorkerError(f"{self.name} ended") from error

    def answer(self, seconds: float) -> dict[str, Any]:
        """The next answer, awaited for so many seconds.

        Raises:
            WorkerError: there is none.
        """
        end = time.monotonic() + seconds
        while b"\n" not in self._unread:
            left = max(0.0, end - time.monotonic())
            if not select.select([self], [], [], left)[0]:
                raise WorkerError(f"{self.name} hung for {seconds:.0f} s")
            part = os.read(self.fileno(), 1 << 16)
            if not part:
                raise WorkerError(
                    f"{self.name} ended: killed, or with its message above"
                )
            self._unread += part
        line, self._unread = self._unread.split(b"\n", 1)
        try:
            return json.loads(line)
        except ValueError as error:
            raise WorkerError(f"{self.name} said {line[:80]!r}") from error

    def stop(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.wait()


@dataclass(frozen=True)
class Plan:
    """What to measure, and how long.

    Attributes:
        workloads: recipes, or ``recipe:batch-size``.
        variants: names, the most telling first.
        minutes: no set starts that would end after them, by the longest yet;
            None for as long as it takes.
        patience: seconds for a worker to pass its gates, or to get ready.
    """

    device: str
    matmul: str
    workloads: tuple[str, ...]
    variants: tuple[str, ...]
    rounds: int
    sets: int
    block_seconds: float
    minutes: float | None
    patience: float = 900.0

    def __post_init__(self):
        """Checks every value."""
        for name in self.workloads:
            workload(name)
        for name in self.variants:
            parse(name)
        for option in ("rounds", "sets"):
            if not 1 <= getattr(self, option) <= 1000:
                raise InputError(
                    f"--{option} is {getattr(self, option)}: it must be from "
                    "1 to 1000"
                )
        times = {"--budget": self.minutes, "--block": self.block_seconds}
        for option, value in times.items():
            if value is not None and not 0 < value < 1e6:
                raise InputError(
                    f"{option} is {value}: it must be a positive number"
                )


def workload(name: str) -> tuple[str, int]:
    """Recipe and batch size of a workload.

    Raises:
        InputError: there is no such recipe, or no such batch of it.

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
            f"workload {name!r}: a batch size is a whole number from 1 to "
            f"{LARGEST_BATCH:,}"
        )
    return kind, int(size)


def measure(
    plan: Plan,
    out: Path | None,
    say: Callable[[str], None],
    start: Callable[[Job], Worker] | None = None,
) -> dict[str, Any]:
    """Measures, and writes after every round; returns what was measured.

    Args:
        plan: what.
        out: the JSON file; None to write nothing.
        say: told of the progress.
        start: starts the worker of a job; a process if not given.

    Raises:
        InputError: the device is not there, every variant is refused, or the
            time was over before a block was timed.

    Returns:
        The contents of the file. ``failed`` says which worker ended or hung,
        if one did; the others are of what was measured before.
    """
    results: dict[str, Any] = {
        "schema": SCHEMA,
        "version": VERSION,
        "machine": describe_machine(),
        "plan": asdict(plan),
        "complete": False,
        "failed": None,
        "workloads": {
            name: {
                "recipe": workload(name)[0],
                "batch_size": workload(name)[1],
                "refused": {},
                "sets": [],
            }
            for name in plan.workloads
        },
    }
    begun, longest = time.monotonic(), 0.0
    with tempfile.TemporaryDirectory() as cache:
        start = start or _starter(plan.device, Path(cache))
        try:
            _pass_gates(plan, results, say, start)
            for number in range(plan.sets):
                for name in plan.workloads:
                    spent = time.monotonic() - begun
                    over = plan.minutes and spent + longest > 60 * plan.minutes
                    if over:
                        say(f"stopped before set {number + 1} of {name}: time")
                        if not _has_blocks(results):
                            raise InputError(
                                f"--budget {plan.minutes}: its time was over "
                                "before a block was timed; give more minutes, "
                                "or fewer workloads or variants"
                            )
                        return results
                    say(f"set {number + 1} of {plan.sets}, {name}")
                    _measure_set(plan, results, name, number, out, say, start)
                    lasted = time.monotonic() - begun - spent
                    longest = max(longest, lasted)
            if not _has_blocks(results):
                raise InputError(
                    "every variant is refused, for the reasons above: nothing "
                    "is written"
                )
            results["complete"] = True
        except WorkerError as error:
            results["failed"] = str(error)
            say(f"error: {error}; {_kept(results, out)}")
        except KeyboardInterrupt:
            say(f"stopped; {_kept(results, out)}")
            raise
        finally:
            if _has_blocks(results):  # else an earlier file would be lost
                _write(results, out)
    return results


def _write(results: dict[str, Any], out: Path | None) -> None:
    if out is not None:
        replace_text(out, json.dumps(results, indent=1) + "\n")


def _kept(results: dict[str, Any], out: Path | None) -> str:
    if not _has_blocks(results):
        return "nothing was timed before"
    if out is None:
        return "nothing is kept without --out"
    return f"what was timed before is kept in {out}"


def _has_blocks(results: dict[str, Any]) -> bool:
    return any(
        values["seconds"]
        for workload in results["workloads"].values()
        for one in workload["sets"]
        for values in one["variants"].values()
    )


def _starter(device: str, cache: Path) -> Callable[[Job], Worker]:
    environment = {
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    if device == "cpu":
        environment |= {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-m", "benchmarks.worker"]

    def start(job: Job) -> Worker:
        # Cold in the first set, warm in the others; none finds another's.
        # No blank: g++ would take it for the end of a name.
        name = f"{job.recipe}-{job.batch_size}-{job.variant}-{job.check}"
        programs = cache / name.replace(" ", "-")
        own = {
            "JAX_COMPILATION_CACHE_DIR": str(programs / "jax"),
            "TORCHINDUCTOR_CACHE_DIR": str(programs / "torch"),
        }
        arguments = [*command, json.dumps(asdict(job))]
        return Worker(job.variant, arguments, **environment, **own)

    return start


def _job(plan: Plan, name: str, variant: str, check: bool) -> Job:
    kind, size = workload(name)
    usual = recipe(kind).batch_size
    # Fewer iterations of a large batch, so that a call takes as long.
    calls = FASTER[plan.device] * CALLS[kind] * usual // max(usual, size)
    return Job(
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


def _pass_gates(plan, results, say, start) -> None:
    """Some at once: what they compare does not depend on time."""
    # What is entered again has passed already.
    forms = dict.fromkeys(v.removesuffix(" again") for v in plan.variants)
    jobs = [
        (name, _job(plan, name, form, check=True))
        for name in plan.workloads
        for form in forms
    ]
    say(f"gates of {len(jobs)} variants")
    at_once = min(max(1, (os.cpu_count() or 1) // 2), MOST_GATES)
    running: dict[Worker, str] = {}
    try:
        while jobs or running:
            while jobs and len(running) < at_once:
                name, job = jobs.pop(0)
                running[start(job)] = name
            answered = select.select(running, [], [], plan.patience)[0]
            for worker in answered or list(running)[:1]:
                answer = worker.answer(plan.patience)
                if reason := answer.get("unusable"):
                    raise InputError(reason)
                name = running.pop(worker)
                worker.stop()
                if reason := answer["refused"]:
                    say(f"  {worker.name} is refused on {name}: {reason}")
                    results["workloads"][name]["refused"] |= {
                        variant: reason
                        for variant in plan.variants
                        if variant.removesuffix(" again") == worker.name
                    }
                else:
                    say(f"  {worker.name} has passed on {name}")
    finally:
        for worker in running:
            worker.stop()


def _measure_set(plan, results, name, number, out, say, start) -> None:
    found = results["workloads"][name]
    one: dict[str, Any] = {"busy": [], "order": [], "variants": {}}
    found["sets"].append(one)
    workers: dict[str, Worker] = {}
    try:
        for variant in plan.variants:
            if variant in found["refused"]:
                continue
            workers[variant] = start(_job(plan, name, variant, check=False))
        for worker in workers.values():  # all have loaded before one compiles
            if reason := worker.answer(plan.patience).get("unusable"):
                raise InputError(reason)
        for variant, worker in list(workers.items()):
            worker.ask()
            ready = worker.answer(plan.patience)
            if reason := ready.pop("refused", None):
                say(f"  {variant} is refused: {reason}")
                found["refused"][variant] = reason
                workers.pop(variant).stop()
                continue
            one["variants"][variant] = {**ready, "seconds": [], "joules": []}
            say(f"  {variant} is ready")
        if not workers:
            return
        rng = random.Random(number)
        for _ in range(plan.rounds):
            one["busy"].append(_busy())
            one["order"].append(rng.sample(list(workers), len(workers)))
            for variant in one["order"][-1]:
                workers[variant].ask()
                answer = workers[variant].answer(plan.patience)
                for key in ("seconds", "joules"):
                    one["variants"][variant][key].append(answer[key])
                if answer["compiled"]:
                    reason = "it compiled in a timed block"
                    found["refused"][variant] = reason
            _write(results, out)
    finally:
        for worker in workers.values():
            worker.stop()


def _busy() -> float | None:
    """The share of the processors that others keep busy, while we wait."""
    before = _jiffies()
    time.sleep(0.2)
    after = _jiffies()
    if before is None or after is None:
        return None
    idle, total = (b - a for a, b in zip(before, after, strict=True))
    return round(1 - idle / max(total, 1), 3)


def _jiffies() -> tuple[int, int] | None:
    path = Path("/proc/stat")
    if not path.exists():
        return None
    numbers = list(map(int, path.read_text().split("\n", 1)[0].split()[1:9]))
    return numbers[3] + numbers[4], sum(numbers)
