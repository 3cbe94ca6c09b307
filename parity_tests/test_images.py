"""Images in 8 bits: of which files they are, and how they become numbers."""

import json
import os
import shutil
from functools import partial
from threading import Barrier, Thread

import jax
import numpy as np
import pytest
import torch
from PIL import Image

import jax_gan
import torch_ref
from benchmarks.large_folder import make_folder, measure_one
from experiment import data as datasets
from experiment import decoding, metrics, prepared, progress, watch
from experiment.cli import main
from experiment.data import load, mean_logit
from experiment.decoding import decode
from experiment.errors import InputError
from experiment.image_folder import list_images
from experiment.pixels import Pixels, data_digest, levels_of
from experiment.recipes import recipe
from experiment.run import load_config, save_config
from experiment.stream import fixed_noise
from jax_gan.pixels import place_data
from jax_gan.sample import sample_batch
from parity_tests.compare import gap
from parity_tests.pair import TOLERANCE, both_games
from parity_tests.small import small_config, small_data, small_recipe
from torch_ref.pixels import place_data as place_data_of_torch
from torch_ref.sample import sample_batch as sample_batch_of_torch

CONFIG = recipe("dcgan64", batch_size=1)
SHAPE = 64, 64, 3

# Numbers of images


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("output", ["sigmoid", "tanh"])
def test_numbers_are_those_of_the_whole_array(output, precision):
    config = recipe("lecture", output=output, precision=precision)
    data = load(config)
    expected = (datasets._mnist5k() / 255.0).reshape(-1, 28, 28, 1)
    if output == "tanh":
        expected = 2 * expected - 1
    expected = expected.astype(config.dtype)
    assert data.pixels.dtype == np.uint8
    assert (data.shape, data.size) == (expected.shape, expected.size)
    for index in (slice(None), 7, np.array([[3, 1], [4, 1]]), slice(0, 9, 2)):
        assert data[index].dtype == expected.dtype
        np.testing.assert_array_equal(data[index], expected[index])
    np.testing.assert_array_equal(data, expected)
    wider = data.astype(np.float64)
    np.testing.assert_array_equal(wider, expected.astype(np.float64))


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_the_mean_image_is_that_of_the_whole_array(precision):
    data = load(recipe("mlp", precision=precision))
    numbers = np.asarray(data)
    mean = numbers.mean(axis=0, dtype=np.float64).ravel()
    mean = mean.clip(1e-7, 1 - 1e-7)
    expected = (np.log(mean) - np.log1p(-mean)).astype(data.dtype)
    for either in (data, numbers):
        np.testing.assert_array_equal(mean_logit(either), expected)


def _batch(config, data):
    key = jax.random.key(0, impl="rbg")
    return sample_batch(config, data, key).discriminator[:2]


def _batch_of_torch(config, data):
    rng = torch.Generator().manual_seed(0)
    return sample_batch_of_torch(config, data, rng).discriminator[:2]


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("twin", [jax_gan, torch_ref])
def test_a_device_reads_the_same_numbers(twin, precision):
    config = small_config(
        output="tanh", output_bias="constant", precision=precision
    )
    twin.select_device("cpu", config)
    grid = np.arange(5 * 256, dtype=np.uint8).reshape(5, 16, 8, 2)
    data = Pixels(grid, levels_of(config))
    place, draw = place_data_of_torch, partial(_batch_of_torch, config)
    if twin is jax_gan:
        place, draw = place_data, jax.jit(partial(_batch, config))
    ours, theirs = (
        [np.asarray(array) for array in draw(place(given))]
        for given in (data, np.asarray(data))
    )
    assert place(data).pixels.nbytes == grid.nbytes
    for one, other in zip(ours, theirs, strict=True):
        assert one.dtype == other.dtype == config.dtype
        np.testing.assert_array_equal(one, other)
    assert len(np.unique(ours[0])) == 256


