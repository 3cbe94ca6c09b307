"""What a run is judged by: evaluate, nearest, a walk, gradients."""

import hashlib
import json
import shutil
from functools import partial

import numpy as np
import pytest
from PIL import Image

import jax_gan
import torch_ref
from benchmarks.gradients import gradient_norms
from experiment import data as datasets
from experiment.cli import main
from experiment.errors import InputError
from experiment.evaluate import evaluate
from experiment.metrics import nearest
from parity_tests.small import small_config, small_data

TWINS = pytest.mark.parametrize(
    "twin", [jax_gan, torch_ref], ids=lambda twin: twin.__name__
)


def _run(twin, *arguments):
    return main(twin.__name__, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A short run, of JAX; both twins read it."""
    out = tmp_path_factory.mktemp("runs") / "run"
    small = ["--generator-hidden", 16, "--discriminator-hidden", 8]
    options = ["--steps", 3, "--device", "cpu"]
    assert _run(jax_gan, "train", "--out", out, *small, *options) == 0
    return out


def test_evaluate_with_either_twin(trained, tmp_path, capsys):
    found = {}
    for twin in (jax_gan, torch_ref):
        run = tmp_path / twin.__name__
        shutil.copytree(trained, run)
        status = _run(twin, "evaluate", "--run", run, "--n", 200)
        assert status == 0
        results = json.loads((run / "metrics.json").read_text())
        assert results["step"] == 3
        assert results["judged_by"] == "mnist5k"
        found[twin] = results["scores"]
        shown = capsys.readouterr()
        assert "Fréchet distance" in shown.out
        assert "5,000 embedded digits" in shown.out
        assert "4/4" in shown.err
    ours, theirs = found[jax_gan], found[torch_ref]
    assert list(ours) == [
        "samples",
        "training images",
        "k-means centroids",
        "untrained",
    ]
    # The same weights and noise give the same scores; initial weights differ.
    for name in ("samples", "training images", "k-means centroids"):
        for metric, value in ours[name].items():
            assert np.isfinite(value)
            assert value == pytest.approx(theirs[name][metric], rel=1e-3)
    assert ours["samples"]["images"] == 200
    floor = ours["training images"]["frechet_distance"]
    assert floor < ours["samples"]["frechet_distance"] / 10
    assert ours["untrained"] != ours["samples"]


def test_evaluate_takes_at_most_the_training_images(capsys):
    config = small_config(precision="float32")
    splits = datasets.load_splits()
    few = splits._replace(
        train=datasets.Split(*(part[:150] for part in splits.train))
    )
    game = torch_ref.create(config, few.train.images)
    scores = evaluate(torch_ref, config, game, few, 10_000)
    assert [s.images for s in scores.values()] == [150, 150, 30, 150]
    assert "150 images of each set" in capsys.readouterr().err


@TWINS
@pytest.mark.parametrize(
    ("options", "value", "way_out"),
    [
        (["--n", 99], "99", "at least 100"),
        (["--n", 0], "0", "from 1"),
        (["--data-dir", "/nope"], "/nope", "--download"),
        (["--device", "tpu"], "tpu", "gpu"),
    ],
    ids=["n", "zero", "data-dir", "device"],
)
def test_bad_option(twin, options, value, way_out, trained, refused):
    arguments = ["evaluate", "--run", trained, *options]
    refused(partial(main, twin.__name__), arguments, value, way_out)
    assert not (trained / "metrics.json").exists()


@pytest.fixture(scope="module")
def numbers(tmp_path_factory):
    """A run of one-dimensional data."""
    out = tmp_path_factory.mktemp("runs") / "run"
    options = ["--recipe", "figure1", "--steps", 1]
    assert _run(torch_ref, "train", "--out", out, *options) == 0
    return out


@TWINS
def test_run_without_images(twin, numbers, tmp_path, refused):
    arguments = ["evaluate", "--run", numbers]
    refused(partial(main, twin.__name__), arguments, "gaussian", "mnist5k")
    for command, name in (("nearest", "n.png"), ("interpolate", "w.gif")):
        out = tmp_path / name
        arguments = [command, "--run", numbers, "--out", out]
        refused(
            partial(main, twin.__name__), arguments, "gaussian", "another set"
        )
        assert not out.exists()


def test_other_images_than_digits():
    config = small_config(data="fashion-mnist")
    with pytest.raises(InputError, match=r"fashion-mnist.*digits only"):
        evaluate(torch_ref, config, None, datasets.load_splits(), 100)


# Images


@TWINS
def test_walk(twin, trained, tmp_path, capsys, refused):
    out = tmp_path / "walk.gif"
    options = ["--rows", 3, "--n", 4]
    status = _run(twin, "interpolate", "--run", trained, "--out", out, *options)
    assert status == 0
    with Image.open(out) as walk:
        assert walk.n_frames == 12
        assert walk.size == (8 * 32, 8 * 32)
        first = np.asarray(walk.convert("L"))
        walk.seek(4)
        assert (np.asarray(walk.convert("L")) != first).any()
    capsys.readouterr()
    arguments = ["interpolate", "--run", trained, "--out", tmp_path / "w.mp4"]
    refused(partial(main, twin.__name__), arguments, "w.mp4", ".png or .gif")


@TWINS
def test_nearest(twin, trained, tmp_path):
    out, npy = tmp_path / "nearest.png", tmp_path / "x.npy"
    status = _run(twin, "nearest", "--run", trained, "--n", 12, "--out", out)
    assert status == 0
    _run(
        twin, "sample", "--run", trained, "--n", 12,
        "--out", tmp_path / "x.png", "--npy", npy,
    )  # fmt: skip
    with Image.open(out) as image:
        assert image.size == (2 * 302, 4 * 2 * 32)
        pixels = np.asarray(image)[::2, ::2] / 255.0
    samples = np.load(npy)
    found = nearest(samples, datasets.load(small_config()))
    # The eleventh sample opens the second row; its example is inverted.
    tile = pixels[64:96, 0:32][2:-2, 2:-2]
    np.testing.assert_allclose(tile, samples[10, ..., 0], atol=1 / 255)
    tile = pixels[96:128, 0:32][2:-2, 2:-2]
    np.testing.assert_allclose(tile, 1 - found[10, ..., 0], atol=1 / 255)


@pytest.mark.parametrize("logit", [-5.0, 0.0, 3.0])
def test_gradients_of_both_losses(logit):
    """Where D says the same of all samples the ratio is D/(1 - D)."""
    config = small_config(
        steps=3,
        learning_rate=1e-6,
        generator_hidden=(8,),
        discriminator_hidden=(8,),
        keep_hidden=1.0,
    )
    data = small_data()
    jax_gan.select_device("cpu", config)
    state = jax_gan.to_numpy(jax_gan.create(config, data))
    state["discriminator/params/output/bias"][:] = logit
    state["discriminator/params/output/kernel"] *= 0.01
    ours, theirs = (
        gradient_norms(twin, config, data, state, every=2)
        for twin in (jax_gan, torch_ref)
    )
    assert ours["step"].tolist() == [0, 2]
    for name in ours:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-9)
    D = 1 / (1 + np.exp(-logit))
    np.testing.assert_allclose(ours["fake_probability"], D, rtol=0.05)
    ratio = ours["saturating"] / ours["non-saturating"]
    np.testing.assert_allclose(ratio, D / (1 - D), rtol=0.05)


# MNIST in three parts


@pytest.fixture
def mnist(tmp_path, monkeypatch):
    """A folder of MNIST's sizes; an image's first pixels are its number."""
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    sums = {}
    for part, count in (("train", 60_000), ("t10k", 10_000)):
        pixels = np.zeros((count, 784), np.uint8)
        pixels[:, :2] = (
            np.arange(count, dtype=">u2").view(np.uint8).reshape(-1, 2)
        )
        labels = (np.arange(count) % 10).astype(np.uint8)
        for kind, size, array in (
            ("images-idx3", 16, pixels),
            ("labels-idx1", 8, labels),
        ):
            path = raw / f"{part}-{kind}-ubyte"
            path.write_bytes(bytes(size) + array.tobytes())
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            sums["mnist", path.name] = digest
    monkeypatch.setattr(datasets, "_SHA256", sums)
    return raw


def test_parts_of_mnist(mnist):
    splits = datasets.load_splits(mnist.parent.parent)
    assert splits.name == "mnist"
    for part, first, count in (
        (splits.train, 0, 50_000),
        (splits.validation, 50_000, 10_000),
        (splits.test, 0, 10_000),
    ):
        assert part.images.shape == (count, 28, 28, 1)
        numbers = np.round(255 * part.images[:, 0, :2, 0]) @ [256, 1]
        np.testing.assert_array_equal(numbers, first + np.arange(count))
        np.testing.assert_array_equal(part.labels, np.arange(count) % 10)


@pytest.mark.parametrize("file", ["t10k-images-idx3", "train-labels-idx1"])
def test_damaged_part_of_mnist(file, mnist):
    path = mnist / f"{file}-ubyte"
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"{file}.*checksum"):
        datasets.load_splits(mnist.parent.parent)
