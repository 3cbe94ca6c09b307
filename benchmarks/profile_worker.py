"""A process that profiles one variant, ``python -m benchmarks.profile_worker``.

It answers in a line of JSON: the times of runs without a tracer, those of as
many with it, and what it saw in the fastest of them.
"""

import json
import signal
import sys
import time
import traceback
from dataclasses import dataclass
from importlib import import_module
from operator import itemgetter
from pathlib import Path
from typing import Any

from benchmarks.spans import total
from benchmarks.variants import Variant, build, parse, side_of
from benchmarks.worker import describe_error
from experiment.config import InputError
from experiment.data import load_at_hand
from experiment.recipes import recipe

# The fastest run of each kind counts: others slow a run, and speed up none.
RUNS = 5


@dataclass(frozen=True)
class Job:
    """What a worker is to do.

    Attributes:
        variant: see ``benchmarks.variants``.
        recipe: the workload.
        batch_size: its m.
        steps: iterations of a run.
        device: ``cpu`` or ``gpu``.
        dump: the folder that XLA_FLAGS has XLA write its programs to.
    """

    variant: str
    recipe: str
    batch_size: int
    steps: int
    device: str
    dump: str


def main(job: Job) -> None:
    """Profiles, and answers once."""
    answers, sys.stdout = sys.stdout, sys.stderr

    def answer(**values: Any) -> None:
        print(json.dumps(values), file=answers, flush=True)

    config = recipe(job.recipe, batch_size=job.batch_size)
    side = side_of(job.variant)
    # Before anything is compiled, for it has PyTorch name what it compiles.
    tracer = import_module(f"benchmarks.{parse(job.variant)[0]}_profile")
    try:
        data = load_at_hand(config)
        device = side.twin.select_device(job.device, config)
    except InputError as error:
        answer(unusable=str(error))
        return
    side.set_matmul("strict")
    data = data.astype(config.dtype, copy=False)
    try:
        variant = build(job.variant, config, data, device, job.steps)
        found = profile(job, variant, side, tracer)
    except Exception as error:  # the form's own: the others go on
        if not isinstance(error, InputError):
            traceback.print_exc()
        found = {"refused": describe_error(error)}
    answer(**found)


def profile(
    job: Job, variant: Variant, side: Any, tracer: Any
) -> dict[str, Any]:
    """Seconds of untraced and traced runs; operators, of an iteration each.

    Raises:
        InputError: the variant is not for this device, or the tracer saw
            nothing.
    """
    game = variant.create()

    def run() -> float:
        nonlocal game
        start = time.perf_counter()
        game, metrics = variant.run(game, job.steps)
        side.synchronise((game, metrics))
        return time.perf_counter() - start

    run()  # compiles
    untraced = [run() for _ in range(RUNS)]
    traces = [tracer.trace(run, job.device) for _ in range(RUNS)]
    _, spans = min(traces, key=itemgetter(0))
    totals, busy = total(spans)
    if not totals:
        raise InputError("the tracer saw no operator or kernel")
    found = {
        "seconds": untraced,
        "traced_seconds": [seconds for seconds, _ in traces],
        "busy_seconds": busy / 1e6,
        "settings": side.settings(),
        "operators": [
            {
                "name": of.name,
                "calls": of.calls / job.steps,
                "microseconds": of.microseconds / job.steps,
            }
            for of in totals
        ],
    }
    if parse(job.variant)[0] == "jax":
        dump = Path(job.dump)
        names = tracer.origins(dump)
        for of in found["operators"]:
            of["origin"] = names.get(tracer.with_underscores(of["name"]), "")
        found["thunks"] = tracer.thunks(dump)
    return found


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the command ends it
    main(Job(**json.loads(sys.argv[1])))
