"""Which values a config may have, alone and together."""

from dataclasses import fields
from typing import Any, Literal, get_args, get_origin

import numpy as np

from experiment.errors import InputError

# Sizes beyond it are a slip: they would fill any memory.
_LARGEST = 100_000
_IMAGE_SIZES = 32, 256  # of data folder, the smallest and the largest
_DIGITS_SIZE = 28
# The losses whose D(x) is a sigmoid.
PAPER_LOSSES = ("saturating", "non-saturating")


def require_valid(config: Any) -> None:
    """Checks a ``Config``: types first, then ranges, then combinations.

    Raises:
        InputError: names the field, its value and what is allowed.
    """
    _require_types(config)
    _require_sizes(config)
    _require_ranges(config)
    _require_combinations(config)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _require(config: Any, name: str, holds: bool, what: str) -> None:
    if not holds:  # also for nan, which fails every comparison
        value = getattr(config, name)
        raise InputError(
            f"{name.replace('_', '-')} is {value}: it must be {what}"
        )


def _require_types(config: Any) -> None:
    for item in fields(config):
        value = getattr(config, item.name)
        known = get_args(item.type)
        if get_origin(item.type) is Literal and value not in known:
            raise InputError(
                f"{item.name.replace('_', '-')} {value!r} is unknown; "
                f"known: {', '.join(known)}"
            )
        if item.type is int:
            _require(config, item.name, _is_whole(value), "a whole number")
        if item.type in (float, float | None) and value is not None:
            _require(config, item.name, _is_number(value), "a number")


def _require_sizes(config: Any) -> None:
    for name in ("k", "batch_size", "noise_size"):
        value = getattr(config, name)
        _require(config, name, value >= 1, "at least 1")
        _require(config, name, value <= _LARGEST, f"at most {_LARGEST:,}")
    _require(config, "pieces", 1 <= config.pieces <= 1000, "in [1, 1000]")
    low, high = _IMAGE_SIZES
    _require(
        config,
        "image_size",
        low <= config.image_size <= high,
        f"from {low} to {high}",
    )
    _require(config, "channels", config.channels in (1, 3), "1 or 3")
    for name in ("steps", "sample_every", "epoch_steps"):
        value = getattr(config, name)
        _require(config, name, value >= 1, "at least 1")
        _require(config, name, value <= 10**9, "at most 1,000,000,000")
    for name, fewest in (
        ("generator_hidden", 1),
        ("discriminator_hidden", 1),
        ("discriminator_dense", 0),
    ):
        sizes = getattr(config, name)
        _require(
            config,
            name,
            isinstance(sizes, tuple)
            and len(sizes) >= fewest
            and all(_is_whole(n) and 1 <= n <= _LARGEST for n in sizes),
            f"whole numbers from 1 to {_LARGEST:,}",
        )


def _require_ranges(config: Any) -> None:
    scales = ("generator_scale", "discriminator_scale", "noise_scale")
    rates = ["learning_rate"]
    if config.generator_learning_rate is not None:
        rates.append("generator_learning_rate")
    for name in (*rates, *scales):
        value = getattr(config, name)
        _require(config, name, 0 < value < np.inf, "a positive number")
    _require(
        config,
        "saturation_epoch",
        2 <= config.saturation_epoch <= 10**9,
        "from 2 to 1,000,000,000",
    )
    _require(
        config,
        "min_learning_rate",
        0 <= config.min_learning_rate <= min(getattr(config, n) for n in rates),
        "from 0 to the smaller learning rate",
    )
    for name in ("b1", "b2", "momentum", "final_momentum", "slope"):
        value = getattr(config, name)
        _require(config, name, 0 <= value < 1, "in [0, 1)")
    for name in ("keep_input", "keep_hidden", "decay"):
        value = getattr(config, name)
        _require(config, name, 0 < value <= 1, "in (0, 1]")
    for name in scales:
        value = getattr(config, name)
        _require(config, name, value <= 1000, "at most 1000")
    _require(config, "bias", abs(config.bias) <= 1000, "in [-1000, 1000]")
    _require(config, "seed", 0 <= config.seed < 2**32, "in [0, 2^32)")


def _require_combinations(config: Any) -> None:
    if config.discriminator_dense and config.network != "dcgan":
        raise InputError(
            f"discriminator-dense belongs to network dcgan, not "
            f"{config.network}: give all sizes to discriminator-hidden"
        )
    folder = config.data == "folder"
    for item in fields(config):
        value = getattr(config, item.name)
        of_folder = item.name in ("image_size", "channels")
        if of_folder and value != item.default and not folder:
            raise InputError(
                f"{item.name.replace('_', '-')} is {value}: it belongs to data "
                f"folder, not {config.data}; leave it out"
            )
    side = config.image_size if folder else _DIGITS_SIZE
    depths = len(config.generator_hidden), len(config.discriminator_hidden)
    if config.network == "dcgan" and side % 2 ** max(depths):
        raise InputError(_divisible(side, max(depths), folder))
    if config.network == "dcgan" and config.batch_size == 1:
        _require_several_values(side, depths)
    if config.network == "dcgan" and config.keep_input * config.keep_hidden < 1:
        raise InputError(
            "network dcgan has no dropout: leave keep-input and "
            "keep-hidden at 1"
        )
    if config.output_bias == "mean" and config.network == "dcgan":
        raise InputError(
            "output-bias mean has a value for each pixel: it needs "
            "network mlp or maxout, not dcgan"
        )
    if config.output_bias == "mean" and config.output != "sigmoid":
        raise InputError(
            f"output-bias mean is a logit: it needs output sigmoid, "
            f"not {config.output}"
        )
    if config.compute == "bfloat16" and config.precision != "float32":
        raise InputError(
            f"compute bfloat16 goes with precision float32, not "
            f"{config.precision}: leave compute at full"
        )
    if config.updates == "simultaneous" and config.loss not in PAPER_LOSSES:
        raise InputError(
            f"loss {config.loss} goes with updates alternating: simultaneous "
            "is the authors' code, which halves D's loss; take loss "
            f"{' or '.join(PAPER_LOSSES)} with it"
        )
    if config.updates == "simultaneous" and config.k != 1:
        raise InputError(
            f"k is {config.k}: with updates simultaneous both players take "
            "one step; leave k at 1, or take updates alternating"
        )


def _require_several_values(side: int, depths: tuple[int, int]) -> None:
    """The deepest layers of a batch of one image must have several pixels."""
    if max(depths) and side == 2 ** max(depths):
        raise InputError(
            "batch-size 1 leaves batch normalisation one value a channel, "
            "where the images have 1x1 pixels: give a larger batch-size, or "
            "fewer sizes to generator-hidden and discriminator-hidden"
        )


def _divisible(side: int, depth: int, folder: bool) -> str:
    """What to change if the layers of a dcgan cannot make the images."""
    ways = []
    step, (low, high) = 2**depth, _IMAGE_SIZES
    below = side // step * step
    fits = [str(n) for n in (below, below + step) if low <= n <= high]
    if folder and fits:
        ways.append(
            f"take a multiple of {step} for image-size, as {' or '.join(fits)}"
        )
    if most := (side & -side).bit_length() - 1:
        ways.append(
            f"give at most {most} sizes to generator-hidden and to "
            "discriminator-hidden"
        )
    advice = ", or ".join(ways) or "take image-size 64, and fewer layers"
    return (
        f"network dcgan halves {side}x{side} pixels in each layer of D and "
        f"doubles them in each of G: {advice}"
    )
