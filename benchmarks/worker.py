"""A process that checks one variant, or trains it a block at a time.

``python -m benchmarks.worker JSON`` runs the validity checks and answers with
their outcome. Or it loads the data; at the first line on stdin it builds and
compiles the variant, at the second it warms up and answers what it measured,
and at every other line it answers the seconds of one block. Each variant has a
process for itself, so that neither another variant's threads or memory nor its
own validity checks affect its times.
"""

import statistics
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks import checks, counters
from benchmarks.jobs import Job, describe_error, open_answers, run_worker
from benchmarks.variant_names import parse
from benchmarks.variants import Variant, build, side_of
from benchmarks.work import flops, optimizer_bytes
from experiment.config import Config
from experiment.data import load_available
from experiment.errors import InputError
from experiment.pixels import Data
from experiment.recipes import recipe
from experiment.stream import Stream

SETTLED = 0.02  # between three medians of the warm-up
MOST_MEDIANS = 6  # of the warm-up; on a noisy machine it never settles
# Of parity, in the precision that is timed. Float64 shows what rounding hides
# there: in float64 the variant must keep EXACT too.
TOLERANCES = {"strict": 1e-3, "tf32": 1e-2, "bfloat16": 0.25}
EXACT = 1e-9


@dataclass(frozen=True)
class TimingJob(Job):
    """A variant to check or to time.

    Attributes:
        matmul: ``strict``, ``tf32`` or ``bfloat16``.
        block_seconds: the least that a block takes.
        gemm: side of the matrices of the measured GEMM speed.
        streamed: elements of the arrays of the memory bandwidth test.
        check: whether to run the validity checks, and end.
    """

    matmul: str
    block_seconds: float
    gemm: int
    streamed: int
    check: bool


def main(job: TimingJob) -> None:
    """Runs the validity checks, or serves blocks until stdin ends."""
    answer = open_answers()
    compute = "bfloat16" if job.matmul == "bfloat16" else "full"
    config = recipe(job.recipe, batch_size=job.batch_size, compute=compute)
    side = side_of(job.variant)
    try:
        data = load_available(config)  # other images take the same time
        device = side.twin.select_device(job.device, config)
    except InputError as error:
        answer(unsupported=str(error))
        return
    side.set_matmul(job.matmul)

    def built(config: Config) -> Variant:
        typed = data.astype(config.dtype)
        return build(job.variant, config, typed, device, job.iterations)

    try:
        if job.check:
            answer(excluded=exclusion(job, config, data, side, built))
            return
        answer()
        if not sys.stdin.readline():
            return
        variant, game, cold = _compiled(job, side, built, config)
        answer()
        if not sys.stdin.readline():
            return
        measured, block = _warm(job, config, data, side, variant, game)
        measured["first_seconds"] = cold
    except Exception as error:  # of this variant only: the others continue
        if not isinstance(error, InputError):
            traceback.print_exc()
        answer(excluded=describe_error(error))
        return
    answer(**measured)
    # NVML knows nothing of the device that was chosen.
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
    job: TimingJob,
    side: Any,
    built: Callable[[Config], Variant],
    config: Config,
) -> tuple[Variant, Any, float]:
    """The variant, its game, and the seconds of its first call."""
    counters.forget_peak()  # loading the data took more memory than they take
    variant = built(config)
    game = variant.create()
    start = time.perf_counter()
    game, metrics = variant.run(game, job.iterations)
    side.synchronise((game, metrics))
    return variant, game, time.perf_counter() - start


def _warm(
    job: TimingJob,
    config: Config,
    data: Data,
    side: Any,
    variant: Variant,
    game: Any,
) -> tuple[dict[str, Any], Callable[[], float]]:
    """What the ladder keeps of a variant, and the function of a block."""
    repeats = 1

    def block() -> float:
        nonlocal game
        start = time.perf_counter()
        for _ in range(repeats):
            game, metrics = variant.run(game, job.iterations)
        side.synchronise((game, metrics))
        seconds = time.perf_counter() - start
        if not np.isfinite(variant.losses(metrics)).all():
            raise FloatingPointError("a loss is not finite")
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
    measured = {
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
    measured["excluded"] = checks.compiles_once(side, block)
    measured["gemm_flops"] = side.gemm(
        job.gemm, config.compute_dtype, job.block_seconds
    )
    measured["bandwidth"] = side.bandwidth(job.streamed, job.block_seconds)
    return measured, block


def exclusion(
    job: TimingJob,
    config: Config,
    data: Data,
    side: Any,
    built: Callable[[Config], Variant],
) -> str | None:
    """The reason why the variant is excluded, or None."""
    game = side.twin.create(config, data)
    batch = side.twin.place(Stream(config, data).batch(0))
    counted = side.count_flops(game, batch)
    variant = built(config)
    reason = checks.work(counted, flops(config, data.shape[1:]))
    reason = reason or checks.parity(variant, TOLERANCES[job.matmul])
    if parse(job.variant)[1] != "tutorial":  # which reads every loss
        reason = (
            reason
            or checks.no_host_sync(side, variant)
            or checks.matmul_dtypes(side, variant, config.compute_dtype)
        )
    if reason:
        return reason
    # Last, because it sets the precision of the whole process.
    exact = replace(config, compute="full", precision="float64")
    side.twin.select_device(job.device, exact)
    reason = checks.parity(built(exact), EXACT)
    return f"in float64, {reason}" if reason else None


if __name__ == "__main__":
    run_worker(main, TimingJob)
