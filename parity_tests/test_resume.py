"""A run resumes bit-identically, in the same twin and in the other."""

import json
import os
import signal
import threading

import chex
import jax
import numpy as np
import pytest

import jax_gan
import torch_ref
from experiment.checkpoints import load_checkpoint
from experiment.chunks import CHUNK
from experiment.cli import main
from experiment.stream import Stream
from parity_tests.compare import gap

TWINS = pytest.mark.parametrize(
    "twin", [jax_gan, torch_ref], ids=lambda twin: twin.__name__
)
SMALL = {
    "mlp": [
        "--generator-hidden",
        "16",
        "8",
        "--discriminator-hidden",
        "8",
        "8",
    ],
    "dcgan": [
        "--generator-hidden",
        "4",
        "2",
        "--discriminator-hidden",
        "2",
        "4",
    ],
}


def _train(twin, *options):
    assert (
        main(twin.__name__, ["train", "--device", "cpu", *map(str, options)])
        == 0
    )


def _start(twin, folder, steps, *options):
    _train(
        twin, "--out", folder, "--steps", steps, "--batch-size", 10, *options
    )


@pytest.mark.parametrize(
    ("recipe", "stream", "twin"),
    [
        pytest.param(
            recipe,
            stream,
            twin,
            # Of all these the slowest to compile.
            marks=pytest.mark.slow
            if (recipe, stream, twin) == ("dcgan", "device", jax_gan)
            else (),
            id=f"{recipe}-{stream}-{twin.__name__}",
        )
        for recipe in SMALL
        for stream in ("shared", "device")
        for twin in (jax_gan, torch_ref)
    ],
)
def test_20_and_20_are_40(twin, recipe, stream, tmp_path):
    options = ["--recipe", recipe, *SMALL[recipe], "--stream", stream]
    options += ["--sample-every", 20]  # one length of a chunk, one program
    _start(twin, tmp_path / "whole", 40, *options)
    _start(twin, tmp_path / "halves", 20, *options)
    _train(twin, "--resume", tmp_path / "halves", "--steps", 40)

    step, whole = load_checkpoint(tmp_path / "whole")[:2]
    assert step == 40
    assert gap(whole, load_checkpoint(tmp_path / "halves")[1]).error == 0
    first, second = (
        (tmp_path / name / "metrics.jsonl").read_text()
        for name in ("whole", "halves")
    )
    assert first == second


@TWINS
def test_every_length_of_a_stretch_gives_the_same_bits(twin, tiny):
    """One iteration alone, and any number in one call, are the same."""
    config, data = tiny
    twin.select_device("cpu", config)
    stream = Stream(config, data)
    states = []
    for lengths in ((12,), (1,) * 12, (2, 10), (7, 5)):
        game, first = twin.create(config, data), 0
        for count in lengths:
            batches = twin.place(stream.batches(first, count))
            game, _ = twin.train(game, batches)
            first += count
        states.append(twin.to_numpy(game))
    for state in states[1:]:
        assert gap(states[0], state).error == 0


def test_each_twin_goes_on_with_a_run_of_the_other(tmp_path):
    options = ["--recipe", "mlp", *SMALL["mlp"], "--precision", "float64"]
    for twin, other in ((jax_gan, torch_ref), (torch_ref, jax_gan)):
        folder = tmp_path / twin.__name__
        _start(twin, folder, 10, *options)
        _train(other, "--resume", folder, "--steps", 20)
    states = [
        load_checkpoint(tmp_path / twin.__name__)[1]
        for twin in (jax_gan, torch_ref)
    ]
    # Their initial weights differ: each twin drew its own.
    assert gap(*states).error > 0

    _start(jax_gan, tmp_path / "a", 10, *options)
    _start(jax_gan, tmp_path / "b", 10, *options)
    _train(jax_gan, "--resume", tmp_path / "a", "--steps", 20)
    _train(torch_ref, "--resume", tmp_path / "b", "--steps", 20)
    ours, theirs = (load_checkpoint(tmp_path / n)[1] for n in "ab")
    assert 0 < gap(ours, theirs).error <= 1e-12


