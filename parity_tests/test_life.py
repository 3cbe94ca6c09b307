"""A run folder survives: kills, damage, full disks, signals, two writers."""

import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from tensorboard.backend.event_processing.event_accumulator import (
    EventAccumulator,
)

import jax_gan
import torch_ref
from experiment import checkpoints, metrics_log, saver
from experiment.checkpoints import load_checkpoint
from experiment.chunks import CHUNK
from experiment.cli import main
from experiment.events import load_events
from experiment.image_files import whole_frames
from experiment.lock import hold
from parity_tests.compare import gap

ROOT = Path(__file__).parent.parent
TWINS = pytest.mark.parametrize(
    "twin", [jax_gan, torch_ref], ids=lambda twin: twin.__name__
)
SMALL = ["--batch-size", 4, "--generator-hidden", 8]
SMALL += ["--discriminator-hidden", 8, "--device", "cpu", "--recipe", "mlp"]


def _run(twin, *arguments):
    return main(twin.__name__, [str(argument) for argument in arguments])


def _train(folder, steps, *options, twin=torch_ref):
    given = ["--out", folder, "--steps", steps, "--sample-every", 5]
    return _run(twin, "train", *given, *SMALL, *options)


def _resume(folder, *options, twin=torch_ref):
    return _run(twin, "train", "--resume", folder, *options)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of 20 iterations; its checkpoints are of 10, 15 and 20."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert _train(folder, 20) == 0
    return folder


