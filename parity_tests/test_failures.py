"""Several processes of a twin: runs, signals, failures, and what is kept."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from experiment.checkpoints import load_checkpoint
from experiment.processes import free_port
from parity_tests.compare import gap
from parity_tests.devices import environment_of

TWINS = ("jax_gan", "torch_ref")
SMALL = ["--recipe", "mlp", "--generator-hidden", "16", "16"]
SMALL += ["--discriminator-hidden", "8", "8", "--batch-size", "8"]
SMALL += ["--sample-every", "20", "--device", "cpu", "--precision", "float64"]
ENDLESS = 1_000_000
ROOT = Path(__file__).parent.parent
TIMES = 10  # of every slow test
# A process hangs after seconds, not after minutes; within these it compiles.
IMPATIENT = """
import sys
from experiment import peers
from experiment.signals import listen

listen()
peers.HANG_SECONDS = 20.0
from experiment.cli import main

sys.exit(main({twin!r}))
"""


class Run:
    """A run of two processes: of JAX by a launcher here, of PyTorch by its.

    Attributes:
        processes: that the run ends with: those started here, or PyTorch's
            launcher.
    """

    def __init__(self, twin, folder, steps, restart=False, impatient=False):
        self.folder = folder
        program = ["-m", twin]
        if impatient:
            program = ["-c", IMPATIENT.format(twin=twin)]
        command = [sys.executable, *program, "train", *SMALL]
        command += ["--steps", str(steps), "--out", str(folder)]
        port = free_port()
        places = [{**os.environ, "OMP_NUM_THREADS": "1"}]
        if twin == "jax_gan" or impatient:
            places = [environment_of(twin, rank, 2, port) for rank in (0, 1)]
        else:
            command += ["--devices", "2"]
        if restart:
            places = [{**place, "SLURM_RESTART_COUNT": "1"} for place in places]
        self.processes = [
            subprocess.Popen(
                command,
                env={**place, "PYTHONPATH": str(ROOT)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for place in places
        ]

    def pid(self, rank):
        """The process of a rank."""
        if len(self.processes) > 1:
            return self.processes[rank].pid
        (launcher,) = self.processes
        listed = Path(f"/proc/{launcher.pid}/task").glob("*/children")
        for pid in " ".join(path.read_text() for path in listed).split():
            environment = Path(f"/proc/{pid}/environ").read_bytes()
            if f"\0RANK={rank}\0".encode() in b"\0" + environment:
                return int(pid)
        raise AssertionError(f"no process has rank {rank}")

    def send(self, rank, number):
        """A signal to one process once two checkpoints are written."""
        wanted = self.folder / "samples" / "000040.png"
        for _ in range(3000):
            if wanted.exists():
                break
            time.sleep(0.02)
        os.kill(self.pid(rank), number)
        return self

    def ended(self):
        """Statuses, and the lines of stderr but those of progress."""
        said = [process.communicate(timeout=60) for process in self.processes]
        statuses = [process.returncode for process in self.processes]
        lines = [line for _, err in said for line in err.splitlines()]
        return statuses, [x for x in lines if not re.match(r"\d+/\d+ ", x)]

    def state(self):
        """Iteration and arrays of the last checkpoint."""
        return load_checkpoint(self.folder)[:2]


def _killed(twin, folder, rank, steps=ENDLESS):
    run = Run(twin, folder, steps).send(rank, signal.SIGKILL)
    statuses, lines = run.ended()
    if twin == "jax_gan":
        statuses.pop(rank)
    assert statuses == [1]
    errors = [line for line in lines if line.startswith("error: ")]
    (error,) = errors
    assert f"rank {rank} has ended" in error
    return run


def _stopped_by_a_signal(twin, folder, rank):
    run = Run(twin, folder, ENDLESS).send(rank, signal.SIGTERM)
    statuses, lines = run.ended()
    assert statuses[0] == 128 + signal.SIGTERM
    assert not any(statuses[1:])
    step, _ = run.state()
    (line,) = (line for line in lines if line.startswith("stopped; "))
    assert f"the checkpoint of iteration {step} is kept" in line
    return run


def test_a_killed_process_of_torch(tmp_path):
    _killed("torch_ref", tmp_path / "run", 1)


@pytest.mark.slow
@pytest.mark.parametrize("time_", range(TIMES))
@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("twin", TWINS)
def test_a_killed_process_ends_all(twin, rank, time_, tmp_path):
    _killed(twin, tmp_path / "run", rank)


@pytest.mark.slow
@pytest.mark.parametrize("time_", range(TIMES))
@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("twin", TWINS)
def test_a_signal_to_one_stops_all(twin, rank, time_, tmp_path):
    _stopped_by_a_signal(twin, tmp_path / "run", rank)


def _hanging(twin, folder, impatient=False):
    """Status and stderr of rank 0, after rank 1 was stopped."""
    run = Run(twin, folder, ENDLESS, impatient=impatient)
    first, stopped = run.send(1, signal.SIGSTOP).processes
    _, said = first.communicate(timeout=60)
    stopped.kill()
    stopped.communicate(timeout=60)
    return first.returncode, said


@pytest.mark.slow
@pytest.mark.parametrize("time_", range(TIMES))
def test_a_hanging_process_of_torch_ends_all(time_, tmp_path):
    status, said = _hanging("torch_ref", tmp_path / "run", impatient=True)
    assert status == 1
    (error,) = (x for x in said.splitlines() if x.startswith("error: "))
    assert "the process of rank 1 does not run" in error


@pytest.mark.slow
@pytest.mark.parametrize("time_", range(TIMES))
def test_a_hanging_process_of_jax_ends_all(time_, tmp_path):
    """JAX misses its heartbeat before this project's minutes are over."""
    status, said = _hanging("jax_gan", tmp_path / "run")
    assert status == -signal.SIGABRT
    assert "stopped sending heartbeats" in said


@pytest.mark.slow
@pytest.mark.parametrize("twin", TWINS)
def test_a_restart_resumes_bit_identically(twin, tmp_path):
    steps = 2000
    whole = Run(twin, tmp_path / "whole", steps)
    assert not any(whole.ended()[0])
    _killed(twin, tmp_path / "run", 1, steps)
    again = Run(twin, tmp_path / "run", steps, restart=True)
    assert not any(again.ended()[0])
    assert again.state()[0] == steps
    assert gap(whole.state()[1], again.state()[1]).error == 0


@pytest.mark.slow
@pytest.mark.parametrize("twin", TWINS)
def test_a_run_resumes_on_one_device(twin, tmp_path):
    whole = Run(twin, tmp_path / "whole", 100)
    assert not any(whole.ended()[0])
    half = Run(twin, tmp_path / "half", 50)
    assert not any(half.ended()[0])
    command = [sys.executable, "-m", twin, "train", "--steps", "100"]
    command += ["--resume", str(tmp_path / "half"), "--device", "cpu"]
    subprocess.run(command, check=True, capture_output=True)
    assert gap(whole.state()[1], half.state()[1]).error <= 1e-12
