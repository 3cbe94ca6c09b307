"""One page to play with: a plane of noise vectors, and the training.

The page shows images that were computed beforehand: those of the plane are a
grid in one PNG, those of the training are the run folder's ``samples``. The
page's own code, in ``explore.html``, only chooses which one to show.
"""

import base64
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from experiment import run
from experiment.config import Config
from experiment.data import sample_shape
from experiment.errors import InputError
from experiment.figures import grid, load_grid
from experiment.image_files import UNREADABLE
from experiment.pages import html_document
from experiment.restore import load_game
from experiment.stream import fixed_noise

_TEMPLATE = Path(__file__).with_name("explore.html")
_COLUMNS = 4  # of a frame: as many as the corners, which are its first row


class _Size(NamedTuple):
    """How much of a run a page holds.

    Attributes:
        nodes: images along a side of the plane.
        rows: of a frame.
        frames: of the training, at most.
    """

    nodes: int
    rows: int
    frames: int


# By the largest side; in colour a run takes 6 MB of a page at most.
_SIZES = {
    28: _Size(21, 4, 51),
    64: _Size(11, 2, 12),
    128: _Size(7, 1, 6),
    256: _Size(3, 1, 3),
}


def plane(corners: NDArray[np.floating], nodes: int) -> NDArray[np.floating]:
    """Noise vectors on a square, straight lines from corner to corner.

    At (u, v) in [0, 1]^2 it is z = (1 - v) ((1 - u) z1 + u z2)
    + v ((1 - u) z3 + u z4).

    Args:
        corners: z1 to z4, (4, noise_size): upper left, upper right, lower
            left, lower right.
        nodes: points along a side, at least 2.

    Returns:
        (nodes * nodes, noise_size), row by row.

    Example:
        >>> plane(np.array([[0.0], [2.0], [4.0], [6.0]]), 3)[:, 0]
        array([0., 1., 2., 2., 3., 4., 4., 5., 6.])
    """
    left = np.linspace(corners[0], corners[2], nodes)
    right = np.linspace(corners[1], corners[3], nodes)
    points = np.linspace(left, right, nodes, axis=1, dtype=corners.dtype)
    return points.reshape(nodes * nodes, -1)


def explore_page(
    twin: ModuleType, folders: Sequence[Path], device: str, seed: int | None
) -> str:
    """The page of one run, or of two next to each other.

    Args:
        twin: the module that draws the images.
        folders: one or two run folders of either twin.
        device: ``auto``, ``cpu`` or ``gpu``.
        seed: of the four noise vectors; the first run's if None.

    Raises:
        InputError: a folder is damaged, its data are no images, or two runs
            have no noise vectors or no image size in common.
    """
    if len(folders) > 2:
        raise InputError(
            f"--run is given {len(folders)} times: a page shows one run or two"
        )
    configs = [run.load_config(folder) for folder in folders]
    for folder, config in zip(folders, configs, strict=True):
        _require_images(folder, config)
        _require_equal(folders[0], configs[0], folder, config)
    if seed is None:
        seed = configs[0].seed
    corners = fixed_noise(replace(configs[0], seed=seed), 4)
    side = sample_shape(configs[0])[0]
    size = next(size for most, size in _SIZES.items() if side <= most)
    data = {
        "side": side,
        "nodes": size.nodes,
        "notes": {
            "plane": _about_plane(twin, corners, size),
            "training": _about_training(configs, seed, size),
        },
        "runs": [_shown(twin, of, device, corners, size) for of in folders],
    }
    # Within a script no text may look like the script's end.
    embedded = json.dumps(data).replace("<", r"\u003c")
    script = f'<script type="application/json" id="data">{embedded}</script>'
    template = _TEMPLATE.read_text(encoding="utf-8")
    return html_document("A generator to play with", f"{template}\n{script}")


def _require_images(folder: Path, config: Config) -> None:
    if len(sample_shape(config)) == 1:
        raise InputError(
            f"{folder} has no images to explore, for its data are numbers "
            f"({config.data}): take a run of another data set"
        )


def _require_equal(
    folder: Path, config: Config, other_folder: Path, other: Config
) -> None:
    """What two runs must share to be asked for the same noise vectors."""
    for name, of in (
        ("images", lambda c: "x".join(map(str, sample_shape(c)))),
        ("noise", lambda c: f"{c.noise} {c.noise_scale:g}"),
        ("noise vectors", lambda c: f"{c.noise_size} dimensions"),
    ):
        if of(config) != of(other):
            raise InputError(
                f"{name} differ: {of(config)} in {folder}, {of(other)} in "
                f"{other_folder}; make a page for each"
            )


def _shown(
    twin: ModuleType,
    folder: Path,
    device: str,
    corners: NDArray[np.floating],
    size: _Size,
) -> dict[str, Any]:
    """What the page holds of a run."""
    config, step, game = load_game(twin, folder, device)
    frames = _frames(folder, sample_shape(config), size)
    z = plane(corners.astype(config.dtype), size.nodes)
    images = twin.sample_images(game, z)
    collapse = run.load_collapse(folder)
    return {
        "name": str(folder),
        "about": f"recipe {config.recipe}, iteration {step:,}",
        "collapse": f"This run {collapse}." if collapse else "",
        "map": _png(grid(images, size.nodes)),
        "frames": frames,
    }


def _frames(
    folder: Path, shape: tuple[int, ...], size: _Size
) -> list[tuple[int, str]]:
    """Iterations, and the upper left of the images that were saved then."""
    saved = sorted(
        (int(path.stem), path)
        for path in (folder / "samples").glob("*.png")
        if path.stem.isdecimal()
    )
    if not saved:
        raise InputError(
            f"{folder / 'samples'} has no sample images of the training: "
            "restore them, or retrain from scratch"
        )
    chosen = np.linspace(0, len(saved) - 1, min(len(saved), size.frames))
    frames = []
    for step, path in (saved[i] for i in chosen.round().astype(int)):
        try:
            pixels = load_grid(path, shape, _COLUMNS, size.rows)
        except UNREADABLE as error:
            raise InputError(
                f"{path} is damaged or of another size: delete it"
            ) from error
        frames.append((step, _png(pixels)))
    return frames


def _about_plane(
    twin: ModuleType, corners: NDArray[np.floating], size: _Size
) -> str:
    lengths = np.linalg.norm(corners, axis=1)
    middle = np.linalg.norm(corners.mean(0))
    return (
        f"The {size.nodes} × {size.nodes} images were computed beforehand by "
        f"{twin.__package__} from the last checkpoint; the page shows the one "
        "at the marker and blends nothing. From corner to corner z follows "
        "straight lines, as in Figure 3 of the paper. So z is shorter inside "
        "than in training: its length is "
        f"{lengths.min():.1f} to {lengths.max():.1f} at the corners and "
        f"{middle:.1f} in the middle."
    )


def _about_training(configs: Sequence[Config], seed: int, size: _Size) -> str:
    text = (
        "These are sample images that the run saved during training, always "
        f"for the same {_COLUMNS * size.rows} noise vectors"
    )
    seeds = {config.seed for config in configs}
    if seeds == {seed}:
        return f"{text}. Those of the first row are the square's corners."
    if len(seeds) == 1:
        return f"{text}, which are not those of the square above."
    return f"{text}. Each run has its own, since their seeds differ."


def _png(pixels: NDArray[np.uint8]) -> str:
    """An image as a URI of its data."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
