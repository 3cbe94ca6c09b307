"""A twin as a side of a pair; each framework has its file."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from typing import Any, NamedTuple

from numpy.typing import NDArray

from experiment.config import Config
from experiment.pixels import Data
from experiment.stream import (
    Batch,
    DiscriminatorBatch,
    GeneratorBatch,
    map_arrays,
)
from parity_tests.keys import key_of, name_of
from parity_tests.side import Event, Key, State, Taken

# In the order of their updates.
PLAYERS = ("discriminator", "generator")
# Whose update gives a metric.
METRICS = {
    "discriminator_loss": "discriminator",
    "real_probability": "discriminator",
    "fake_probability": "discriminator",
    "generator_loss": "generator",
}
EVALUATION = ("G(z)", "D(x)")


class Iteration(NamedTuple):
    """What a step of a twin takes.

    Attributes:
        batch: of the stream.
        evaluation: noise and examples on which G and D are evaluated after
            the step; nothing if they are not.
    """

    batch: Batch | DiscriminatorBatch
    evaluation: tuple[NDArray, ...] = ()


class TwinSide(ABC):
    """A twin's game; a step is an iteration of Algorithm 1.

    A player's gradients are those of its last update in a step.
    """

    twin: Any  # the package: jax_gan or torch_ref

    def __init__(self, config: Config, data: Data):
        """Creates the game.

        Args:
            config: the experiment.
            data: its training set, (n, *sample).
        """
        self.device = self.twin.select_device("cpu", config)
        self.game = self.twin.create(config, data, self.device)

    @abstractmethod
    def gradients(self, player: str) -> dict[Key, NDArray]:
        """What the optimizer of a player was last given, copied."""

    def step(self, batch: Iteration) -> Taken:
        """One iteration; its metrics, and evaluations that were asked for."""
        placed = self.twin.place(batch.batch, self.device)
        self.game, metrics = self.game.step(placed)
        found = dict(self.twin.fetch(metrics))
        if batch.evaluation:
            found |= self.evaluate(*batch.evaluation)
        events = (
            Event(player, _Copied(partial(self.gradients, player)))
            for player in PLAYERS
        )
        return Taken(found, tuple(events))

    def evaluate(self, z: NDArray, x: NDArray) -> dict[str, NDArray]:
        """G(z) and D(x) in evaluation mode."""
        outputs = (
            self.twin.sample_images(self.game, z),
            self.twin.discriminate(self.game, x),
        )
        return dict(zip(EVALUATION, outputs, strict=True))

    def read(self) -> State:
        """Weights, statistics and moments, copied."""
        arrays = self.twin.to_numpy(self.game)
        return {key_of(name): array for name, array in arrays.items()}

    def write(self, state: Mapping[Key, NDArray]) -> None:
        """Copies a state into the game."""
        arrays = {name_of(key): array for key, array in state.items()}
        self.game = self.twin.from_numpy(self.game, arrays)


class _Copied(Mapping[Key, NDArray]):
    """Gradients that are copied when they are asked for: in few steps."""

    def __init__(self, copy: Callable[[], dict[Key, NDArray]]):
        self._copy = cache(copy)

    def __getitem__(self, key: Key) -> NDArray:
        return self._copy()[key]

    def __iter__(self) -> Iterator[Key]:
        return iter(self._copy())

    def __len__(self) -> int:
        return len(self._copy())


def reverse(iteration: Iteration) -> Iteration:
    """The iteration with every minibatch in the opposite order.

    Losses are means and know no order, so it changes nothing but the rounding
    of their sums, which every port rounds in its own way.
    """
    batch = iteration.batch
    if isinstance(batch, DiscriminatorBatch):  # of simultaneous players
        return iteration._replace(
            batch=map_arrays(lambda array: array[::-1].copy(), batch)
        )
    of_d, of_g = batch
    backwards = Batch(
        map_arrays(lambda array: array[:, ::-1].copy(), of_d),
        map_arrays(lambda array: array[::-1].copy(), of_g),
    )
    return iteration._replace(batch=backwards)


def flat_batch(batch: Batch | DiscriminatorBatch) -> dict[str, NDArray]:
    """A batch of the stream under the names of a trajectory."""
    of_d, of_g = batch if isinstance(batch, Batch) else (batch, None)
    found = {"discriminator/x": of_d.x, "discriminator/z": of_d.z}
    masks = {"real_masks": of_d.real_masks, "fake_masks": of_d.fake_masks}
    for kind, arrays in masks.items():
        for name, array in arrays.items():
            found[f"discriminator/{kind}/{name}"] = array
    if of_g is not None:
        found["generator/z"] = of_g.z
        for name, array in of_g.masks.items():
            found[f"generator/masks/{name}"] = array
    return found


def nested_batch(flat: Mapping[str, NDArray]) -> Batch | DiscriminatorBatch:
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
