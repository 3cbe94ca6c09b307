"""How processes of a run find each other, agree, and end together."""

import signal
import subprocess
import sys

import numpy as np
import pytest

from experiment import processes
from experiment.cli import main
from experiment.errors import InputError
from experiment.processes import (
    ALONE,
    Place,
    find_place,
    free_port,
    is_restart,
)
from experiment.stream import Stream, map_arrays
from parity_tests.devices import environment_of
from parity_tests.peers_process import ENDING
from parity_tests.small import small_config, small_data

# Where a process stands

SLURM = {
    "SLURM_PROCID": "3",
    "SLURM_STEP_NUM_TASKS": "8",
    "SLURM_LOCALID": "1",
    "SLURM_JOB_ID": "4097",
    "SLURM_STEP_NODELIST": "node[07-10,12]",
}


@pytest.mark.parametrize("twin", ["jax_gan", "torch_ref"])
def test_a_launcher_gives_the_place(twin):
    assert find_place(twin, {}) == ALONE
    given = environment_of(twin, 1, 4, 5000)
    local = 1 if twin == "torch_ref" else None
    assert find_place(twin, given) == Place(1, 4, local, "127.0.0.1:5000")
    assert find_place(twin, SLURM) == Place(3, 8, 1, "node07:61441")
    nodes = {"SLURM_STEP_NODELIST": "gpu1,gpu2"}
    assert find_place(twin, SLURM | nodes).coordinator == "gpu1:61441"


def test_a_batch_script_is_no_process_of_a_step():
    allocated = {"SLURM_JOB_ID": "1", "SLURM_NTASKS": "8", "SLURM_PROCID": "0"}
    assert find_place("jax_gan", allocated) == ALONE


def test_each_twin_reads_its_own_launcher():
    assert find_place("jax_gan", {"RANK": "0", "WORLD_SIZE": "2"}) == ALONE


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"RANK": "x"}, "RANK is 'x'"),
        ({"RANK": "2"}, "RANK is 2: it must be from 0 to 1"),
        ({"MASTER_PORT": None}, "MASTER_PORT is not set"),
    ],
)
def test_bad_variables(changes, text):
    given = environment_of("torch_ref", 0, 2, 5000) | changes
    given = {name: value for name, value in given.items() if value}
    with pytest.raises(InputError, match=text):
        find_place("torch_ref", given)


def test_a_restart_is_known():
    assert not is_restart({"TORCHELASTIC_RESTART_COUNT": "0"})
    assert is_restart({"TORCHELASTIC_RESTART_COUNT": "1"})
    assert is_restart({"SLURM_RESTART_COUNT": "2"})


# What it makes of a minibatch


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("updates", ["alternating", "simultaneous"])
def test_processes_make_the_same_minibatch(updates, count):
    changes = {"network": "maxout"} if updates == "simultaneous" else {}
    config = small_config(keep_input=0.8, k=1, updates=updates, **changes)
    data = small_data()
    whole = Stream(config, data).batches(3, 2)
    shares = [
        Stream(config, data, processes.rows_of(8, rank, count)).batches(3, 2)
        for rank in range(count)
    ]

    def check(whole, *shares):
        axis = whole.shape.index(8)
        np.testing.assert_array_equal(np.concatenate(shares, axis), whole)

    map_arrays(check, whole, *shares)


# Options that do not fit


@pytest.mark.parametrize("twin", ["jax_gan", "torch_ref"])
@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--devices", 0], "--devices is 0"),
        (["--devices", 3], "batch-size 64 cannot be split evenly over 3"),
        (["--devices", 3], "take --batch-size 63 or 66"),
    ],
)
def test_bad_devices(twin, options, text, refused, tmp_path):
    out = ["--out", tmp_path / "run", *options]
    refused(lambda given: main(twin, given), ["train", *out], text)
    assert not list(tmp_path.iterdir())