@pytest.fixture
def run(trained, tmp_path):
    """A copy of that run."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of 30 iterations that nothing happened to."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    assert _train(folder, 30) == 0
    return folder


def _same(folder, whole):
    states = [load_checkpoint(path).state for path in (folder, whole)]
    assert gap(*states).error == 0
    ours, theirs = (
        (path / "metrics.jsonl").read_bytes() for path in (folder, whole)
    )
    assert ours == theirs


def _steps(folder):
    names = sorted((folder / "checkpoints").glob("*.safetensors"))
    return [int(path.stem) for path in names]


def _flip(path, at=-5):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


# Checkpoints


def test_the_last_checkpoints_stay(trained, tmp_path, capsys, refused):
    assert _steps(trained) == [10, 15, 20]
    folder = tmp_path / "all"
    assert _train(folder, 20, "--keep-checkpoints", "all") == 0
    assert _steps(folder) == [0, 5, 10, 15, 20]
    # Of a study none is deleted by a resume that forgets to say so.
    assert _resume(folder, "--steps", 25) == 0
    assert _steps(folder) == [0, 5, 10, 15, 20, 25]
    assert _resume(folder, "--steps", 30, "--keep-checkpoints", 1) == 0
    assert _steps(folder) == [30]
    capsys.readouterr()
    for bad in ("0", "some"):
        command = ["train", "--keep-checkpoints", bad]
        refused(partial(main, "torch_ref"), command, bad, "at least 1, or all")


def test_what_a_checkpoint_says(trained):
    path = trained / "checkpoints" / "000020.safetensors"
    with safe_open(path, "numpy") as file:
        about = file.metadata()
    assert json.loads(about["config"])["generator_hidden"] == [8]
    assert json.loads(about["versions"])["torch"].startswith("2.")
    assert len(about["data"]) == len(about["sha256"]) == 64


def test_a_damaged_checkpoint_costs_its_iterations_alone(
    run, whole, capsys, tmp_path
):
    path = run / "checkpoints" / "000020.safetensors"
    _flip(path)
    out = tmp_path / "x.png"
    assert _run(torch_ref, "sample", "--run", run, "--out", out) == 0
    said = f"{path} is damaged (its checksum differs); the one of iteration 15"
    assert said in capsys.readouterr().err
    assert _resume(run, "--steps", 30) == 0
    assert said in capsys.readouterr().err
    _same(run, whole)
    assert [p.name for p in run.rglob("*.damaged")] == ["000020.damaged"]


@pytest.mark.parametrize("damage", ["empty", "folder", "pipe", "swapped"])
def test_every_damaged_checkpoint_is_named(damage, run, refused):
    newest, *others = sorted((run / "checkpoints").iterdir(), reverse=True)
    for path in others[1:]:
        path.unlink()
    if damage == "swapped":
        newest.rename(run / "x")
        others[0].rename(newest)
        (run / "x").rename(others[0])
    else:
        for path in (newest, others[0]):
            path.unlink()
            make = {
                "empty": Path.touch,
                "folder": Path.mkdir,
                "pipe": os.mkfifo,
            }
            make[damage](path)
    command = ["train", "--resume", run, "--steps", 30]
    refused(partial(main, "torch_ref"), command, newest, others[0], "restore")


def test_a_folder_of_earlier_versions(run, whole):
    """It has one checkpoint, which says nothing but its iteration."""
    (newest,) = (run / "checkpoints").glob("000020*")
    state = load_file(newest)
    shutil.rmtree(run / "checkpoints")
    (run / "events.jsonl").unlink()
    path = run / "config.json"
    config = json.loads(path.read_text())
    del config["version"]
    path.write_text(json.dumps(config))
    metadata = {"step": "20", "sha256": checkpoints._digest(20, state, {})}
    save_file(state, run / "checkpoint.safetensors", metadata=metadata)
    assert _resume(run, "--steps", 30) == 0
    _same(run, whole)
    assert _steps(run) == [25, 30]


def test_another_config_or_other_data(run, tmp_path, refused, monkeypatch):
    command, path = partial(main, "torch_ref"), run / "config.json"
    resume = ["train", "--resume", run, "--steps", 30]
    before = path.read_text()
    path.write_text(before.replace('"seed": 0', '"seed": 1'))
    refused(command, resume, path, "seed 1", "restore the file")
    sample = ["sample", "--run", run, "--out", tmp_path / "x.png"]
    refused(command, sample, path, "seed 1")
    path.write_text(before)
    original = checkpoints.describe

    def described(config, data, *others):
        return original(config, np.asarray(data) + 1, *others)

    monkeypatch.setattr(checkpoints, "describe", described)
    refused(command, resume, "data differ", "--initial-weights")


def test_checkpoints_by_time(tmp_path):
    folder = tmp_path / "run"
    options = ["--checkpoint-minutes", 1e-9, "--keep-checkpoints", "all"]
    options += ["--sample-every", 1000]
    assert _train(folder, 2 * CHUNK, *options) == 0
    assert _steps(folder) == [0, CHUNK, 2 * CHUNK]


def test_training_continues_while_a_checkpoint_is_written(
    tmp_path, monkeypatch
):
    """The first is held up until the metrics are those of the next."""
    folder, busy, original = tmp_path / "run", [], saver.save_checkpoint

    def slow(run, step, *others):
        assert not busy  # one at a time
        busy.append(step)
        wait_until = time.monotonic() + 60
        metrics = folder / "metrics.jsonl"
        while step == 5 and len(metrics.read_text().splitlines()) < 10:
            assert time.monotonic() < wait_until
            time.sleep(0.01)
        original(run, step, *others)
        busy.remove(step)

    monkeypatch.setattr(saver, "save_checkpoint", slow)
    assert _train(folder, 10) == 0
    assert _steps(folder) == [0, 5, 10]


@pytest.fixture
def determinism(monkeypatch):
    """What a run sets is undone."""
    for name in ("XLA_FLAGS", "CUBLAS_WORKSPACE_CONFIG"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    yield
    torch.use_deterministic_algorithms(False)


@TWINS
def test_repetitions_are_bit_identical(twin, tmp_path, determinism):
    for name in ("run", "again"):
        assert _train(tmp_path / name, 10, "--deterministic", twin=twin) == 0
    if twin is torch_ref:
        assert torch.are_deterministic_algorithms_enabled()
    else:
        assert "--xla_gpu_deterministic_ops=true" in os.environ["XLA_FLAGS"]
    _same(tmp_path / "run", tmp_path / "again")


# Kills


@pytest.mark.parametrize(
    "twin",
    [pytest.param(jax_gan, marks=pytest.mark.slow), torch_ref],
    ids=lambda twin: twin.__name__,
)
def test_kills(twin, tmp_path):
    """One while it writes, one at a random moment: every byte is the same."""
    _kill(twin, 2, tmp_path)


@pytest.mark.slow
@TWINS
def test_forty_kills(twin, tmp_path):
    _kill(twin, 40, tmp_path)


def _kill(twin, count, folder):
    script = ROOT / "parity_tests" / "kills.py"
    ended = subprocess.run(
        [sys.executable, script, twin.__name__, str(count), "0", folder],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.count(": equal") == count


def test_what_a_kill_left_out_is_drawn(run, refused, capsys):
    missing = ["samples/000020.png", "samples.gif", "curves.png"]
    before = {name: (run / name).read_bytes() for name in missing}
    for name in missing:
        (run / name).unlink()
    assert _resume(run) == 0
    assert {name: (run / name).read_bytes() for name in missing} == before
    capsys.readouterr()
    refused(partial(main, "torch_ref"), ["train", "--resume", run], "20")


def test_killed_before_the_first_checkpoint(run, trained, tmp_path):
    shutil.rmtree(run / "checkpoints")
    assert _resume(run) == 0
    _same(run, trained)
    # Before its config: the folder is as good as none.
    folder = tmp_path / "empty"
    folder.mkdir()
    (folder / "lock").touch()
    assert _train(folder, 5) == 0


def test_damaged_images_are_no_frames(run):
    samples = run / "samples"
    frames = [samples / f"{step:06d}.png" for step in (0, 5, 10, 15, 20)]
    assert whole_frames(samples) == frames
    frames[0].write_bytes(b"")
    frames[1].write_bytes(frames[1].read_bytes()[:-200])
    Image.new("L", (9, 9)).save(frames[2])
    (samples / "000025.png.partial").touch()
    (samples / "000025.png").mkdir()
    assert whole_frames(samples) == frames[3:]


# One writer


def test_a_second_writer(run, refused):
    with hold(run):
        command = ["train", "--resume", run, "--steps", 30]
        refused(partial(main, "torch_ref"), command, run, str(os.getpid()))
    assert _resume(run, "--steps", 30) == 0
    assert not (run / "lock").exists()


def _command(twin, *arguments):
    """The command in a separate process."""
    return subprocess.Popen(
        [sys.executable, "-m", twin.__name__, *map(str, arguments)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
@TWINS
def test_one_of_two_goes_on(twin, trained, tmp_path):
    for i in range(10):
        folder = shutil.copytree(trained, tmp_path / f"{i}")
        resume = ["train", "--resume", folder, "--steps", 10**6]
        pair = [
            _command(twin, *resume, "--max-hours", 5 / 3600) for _ in range(2)
        ]
        said = [child.communicate()[1] for child in pair]
        statuses = [child.returncode for child in pair]
        assert sorted(statuses) == [2, 124], said
        refused, other = statuses.index(2), statuses.index(124)
        assert f"process {pair[other].pid} on " in said[refused]


# Events, metrics, TensorBoard


def test_events(run, capsys):
    events = load_events(run)
    names = [event["event"] for event in events]
    assert names == ["started", *5 * ["checkpoint"], "finished"]
    assert {"time", "host", "process", "versions"} <= events[0].keys()
    with (run / "events.jsonl").open("a") as file:
        file.write('{"time": "cut sho')
    assert _resume(run, "--steps", 30) == 0
    names = [event["event"] for event in load_events(run)][7:]
    assert names == ["resumed", "checkpoint", "checkpoint", "finished"]
    capsys.readouterr()
    assert _run(torch_ref, "info", "--run", run) == 0
    shown = capsys.readouterr().out
    assert "5 checkpoints" in shown
    assert "resumed" in shown
    assert "iteration 25 to 30" in shown


def test_metrics_have_no_gaps_and_no_doubles(run, whole, capsys):
    path = run / "metrics.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines, lines[-1], *lines[-3:]]) + '\n{"st')
    assert _resume(run, "--steps", 30) == 0
    assert "damaged" not in capsys.readouterr().err
    _same(run, whole)


@pytest.mark.parametrize("damage", ["a digit", "a line", "a key"])
def test_damaged_metrics_are_said(damage, run, capsys):
    path = run / "metrics.jsonl"
    lines = path.read_text().splitlines()
    if damage == "a digit":
        lines[7] = lines[7].replace("0.", "1.", 1)
    elif damage == "a line":
        del lines[7]
    else:
        lines[0] = lines[0].replace("discriminator_loss", "discriminator_lose")
    path.write_text("\n".join(lines) + "\n")
    assert _resume(run, "--steps", 30) == 0
    assert f"{path} is damaged or was edited" in capsys.readouterr().err


def test_tensorboard_has_each_iteration_once(tmp_path):
    """A run is stopped after CHUNK iterations beyond its checkpoint."""
    folder = tmp_path / "run"
    every = ["--sample-every", 1000]
    assert _train(folder, 2 * CHUNK, *every) == 0
    (newest,) = (folder / "checkpoints").glob(f"*{2 * CHUNK}*")
    newest.unlink()
    assert _resume(folder, "--steps", 3 * CHUNK) == 0
    found = EventAccumulator(str(folder / "tensorboard")).Reload()
    events = found.Scalars("generator_loss")
    assert [event.step for event in events] == [CHUNK, 2 * CHUNK, 3 * CHUNK]


# Full disks


def test_a_full_disk_keeps_the_last_checkpoint(run, refused, whole):
    """Files may not become larger than half a checkpoint."""
    size = (run / "checkpoints" / "000020.safetensors").stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, hard))
    try:
        status = _resume(run, "--steps", 30)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert status == 2
    assert _steps(run) == [10, 15, 20]
    assert not list(run.rglob("*.partial"))
    assert _resume(run, "--steps", 30) == 0
    _same(run, whole)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_a_disk_that_is_full_at_a_random_byte(seed, run, refused, whole):
    """Whatever is cut there: a checkpoint, an image, metrics, an event."""
    rng = np.random.default_rng(seed)
    sizes = [path.stat().st_size for path in run.rglob("*") if path.is_file()]
    limit = int(rng.integers(1, max(sizes)))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        status = _resume(run, "--steps", 30)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert status in (0, 2)
    assert load_checkpoint(run).step >= 20
    assert not list(run.rglob("*.partial"))
    if load_checkpoint(run).step < 30:
        assert _resume(run, "--steps", 30) == 0
    _same(run, whole)


def test_the_iteration_that_is_left_is_said(run, capsys, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(checkpoints, "save_file", full)
    assert _resume(run, "--steps", 30) == 2
    *_, last = capsys.readouterr().err.splitlines()
    assert last.startswith("error: the checkpoint of iteration 25 could not be")
    assert "No space left on device): that of iteration 20 is whole" in last
    assert str(run) in last


def test_metrics_and_images_that_cannot_be_written(
    run, whole, capsys, monkeypatch
):
    shutil.rmtree(run / "samples")
    (run / "samples").write_text("no folder")
    original, failures = metrics_log.MetricsLog._write, [1]

    def full(self):
        if failures:
            failures.pop()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(self)

    monkeypatch.setattr(metrics_log.MetricsLog, "_write", full)
    assert _resume(run, "--steps", 30) == 0
    said = capsys.readouterr().err
    assert "metrics cannot be written to" in said
    assert "the images of iteration 25 cannot be written" in said
    _same(run, whole)


def test_a_folder_that_vanishes(run, capsys, monkeypatch):
    original = torch_ref.train

    def vanishing(game, batches):
        shutil.rmtree(run, ignore_errors=True)
        return original(game, batches)

    default = next(iter(torch_ref.VARIANTS))
    monkeypatch.setitem(torch_ref.VARIANTS, default, lambda game: vanishing)
    assert _resume(run, "--steps", 30) == 2
    *_, last = capsys.readouterr().err.splitlines()
    assert f"could not be written to {run}" in last
    assert "none is left" in last


# Signals and time limits


LISTEN = """
import time
from experiment.signals import StopRequest, listen

