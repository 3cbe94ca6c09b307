"""Damaged files: one line on stderr, or the numbers that were saved."""

import os
import shutil
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.results import load
from benchmarks.schema import write_json
from experiment.checkpoints import load_checkpoint
from experiment.cli import main
from experiment.errors import InputError
from parity_tests.compare import gap
from parity_tests.container import load_recording

ROOT = Path(__file__).parent.parent
GOLDENS = ROOT / "parity_tests" / "goldens"

SMALL = ["--recipe", "mlp", "--batch-size", "4", "--generator-hidden", "8"]
SMALL += ["--discriminator-hidden", "8", "--device", "cpu"]
FILES = [
    "checkpoints/000010.safetensors",
    "checkpoints/000015.safetensors",
    "checkpoints/000020.safetensors",
    "collapse.json",
    "config.json",
    "curves.png",
    "events.jsonl",
    "initial_weights.json",
    "lock",
    "metrics.jsonl",
    "samples",
    "samples.gif",
    "samples/000015.png",
    "tensorboard",
]
DAMAGES = ["truncate", "flip", "empty", "remove", "folder", "pipe", "swap"]


@pytest.fixture(scope="module")
def origin(tmp_path_factory):
    """A run of 20 iterations, and one of 30."""
    folder = tmp_path_factory.mktemp("fuzz")
    for name, steps in (("run", "20"), ("whole", "30")):
        options = ["--out", str(folder / name), "--steps", steps, *SMALL]
        assert (
            main("torch_ref", ["train", *options, "--sample-every", "5"]) == 0
        )
    return folder


def _damage(folder, name, kind, at, other):
    path = folder / name
    content = path.read_bytes() if path.is_file() else b""
    if kind == "swap":
        second = folder / other
        if path.is_file() and second.is_file():
            path.write_bytes(second.read_bytes())
            second.write_bytes(content)
        return
    if kind in ("truncate", "flip") and not content:
        return
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    if kind == "truncate":
        path.write_bytes(content[: int(at * len(content))])
    elif kind == "flip":
        bit = int(at * 8 * len(content))
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
    elif kind == "empty":
        path.touch()
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)


DAMAGED = given(
    name=st.sampled_from(FILES),
    kind=st.sampled_from(DAMAGES),
    at=st.floats(0, 1, exclude_max=True),
    other=st.sampled_from(FILES),
)


def _settings(count):
    return settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )


def _check(origin, capsys, name, kind, at, other):
    with TemporaryDirectory() as place:
        run = Path(place) / "run"
        shutil.copytree(origin / "run", run)
        _damage(run, name, kind, at, other)
        png = Path(place) / "x.png"
        commands = [
            ["info", "--run", str(run)],
            ["sample", "--run", str(run), "--n", "4", "--out", str(png)],
            ["train", "--resume", str(run), "--steps", "30"],
        ]
        for command in commands:
            status = main("torch_ref", command)
            said = capsys.readouterr().err
            assert status in (0, 2), said
            assert "Traceback" not in said
            if status == 2:
                assert said.splitlines()[-1].startswith("error: "), said
        if status == 0:
            states = [
                load_checkpoint(path).state for path in (run, origin / "whole")
            ]
            assert gap(*states).error == 0


@_settings(12)
@DAMAGED
def test_damaged_folder(origin, capsys, name, kind, at, other):
    _check(origin, capsys, name, kind, at, other)


@pytest.mark.slow
@_settings(2_000)
@DAMAGED
def test_many_damaged_folders(origin, capsys, name, kind, at, other):
    _check(origin, capsys, name, kind, at, other)


# Of one file; two that are swapped are both whole.
DAMAGED_ALONE = given(
    kind=st.sampled_from(DAMAGES[:-1]),
    at=st.floats(0, 1, exclude_max=True),
)


def _check_results(kind, at):
    with TemporaryDirectory() as place:
        path = Path(place) / "ladder.json"
        write_json(path, contents := load(ROOT / "benchmarks" / "seeds.json"))
        _damage(path.parent, path.name, kind, at, path.name)
        with suppress(InputError):
            assert load(path) == contents


@_settings(20)
@DAMAGED_ALONE
def test_damaged_results(kind, at):
    """Of the benchmark."""
    _check_results(kind, at)


@pytest.mark.slow
@_settings(4_000)
@DAMAGED_ALONE
def test_many_damaged_results(kind, at):
    _check_results(kind, at)


def _check_recording(name, kind, at):
    origin = GOLDENS / "lecture"
    with TemporaryDirectory() as place:
        folder = Path(shutil.copytree(origin, Path(place) / "recording"))
        _damage(folder, name, kind, at, name)
        whole = load_recording(origin)
        with suppress(InputError):
            recording = load_recording(folder)
            assert recording.index == whole.index
            for step in range(whole.steps + 1):
                read = recording.read(step)
                assert gap(read, whole.read(step)).error == 0


DAMAGED_RECORDING = given(
    name=st.sampled_from(
        sorted(path.name for path in (GOLDENS / "lecture").iterdir())
    ),
    kind=st.sampled_from(DAMAGES[:-1]),
    at=st.floats(0, 1, exclude_max=True),
)


@_settings(20)
@DAMAGED_RECORDING
def test_damaged_recording(name, kind, at):
    _check_recording(name, kind, at)


@pytest.mark.slow
@_settings(4_000)
@DAMAGED_RECORDING
def test_many_damaged_recordings(name, kind, at):
    _check_recording(name, kind, at)


VALUES = ["-1", "0", "1", "3", "nan", "inf", "1e30", "x", "", "cpu", "adam"]
OPTIONS = [
    "--k",
    "--batch-size",
    "--noise-size",
    "--generator-hidden",
    "--discriminator-hidden",
    "--learning-rate",
    "--loss",
    "--optimizer",
    "--network",
    "--data",
    "--updates",
    "--seed",
    "--precision",
    "--keep-hidden",
    "--keep-checkpoints",
    "--checkpoint-minutes",
    "--max-hours",
    "--on-nan",
    "--reduce-learning-rate",
    "--epochs",
    "--resume",
    "--initial-weights",
    "--device",
]


@_settings(60)
@given(
    st.lists(
        st.tuples(st.sampled_from(OPTIONS), st.sampled_from(VALUES)),
        min_size=1,
        max_size=4,
    )
)
def test_random_options(capsys, options):
    """Whatever they are, there is no traceback."""
    with TemporaryDirectory() as place:
        out = ["--out", f"{place}/run", *SMALL, "--steps", "2"]
        arguments = [part for option in options for part in option]
        try:
            status = main("torch_ref", ["train", *out, *arguments])
        except SystemExit as ended:
            status = ended.code
        said = capsys.readouterr().err
        assert status in (0, 2, 124), (arguments, said)
        assert "Traceback" not in said
