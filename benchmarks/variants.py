"""One variant of one twin, ready to run, and the plain step next to it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers import TUTORIALS
from benchmarks.variant_names import STEPS, games, parse
from experiment.config import Config
from experiment.initial import State
from experiment.pixels import Data
from experiment.stream import Batch, Stream, length, map_arrays, stack


@dataclass
class Variant:
    """A training loop on batches that are on the device already.

    Attributes:
        create: the game before its first step; ``run`` is for the last one.
        run: (game, count) to (game, metrics): the first ``count`` iterations.
        losses: those of both players in a run's metrics, (n, 2).
        plain: (control) to the state after one iteration by the plain step,
            and the losses of two runs of STEPS, one after the other, on the
            same batches.
        state: the arrays of a game, for comparison.
        games: how many are trained together.
    """

    create: Callable[[], Any]
    run: Callable[[Any, int], tuple[Any, Any]]
    losses: Callable[[Any], NDArray]
    plain: Callable[["Control"], tuple[State, NDArray]]
    state: Callable[[Any], State]
    games: int = 1


class Control(NamedTuple):
    """A change of the plain step that only its rounding errors show.

    Attributes:
        start: of the initial state.
        batch: of every batch on the device.
    """

    start: Callable[[State], State] = lambda state: state
    batch: Callable[[Any], Any] = lambda batch: batch


AS_IT_IS = Control()


def reversed_rows(batch: Any) -> Any:
    """A batch with its minibatches the other way round: another sum order."""
    if not isinstance(batch, Batch):  # of simultaneous players
        return map_arrays(partial(_reversed, axis=0), batch)
    return Batch(
        map_arrays(partial(_reversed, axis=1), batch.discriminator),
        map_arrays(partial(_reversed, axis=0), batch.generator),
    )


def _reversed(array: Any, axis: int) -> Any:
    order = np.arange(array.shape[axis])[::-1].copy()
    return array[(*axis * (slice(None),), order)]


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
            lambda control: _plain(
                twin, create(), side.drawn(config, data, device), control
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

    def plain(self, control: Control) -> tuple[State, NDArray]:
        return _plain(self._twin, self._create(), self._batch, control)


def _first(batches: Any, count: int) -> Any:
    if length(batches) == count:
        return batches  # a slice would be a copy
    return map_arrays(lambda array: array[:count], batches)


def _plain(
    twin: Any,
    game: Any,
    batch: Callable[[int], Any],
    control: Control,
) -> tuple[State, NDArray]:
    """State after one plain step; both players' losses, (2 STEPS, 2)."""
    game = twin.from_numpy(game, control.start(twin.to_numpy(game)))
    game, metrics = game.step(control.batch(batch(0)))
    state, rows = twin.to_numpy(game), [losses(twin, metrics)]
    for step in range(1, 2 * STEPS):
        game, metrics = game.step(control.batch(batch(step % STEPS)))
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

    def plain(control: Control) -> tuple[State, NDArray]:
        arrays: State = {}
        rows = []
        for i, (config, stream) in enumerate(
            zip(configs, streams, strict=True)
        ):
            game = twin.create(config, data, device)

            def batch(step: int, stream: Stream = stream) -> Any:
                return twin.place(stream.batch(step), device)

            state, history = _plain(twin, game, batch, control)
            arrays |= {f"{i}/{name}": array for name, array in state.items()}
            rows.append(history)
        return arrays, np.mean(rows, axis=0)

    return Variant(create, run, partial(losses, twin), plain, state, n)
