"""A process that trains one variant, a block at a time, when it is told to.

``python -m benchmarks.worker JSON`` builds the variant, compiles, warms up,
passes the gates and says what it found in a line of JSON; then it answers
every line on stdin with the seconds that one block took. Each variant has a
process for itself, so that no other's threads or memory are in its way.
"""

import json
import signal
import statistics
import sys
import time
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
STREAMED = 2**26  # numbers of an array that no cache holds


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
        check: whether to pass the gates.
    """

    variant: str
    recipe: str
    batch_size: int
    iterations: int
    device: str
    matmul: str
    block_seconds: float
    gemm: int
    check: bool


def main(job: Job) -> None:
    """Serves blocks until stdin ends."""
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
        found, block = _get_ready(job, config, data, side, built)
    except InputError as error:  # a form that this device does not have
        answer(refused=str(error))
        return
    except (RuntimeError, MemoryError) as error:
        if not _is_out_of_memory(error):
            raise
        answer(refused="it and its gates do not fit the memory")
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


def _get_ready(
    job: Job,
    config: Config,
    data: NDArray[np.floating],
    side: Any,
    built: Callable[[Config], Variant],
) -> tuple[dict[str, Any], Callable[[], float]]:
    """What the ladder is told of a variant, and the function of a block."""
    game, repeats = None, 1

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

    counters.forget_peak()  # the data set took more to load than it takes
    variant = built(config)
    game = variant.create()
    first = block()
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
        "first_seconds": first,
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
    if job.check:
        found["refused"] = refusal(job, config, data, side, built, block)
    found["gemm_flops"] = side.gemm(
        job.gemm, config.compute_dtype, job.block_seconds
    )
    found["bandwidth"] = side.bandwidth(STREAMED, job.block_seconds)
    return found, block


def _is_out_of_memory(error: Exception) -> bool:
    words = str(error).lower()
    return (
        isinstance(error, MemoryError)
        or "out of memory" in words
        or "allocate memory" in words
    )


def refusal(
    job: Job,
    config: Config,
    data: NDArray[np.floating],
    side: Any,
    built: Callable[[Config], Variant],
    block: Callable[[], float],
) -> str | None:
    """Why the variant gets no number, or None."""
    game = side.twin.create(config, data)
    batch = side.twin.place(Stream(config, data).batch(0))
    counted = side.count_flops(game, batch)
    variant = built(config)
    reason = (
        gates.work(counted, flops(config, data.shape[1:]))
        or gates.parity(variant, TOLERANCES[job.matmul])
        or _exact_parity(job, config, side, built)
    )
    if parse(job.variant)[1] != "tutorial":  # which reads every loss
        reason = (
            reason
            or gates.no_reads(side, variant)
            or gates.products(side, variant, config.compute_dtype)
        )
    return reason or gates.compiles_once(side, block)


def _exact_parity(
    job: Job, config: Config, side: Any, built: Callable[[Config], Variant]
) -> str | None:
    exact = replace(config, compute="full", precision="float64")
    side.twin.select_device(job.device, exact)
    reason = gates.parity(built(exact), EXACT)
    # Precision is set for the whole process.
    side.twin.select_device(job.device, config)
    side.set_matmul(job.matmul)
    return f"in float64, {reason}" if reason else None


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the ladder ends its workers
    main(Job(**json.loads(sys.argv[1])))
