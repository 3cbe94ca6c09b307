"""Where a run diverged: the first number that is not finite."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from experiment.chunks import CHUNK, advance_by
from experiment.config import Config
from experiment.pixels import Data
from experiment.recipes import starts_of


class Place(NamedTuple):
    """Where a number is not finite.

    Attributes:
        iteration: the first one after which it is there.
        player: ``D`` or ``G``.
        tensor: its name in a checkpoint, or a metric's.
    """

    iteration: int
    player: str
    tensor: str

    def __str__(self) -> str:
        """The place in words."""
        return f"{self.tensor} of {self.player}, in iteration {self.iteration}"


def find_place(
    twin: ModuleType,
    config: Config,
    data: Data,
    device: Any,
    game: Any,
    step: int,
    last: int,
    train: Callable | None = None,
) -> Place | None:
    """Repeats a run from a checkpoint until a number is not finite.

    The random stream is a function of the iteration, so that the repetition
    is exact. Chunks are repeated until one ends in such a number, then its
    iterations one by one.

    Args:
        twin: the module that the game is of.
        config: the experiment.
        data: its training set.
        device: what ``select_device`` gave.
        game: the game after iteration ``step``.
        step: of the checkpoint.
        last: iteration to repeat to.
        train: a variant of the twin's ``train``.

    Returns:
        None if all numbers stay finite, as can be on a GPU.
    """
    advance = advance_by(twin, config, data, device, train)
    while step < last:
        before = twin.to_numpy(game)
        count = min(CHUNK, last - step)
        game, metrics = advance(game, step, count)
        if _first(twin.fetch(metrics), twin.to_numpy(game)):
            game = twin.from_numpy(game, before)
            return _place(twin, advance, game, step, count)
        step += count
    return None


def _place(
    twin: ModuleType, advance: Callable, game: Any, step: int, count: int
) -> Place | None:
    for i in range(step, step + count):
        game, metrics = advance(game, i, 1)
        if first := _first(twin.fetch(metrics), twin.to_numpy(game)):
            return Place(i + 1, *first)
    return None


def _first(
    metrics: Mapping[str, NDArray], state: Mapping[str, NDArray]
) -> tuple[str, str] | None:
    """Player and tensor that come first within an iteration."""
    for player, name, array in _in_order(metrics, state):
        if not np.isfinite(array).all():
            return player, name
    return None


def _in_order(
    metrics: Mapping[str, NDArray], state: Mapping[str, NDArray]
) -> Iterator[tuple[str, str, NDArray]]:
    """All numbers in the order of Algorithm 1: D's step, then G's.

    A player's loss is of the weights before its step; the gradient enters the
    moments first, and these the weights.
    """
    for player, side in (("D", "discriminator"), ("G", "generator")):
        for name, array in metrics.items():
            if name.startswith("generator") == (player == "G"):
                yield player, name, array
        for kind in ("optimizer", "params", "statistics"):
            prefix = f"{side}/{kind}/"
            for name, array in state.items():
                if name.startswith(prefix):
                    yield player, name, array


def advice(config: Config) -> str:
    """What to try when a run diverged."""
    text = "lower --learning-rate"
    if config.loss == "saturating":
        text += ", or take --loss non-saturating"
    if starts := starts_of(config):
        text += f". {starts}"
    return text


def with_factor(config: Config, factor: float) -> Config:
    """The config with all learning rates times a factor."""
    names = ("learning_rate", "generator_learning_rate", "min_learning_rate")
    rates = {name: getattr(config, name) for name in names}
    return replace(
        config,
        **{k: v * factor for k, v in rates.items() if v is not None},
    )
