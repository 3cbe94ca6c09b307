"""One variant of one twin, ready to run, and the plain step next to it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers import TUTORIALS
from benchmarks.variant_names import STEPS, games, parse
from experiment.config import Config
from experiment.initial import State, moved_by_one_ulp
from experiment.pixels import Data
from experiment.stream import Stream, length, map_arrays, stack


@dataclass
class Variant:
    """A training loop on batches that are on the device already.

    Attributes:
        create: the game before its first step; ``run`` is for the last one.
        run: (game, count) to (game, metrics): the first ``count`` iterations.
        losses: those of both players in a run's metrics, (n, 2).
        plain: (ulp_seed) to the state after one iteration by the plain step,
            and the losses of two runs of STEPS, one after the other, on the
            same batches. Unless ``ulp_seed`` is None it says which way each
            initial weight is changed, by one ulp.
        state: the arrays of a game, for comparison.
        games: how many are trained together.
    """

    create: Callable[[], Any]
    run: Callable[[Any, int], tuple[Any, Any]]
    losses: Callable[[Any], NDArray]
    plain: Callable[[int | None], tuple[State, NDArray]]
    state: Callable[[Any], State]
    games: int = 1


def side_of(name: str) -> Any:
    """The benchmark's side of a variant's twin; imports the framework."""
    return import_module(f"benchmarks.{parse(name)[0]}_side")


def build(
    name: str, config: Config, data: Data, device: Any, count: int
) -> Variant:
    """The variant of this name.

    Args:
        name: see ``benchmarks.variant_names``.
        config: the experiment.
        data: its training set.
        device: what the twin's ``select_device`` gave.
        count: the most iterations in one call of ``run``.
    """
    side, loop = side_of(name), parse(name)[1]
    twin = side.twin
    if loop.startswith("seeds-"):
        return _seeds(side, config, data, device, count, games(name))

    def create() -> Any:
        return twin.create(config, data, device)

    if loop == "device":
        train = twin.device_stream(config, data, device)
        return Variant(
            create,
            lambda game, count: train(game, 0, count),
            partial(losses, twin),
            lambda ulp_seed: _plain(
                twin, create(), side.drawn(config, data, device), ulp_seed
            ),
            twin.to_numpy,
        )
    loops = twin.VARIANTS | {"tutorial": TUTORIALS[twin.__name__]}
    stream = Stream(config, data)
    return _Shared(twin, create, loops[loop], stream, device, count).variant()


class _Shared:
    """A training loop on batches of the shared stream."""

    def __init__(self, twin, create, loop, stream, device, count):
        self._twin, self._create, self._loop = twin, create, loop
        self._batch = lambda step: twin.place(stream.batch(step), device)
        self._batches = twin.place(stream.batches(0, count), device)

    def variant(self) -> Variant:
        return Variant(
            self.create,
            self.run,
            partial(losses, self._twin),
            self.plain,
            self._twin.to_numpy,
        )

    def create(self) -> Any:
        game = self._create()
        self._train = self._loop(game)  # a CUDA graph is of one game
        return game

    def run(self, game: Any, count: int) -> tuple[Any, Any]:
        return self._train(game, _first(self._batches, count))

    def plain(self, ulp_seed: int | None) -> tuple[State, NDArray]:
        return _plain(self._twin, self._create(), self._batch, ulp_seed)


def _first(batches: Any, count: int) -> Any:
    if length(batches) == count:
        return batches  # a slice would be a copy
    return map_arrays(lambda array: array[:count], batches)


def _plain(
    twin: Any,
    game: Any,
    batch: Callable[[int], Any],
    ulp_seed: int | None,
) -> tuple[State, NDArray]:
    """State after one plain step; both players' losses, (2 STEPS, 2)."""
    if ulp_seed is not None:
        state = moved_by_one_ulp(twin.to_numpy(game), ulp_seed)
        game = twin.from_numpy(game, state)
    game, metrics = game.step(batch(0))
    state, rows = twin.to_numpy(game), [losses(twin, metrics)]
    for step in range(1, 2 * STEPS):
        game, metrics = game.step(batch(step % STEPS))
        rows.append(losses(twin, metrics))
    return state, np.array(rows)


def losses(twin: Any, metrics: Any) -> NDArray:
    """Losses of D and G on the last axis, in NumPy."""
    values = twin.fetch(metrics)
    both = values["discriminator_loss"], values["generator_loss"]
    return np.stack(both, axis=-1)


def _seeds(
    side: Any, config: Config, data: Data, device: Any, most: int, n: int
) -> Variant:
    twin = side.twin
    configs = [replace(config, seed=config.seed + i) for i in range(n)]
    streams = [Stream(config, data) for config in configs]
    batches = twin.place(
        stack([stream.batches(0, most) for stream in streams]), device
    )
    games: list[Any] = []

    def create() -> Any:
        games[:] = [twin.create(config, data, device) for config in configs]
        return twin.stack_games(games)

    def run(game: Any, count: int) -> tuple[Any, Any]:
        part = batches
        if count < most:
            part = map_arrays(lambda array: array[:, :count], batches)
        game, metrics = twin.train_seeds(game, part)
        if metrics.generator_loss.ndim == 2:  # JAX's are of each game
            metrics = type(metrics)(*(value.mean(0) for value in metrics))
        return game, metrics

    def state(game: Any) -> State:
        each = (side.seed_of(game, games, i) for i in range(n))
        return {
            f"{i}/{name}": array
            for i, one in enumerate(each)
            for name, array in twin.to_numpy(one).items()
        }

    def plain(ulp_seed: int | None) -> tuple[State, NDArray]:
        arrays: State = {}
        rows = []
        for i, (config, stream) in enumerate(
            zip(configs, streams, strict=True)
        ):
            game = twin.create(config, data, device)

            def batch(step: int, stream: Stream = stream) -> Any:
                return twin.place(stream.batch(step), device)

            state, history = _plain(twin, game, batch, ulp_seed)
            arrays |= {f"{i}/{name}": array for name, array in state.items()}
            rows.append(history)
        return arrays, np.mean(rows, axis=0)

    return Variant(create, run, partial(losses, twin), plain, state, n)
