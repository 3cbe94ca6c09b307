"""Training from a folder of images that is larger than the memory for numbers.

``python -m benchmarks.large_folder DIR`` makes as many empty files as CelebA
has images, and the file of pixels that those of 64x64 would be decoded to. It
says how long a start takes when that file has left the page cache, how much
memory training takes, and how fast it is, in turns with the same pixels held
in memory.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from experiment.checkpoints import describe
from experiment.chunks import iterate
from experiment.config import Config
from experiment.data import load
from experiment.errors import InputError
from experiment.image_folder import list_images
from experiment.parser import Parser, run_command
from experiment.pixels import Data, Pixels
from experiment.prepared import Index, places, save_index
from experiment.recipes import recipe
from experiment.watch import data_spread

_SHAPE = 64, 64, 3
_IMAGES = 202_599
_OF_A_FOLDER = 1_000
_MODULE = "benchmarks.large_folder"


def main(arguments: list[str] | None = None) -> int:
    """Makes the folder unless it is there, and measures."""
    parser = Parser(
        prog="python -m benchmarks.large_folder",
        description="Measures training from a large folder of images: seconds "
        "of a start, peak memory, images/s. Needs 3 GB of disk in DIR and 3 "
        "GB of memory.",
        epilog="Example: python -m benchmarks.large_folder /tmp/large",
    )
    parser.add_argument(
        "folder", type=Path, metavar="DIR", help="to make, or made before"
    )
    parser.add_argument(
        "--images", type=int, default=_IMAGES, help=f"default: {_IMAGES:,}"
    )
    parser.add_argument(
        "--twin", choices=("jax_gan", "torch_ref"), default="torch_ref"
    )
    parser.add_argument(
        "--steps", type=int, default=500, help="iterations (default: 500)"
    )
    parser.add_argument(
        "--one", choices=("start", "mlp", "speed"), help=argparse.SUPPRESS
    )
    options = parser.parse_args(arguments)
    return run_command(lambda: _measure(options))


def _measure(options: argparse.Namespace) -> int:
    if options.one:
        measure = {"start": start, "mlp": of_mlp, "speed": speed}[options.one]
        print(json.dumps(measure(options)))
        return 0
    for name, fewest in (("images", _OF_A_FOLDER), ("steps", 150)):
        if (given := getattr(options, name)) < fewest:
            raise InputError(f"--{name} is {given}: it must be >= {fewest}")
    (path, _) = places(options.folder, _SHAPE)
    if not path.exists():
        make_folder(options.folder, options.images, np.random.default_rng(0))
    with path.open("rb") as file:  # it leaves the page cache
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    for one in ("start", "mlp", "speed"):
        measured = measure_one(one, options.folder, options.twin, options.steps)
        print(one, json.dumps(measured, indent=1))
    return 0


def make_folder(
    folder: Path, count: int, rng: np.random.Generator | None
) -> None:
    """Makes files that stand for images, and pixels as if decoded from them.

    Args:
        folder: to make.
        count: how many images.
        rng: draws the pixels; without it they are black, and take no space.

    Raises:
        FileExistsError: there is such a folder.
    """
    folder.mkdir(parents=True)
    for first in range(0, count, _OF_A_FOLDER):
        place = folder / f"{first // _OF_A_FOLDER:03d}"
        place.mkdir()
        for i in range(first, min(first + _OF_A_FOLDER, count)):
            (place / f"{i:06d}.png").touch()
    (path, _) = places(folder, _SHAPE)
    path.parent.mkdir()
    with path.open("wb") as file:
        file.truncate(count * prod(_SHAPE))
        for first in range(0, count if rng else 0, _OF_A_FOLDER):
            images = min(_OF_A_FOLDER, count - first)
            assert rng
            file.write(rng.bytes(images * prod(_SHAPE)))
    written = path.stat().st_mtime_ns
    files = list_images(folder).files
    save_index(path, Index((count, *_SHAPE), "0" * 64, written, files, {}))


def measure_one(
    one: str, folder: Path, twin: str, steps: int
) -> dict[str, float]:
    """What ``start``, ``of_mlp`` or ``speed`` measures in a new process."""
    command = ["--one", one, "--twin", twin, "--steps", str(steps)]
    ended = subprocess.run(
        [sys.executable, "-m", _MODULE, str(folder), *command],
        stdout=subprocess.PIPE,
        check=True,
        env={**os.environ, "BEGUN": str(time.time())},
    )
    return json.loads(ended.stdout)


def start(options: argparse.Namespace) -> dict[str, float]:
    """Seconds from the start of the process to the first iteration; memory."""
    config = _small(options.steps)
    data = load(config, options.folder)
    describe(config, data)
    data_spread(config, data)
    chunks = _train(options.twin, config, data)
    seconds = time.time() - float(os.environ["BEGUN"])
    for _ in chunks:
        pass
    return {"seconds": seconds, "peak_mib": _peak_mib()}


def of_mlp(options: argparse.Namespace) -> dict[str, float]:
    """The memory of recipe ``mlp``, whose data are 5,000 digits."""
    config = recipe("mlp", steps=options.steps)
    for _ in _train(options.twin, config, load(config)):
        pass
    return {"peak_mib": _peak_mib()}


def speed(options: argparse.Namespace) -> dict[str, float]:
    """Images/s from the file and from memory, chunk by chunk in turns.

    The small network spends most of its time on reading images.
    """
    measured = {}
    for name, config in (
        ("small", _small(options.steps)),
        ("dcgan64", recipe("dcgan64", steps=options.steps, batch_size=16)),
    ):
        config = replace(config, steps=config.steps // 50 * 50)
        mapped = load(config, options.folder)
        assert isinstance(mapped, Pixels)
        held = Pixels(np.array(mapped.pixels), mapped.levels)
        pairs = zip(
            _train(options.twin, config, mapped),
            _train(options.twin, config, held),
            strict=True,
        )
        _, *rest = pairs  # the first compiles
        ratios = [of_held / of_mapped for of_mapped, of_held in rest]
        for of, seconds in zip(
            ("mapped", "in memory"), zip(*rest, strict=True), strict=True
        ):
            pace = statistics.median(seconds) / 50
            measured[f"{name}, {of}, images/s"] = config.batch_size / pace
        measured[f"{name}, mapped / in memory"] = statistics.median(ratios)
    return measured


def _small(steps: int) -> Config:
    return recipe(
        "mlp",
        data="folder",
        steps=steps,
        sample_every=50,
        output_bias="constant",
        generator_hidden=(16,),
        discriminator_hidden=(8,),
    )


def _train(name: str, config: Config, data: Data) -> Iterator[float]:
    """A run; gives the seconds of each chunk."""
    twin: Any = import_module(name)
    device = twin.select_device("auto", config)
    game = twin.create(config, data, device)
    return (
        chunk.seconds for chunk in iterate(twin, config, data, device, game, 0)
    )


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    sys.exit(main())