def test_metrics_after_the_checkpoint_are_dropped(tmp_path):
    """As after a crash: the log is ahead of the checkpoint."""
    folder = tmp_path / "run"
    _start(torch_ref, folder, 10, "--recipe", "mlp", *SMALL["mlp"])
    log = folder / "metrics.jsonl"
    log.write_text(log.read_text() + '{"step": 11}\n{"step"')
    _train(torch_ref, "--resume", folder, "--steps", 15)
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, 16))


@TWINS
def test_ctrl_c_keeps_the_last_checkpoint(twin, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "run"
    default, original = next(iter(twin.VARIANTS)), twin.train

    def interrupted(game, batches, seen=[]):  # noqa: B006
        seen.append(1)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return original(game, batches)

    monkeypatch.setitem(twin.VARIANTS, default, lambda game: interrupted)
    arguments = ["train", "--out", folder, "--steps", 40, "--sample-every", 10]
    arguments += ["--batch-size", 10, *SMALL["mlp"], "--device", "cpu"]
    assert main(twin.__name__, list(map(str, arguments))) == 130
    assert f"train --resume {folder}" in capsys.readouterr().err
    step, kept = load_checkpoint(folder)[:2]
    assert step == 20

    monkeypatch.undo()
    _train(twin, "--resume", folder)
    _start(twin, tmp_path / "whole", 40, *SMALL["mlp"])
    assert (
        gap(
            load_checkpoint(folder)[1],
            load_checkpoint(tmp_path / "whole")[1],
        ).error
        == 0
    )
    assert all(np.isfinite(array).all() for array in kept.values())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@TWINS
def test_a_signal_ends_with_a_checkpoint(
    twin, number, tmp_path, monkeypatch, capsys
):
    """As a scheduler stops a run, between two checkpoints of its schedule."""
    folder = tmp_path / "run"
    default, original = next(iter(twin.VARIANTS)), twin.train

    def signalled(game, batches, seen=[]):  # noqa: B006
        seen.append(1)
        if len(seen) == 2:
            os.kill(os.getpid(), number)
        return original(game, batches)

    monkeypatch.setitem(twin.VARIANTS, default, lambda game: signalled)
    handler = signal.getsignal(number)
    arguments = ["train", "--out", folder, "--steps", 400]
    arguments += ["--batch-size", 10, *SMALL["mlp"], "--device", "cpu"]
    status = main(twin.__name__, list(map(str, arguments)))
    assert status == 128 + number
    said = capsys.readouterr().err
    assert f"{number.name}: stops after this chunk" in said
    assert f"train --resume {folder}" in said
    assert load_checkpoint(folder)[0] == 2 * CHUNK
    assert signal.getsignal(number) is handler

    monkeypatch.undo()
    _train(twin, "--resume", folder, "--steps", 3 * CHUNK)
    _start(twin, tmp_path / "whole", 3 * CHUNK, *SMALL["mlp"])
    states = [load_checkpoint(path)[1] for path in (folder, tmp_path / "whole")]
    assert gap(*states).error == 0


def test_training_in_a_thread(tmp_path):
    """As a notebook server trains: its signals stay its own."""
    statuses = []
    arguments = ["train", "--out", tmp_path / "run", "--steps", 20]
    arguments += ["--batch-size", 10, *SMALL["mlp"], "--device", "cpu"]

    def train():
        statuses.append(main("torch_ref", list(map(str, arguments))))

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert statuses == [0]
    assert load_checkpoint(tmp_path / "run")[0] == 20


def test_a_run_compiles_once(tiny):
    config, data = tiny
    jax_gan.select_device("cpu", config)
    stream = Stream(config, data)

    def counted(game, batches):
        return jax_gan.train(game, batches)

    run_all = jax.jit(chex.assert_max_traces(counted, n=1))
    game = jax_gan.create(config, data)
    for first in (0, 5, 10):
        game, _ = run_all(game, jax_gan.place(stream.batches(first, 5)))