def test_more_devices_than_jax_has(refused, tmp_path):
    """The tests have four, and JAX has started."""
    given = ["train", "--out", tmp_path / "run", "--device", "cpu"]
    refused(
        lambda given: main("jax_gan", given),
        [*given, "--devices", 8],
        "--devices 8: JAX sees 4",
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("twin", ["jax_gan", "torch_ref"])
def test_a_coordinator_that_does_not_answer(
    twin, refused, tmp_path, monkeypatch
):
    monkeypatch.setattr(processes, "JOIN_SECONDS", 0.5)
    for name, value in environment_of(twin, 1, 2, free_port()).items():
        monkeypatch.setenv(name, value)
    refused(
        lambda given: main(twin, given),
        ["train", "--out", tmp_path / "run"],
        "rank 1 did not find the other processes at 127.0.0.1:",
    )
    assert not list(tmp_path.iterdir())


def test_another_number_than_the_launcher_started(
    refused, tmp_path, monkeypatch
):
    for name, value in environment_of("torch_ref", 0, 2, 1).items():
        monkeypatch.setenv(name, value)
    refused(
        lambda given: main("torch_ref", given),
        ["train", "--out", tmp_path / "run", "--devices", 4],
        "--devices 4: the launcher started 2 processes",
    )


# Peers, by processes without a framework


class Group:
    """Three processes of ``peers_process``, and how they ended."""

    def __init__(self, what=""):
        port = str(free_port())
        self.processes = [
            subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "parity_tests.peers_process",
                    str(rank),
                    "3",
                    port,
                    what,
                ],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for rank in range(3)
        ]

    def started(self):
        """The same, once all take chunks."""
        for process in self.processes:
            assert process.stdout.readline() == "started\n"
        return self

    def send(self, rank, number):
        """The same, after a signal to one."""
        self.processes[rank].send_signal(number)
        return self

    def ended(self, waiting=None):
        """Statuses, lines of stdout and lines of stderr of all."""
        said = [
            process.communicate(timeout=60)
            for rank, process in enumerate(self.processes)
            if rank != waiting
        ]
        for process in self.processes:
            process.kill()
        statuses = [
            process.wait(60)
            for rank, process in enumerate(self.processes)
            if rank != waiting
        ]
        out = [line for one, _ in said for line in one.splitlines()]
        return statuses, out, [e for _, err in said for e in err.splitlines()]


@pytest.mark.parametrize("what", ENDING)
def test_all_end_after_the_same_chunk(what):
    statuses, out, errors = Group(what).started().ended()
    assert statuses == [0, 0, 0]
    assert out == ["step 9, signal None"] * 3
    assert not errors


def test_a_signal_to_one_stops_all():
    group = Group().started().send(1, signal.SIGTERM)
    statuses, out, errors = group.ended()
    assert statuses == [0, 0, 0]
    assert len(set(out)) == 1
    assert out[0].endswith(f"signal {signal.SIGTERM:d}")
    assert not errors


@pytest.mark.slow  # test_failures kills one of PyTorch
@pytest.mark.parametrize("rank", [0, 2])
def test_a_killed_process_ends_all(rank):
    group = Group().started().send(rank, signal.SIGKILL)
    statuses, _, errors = group.ended()
    statuses.pop(rank)
    assert statuses == [1, 1]
    (error,) = errors
    assert f"the process of rank {rank} has ended" in error


def test_a_stopped_process_ends_all():
    group = Group().started().send(2, signal.SIGSTOP)
    statuses, _, errors = group.ended(waiting=2)
    assert statuses == [1, 1]
    (error,) = errors
    assert "the process of rank 2 does not run" in error


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("fails", "error: rank 2: there are no data"),
        ("weights", "error: rank 2 has other weights than rank 0"),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (
                ("all fail", "error: there are no data"),
                ("settings", "error: rank 2 has other settings than rank 0"),
                ("data", "error: rank 2 has other data than rank 0"),
            )
        ),
    ],
)
def test_bad_input_is_one_line_of_one_process(what, text):
    statuses, out, errors = Group(what).ended()
    assert statuses == [2, 2, 2]
    assert not out
    (error,) = errors
    assert error.startswith(text)
