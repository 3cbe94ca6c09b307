"""The committed trajectories, small enough for a repository.

Together they cover both networks, every loss, both optimizers, decay, two
rates, k = 2 and dropout. Their data are random, so they need no data set.
"""

import shutil
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from experiment.config import Config
from experiment.errors import InputError
from experiment.recipes import recipe
from parity_tests.compare import NO_GAP, Gap, gap
from parity_tests.recording import record_recipe
from parity_tests.trajectory import load

FOLDER = Path(__file__).parent / "goldens"


class Golden(NamedTuple):
    """What one committed trajectory is a recording of."""

    config: Config
    sample_shape: tuple[int, ...]
    steps: int
    states_at: tuple[int, ...]

    def data(self) -> NDArray[np.float64]:
        """Sixteen examples in [0, 1), half of their pixels black."""
        rng = np.random.default_rng(0)
        data = rng.random((16, *self.sample_shape))
        return np.where(rng.random(data.shape) < 0.5, 0, data)


def _small(name: str, hidden: tuple[int, ...], **changes) -> Config:
    small = {"generator_hidden": hidden, "discriminator_hidden": hidden[::-1]}
    sizes = {"batch_size": 4, "noise_size": 3, "precision": "float64"}
    return recipe(name, **{**small, **sizes, **changes})


GOLDENS = {
    "lecture": Golden(
        _small(
            "lecture",
            (8,),
            loss="saturating",
            optimizer="sgd",
            learning_rate=0.02,
        ),
        (4, 3, 1),
        5,
        (1,),
    ),
    "mlp": Golden(
        _small(
            "mlp", (7, 6), k=2, keep_input=0.8, decay=0.9, output_bias="mean"
        ),
        (4, 3, 1),
        5,
        (1,),
    ),
    "figure1": Golden(_small("figure1", (6, 8), k=2, decay=0.9), (1,), 5, (1,)),
    "hinge": Golden(
        _small(
            "figure1",
            (5, 4),
            loss="hinge",
            initializer="normal",
            generator_scale=1.0,
            discriminator_scale=1.0,
        ),
        (1,),
        3,
        (1,),
    ),
    "least-squares": Golden(
        _small("figure1", (4, 5), loss="least-squares"), (1,), 3, (1,)
    ),
    "dcgan": Golden(
        _small(
            "dcgan",
            (4, 2),
            discriminator_dense=(3,),
            batch_size=3,
            noise_size=2,
        ),
        (28, 28, 1),
        3,
        (),
    ),
}


def record_golden(name: str, folder: Path) -> None:
    """Records one of ``GOLDENS`` into a folder that does not exist."""
    config, _, steps, states_at = golden = GOLDENS[name]
    record_recipe(config, golden.data(), steps, folder, states_at)


def compare_trajectories(ours: Path, theirs: Path) -> Gap:
    """The largest difference of two recordings of the same experiment.

    Raises:
        InputError: one is damaged, or they are of different experiments.
    """
    a, b = load(ours), load(theirs)
    mine, other = a.recording, b.recording
    if (a.config, mine.layouts) != (b.config, other.layouts):
        raise InputError(
            f"{ours} and {theirs} record different experiments: record one "
            "again"
        )
    worst = NO_GAP
    for step in range(mine.steps + 1):
        found = gap(mine.read(step), other.read(step))
        worst = max(worst, Gap(found.error, f"{step:06d}/{found.name}"))
    return worst


def rebuild_goldens(
    write: bool = False, names: Iterable[str] = tuple(GOLDENS)
) -> dict[str, Gap]:
    """Records the goldens again and compares them with the committed ones.

    Args:
        write: put the new ones in the place of the committed ones, which may
            then be missing or of another experiment.
        names: which of ``GOLDENS``.

    Returns:
        The largest difference of each; none where it replaced.
    """
    found = {}
    for name in names:
        with TemporaryDirectory() as folder:
            again = Path(folder) / name
            record_golden(name, again)
            if write:
                shutil.rmtree(FOLDER / name, ignore_errors=True)
                shutil.copytree(again, FOLDER / name)
            found[name] = compare_trajectories(again, FOLDER / name)
    return found
