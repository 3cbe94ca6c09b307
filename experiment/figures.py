"""Figures: grids of samples, animations, curves, the paper's Figure 1."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from experiment.files import replacing
from experiment.image_files import save_image

# One colour for each curve, apart in hue and in lightness.
BLUE, ORANGE, GREEN, GREY = "#1f5fa8", "#d97706", "#2f8f4e", "#555555"
# Figure 1: values in a bin that say something of a ratio, and lines from z.
_ENOUGH, _ARROWS = 50, 40


def grid(images: NDArray[np.floating], columns: int) -> NDArray[np.uint8]:
    """Images (n, h, w, c) in [0, 1], row by row in one, 2 pixels apart.

    Returns:
        The pixels, (height, width), with an axis of colours if c is 3.

    Example:
        >>> grid(np.ones((6, 28, 28, 1)), columns=3).shape
        (62, 92)
    """
    n, height, width, channels = images.shape
    rows = -(-n // columns)
    tiles = np.zeros((rows * columns, height + 2, width + 2, channels))
    tiles[:n, 1:-1, 1:-1] = images.clip(0, 1)
    tiles = tiles.reshape(rows, columns, height + 2, width + 2, channels)
    whole = tiles.swapaxes(1, 2).reshape(rows * (height + 2), -1, channels)
    pixels = np.pad(whole, ((1, 1), (1, 1), (0, 0)))
    pixels = (255 * pixels + 0.5).astype(np.uint8)
    return pixels[..., 0] if channels == 1 else pixels


def save_samples(
    path: Path, samples: NDArray[np.floating], columns: int
) -> None:
    """Writes samples as a PNG: images in a grid, numbers as a histogram."""
    if samples.ndim == 2:
        figure = Figure(figsize=(6, 4), layout="constrained")
        axis = figure.subplots()
        axis.hist(samples[:, 0], bins=80, density=True, color=GREEN)
        axis.set_xlabel(f"x, {len(samples)} samples of G")
        _save_figure(path, figure, dpi=80)
        return
    pixels = grid(samples, columns).repeat(2, 0).repeat(2, 1)
    save_image(path, Image.fromarray(pixels))


def load_grid(
    path: Path, shape: tuple[int, ...], columns: int, rows: int
) -> NDArray[np.uint8]:
    """The upper left of a grid of images that ``save_samples`` wrote.

    Args:
        path: the PNG to read.
        shape: of one image, (h, w, c).
        columns: how many of its columns.
        rows: how many of its rows.

    Returns:
        The pixels of these images, not enlarged, as from ``grid``.

    Raises:
        OSError: the file is not an image, or is cut short.
        ValueError: the file does not hold such images, or too few.
    """
    wanted = grid(np.zeros((columns * rows, *shape)), columns).shape
    with Image.open(path) as image:
        pixels = np.asarray(image)[::2, ::2]
    pixels = pixels[: wanted[0], : wanted[1]]
    if pixels.shape != wanted:
        raise ValueError(f"{path} has {pixels.shape}, not {wanted}")
    return pixels


def save_nearest(
    path: Path,
    samples: NDArray[np.floating],
    nearest: NDArray[np.floating],
    columns: int = 10,
) -> None:
    """Rows of samples, and under each sample an example.

    Digits are black on white there, to be told apart.
    """
    columns, digits = min(columns, len(samples)), samples.shape[1] == 28
    strips = []
    for i in range(0, len(samples), columns):
        row = slice(i, i + columns)
        under = grid(nearest[row], columns)
        strips += [
            grid(samples[row], columns),
            255 - under if digits else under,
        ]
    pixels = np.concatenate(strips).repeat(2, 0).repeat(2, 1)
    save_image(path, Image.fromarray(pixels))


def save_animation(
    path: Path, frames: Sequence[Path], milliseconds: int = 200
) -> None:
    """Joins images to a GIF that rests on the last one."""
    images = []
    for frame in frames:
        with Image.open(frame) as image:
            images.append(image.convert("P"))
    durations = [milliseconds] * (len(images) - 1) + [10 * milliseconds]
    _save_gif(path, images, durations)


def save_walk(
    path: Path, images: NDArray[np.floating], milliseconds: int = 80
) -> None:
    """Images (n, h, w, c) in [0, 1], each a frame of a GIF, enlarged."""
    times = min(8, 512 // images.shape[1])
    grids = (grid(image[np.newaxis], columns=1) for image in images)
    frames = [
        Image.fromarray(g.repeat(times, 0).repeat(times, 1)) for g in grids
    ]
    _save_gif(path, frames, [milliseconds] * len(frames))


def _save_gif(
    path: Path, frames: list[Image.Image], durations: list[int]
) -> None:
    save_image(
        path,
        frames[0],
        save_all=True,
        append_images=frames[1:],
        duration=durations,
        loop=0,
    )


def save_curves(
    path: Path, runs: Mapping[str, Mapping[str, NDArray[np.floating]]]
) -> None:
    """Both losses, D(x) and D(G(z)) over the iterations.

    Several runs are laid over each other: the first drawn wide and pale, the
    next thin and dark, so that equal curves show as one line in another.
    """
    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.subplots(2, 1, sharex=True)
    panels = (
        (("discriminator_loss", "generator_loss"), "loss"),
        (("real_probability", "fake_probability"), "D(x), D(G(z))"),
    )
    labels = {
        "discriminator_loss": "D's loss",
        "generator_loss": "G's loss",
        "real_probability": "D(x)",
        "fake_probability": "D(G(z))",
    }
    for axis, (names, title) in zip(axes, panels, strict=True):
        for name, color in zip(names, (BLUE, ORANGE), strict=True):
            for i, (run, metrics) in enumerate(runs.items()):
                label = (
                    f"{labels[name]}, {run}" if len(runs) > 1 else labels[name]
                )
                axis.plot(
                    *_smooth(metrics["step"], metrics[name]),
                    color=color,
                    label=label,
                    linewidth=5 if len(runs) > 1 and i == 0 else 1,
                    alpha=0.35 if len(runs) > 1 and i == 0 else 1,
                )
        axis.set_ylabel(title)
        axis.grid(alpha=0.3)
        axis.legend(loc="best", fontsize="small")
    axes[1].axhline(0.5, color=GREY, linewidth=0.8, linestyle=":")
    # Not all losses hold D(x) in [0, 1].
    lowest, highest = axes[1].dataLim.intervaly
    axes[1].set_ylim(min(0, lowest), max(1, highest))
    axes[1].set_xlabel("iteration of Algorithm 1 (means of equal chunks)")
    _save_figure(path, figure, dpi=100)


def _smooth(
    step: NDArray[np.floating], values: NDArray[np.floating]
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Means over at most 300 chunks: a run is too noisy to be drawn raw."""
    width = max(1, len(step) // 300)
    n = len(step) // width * width
    return (
        step[:n].reshape(-1, width).mean(1),
        values[:n].reshape(-1, width).mean(1),
    )


def save_pair(
    path: Path, grids: Mapping[str, NDArray[np.floating]], columns: int
) -> None:
    """Grids of samples next to each other, each under its title."""
    figure = Figure(figsize=(5 * len(grids), 5.4), layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, len(grids)))
    for axis, (title, images) in zip(axes, grids.items(), strict=True):
        axis.imshow(grid(images, columns), cmap="gray", vmin=0, vmax=255)
        axis.set_title(title)
        axis.set_axis_off()
    _save_figure(path, figure, dpi=100)