def test_a_digest_is_of_pixels_shape_and_range():
    pixels = np.arange(256, dtype=np.uint8).reshape(4, 8, 8, 1)
    changed = pixels.copy()
    changed[0, 0, 0] = 1
    levels = [levels_of(small_config(output_bias="constant", output=output))
              for output in ("sigmoid", "tanh")]  # fmt: skip
    sets = [
        Pixels(pixels, levels[0]),
        Pixels(changed, levels[0]),
        Pixels(pixels.reshape(1, 16, 16, 1), levels[0]),
        Pixels(pixels, levels[1]),
        Pixels(pixels, levels[0].astype(np.float32)),
        Pixels(pixels, levels[0], sha256="known"),
    ]
    assert len({data_digest(data) for data in sets}) == len(sets)
    assert data_digest(sets[0]) == data_digest(Pixels(pixels, levels[0]))


def test_nearest_by_parts(monkeypatch):
    data = small_data()
    samples = np.random.default_rng(1).random((7, *data.shape[1:]))
    whole = metrics.nearest(samples, data)
    monkeypatch.setattr(metrics, "_MOST_NUMBERS", 9 * data[0].size)
    np.testing.assert_array_equal(metrics.nearest(samples, data), whole)
    distances = ((samples[:, None] - data) ** 2).sum((2, 3, 4))
    np.testing.assert_array_equal(whole, data[distances.argmin(1)])


# One image


RAMP = np.linspace(0, 1, 64 * 64).reshape(64, 64)


@pytest.mark.parametrize(
    ("name", "numbers", "white"),
    [
        ("x.png", np.uint16(65_535 * RAMP), 65_535),
        ("x.tif", np.uint16(65_535 * RAMP), 65_535),
        ("x.tif", np.int32(65_535 * RAMP), 65_535),
        ("x.tif", np.float32(RAMP), 1),
        ("x.tif", np.float32(255 * RAMP), 255),
        ("x.tif", np.float32(65_535 * RAMP), 65_535),
        ("x.png", np.uint8(255 * RAMP), 255),
    ],
)
def test_a_ramp_keeps_its_range(name, numbers, white, tmp_path):
    Image.fromarray(numbers).save(tmp_path / name)
    grey = decode(tmp_path / name, (64, 64, 1))
    expected = np.rint(numbers / np.float64(white) * 255)
    assert np.abs(grey[..., 0] - expected).max() <= 1
    assert (grey[0, 0, 0], grey[-1, -1, 0]) == (0, 255)
    colours = decode(tmp_path / name, SHAPE)
    assert (colours == grey).all()


@pytest.mark.parametrize("number", [-1, 65_536, np.nan])
def test_numbers_without_a_known_range(number, tmp_path):
    numbers = np.float32(RAMP)
    numbers[3, 3] = number
    Image.fromarray(numbers).save(tmp_path / "x.tif")
    assert "its numbers are from" in decode(tmp_path / "x.tif", SHAPE)


def test_an_image_is_turned_as_its_exif_data_say(tmp_path):
    pixels = np.zeros((64, 64), np.uint8)
    pixels[:32] = 255
    exif = Image.Exif()
    exif[274] = 6  # its top is at the right
    Image.fromarray(pixels).save(tmp_path / "x.png", exif=exif)
    found = decode(tmp_path / "x.png", (64, 64, 1))[..., 0]
    np.testing.assert_array_equal(found, np.rot90(pixels, -1))


def _transparent(mode):
    """Black; of its quarters one is opaque, the others are transparent."""
    alpha = np.zeros((64, 64), np.uint8)
    alpha[:32, :32] = 255
    if mode == "P":  # and black is transparent
        image = Image.fromarray(255 - alpha).convert("P")
        image.info["transparency"] = 255
        image.putpalette([0, 0, 0] * 256)
        return image
    image = Image.new(mode[:-1], (64, 64))
    image.putalpha(Image.fromarray(alpha))
    return image


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_on_white(mode, tmp_path):
    _transparent(mode).save(tmp_path / "x.png")
    expected = np.full((64, 64), 255)
    expected[:32, :32] = 0
    for channels in (1, 3):
        found = decode(tmp_path / "x.png", (64, 64, channels))
        assert (found == expected[..., np.newaxis]).all()


