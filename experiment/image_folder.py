"""Which images are in a folder; none of them is read."""

import os
import stat
from pathlib import Path
from typing import NamedTuple

from experiment.decoding import image_suffixes

# Of a folder of images: where the program keeps what it has decoded.
KEPT = ".gan-twins"


class ImageFile(NamedTuple):
    """An image, by what changes when it does.

    Attributes:
        name: its path below the folder.
        size: in bytes.
        modified: the time of its last change, in ns.
    """

    name: str
    size: int
    modified: int


class Listing(NamedTuple):
    """The images of a folder, and how much else there is.

    Attributes:
        files: in the order of their paths.
        hidden: how many files and folders are hidden.
        others: how many files are no images.
    """

    files: list[ImageFile]
    hidden: int
    others: int


def list_images(folder: Path) -> Listing:
    """Lists the images of a folder and of all folders below it.

    Hidden files and folders, whose names begin with a dot, are passed over.
    Links are followed, and of folders each is listed once.

    Raises:
        OSError: a folder cannot be read.
    """
    files: list[ImageFile] = []
    seen = set()
    hidden = others = 0
    walk = os.walk(folder, onerror=_raise, followlinks=True)
    for parent, folders, names in walk:
        status = os.stat(parent)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        visible = [name for name in names if not name.startswith(".")]
        below = [name for name in folders if not name.startswith(".")]
        hidden += len(names) - len(visible) + len(folders) - len(below)
        hidden -= KEPT in folders
        # Folders come before links to folders.
        folders[:] = sorted(
            below, key=lambda n: (os.path.islink(os.path.join(parent, n)), n)
        )
        above = parent.removeprefix(os.fspath(folder)).lstrip(os.sep)
        for name in visible:
            if file := _image_file(parent, above, name):
                files.append(file)
            else:
                others += 1
    files.sort(key=lambda file: file.name.split(os.sep))
    return Listing(files, hidden, others)


def _raise(error: OSError) -> None:
    raise error


def _image_file(parent: str, above: str, name: str) -> ImageFile | None:
    if os.path.splitext(name)[1].lower() not in image_suffixes():
        return None
    try:
        status = os.stat(os.path.join(parent, name))
    except FileNotFoundError:  # a link to nothing
        return None
    if not stat.S_ISREG(status.st_mode):  # a named pipe would never end
        return None
    name = os.path.join(above, name)
    return ImageFile(name, status.st_size, status.st_mtime_ns)
