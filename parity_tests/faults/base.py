"""What an injected fault is, and what several of them share."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple
from unittest import mock

from torch_ref.game import Game

# The package exports the function of that name in the module's place.
train = sys.modules["torch_ref.train"]

# As many iterations as every fault can be followed for.
MOST_STEPS = 40


class Patch(ExitStack):
    """Replaces attributes and items; the original ones return when it ends."""

    def setattr(self, target: Any, name: str, value: Any) -> None:
        """Replaces an attribute of a module, a class or an object."""
        self.enter_context(mock.patch.object(target, name, value))

    def setitem(self, target: dict[str, Any], name: str, value: Any) -> None:
        """Replaces an item of a dictionary."""
        self.enter_context(mock.patch.dict(target, {name: value}))


Plant = Callable[[Patch], None]


class Fault(NamedTuple):
    """One mistake that a port can make.

    Attributes:
        name: what is wrong.
        group: the part of a GAN that it is in.
        plant: puts the mistake into the PyTorch twin.
        fix: how a port avoids it.
        equivalent: why it changes nothing, where it does not.
        config: the experiment that shows it, as changes of ``small_config``.
    """

    name: str
    group: str
    plant: Callable[[Patch], None]
    fix: str
    equivalent: str
    config: dict[str, Any]

    @contextmanager
    def planted(self) -> Iterator[None]:
        """The fault is in the PyTorch twin until the context ends."""
        with Patch() as patch:
            self.plant(patch)
            yield


FAULTS: list[Fault] = []

DCGAN: dict[str, Any] = {
    "network": "dcgan",
    "generator_hidden": (8, 4),
    "discriminator_hidden": (4, 8),
    "keep_hidden": 1.0,
    "output_bias": "constant",
}


def fault(
    name: str, group: str, fix: str, equivalent: str = "", **config: Any
) -> Callable:
    """Lists a function that plants a fault."""

    def listed(plant: Callable[[Patch], None]):
        FAULTS.append(Fault(name, group, plant, fix, equivalent, config))
        return plant

    return listed


def with_step(change: Callable) -> Plant:
    """Replaces one iteration by ``change(original step, game, batch)``."""

    def plant(patch: Patch) -> None:
        sound = Game.step
        patch.setattr(
            Game, "step", lambda game, batch: change(sound, game, batch)
        )

    return plant


def change_batch(change: Callable) -> Plant:
    """One iteration on ``change(batch)``."""
    return with_step(lambda step, game, batch: step(game, change(batch)))


def change_discriminator(batch: Any, **fields: Any) -> Any:
    """The batch with other fields for D's steps."""
    changed = batch.discriminator._replace(**fields)
    return batch._replace(discriminator=changed)
