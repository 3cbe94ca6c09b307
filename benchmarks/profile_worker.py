"""A process that profiles one variant, ``python -m benchmarks.profile_worker``.

It answers in one line of JSON: the times of runs without a tracer, those of as
many traced runs, and what the tracer recorded in the fastest of them.
"""

import time
import traceback
from dataclasses import dataclass
from importlib import import_module
from operator import itemgetter
from pathlib import Path
from typing import Any

from benchmarks.jobs import Job, describe_error, open_answers, run_worker
from benchmarks.spans import total
from benchmarks.variant_names import parse
from benchmarks.variants import Variant, build, side_of
from experiment.data import load_available
from experiment.errors import InputError
from experiment.recipes import recipe

# The fastest run of each kind counts: other processes can only slow a run.
RUNS = 5


@dataclass(frozen=True)
class ProfileJob(Job):
    """A variant to profile.

    Attributes:
        dump: the folder that XLA_FLAGS has XLA write its programs to.
    """

    dump: str


def main(job: ProfileJob) -> None:
    """Profiles, and answers once."""
    answer = open_answers()
    config = recipe(job.recipe, batch_size=job.batch_size)
    side = side_of(job.variant)
    # Before anything is compiled: it has PyTorch name what it compiles.
    tracer = import_module(f"benchmarks.{parse(job.variant)[0]}_profile")
    try:
        data = load_available(config)
        device = side.twin.select_device(job.device, config)
    except InputError as error:
        answer(unsupported=str(error))
        return
    side.set_matmul("strict")
    data = data.astype(config.dtype)
    try:
        variant = build(job.variant, config, data, device, job.iterations)
        profiled = profile(job, variant, side, tracer)
    except Exception as error:  # of this variant only: the others continue
        if not isinstance(error, InputError):
            traceback.print_exc()
        profiled = {"excluded": describe_error(error)}
    answer(**profiled)


def profile(
    job: ProfileJob, variant: Variant, side: Any, tracer: Any
) -> dict[str, Any]:
    """Seconds of untraced and traced runs; operators, of an iteration each.

    Raises:
        InputError: this device does not support the variant, or the tracer
            recorded nothing.
    """
    game = variant.create()

    def run() -> float:
        nonlocal game
        start = time.perf_counter()
        game, metrics = variant.run(game, job.iterations)
        side.synchronise((game, metrics))
        return time.perf_counter() - start

    run()  # compiles
    untraced = [run() for _ in range(RUNS)]
    traces = [tracer.trace(run, job.device) for _ in range(RUNS)]
    _, spans = min(traces, key=itemgetter(0))
    totals, busy = total(spans)
    if not totals:
        raise InputError("the tracer recorded no operator or kernel")
    profiled = {
        "seconds": untraced,
        "traced_seconds": [seconds for seconds, _ in traces],
        "busy_seconds": busy / 1e6,
        "settings": side.settings(),
        "operators": [
            {
                "name": of.name,
                "calls": of.calls / job.iterations,
                "microseconds": of.microseconds / job.iterations,
            }
            for of in totals
        ],
    }
    if parse(job.variant)[0] == "jax":
        dump = Path(job.dump)
        names = tracer.origins(dump)
        for of in profiled["operators"]:
            of["origin"] = names.get(tracer.with_underscores(of["name"]), "")
        profiled["thunks"] = tracer.thunks(dump)
    return profiled


if __name__ == "__main__":
    run_worker(main, ProfileJob)
