"""Files of images as squares of 8-bit pixels."""

import os
import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

# Formats that Pillow knows and that are documents, measurements or films. It
# decodes none of them by itself, and would have Ghostscript execute an EPS.
_NO_IMAGES = frozenset(
    ("BUFR", "EPS", "GRIB", "HDF5", "IPTC", "MPEG", "PALM", "PDF", "WMF")
)
# What is white in images of floating-point numbers: the least that no number
# exceeds. In images of 16 bits it is the last.
_WHITES = 1, 255, 65_535
_AHEAD = 8  # images for each thread that wait to be taken


@cache
def image_suffixes() -> frozenset[str]:
    """The endings of names of image files, in lower case."""
    known = Image.registered_extensions().items()
    return frozenset(suffix for suffix, of in known if of not in _NO_IMAGES)


@cache
def _formats() -> list[str]:
    Image.init()
    return [name for name in Image.OPEN if name not in _NO_IMAGES]


def decode(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8] | str:
    """An image, cropped to a square and scaled; or why it cannot be read.

    It is turned as its EXIF data say. What is transparent becomes white.

    Args:
        path: the file, of any format that its content shows.
        shape: (h, w, c) of the result; one channel is grey, three are colours.
    """
    height, width, channels = shape
    try:
        with Image.open(path, formats=_formats()) as image:
            ImageOps.exif_transpose(image, in_place=True)
            whole = _on_white(_in_8_bits(image))
            coloured = whole.convert("RGB" if channels == 3 else "L")
        square = ImageOps.fit(coloured, (width, height))
    except Exception as error:  # whatever a decoder raises at a damaged file
        return " ".join(str(error).split()) or type(error).__name__
    return np.asarray(square).reshape(shape)


def _in_8_bits(image: Image.Image) -> Image.Image:
    """An image of 16-bit or floating-point numbers in 8 bits; others as is.

    Raises:
        ValueError: its numbers have no range that is known.
    """
    if image.mode[0] not in "IF":
        return image
    numbers = np.asarray(image)
    least, largest = numbers.min(), numbers.max()
    whites = _WHITES if image.mode == "F" else _WHITES[-1:]
    white = next((white for white in whites if largest <= white), None)
    if white is None or not least >= 0:
        raise ValueError(
            f"its numbers are from {least} to {largest}, not from 0 to "
            f"{' or '.join(f'{white:,}' for white in whites)}"
        )
    return Image.fromarray((numbers / white * 255 + 0.5).astype(np.uint8))


def _on_white(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image.convert("RGBA"))


def decode_all(
    paths: Iterable[Path], shape: tuple[int, ...]
) -> Iterator[NDArray[np.uint8] | str]:
    """``decode`` of many files, in their order, by a thread for each core.

    Pillow releases Python's lock while it decodes.
    """
    threads = os.cpu_count() or 1
    waiting: deque[Future] = deque()
    # Pillow warns of what it can read all the same, and of large images.
    with (
        warnings.catch_warnings(action="ignore"),
        ThreadPoolExecutor(threads) as pool,
    ):
        for path in paths:
            waiting.append(pool.submit(decode, path, shape))
            if len(waiting) > _AHEAD * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