listen()
def wait():
    print("ready", flush=True)
    time.sleep(60)
if {asks}:
    with StopRequest(lambda text: print(text, flush=True), None):
        wait()
else:
    wait()
"""


def _listening(asks, before=""):
    script = before + LISTEN.format(asks=asks)
    child = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout.readline() == "ready\n"
    return child


def test_a_signal_during_start_up():
    """The main thread stays in its call: another thread answers."""
    child = _listening(asks=False)
    child.send_signal(signal.SIGTERM)
    _, said = child.communicate()
    assert child.returncode == 128 + signal.SIGTERM
    assert said == "SIGTERM: stopped immediately\n"


def test_a_second_signal_ends_a_run():
    child = _listening(asks=True)
    child.send_signal(signal.SIGTERM)
    assert "SIGTERM: stops after this chunk" in child.stdout.readline()
    child.send_signal(signal.SIGHUP)
    _, said = child.communicate()
    assert child.returncode == 128 + signal.SIGHUP
    assert said == "SIGHUP: stopped immediately\n"


def test_an_ignored_signal_stays_ignored():
    """As nohup starts a run."""
    ignore = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)"
    child = _listening(asks=False, before=ignore)
    child.send_signal(signal.SIGHUP)
    child.send_signal(signal.SIGTERM)
    child.communicate()
    assert child.returncode == 128 + signal.SIGTERM


@pytest.mark.slow
@TWINS
def test_signals_at_random_moments_of_the_start(twin, tmp_path):
    rng = np.random.default_rng(0)
    for i, seconds in enumerate(rng.uniform(0, 4, 14)):
        out = tmp_path / f"{i}"
        child = _command(twin, "train", "--out", out, "--steps", 10**6, *SMALL)
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(seconds)
        child.send_signal(signal.SIGTERM)
        _, said = child.communicate(timeout=60)
        # Before Python runs, the system itself ends it.
        assert child.returncode in (143, -signal.SIGTERM)
        assert "Traceback" not in said


@pytest.mark.slow
@TWINS
def test_a_signal_at_a_random_moment_loses_nothing(twin, tmp_path):
    rng = np.random.default_rng(1)
    for i, seconds in enumerate(rng.uniform(0, 3, 10)):
        folder = tmp_path / f"{i}"
        options = ["--out", folder, "--steps", 10**6, "--sample-every", 10**6]
        child = _command(twin, "train", *options, *SMALL)
        while not load_events(folder):  # it starts
            with pytest.raises(subprocess.TimeoutExpired):
                child.wait(0.1)
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(seconds)
        child.send_signal(signal.SIGTERM)
        child.communicate(timeout=60)
        assert child.returncode == 128 + signal.SIGTERM
        rows = (folder / "metrics.jsonl").read_text().splitlines()
        assert load_checkpoint(folder).step == len(rows)


@TWINS
def test_a_time_limit_and_the_newest_interrupted_run(
    twin, tmp_path, capsys, monkeypatch, refused
):
    monkeypatch.chdir(tmp_path)
    command = partial(main, twin.__name__)
    resume = ["train", "--resume"]
    refused(command, resume, "--resume", "no run")
    steps = 2 * CHUNK
    folders = [Path("runs", name) for name in ("first", "second")]
    every = ["--sample-every", 1000]
    for folder in folders:
        options = ["--max-hours", 1e-9, *every]
        assert _train(folder, steps, *options, twin=twin) == 124
    said = capsys.readouterr().err
    assert f"train --resume {folders[1]}" in said
    assert load_checkpoint(folders[1]).step == CHUNK
    last = load_events(folders[1])[-1]
    assert (last["event"], last["reason"]) == ("stopped", "time limit")
    assert command(resume) == 0
    assert f"resuming {folders[1]}" in capsys.readouterr().err
    assert load_checkpoint(folders[1]).step == steps
    with hold(folders[0]):  # it is running
        refused(command, resume, "no run")
    assert command(resume) == 0
    assert load_checkpoint(folders[0]).step == steps


# Terminals


PRINTS = """
import sys
from experiment.parser import run_command

