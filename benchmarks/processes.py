"""Worker processes: started with a job, asked by a line, answering in JSON."""

import json
import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.variant_names import xla_flags
from benchmarks.worker import TimingJob

# They would bind PyTorch and not XLA: each uses its default number of threads.
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


class WorkerError(Exception):
    """A worker ended, hung, or answered with something else than JSON."""


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
        """The descriptor of its answers, for ``select`` on several workers."""
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    def ask(self, line: str = "") -> None:
        """Asks for the next answer: to compile, to warm up, or for a block."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{line}\n".encode())
            self._process.stdin.flush()
        except OSError as error:
            raise WorkerError(f"{self.name} ended") from error

    def answer(self, seconds: float) -> dict[str, Any]:
        """The next answer, awaited for at most ``seconds``.

        Raises:
            WorkerError: there is none.
        """
        end = time.monotonic() + seconds
        while b"\n" not in self._unread:
            left = max(0.0, end - time.monotonic())
            if not select.select([self], [], [], left)[0]:
                raise WorkerError(f"{self.name} hung for {seconds:.0f} s")
            chunk = os.read(self.fileno(), 1 << 16)
            if not chunk:
                raise WorkerError(
                    f"{self.name} ended: killed, or with its message above"
                )
            self._unread += chunk
        line, self._unread = self._unread.split(b"\n", 1)
        try:
            return json.loads(line)
        except ValueError as error:
            raise WorkerError(f"{self.name} answered {line[:80]!r}") from error

    def stop(self) -> None:
        """Kills the process."""
        self._process.kill()
        self._process.wait()


def starter(device: str, cache: Path) -> Callable[[TimingJob], Worker]:
    """A function that starts the process of a job, with its own cache."""
    environment = {
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    if device == "cpu":
        environment |= {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-m", "benchmarks.worker"]

    def start(job: TimingJob) -> Worker:
        # Cold in the first repetition and warm in the others: each variant has
        # a separate cache. No blank: g++ would take it for the end of a name.
        name = f"{job.recipe}-{job.batch_size}-{job.variant}-{job.check}"
        programs = cache / re.sub(r"[ /]", "-", name)
        flags = os.environ.get("XLA_FLAGS", ""), xla_flags(job.variant)
        caches = {
            "XLA_FLAGS": " ".join(flags).strip(),
            "JAX_COMPILATION_CACHE_DIR": str(programs / "jax"),
            "TORCHINDUCTOR_CACHE_DIR": str(programs / "torch"),
        }
        arguments = [*command, json.dumps(asdict(job))]
        return Worker(job.variant, arguments, **environment, **caches)

    return start