def test_what_is_no_image(tmp_path, monkeypatch):
    path = tmp_path / "x.jpg"
    path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EOF\n")
    assert "cannot identify" in decode(path, SHAPE)
    assert "No such file" in decode(tmp_path / "y.jpg", SHAPE)
    Image.new("L", (64, 64)).save(path)
    path.write_bytes(path.read_bytes()[:-99])
    assert "runcated" in decode(path, SHAPE)
    Image.new("L", (64, 64)).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert "exceeds limit" in decode(path, SHAPE)


# A folder of images


@pytest.fixture
def photos(tmp_path):
    """Five images, and what is none."""
    folder = tmp_path / "photos"
    (folder / "b").mkdir(parents=True)
    (folder / ".thumbnails").mkdir()
    for i, name in enumerate(["c.png", "b/z.JPG", "a.png", "b.png", "d.bmp"]):
        Image.new("RGB", (70, 90), (50 * i, 0, 255)).save(folder / name)
    shutil.copy(folder / "a.png", folder / ".thumbnails" / "a.png")
    for name in ("._a.png", "doc.pdf", "x.h5", "x.eps", "notes.txt"):
        (folder / name).write_text("not an image")
    (folder / "nothing.png").symlink_to("nowhere.png")
    os.mkfifo(folder / "pipe.png")
    return folder


def test_which_files_are_images(photos):
    files, hidden, others = list_images(photos)
    names = [file.name for file in files]
    assert names == ["a.png", "b/z.JPG", "b.png", "c.png", "d.bmp"]
    assert (hidden, others) == (2, 6)
    status = (photos / "a.png").stat()
    assert files[0][1:] == (status.st_size, status.st_mtime_ns)


