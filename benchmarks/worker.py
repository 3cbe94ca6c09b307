"""A process that trains one variant, a block at a time, when it is told to.

``python -m benchmarks.worker JSON`` passes the gates and says so in a line of
JSON; or it loads the data, at the first line on stdin builds the variant and
compiles, at the second warms up and says what it found, and at every other the
seconds that one block took. Each variant has a process for itself, so that no
other's threads or memory are in its way, nor its own gates.
"""

import json
import signal
import statistics
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import counters, gates
from benchmarks.variants import Variant, build, parse, side_of
from benchmarks.work import flops, optimizer_bytes
from experiment.config import Config, InputError
from experiment.data import load_at_hand
from experiment.recipes import recipe
from experiment.stream import Stream

SETTLED = 0.02  # between three medians of warm-up
MOST_MEDIANS = 6  # of warm-up; a noisy machine never settles
# Of parity, as it is timed. What rounding hides there, float64 shows: there
# the form must keep EXACT too.
TOLERANCES = {"strict": 1e-3, "tf32": 1e-2, "bfloat16": 0.25}
EXACT = 1e-9


@dataclass(frozen=True)
class Job:
    """What a worker is to do.

    Attributes:
        variant: see ``benchmarks.variants``.
        recipe: the workload.
        batch_size: its m.
        iterations: in one call of the variant, on batches prepared for it.
        device: ``cpu`` or ``gpu``.
        matmul: ``strict``, ``tf32`` or ``bfloat16``.
        block_seconds: the least that a block takes.
        gemm: side of the matrices of the measured peak.
        streamed: numbers in the arrays of the measured bandwidth.
        check: whether to pass the gates, and end.
    """

    variant: str
    recipe: str
    batch_size: int
    iterations: int
    device: str
    matmul: str
    block_seconds: float
    gemm: int
    streamed: int
    check: bool


def main(job: Job) -> None:
    """Passes the gates, or serves blocks until stdin ends."""
    answers, sys.stdout = sys.stdout, sys.stderr

    def answer(**values: Any) -> None:
        print(json.dumps(values), file=answers, flush=True)

    compute = "bfloat16" if job.matmul == "bfloat16" else "full"
    config = recipe(job.recipe, batch_size=job.batch_size, compute=compute)
    side = side_of(job.variant)
    try:
        data = load_at_hand(config)  # no others are faster
        device = side.twin.select_device(job.device, config)
    except InputError as error:
        answer(unusable=str(error))
        return
    side.set_matmul(job.matmul)

    def built(config: Config) -> Variant:
        typed = data.astype(config.dtype, copy=False)
        return build(job.variant, config, typed, device, job.iterations)

    try:
        if job.check:
            answer(refused=refusal(job, config, data, side, built))
            return
        answer()
        if not sys.stdin.readline():
            return
        variant, game, first = _compiled(job, side, built, config)
        answer()
        if not sys.stdin.readline():
            return
        found, block = _warm(job, config, data, side, variant, game)
        found["first_seconds"] = first
    except Exception as error:  # the form's own: the others go on
        if not isinstance(error, InputError):
            traceback.print_exc()
        answer(refused=describe_error(error))
        return
    answer(**found)
    # NVML knows nothing of the device asked for.
    joules = counters.joules if job.device == "gpu" else lambda: None
    for _ in sys.stdin:
        compiled, start = side.compilations(), joules()
        seconds, end = block(), joules()
        answer(
            seconds=seconds,
            joules=None if start is None or end is None else end - start,
            compiled=side.compilations() - compiled,
        )


def _compiled(
    job: Job, side: Any, built: Callable[[Config], Variant], config: Config
) -> tuple[Variant, Any, float]:
    """The variant, its game, and the seconds of its first call."""
    counters.forget_peak()  # the data set took more to load than it takes
    variant = built(config)
    game = variant.create()
    start = time.perf_counter()
    game, metrics = variant.run(game, job.iterations)
    side.synchronise((game, metrics))
    return variant, game, time.perf_counter() - start


def _warm(
    job: Job,
    config: Config,
    data: NDArray[np.floating],
    side: Any,
    variant: Variant,
    game: Any,
) -> tuple[dict[str, Any], Callable[[], float]]:
    """What the ladder is told of a variant, and the function of a block."""
    repeats = 1

    def block() -> float:
        nonlocal game
        start = time.perf_counter()
        for _ in range(repeats):
            game, metrics = variant.run(game, job.iterations)
        side.synchronise((game, metrics))
        seconds = time.perf_counter() - start
        finite = np.isfinite(variant.losses(metrics)).all()
        assert finite, "a loss is not finite"
        return seconds

    repeats = max(1, int(np.ceil(job.block_seconds / block())))
    medians: list[float] = []
    settled = False
    while not settled and len(medians) < MOST_MEDIANS:
        blocks = [block() for _ in range(3)]
        medians.append(statistics.median(blocks) / repeats)
        last = medians[-3:]
        settled = len(last) == 3 and max(last) <= (1 + SETTLED) * min(last)
        # A block is never shorter than it must be.
        repeats = max(repeats, int(np.ceil(job.block_seconds / medians[-1])))
    found = {
        "warmup_seconds": medians,
        "settled": settled,
        "iterations": repeats * job.iterations,
        "games": variant.games,
        "peak_bytes": side.peak_bytes() or counters.peak_bytes(),
        "graph_breaks": side.graph_breaks(),
        "settings": side.settings(),
        "flops": flops(config, data.shape[1:]),
        "optimizer_bytes": optimizer_bytes(
            config, side.twin.to_numpy(side.twin.create(config, data))
        ),
    }
    found["refused"] = gates.compiles_once(side, block)
    found["gemm_flops"] = side.gemm(
        job.gemm, config.compute_dtype, job.block_seconds
    )
    found["bandwidth"] = side.bandwidth(job.streamed, job.block_seconds)
    return found, block


def describe_error(error: Exception) -> str:
    """Why a variant has no number, in one line."""
    text = str(error)
    if isinstance(error, InputError):  # a form that this device does not have
        return text
    memory = ("out of memory", "allocate memory")
    if isinstance(error, MemoryError) or any(m in text.lower() for m in memory):
        return "it does not fit the memory"
    lines = [type(error).__name__, *text.splitlines()[:1]]
    return "it ends: " + ": ".join(lines)


def refusal(
    job: Job,
    config: Config,
    data: NDArray[np.floating],
    side: Any,
    built: Callable[[Config], Variant],
) -> str | None:
    """Why the variant gets no number, or None."""
    game = side.twin.create(config, data)
    batch = side.twin.place(Stream(config, data).batch(0))
    counted = side.count_flops(game, batch)
    variant = built(config)
    reason = gates.work(counted, flops(config, data.shape[1:]))
    reason = reason or gates.parity(variant, TOLERANCES[job.matmul])
    if parse(job.variant)[1] != "tutorial":  # which reads every loss
        reason = (
            reason
            or gates.no_reads(side, variant)
            or gates.products(side, variant, config.compute_dtype)
        )
    if reason:
        return reason
    # Last, for it sets the precision of the whole process.
    exact = replace(config, compute="full", precision="float64")
    side.twin.select_device(job.device, exact)
    reason = gates.parity(built(exact), EXACT)
    return f"in float64, {reason}" if reason else None


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the ladder ends its workers
    main(Job(**json.loads(sys.argv[1])))