def save_figure1(
    path: Path,
    data: NDArray[np.floating],
    z: NDArray[np.floating],
    samples: NDArray[np.floating],
    x: NDArray[np.floating],
    probability: NDArray[np.floating],
    step: int,
) -> None:
    """Figure 1 of the paper: p_data, p_g, D(x) and the arrows from z to x.

    With them p_data / (p_data + p_g) from the histograms: the best D for this
    G (Proposition 1) with the paper's losses and with least-squares. The best
    D of hinge is 1 where that is above 1/2, else 0.

    Args:
        path: the PNG to write.
        data: the training set, (n, 1).
        z: noise, (m, noise_size); arrows start at the first coordinate.
        samples: G(z), (m, 1).
        x: where D was asked, (p,).
        probability: D(x), (p,).
        step: iterations so far, for the title.
    """
    figure = Figure(figsize=(6, 4.6), layout="constrained")
    axis, arrows = figure.subplots(2, 1, height_ratios=(5, 1), sharex=True)
    density = axis.twinx()
    bins = np.linspace(x[0], x[-1], 81)
    counts = [np.histogram(values, bins)[0] for values in (data, samples)]
    p_data, p_g = (
        count / (len(values) * np.diff(bins))
        for count, values in zip(counts, (data, samples), strict=True)
    )
    density.stairs(p_data, bins, fill=True, color=GREY, alpha=0.35)
    density.stairs(p_g, bins, color=GREEN)
    # A fixed scale, that of the data: frames of an animation must agree.
    density.set_ylim(0, 2 * p_data.max())
    density.set_ylabel("density")
    seen = sum(counts) >= _ENOUGH
    best = p_data[seen] / (p_data[seen] + p_g[seen])
    axis.plot(x, probability, color=BLUE, label="D(x)")
    label = "p_data / (p_data + p_g)"
    centres = (bins[:-1] + bins[1:]) / 2
    axis.plot(centres[seen], best, ":", color=ORANGE, label=label)
    axis.plot([], color=GREEN, label="p_g, density of G(z)")
    axis.fill_between([], [], color=GREY, alpha=0.35, label="density of data")
    axis.set_ylim(0, 1)
    axis.set_xlim(x[0], x[-1])
    axis.set_ylabel("D(x)")
    axis.set_title(f"iteration {step}", fontsize="medium")
    axis.legend(loc="upper left", fontsize="small")

    # z has a separate scale: its range is half the width of the figure.
    start = z[:_ARROWS, 0] / np.abs(z[:_ARROWS, 0]).max()
    start = x.mean() + start * (x[-1] - x[0]) / 4
    ends = samples[:_ARROWS, 0]
    arrows.plot([start, ends], [0, 1], color=GREEN, linewidth=0.7)
    arrows.set_ylim(0, 1)
    arrows.set_yticks([0, 1], ["z", "x"])
    arrows.set_xlabel("x = G(z)")
    _save_figure(path, figure, dpi=80)


def save_panels(path: Path, frames: Sequence[Path]) -> None:
    """Four frames of a run in one image, from its beginning to its end."""
    chosen = np.linspace(0, len(frames) - 1, 4).round().astype(int)
    images = [np.asarray(Image.open(frames[i])) for i in chosen]
    rows = [np.hstack(images[:2]), np.hstack(images[2:])]
    save_image(path, Image.fromarray(np.vstack(rows)))


def _save_figure(path: Path, figure: Figure, dpi: int) -> None:
    """Writes a figure, which then takes the place of a file."""
    with replacing(path) as partial:
        figure.savefig(partial, dpi=dpi, format=path.suffix[1:].lower())