def test_linked_folders_are_listed_once(photos, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    shutil.copy(photos / "a.png", outside)
    (photos / "again").symlink_to(photos)
    (photos / "b" / "up").symlink_to(photos)
    (photos / "a").symlink_to(photos / "b")
    (photos / "linked").symlink_to(outside)
    (photos / "linked too").symlink_to(outside)
    names = [file.name for file in list_images(photos).files]
    assert names == [
        "a.png", "b/z.JPG", "b.png", "c.png", "d.bmp", "linked/a.png",
    ]  # fmt: skip


# What was decoded is kept


@pytest.fixture
def decoded(monkeypatch):
    """The paths of the images that are decoded."""
    paths = []

    def counted(path, shape):
        paths.append(path)
        return decode(path, shape)

    monkeypatch.setattr(decoding, "decode", counted)
    return paths


def test_images_are_decoded_once(photos, decoded, capsys):
    data = load(CONFIG, photos)
    said = capsys.readouterr().err
    assert said == (
        f"{photos}: 5 images read; passed over: 2 hidden, 6 of other kinds\n"
    )
    assert data.shape == (5, *SHAPE)
    assert data.dtype == np.float32
    names = [file.name for file in list_images(photos).files]
    assert sorted(decoded) == sorted(photos / name for name in names)
    again = load(CONFIG, photos)
    assert len(decoded) == 5
    assert capsys.readouterr().err == said
    np.testing.assert_array_equal(again, data)
    assert again.digest == Pixels(data.pixels, data.levels).digest
    np.testing.assert_array_equal(
        data.pixels[1], decode(photos / "b/z.JPG", SHAPE)
    )
    grey = load(recipe("dcgan64", batch_size=1, channels=1), photos)
    assert len(decoded) == 10
    assert grey.shape == (5, 64, 64, 1)
    kept = sorted(path.name for path in (photos / ".gan-twins").iterdir())
    assert kept == [
        "64x64x1.json", "64x64x1.pixels", "64x64x3.json", "64x64x3.pixels",
    ]  # fmt: skip


def _replace(path):
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(bytes(len(content)))


def _edit(path, before, after):
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


CHANGES = {
    "changed": (
        lambda photos, _: Image.new("L", (9, 9)).save(photos / "a.png"),
        "a.png was added, removed or changed",
    ),
    "touched": (
        lambda photos, _: os.utime(photos / "c.png", (1, 1)),
        "c.png was added, removed or changed",
    ),
    "added": (
        lambda photos, _: shutil.copy(photos / "a.png", photos / "aa.png"),
        "aa.png was added, removed or changed",
    ),
    "removed": (
        lambda photos, _: (photos / "d.bmp").unlink(),
        "d.bmp was added, removed or changed",
    ),
    "cut short": (
        lambda _, kept: os.truncate(kept, 1000),
        "has 1,000 bytes, not 61,440",
    ),
    "of others": (
        lambda _, kept: _replace(kept),
        "is not the file of its index",
    ),
    "missing": (lambda _, kept: kept.unlink(), "is missing"),
    "index": (
        lambda _, kept: os.truncate(kept.with_suffix(".json"), 40),
        "has a damaged index",
    ),
    "empty index": (
        lambda _, kept: kept.with_suffix(".json").write_text("{}"),
        "has a damaged index",
    ),
    "shape": (
        lambda _, kept: _edit(kept.with_suffix(".json"), "[5, 64", "[4, 64"),
        "has a damaged index",
    ),
    "version": (
        lambda _, kept: _edit(
            kept.with_suffix(".json"), '"version": 1', '"version": 0'
        ),
        "is of another version of this program",
    ),
}


@pytest.mark.parametrize("case", CHANGES)
def test_what_does_not_fit_is_decoded_again(case, photos, decoded, capsys):
    load(CONFIG, photos)
    capsys.readouterr()
    decoded.clear()
    kept = photos / ".gan-twins" / "64x64x3.pixels"
    change, said = CHANGES[case]
    change(photos, kept)
    data = load(CONFIG, photos)
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith(f"{kept} ")
    assert said in first
    assert first.endswith("the images are decoded again")
    assert "images read" in last
    names = [file.name for file in list_images(photos).files]
    assert len(decoded) == len(data) == len(names)
    for i, name in enumerate(names):
        np.testing.assert_array_equal(
            data.pixels[i], decode(photos / name, SHAPE)
        )
    load(CONFIG, photos)
    assert len(decoded) == len(data)


def test_a_folder_that_cannot_be_written(
    photos, decoded, tmp_path, monkeypatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    data = load(CONFIG, photos)
    assert not (photos / ".gan-twins").exists()
    (kept,) = (tmp_path / "cache" / "gan-twins").rglob("*.pixels")
    assert kept.stat().st_size == data.size
    load(CONFIG, photos)
    assert len(decoded) == 5


def test_two_that_start_together_decode_once(photos, decoded):
    found, barrier = [], Barrier(2)

    def start():
        barrier.wait()
        found.append(load(CONFIG, photos))

    threads = [Thread(target=start) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(decoded) == 5
    np.testing.assert_array_equal(*found)


def test_a_failed_write_leaves_nothing(photos, monkeypatch):
    def full(items, total, what):
        yield next(items)
        raise OSError("the disk is full")

    monkeypatch.setattr(prepared, "tell_progress", full)
    with pytest.raises(OSError, match="full"):
        load(CONFIG, photos)
    assert not list((photos / ".gan-twins").iterdir())
    monkeypatch.undo()
    assert len(load(CONFIG, photos)) == 5


def test_progress_after_two_seconds(monkeypatch, capsys):
    now = iter(range(0, 100, 3))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    items = progress.tell_progress(iter("abcdef"), 6, "images decoded")
    assert list(items) == list("abcdef")
    said = capsys.readouterr().err.splitlines()
    assert said == ["0 of 6 images decoded", "4 of 6 images decoded"]


def test_a_start_reads_few_images(photos, monkeypatch):
    """The spread of the data is that of some; the index has their digest."""
    data = load(CONFIG, photos)
    read = []

    class Counted:
        shape = data.shape

        def __len__(self):
            return len(data)

        def __getitem__(self, index):
            read.append(len(data.pixels[index]))
            return data.pixels[index]

    counted = Pixels(Counted(), data.levels, data.sha256)
    assert data_digest(counted) == data_digest(data)
    assert read == []
    monkeypatch.setattr(watch, "_MOST_NUMBERS", 2 * data[0].size)
    assert watch.data_spread(CONFIG, counted) > 0
    assert read == [2]


# The command line


SMALL = ["--recipe", "mlp", "--data", "folder", "--batch-size", 2, "--steps", 2]
SMALL += ["--generator-hidden", 16, "--discriminator-hidden", 8]
SMALL += ["--output-bias", "constant", "--device", "cpu"]


def _run(*arguments):
    return main("torch_ref", [str(argument) for argument in arguments])


def test_images_that_cannot_be_read(photos, tmp_path, refused, capsys):
    for name in ("a.png", "d.bmp"):
        (photos / name).write_bytes((photos / name).read_bytes()[:60])
    train = ["train", "--out", tmp_path / "run", "--data-dir", photos, *SMALL]
    for _ in range(2):
        refused(
            partial(main, "torch_ref"),
            train,
            photos / "a.png",
            "fix or remove it, or leave 2 such images out by --skip-unreadable",
        )
    assert not (tmp_path / "run").exists()
    assert _run(*train, "--skip-unreadable") == 0
    said = "3 images read; passed over: 2 hidden, 6 of other kinds, 2 that"
    assert f"{said} cannot be read" in capsys.readouterr().err
    for name in ("b/z.JPG", "b.png", "c.png"):
        (photos / name).unlink()
    with pytest.raises(InputError, match="cannot be read"):
        load(CONFIG, photos, skip_unreadable=True)


def test_an_image_that_can_be_read_again(photos, decoded, monkeypatch, capsys):
    path = photos / "a.png"
    content, status = path.read_bytes(), path.stat()
    path.write_bytes(bytes(len(content)))
    os.utime(path, ns=(0, status.st_mtime_ns))
    assert len(load(CONFIG, photos, skip_unreadable=True)) == 4
    path.write_bytes(content)
    os.utime(path, ns=(0, status.st_mtime_ns))
    assert len(load(CONFIG, photos)) == 5
    assert "lacks a.png, which can be read now" in capsys.readouterr().err


def test_a_config_of_earlier_versions(tmp_path):
    config = recipe("dcgan64")
    save_config(tmp_path, config)
    path = tmp_path / "config.json"
    values = json.loads(path.read_text())
    for name in ("image_size", "channels"):
        del values[name]
    path.write_text(json.dumps(values))
    assert load_config(tmp_path) == config


def test_a_run_of_small_grey_images(photos, tmp_path):
    out = tmp_path / "run"
    sizes = ["--image-size", 32, "--channels", 1, "--data-dir", photos]
    assert _run("train", "--out", out, *SMALL, *sizes) == 0
    for command in ("sample", "nearest"):
        png = tmp_path / f"{command}.png"
        data = ["--data-dir", photos] if command == "nearest" else []
        given = ["--run", out, "--n", 4, "--out", png, *data]
        assert _run(command, *given) == 0
        with Image.open(png) as image:
            assert image.mode == "L"
            assert image.width % (2 * 34) == 4
    page = tmp_path / "x.html"
    assert _run("explore", "--run", out, "--out", page) == 0
    assert page.stat().st_size > 10_000


def test_networks_of_another_size_agree(measured):
    config = small_recipe("dcgan", data="folder", image_size=44, channels=1)
    data, z = small_data(config), fixed_noise(config, 4)
    games = both_games(config, data)
    outputs = [
        {
            "images": twin.sample_images(game, z),
            "probability": twin.discriminate(game, data[:4]),
        }
        for twin, game in zip((jax_gan, torch_ref), games, strict=True)
    ]
    assert outputs[0]["images"].shape == (4, 44, 44, 1)
    measured({"forward": gap(*outputs)}, TOLERANCE)


@pytest.mark.slow
def test_a_large_folder_needs_little_memory(tmp_path):
    """As many images as CelebA has, which would be 9.3 GiB of numbers."""
    make_folder(tmp_path / "large", 202_599, rng=None)
    peak, of_mlp = (
        measure_one(one, tmp_path / "large", "torch_ref", 600)["peak_mib"]
        for one in ("start", "mlp")
    )
    assert peak - of_mlp < 2048
