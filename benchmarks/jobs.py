"""What a worker process is told, and how it answers.

Its job is an argument in JSON. It answers on stdout, a line of JSON each time;
everything else that it prints goes to stderr.
"""

import json
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from experiment.errors import InputError

Answer = Callable[..., None]
AnyJob = TypeVar("AnyJob")


@dataclass(frozen=True)
class Job:
    """A variant of a workload, for one worker.

    Attributes:
        variant: see ``benchmarks.variant_names``.
        recipe: the workload.
        batch_size: its m.
        iterations: in one call of the variant, on batches prepared for it.
        device: ``cpu`` or ``gpu``.
    """

    variant: str
    recipe: str
    batch_size: int
    iterations: int
    device: str


def open_answers() -> Answer:
    """A function that answers with its keywords; takes stdout for itself."""
    answers, sys.stdout = sys.stdout, sys.stderr

    def answer(**values: Any) -> None:
        print(json.dumps(values), file=answers, flush=True)

    return answer


def describe_error(error: Exception) -> str:
    """Why a variant is excluded, in one line."""
    text = str(error)
    if isinstance(error, InputError):  # this device does not support it
        return text
    memory = ("out of memory", "allocate memory")
    if isinstance(error, MemoryError) or any(m in text.lower() for m in memory):
        return "it does not fit the memory"
    lines = [type(error).__name__, *text.splitlines()[:1]]
    return "it fails: " + ": ".join(lines)


def run_worker(main: Callable[[AnyJob], None], job: type[AnyJob]) -> None:
    """Runs the job of the command line."""
    # Ctrl-C reaches the whole process group; the command ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    main(job(**json.loads(sys.argv[1])))