def command():
    for _ in range({lines}):
        print("1.5 \u00b1 0.1")
    return 0

sys.exit(run_command(command))
"""


def _printing(lines):
    return subprocess.Popen(
        [sys.executable, "-c", PRINTS.format(lines=lines)],
        cwd=ROOT,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_terminal_without_unicode():
    out, said = _printing(1).communicate()
    assert (out, said) == ("1.5 ? 0.1\n", "")


@pytest.mark.parametrize("lines", [1, 100_000])
def test_a_closed_pipe(lines):
    child = _printing(lines)
    child.stdout.close()
    assert child.stderr.read() == ""
    assert child.wait() == 128 + signal.SIGPIPE


# Numbers that are not finite


@pytest.mark.parametrize(
    "twin",
    [pytest.param(jax_gan, marks=pytest.mark.slow), torch_ref],
    ids=lambda twin: twin.__name__,
)
def test_a_run_that_diverges_continues_with_lower_learning_rates(
    twin, tmp_path, capsys
):
    folder = tmp_path / "run"
    options = ["--optimizer", "sgd", "--learning-rate", 1e30]
    options += ["--on-nan", "continue-from-checkpoint"]
    lower = ["--reduce-learning-rate", 1e-33]
    assert _train(folder, 10, *options, *lower, twin=twin) == 0
    said = capsys.readouterr().err
    assert "in iteration 1); the checkpoint of iteration 0 is kept" in said
    names = [event["event"] for event in load_events(folder)]
    assert names[:4] == ["started", "checkpoint", "diverged", "continued"]
    assert names[-1] == "finished"
    # A resumed run keeps them, and its config is that of the folder.
    assert _resume(folder, "--steps", 15, twin=twin) == 0
    checkpoint = load_checkpoint(folder)
    assert checkpoint.step == 15
    assert float(checkpoint.about["learning_rate_factor"]) == 1e-33


def test_options_of_a_divergence(refused):
    command = partial(main, "torch_ref")
    lower = ["train", "--reduce-learning-rate", "0.5"]
    refused(command, lower, "0.5", "--on-nan continue-from-checkpoint")
    on_nan = ["--on-nan", "continue-from-checkpoint"]
    refused(command, [*lower[:-1], "2", *on_nan], "2", "between 0 and 1")


# Each row of the guide's table of what happens, and the test that shows it.
ROWS = {
    "Ctrl-C, SIGTERM, SIGHUP": "test_a_signal_ends_with_a_checkpoint",
    "a second signal, or one before the training": (
        "test_a_second_signal_ends_a_run"
    ),
    "`--max-hours` is over": (
        "test_a_time_limit_and_the_newest_interrupted_run"
    ),
    "`train --resume` without a folder": (
        "test_a_time_limit_and_the_newest_interrupted_run"
    ),
    "kill -9, power failure": "test_kills",
    "killed before its first checkpoint": (
        "test_killed_before_the_first_checkpoint"
    ),
    "a damaged checkpoint": (
        "test_a_damaged_checkpoint_costs_its_iterations_alone"
    ),
    "all checkpoints damaged": "test_every_damaged_checkpoint_is_named",
    "damaged or edited metrics": "test_damaged_metrics_are_said",
    "`config.json` edited, or other data": (
        "test_another_config_or_other_data"
    ),
    "a second process resumes the run": "test_a_second_writer",
    "a full disk: a checkpoint": "test_a_full_disk_keeps_the_last_checkpoint",
    "a full disk: metrics or images": (
        "test_metrics_and_images_that_cannot_be_written"
    ),
    "the folder vanishes": "test_a_folder_that_vanishes",
    "a number is not finite": (
        "test_no_checkpoint_of_a_state_that_is_not_finite"
    ),
    "`--on-nan continue-from-checkpoint`": (
        "test_a_run_that_diverges_continues_with_lower_learning_rates"
    ),
    "training in a thread": "test_training_in_a_thread",
}


def test_each_row_of_the_guide_has_a_test():
    page = (ROOT / "experiment" / "README.md").read_text()
    table = page.partition("| what happens |")[2].partition("\n\n")[0]
    rows = [line.split(" | ")[0] for line in table.splitlines()[2:]]
    assert [row.removeprefix("| ") for row in rows] == list(ROWS)
    tests = "".join(
        (ROOT / "parity_tests" / f"test_{name}.py").read_text()
        for name in ("life", "resume", "cli")
    )
    for name in ROWS.values():
        assert f"def {name}(" in tests
