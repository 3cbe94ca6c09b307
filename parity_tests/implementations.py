"""The two twins as implementations that replay a trajectory."""

from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiment.stream import Batch, DiscriminatorBatch, GeneratorBatch
from parity_tests.trajectory import config_from


class _Twin:
    """A twin in the protocol ``parity_tests.replay.Implementation``.

    It is imported when it is asked for: the other's framework need not be
    there.
    """

    name: str

    def __init__(self) -> None:
        """Imports the twin."""
        self.twin = import_module(self.name)

    def load_state(
        self, config: dict[str, Any], state: dict[str, NDArray]
    ) -> None:
        """Creates a game and gives it this state."""
        experiment = config_from(config)
        self._device = self.twin.select_device("cpu", experiment)
        blank = np.zeros((1, *config["sample_shape"]), experiment.dtype)
        game = self.twin.create(experiment, blank, self._device)
        self._game = self.twin.from_numpy(game, state)

    def iterate(self, batch: dict[str, NDArray]) -> dict[str, float]:
        """One iteration; its metrics."""
        placed = self.twin.place(nested_batch(batch), self._device)
        self._game, metrics = self._game.step(placed)
        return {name: float(v) for name, v in metrics._asdict().items()}

    def read_state(self) -> dict[str, NDArray]:
        """Weights, statistics and moments, copied."""
        return self.twin.to_numpy(self._game)


class Jax(_Twin):
    """The twin in JAX."""

    name = "jax_gan"


class Torch(_Twin):
    """The twin in PyTorch: the reference, which replays itself."""

    name = "torch_ref"


def nested_batch(flat: dict[str, NDArray]) -> Batch | DiscriminatorBatch:
    """A trajectory's batch as the stream's; undoes ``flat_batch``."""

    def masks(prefix: str) -> dict[str, NDArray]:
        return {
            name.removeprefix(prefix): array
            for name, array in flat.items()
            if name.startswith(prefix)
        }

    of_d = DiscriminatorBatch(
        x=flat["discriminator/x"],
        z=flat["discriminator/z"],
        real_masks=masks("discriminator/real_masks/"),
        fake_masks=masks("discriminator/fake_masks/"),
    )
    if "generator/z" not in flat:  # simultaneous
        return of_d
    of_g = GeneratorBatch(flat["generator/z"], masks("generator/masks/"))
    return Batch(of_d, of_g)
