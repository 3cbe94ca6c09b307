"""The images of a folder, decoded once into a file that is memory-mapped.

DIR/.gan-twins/64x64x3.pixels  pixels in 8 bits, one image after the other
DIR/.gan-twins/64x64x3.json    the index: of which files they are

DIR is the folder of the images. Where it cannot be written, the two are in a
folder of the user's cache. They are made again after any change of the images.
"""

import hashlib
import json
import mmap
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from experiment.decoding import decode, decode_all
from experiment.errors import InputError
from experiment.files import read_text, replace_text, replacing
from experiment.image_folder import KEPT, ImageFile, Listing, list_images
from experiment.lock import hold_in_turn, is_held
from experiment.pixels import Pixels
from experiment.progress import tell_progress

VERSION = 1  # of the index, and of how images are decoded
Shape = tuple[int, ...]


class Index(NamedTuple):
    """What is known of a file of pixels without reading it.

    Attributes:
        shape: of the pixels, (n, h, w, c).
        sha256: of the pixels.
        written: when their file was written, in ns.
        files: the images that were decoded, each as ``ImageFile``.
        unreadable: why an image could not be decoded, by its name.
    """

    shape: tuple[int, ...]
    sha256: str
    written: int
    files: list[ImageFile]
    unreadable: dict[str, str]


class _UnfitError(Exception):
    """Why pixels that were prepared cannot serve; empty if none were."""


def prepared_images(
    folder: Path,
    shape: Shape,
    levels: NDArray[np.floating],
    skip_unreadable: bool,
    say: Callable[[str], None],
) -> Pixels:
    """All images of a folder, which are decoded unless they were before.

    Args:
        folder: of the images, and of folders of more.
        shape: (h, w, c) of each image, as ``decode`` makes it.
        levels: the number of each of the 256 levels.
        skip_unreadable: whether to leave out what cannot be decoded.
        say: told how many images were read and passed over.

    Raises:
        InputError: it is no folder, has no image, or one cannot be decoded.
        OSError: a file or folder cannot be read or written.
    """
    if not folder.is_dir():
        raise InputError(f"--data-dir {folder} is not a folder: correct it")
    listing = list_images(folder)
    if not listing.files:
        raise InputError(f"--data-dir {folder} has no images: correct it")
    path, index = _find(folder, shape, listing) or _make(
        folder, shape, listing, say
    )
    _require_readable(folder, index, skip_unreadable)
    text = (
        f"{folder}: {index.shape[0]:,} images read; passed over: "
        f"{listing.hidden:,} hidden, {listing.others:,} of other kinds"
    )
    if index.unreadable:
        text += f", {len(index.unreadable):,} that cannot be read"
    say(text)
    with path.open("rb") as file:
        mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    pixels = np.frombuffer(mapping, np.uint8).reshape(index.shape)
    return Pixels(pixels, levels, index.sha256, mapping)


def _require_readable(folder: Path, index: Index, skips: bool) -> None:
    if not index.unreadable or (skips and index.shape[0]):
        return
    name, reason = next(iter(index.unreadable.items()))
    text = f"{folder / name} cannot be read ({reason}): fix or remove it"
    if not skips:
        count = len(index.unreadable)
        images = "this image" if count == 1 else f"{count:,} such images"
        text += f", or leave {images} out by --skip-unreadable"
    raise InputError(text)


def places(folder: Path, shape: Shape) -> list[Path]:
    """Where the pixels may be: with the images, or in the user's cache."""
    cache = Path(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    )
    key = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16]
    name = "x".join(map(str, shape)) + ".pixels"
    return [folder / KEPT / name, cache / "gan-twins" / key / name]


def _find(
    folder: Path, shape: Shape, listing: Listing
) -> tuple[Path, Index] | None:
    for path in places(folder, shape):
        with suppress(_UnfitError):
            return path, _load_index(path, folder, shape, listing)
    return None


def _make(
    folder: Path, shape: Shape, listing: Listing, say: Callable[[str], None]
) -> tuple[Path, Index]:
    with_images, in_cache = places(folder, shape)
    kept = with_images.parent
    writable = os.access(kept if kept.exists() else folder, os.W_OK)
    path = with_images if writable else in_cache
    path.parent.mkdir(parents=True, exist_ok=True)
    if is_held(path):
        say(f"{folder}: waiting for another process to decode the images")
    with hold_in_turn(path):
        try:  # another process may have done it
            return path, _load_index(path, folder, shape, listing)
        except _UnfitError as reason:
            if str(reason):
                text = f"{path} {reason}: the images are decoded again"
                print(text, file=sys.stderr)
        return path, _write(path, folder, shape, listing)


def _load_index(
    path: Path, folder: Path, shape: Shape, listing: Listing
) -> Index:
    """The index of a file of pixels that are those of the images.

    Raises:
        _UnfitError: they are not.
    """
    try:
        values = json.loads(read_text(_index_path(path)))
        if values.pop("version") != VERSION:
            raise _UnfitError("is of another version of this program")
        index = _parse(values)
        _require_fit(index, path, shape, listing)
    except FileNotFoundError as error:
        raise _UnfitError("") from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise _UnfitError("has a damaged index") from error
    for name in index.unreadable:
        if not isinstance(decode(folder / name, shape), str):
            raise _UnfitError(f"lacks {name}, which can be read now")
    return index


def _index_path(path: Path) -> Path:
    return path.with_suffix(".json")


def _parse(values: dict[str, Any]) -> Index:
    """An index as JSON has it: lists in place of tuples."""
    index = Index(**values)
    files = [ImageFile(*file) for file in index.files]
    return index._replace(shape=tuple(index.shape), files=files)


def _require_fit(
    index: Index, path: Path, shape: Shape, listing: Listing
) -> None:
    if index.files != listing.files:
        before, now = set(index.files), set(listing.files)
        name = min(before ^ now).name
        raise _UnfitError(
            f"is not of these images ({name} was added, removed or changed)"
        )
    if index.shape != (len(index.files) - len(index.unreadable), *shape):
        raise ValueError("its shape is that of other images")
    if not path.is_file():
        raise _UnfitError("is missing")
    status, size = path.stat(), prod(index.shape)
    if status.st_size != size:
        raise _UnfitError(f"has {status.st_size:,} bytes, not {size:,}")
    if status.st_mtime_ns != index.written:
        raise _UnfitError("is not the file of its index")


def _write(path: Path, folder: Path, shape: Shape, listing: Listing) -> Index:
    """Decodes all images, and writes their pixels, then the index."""
    sha256, unreadable = hashlib.sha256(), {}
    names = [file.name for file in listing.files]
    images = decode_all((folder / name for name in names), shape)
    progress = tell_progress(images, len(names), "images decoded")
    with replacing(path) as partial, partial.open("wb") as file:
        for name, image in zip(names, progress, strict=True):
            if isinstance(image, str):
                unreadable[name] = image
                continue
            sha256.update(image.data)
            file.write(image.data)
    index = Index(
        (len(names) - len(unreadable), *shape),
        sha256.hexdigest(),
        path.stat().st_mtime_ns,
        listing.files,
        unreadable,
    )
    save_index(path, index)
    return index


def save_index(path: Path, index: Index) -> None:
    """Replaces the index of a file of pixels."""
    text = json.dumps({"version": VERSION, **index._asdict()})
    replace_text(_index_path(path), text)
