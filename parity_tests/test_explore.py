"""The page to play with: what it holds, and what a browser makes of it."""

import base64
import io
import json
import re
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import jax_gan
import torch_ref
from experiment import run
from experiment.cli import main
from experiment.config import Config
from experiment.explore import plane
from experiment.restore import load_game
from experiment.stream import fixed_noise
from experiment.watch import Collapse

TWINS = pytest.mark.parametrize(
    "twin", [jax_gan, torch_ref], ids=lambda twin: twin.__name__
)
SMALL = ["--recipe", "mlp", "--noise-size", 6, "--device", "cpu"]
SMALL += ["--generator-hidden", 16, "--discriminator-hidden", 8]
NODES = {28: 21, 64: 11}


def _run(twin, *arguments):
    return main(twin.__name__, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A short run of each twin, in folders whose names are no HTML.

    G's weights are large, so that z matters without much training.
    """
    folder = tmp_path_factory.mktemp("runs")
    options = [*SMALL, "--steps", 6, "--sample-every", 3]
    options += ["--generator-scale", 0.5, "--learning-rate"]
    for twin, rate in ((jax_gan, 0.001), (torch_ref, 0.1)):
        out = folder / f"<i>{twin.__name__}"
        assert _run(twin, "train", "--out", out, *options, rate) == 0
    return folder


@pytest.fixture(scope="module")
def colour(tmp_path_factory):
    """A short run of colour images."""
    folder = tmp_path_factory.mktemp("colour")
    rng = np.random.default_rng(0)
    (folder / "pictures").mkdir()
    for i in range(3):
        pixels = rng.integers(0, 256, (64, 64, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"pictures/{i}.png")
    data = ["--data", "folder", "--data-dir", folder / "pictures"]
    options = [*SMALL, *data, "--batch-size", 3, "--steps", 2]
    assert _run(torch_ref, "train", "--out", folder / "run", *options) == 0
    return folder / "run"


@pytest.fixture(scope="module")
def page(trained, tmp_path_factory):
    """The page of both runs."""
    out = tmp_path_factory.mktemp("page") / "explore.html"
    runs = [f"--run={folder}" for folder in sorted(trained.iterdir())]
    assert _run(torch_ref, "explore", *runs, "--out", out) == 0
    return out


def _data(page):
    """What a page holds."""
    text = page.read_text(encoding="utf-8")
    (found,) = re.findall(r'id="data">(.*?)</script>', text)
    return json.loads(found)


def _pixels(uri):
    start = "data:image/png;base64,"
    assert uri.startswith(start)
    content = base64.b64decode(uri.removeprefix(start))
    return np.asarray(Image.open(io.BytesIO(content)))


def _tile(pixels, side, column, row):
    """One image of a grid."""
    top, left = (2 + i * (side + 2) for i in (row, column))
    return pixels[top : top + side, left : left + side]


def _assert_drawn(tile, image):
    """The image in 8 bits; in another minibatch sums round differently."""
    expected = 255 * image.reshape(tile.shape)
    assert np.abs(tile - expected).max() < 1


def test_plane():
    corners = fixed_noise(Config(), 4)
    z = plane(corners, 21).reshape(21, 21, -1)
    assert z.dtype == corners.dtype
    ends = z[[0, 0, -1, -1], [0, -1, 0, -1]]
    np.testing.assert_array_equal(ends, corners)
    np.testing.assert_allclose(z[10, 10], corners.mean(0), atol=1e-6)
    # Straight lines both ways.
    for axis in (0, 1):
        assert np.abs(np.diff(z, 2, axis)).max() < 1e-6


@TWINS
def test_images_are_those_of_the_generator(twin, trained, tmp_path):
    out, folder = tmp_path / "page.html", trained / f"<i>{twin.__name__}"
    assert _run(twin, "explore", "--run", folder, "--out", out) == 0
    text = out.read_text(encoding="utf-8")
    assert "://" not in text  # nothing is fetched
    assert not re.search(r"\b(src|href)=", text)
    assert twin.__name__ in _data(out)["notes"]["plane"]
    (shown,) = _data(out)["runs"]
    pixels, n = _pixels(shown["map"]), NODES[28]
    assert pixels.shape == (n * 30 + 2, n * 30 + 2)
    config, step, game = load_game(twin, folder, "cpu")
    assert step == 6
    corners = fixed_noise(config, 4)
    z = np.concatenate([corners, corners.mean(0, keepdims=True)])
    images = twin.sample_images(game, z)
    last, middle = n - 1, n // 2
    places = [(0, 0), (last, 0), (0, last), (last, last), (middle, middle)]
    for place, image in zip(places, images, strict=True):
        _assert_drawn(_tile(pixels, 28, *place), image)
    assert images.std(0).max() > 0.2  # not all the same

    assert [step for step, _ in shown["frames"]] == [0, 3, 6]
    for step, frame in shown["frames"]:
        saved = np.asarray(Image.open(folder / f"samples/{step:06d}.png"))
        frame = _pixels(frame)
        assert frame.shape == (4 * 30 + 2, 4 * 30 + 2)
        np.testing.assert_array_equal(frame, saved[::2, ::2][:122, :122])
    for i in range(4):  # its first row is the corners
        _assert_drawn(_tile(frame, 28, i, 0), images[i])


def test_two_runs_get_the_same_noise(page, trained):
    data = _data(page)
    first, last = data["runs"]
    assert first["name"].endswith("<i>jax_gan")
    assert last["name"].endswith("<i>torch_ref")
    # Equal weights at the beginning, equal noise: equal images.
    assert first["frames"][0] == last["frames"][0]
    for shown in (first, last):
        config, _, game = load_game(torch_ref, Path(shown["name"]), "cpu")
        (image,) = torch_ref.sample_images(game, fixed_noise(config, 1))
        _assert_drawn(_tile(_pixels(shown["map"]), 28, 0, 0), image)
    assert first["map"] != last["map"]
    assert "first row are the square's corners" in data["notes"]["training"]


def test_another_seed(trained, tmp_path):
    out, folder = tmp_path / "page.html", trained / "<i>torch_ref"
    options = ["--run", folder, "--out", out, "--seed", 7]
    assert _run(torch_ref, "explore", *options) == 0
    config, _, game = load_game(torch_ref, folder, "cpu")
    z = fixed_noise(replace(config, seed=7), 1)
    pixels = _pixels(_data(out)["runs"][0]["map"])
    _assert_drawn(_tile(pixels, 28, 0, 0), torch_ref.sample_images(game, z))
    assert "not those of the square" in _data(out)["notes"]["training"]


def test_colour(colour, tmp_path):
    out = tmp_path / "page.html"
    assert _run(jax_gan, "explore", "--run", colour, "--out", out) == 0
    (shown,) = _data(out)["runs"]
    n = NODES[64]
    assert _pixels(shown["map"]).shape == (n * 66 + 2, n * 66 + 2, 3)
    for _, frame in shown["frames"]:
        assert _pixels(frame).shape == (2 * 66 + 2, 4 * 66 + 2, 3)
    assert out.stat().st_size < 4e6


def test_long_and_collapsed_run(trained, tmp_path):
    folder, out = tmp_path / "run", tmp_path / "page.html"
    shutil.copytree(trained / "<i>torch_ref", folder)
    samples = folder / "samples"
    for step in range(7, 100):
        shutil.copy(samples / "000006.png", samples / f"{step:06d}.png")
    run.save_collapse(folder, Collapse(51, 550, "one image"))
    assert _run(torch_ref, "explore", "--run", folder, "--out", out) == 0
    (shown,) = _data(out)["runs"]
    steps = [step for step, _ in shown["frames"]]
    assert len(steps) == 51
    assert steps[::50] == [0, 99]
    assert steps == sorted(set(steps))
    assert "collapsed at iteration 51" in shown["collapse"]


def _damaged(trained, tmp_path, case):
    """A run folder with one thing wrong with it."""
    folder = tmp_path / "run"
    shutil.copytree(trained / "<i>torch_ref", folder)
    samples = folder / "samples"
    if case == "no samples":
        shutil.rmtree(samples)
    elif case == "cut short":
        path = samples / "000003.png"
        path.write_bytes(path.read_bytes()[:-200])
    elif case == "other size":
        Image.new("L", (90, 90)).save(samples / "000003.png")
    elif case == "colour":
        Image.new("RGB", (500, 500)).save(samples / "000003.png")
    elif case == "no checkpoint":
        shutil.rmtree(folder / "checkpoints")
    else:
        (folder / "config.json").write_text("{")
    return folder


@pytest.mark.parametrize(
    ("case", "way_out"),
    [
        ("no samples", "samples"),
        ("cut short", "000003.png is damaged"),
        ("other size", "000003.png is damaged"),
        ("colour", "000003.png is damaged"),
        ("no checkpoint", "checkpoint"),
        ("no config", "config.json is damaged"),
    ],
)
def test_damaged_folder(case, way_out, trained, tmp_path, refused):
    folder, out = _damaged(trained, tmp_path, case), tmp_path / "page.html"
    arguments = ["explore", "--run", folder, "--out", out]
    refused(partial(main, "torch_ref"), arguments, folder, way_out)
    assert not out.exists()


def _with_config(trained, tmp_path, **changes):
    """A copy of a run that says it is another experiment."""
    folder = tmp_path / "other"
    shutil.copytree(trained / "<i>torch_ref", folder)
    run.save_config(folder, replace(run.load_config(folder), **changes))
    return folder


def test_bad_input(trained, colour, tmp_path, refused):
    command, out = partial(main, "torch_ref"), tmp_path / "page.html"
    folder = trained / "<i>torch_ref"
    explore = ["explore", "--out", out, "--run"]
    refused(command, explore[:-1], "--run", "--help")
    refused(command, [*explore, tmp_path], tmp_path, "config.json")
    refused(command, [*explore, folder, "--seed", -1], "-1", "[0, 2^32)")
    three = ["--run", folder] * 2
    refused(command, [*explore, folder, *three], "3 times", "one run or two")
    both = [*explore, folder, "--run"]
    refused(command, [*both, colour], "28x28x1", "64x64x3", colour)
    other = _with_config(trained, tmp_path, noise="normal")
    refused(command, [*both, other], "uniform", "normal", other)
    line = _with_config(trained, tmp_path / "below", data="gaussian")
    refused(command, [*explore, line], "gaussian", "another data set")
    text = ["explore", "--run", folder, "--out"]
    refused(command, [*text, tmp_path / "x.png"], "x.png", ".html")
    refused(command, [*text, tmp_path / "no/x.html"], "no is not a folder")
    assert not out.exists()
    out.write_text("mine")
    refused(command, [*explore, folder], out, "another name")
    assert out.read_text() == "mine"


# In a browser


@pytest.fixture(scope="module")
def browser():
    """Chromium of this machine, driven by Playwright."""
    reason = "needs Playwright: pip install -e '.[dev]'"
    api = pytest.importorskip("playwright.sync_api", reason=reason)
    names = "chromium", "chromium-browser", "google-chrome"
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip(f"needs a browser on the PATH: {' or '.join(names)}")
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path)
        yield chromium
        chromium.close()


@pytest.fixture(params=[1280, 390])
def opened(request, browser, page):
    """The page, at the width of a screen or of a telephone with touch."""
    narrow = request.param < 500
    context = browser.new_context(
        viewport={"width": request.param, "height": 844},
        is_mobile=narrow,
        has_touch=narrow,
    )
    tab, said, asked = context.new_page(), [], []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(page.as_uri())
    tab.wait_for_function("document.querySelectorAll('.corner').length == 8")
    yield tab
    assert said == []
    fetched = [url for url in asked if not url.startswith("data:")]
    assert fetched == [page.as_uri()]
    context.close()


def _shown(tab, name=".shown"):
    """Grey levels that the canvases of a page have."""
    urls = "all => all.map(canvas => canvas.toDataURL())"
    found = [_pixels(url) for url in tab.eval_on_selector_all(name, urls)]
    assert all((pixels[..., 3] == 255).all() for pixels in found)
    return [pixels[..., 0] for pixels in found]


def _assert_shown(tab, data, column, row):
    """Each run's large image is that of its map at this place."""
    for shown, of in zip(_shown(tab), data["runs"], strict=True):
        tile = _tile(_pixels(of["map"]), 28, column, row)
        np.testing.assert_array_equal(shown, tile)


def _drag(tab, start, stop):
    """By touch where there is touch, else by the mouse."""
    if not tab.evaluate("navigator.maxTouchPoints"):
        tab.mouse.move(*start)
        tab.mouse.down()
        tab.mouse.move(*stop, steps=3)
        tab.mouse.up()
        tab.mouse.move(*start)  # no button is down: nothing follows
        return
    devtools = tab.context.new_cdp_session(tab)
    for kind, points in (
        ("touchStart", [start]),
        ("touchMove", [stop]),
        ("touchEnd", []),
    ):
        points = [{"x": x, "y": y} for x, y in points]
        given = {"type": kind, "touchPoints": points}
        devtools.send("Input.dispatchTouchEvent", given)


def test_plane_in_a_browser(opened, page):
    data, middle, last = _data(page), NODES[28] // 2, NODES[28] - 1
    _assert_shown(opened, data, middle, middle)
    names = opened.locator("h3").all_text_contents()
    assert names == [of["name"] for of in data["runs"]]

    field = opened.locator(".map").last
    field.scroll_into_view_if_needed()
    box = field.bounding_box()
    right, below = box["x"] + box["width"], box["y"] + box["height"]
    centre = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    _drag(opened, centre, (right - 3, box["y"] + 3))
    _assert_shown(opened, data, last, 0)
    _drag(opened, centre, (right + 30, below + 3))  # beyond its edge
    _assert_shown(opened, data, last, last)
    assert field.bounding_box() == box  # the page did not scroll

    field.focus()
    for key, place in (
        ("ArrowLeft", (last - 1, last)),
        ("ArrowUp", (last - 1, last - 1)),
        ("Shift+ArrowUp", (last - 1, last - 6)),
        ("ArrowRight", (last, last - 6)),
        ("ArrowRight", (last, last - 6)),
        ("ArrowDown", (last, last - 5)),
    ):
        opened.keyboard.press(key)
        _assert_shown(opened, data, *place)
    said = f"column {last + 1}, row {last - 4} of {last + 1}"
    assert field.get_attribute("aria-valuetext") == said

    corners = opened.get_by_role("button", name="Noise vector z3")
    corners.first.click()
    _assert_shown(opened, data, 0, last)
    corner = _shown(opened, ".corner canvas")[2]
    np.testing.assert_array_equal(corner, _shown(opened)[0])


def _frames(tab):
    return tab.eval_on_selector_all(".frame", "all => all.map(one => one.src)")


def test_training_in_a_browser(opened, page):
    films = [of["frames"] for of in _data(page)["runs"]]

    def assert_at(i):
        assert _frames(opened) == [film[i][1] for film in films]
        step = f"{films[0][i][0]:,}"
        assert opened.locator("#iteration").text_content() == step
        captions = opened.locator("figcaption").all_text_contents()
        assert all(text.endswith(f"iteration {step}") for text in captions)

    assert_at(2)
    opened.get_by_role("slider", name="Iteration").focus()
    opened.keyboard.press("ArrowLeft")
    assert_at(1)
    opened.keyboard.press("Home")
    assert_at(0)
    play = opened.get_by_role("button", name="Play")
    play.click()
    opened.wait_for_function("document.querySelector('#time').value == 2")
    play.wait_for()  # it says Pause while it plays
    assert_at(2)


def test_nothing_is_wider_than_the_window(opened):
    width = opened.viewport_size["width"]
    assert opened.evaluate("window.innerWidth") == width
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    for name in (".map", "#play", "#time", ".frame", ".corner", "p"):
        for one in opened.locator(name).all():
            if one.is_visible():
                box = one.bounding_box()
                assert 0 <= box["x"] <= box["x"] + box["width"] <= width, name


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark(scheme, browser, page):
    """The page follows the scheme that its reader prefers."""
    tab = browser.new_page(color_scheme=scheme)
    tab.goto(page.as_uri())
    text = tab.evaluate("getComputedStyle(document.body).color")
    assert (
        text == {"light": "rgb(0, 0, 0)", "dark": "rgb(255, 255, 255)"}[scheme]
    )
    tab.close()
