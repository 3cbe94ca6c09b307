"""Implementations of this GAN, replayed; the twins are the first of them."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from parity_tests.container import part_of
from parity_tests.keys import key_of
from parity_tests.recorded import replay_recording
from parity_tests.result import Result
from parity_tests.side import Key, Side, State
from parity_tests.trajectory import Trajectory, config_from
from parity_tests.twin import METRICS, PLAYERS, nested_batch


class Implementation(Protocol):
    """This GAN, written by anyone in anything, as ``replay`` drives it.

    All arrays are NumPy's, in the trajectory's precision.
    """

    def load_state(
        self, config: dict[str, Any], state: dict[str, NDArray]
    ) -> None:
        """Builds the game and gives it this state.

        Args:
            config: the fields of the recipe, and ``sample_shape``.
            state: weights, statistics and moments under the names, and in
                the layouts, that index.json explains.
        """

    def iterate(self, batch: dict[str, NDArray]) -> dict[str, float]:
        """One iteration of Algorithm 1: k steps of D, one of G.

        Args:
            batch: ``discriminator/x`` [k, m, ...], ``discriminator/z``
                [k, m, n], ``discriminator/real_masks/*`` and
                ``fake_masks/*`` [k, m, units], ``generator/z`` [m, n],
                ``generator/masks/*`` [m, units]. Where the config's updates
                is simultaneous: no axis of k, nothing of the generator.

        Returns:
            The four metrics by name.
        """

    def read_state(self) -> dict[str, NDArray]:
        """The state now, under the names that ``load_state`` was given."""


class ImplementationSide:
    """An implementation as a side, in the state that was recorded first."""

    def __init__(self, implementation: Implementation, trajectory: Trajectory):
        """Loads the state."""
        self._implementation = implementation
        self._config = trajectory.portable_config
        self._initial = part_of("state/", trajectory.recording.read(0))
        self._load(self._initial)

    def _load(self, state: dict[str, NDArray]) -> None:
        copies = {name: array.copy() for name, array in state.items()}
        self._implementation.load_state(self._config, copies)

    def step(self, batch: dict[str, NDArray]) -> dict[str, float]:
        """One iteration; its metrics."""
        return self._implementation.iterate(batch)

    def read(self) -> State:
        """What the implementation says, copied."""
        state = self._implementation.read_state()
        return {key_of(name): np.array(array) for name, array in state.items()}

    def write(self, state: Mapping[Key, NDArray]) -> None:
        """Builds the game again, unless it is in this state already."""
        now = self.read()
        if any(not np.array_equal(now[key], a) for key, a in state.items()):
            self._load({name: state[key_of(name)] for name in self._initial})


def replay_implementation(
    trajectory: Trajectory, build: Callable[[], Any]
) -> Result:
    """Checks an implementation of this GAN against a trajectory.

    Args:
        trajectory: of the reference.
        build: makes the implementation, or a side that takes the recorded
            batches.

    Raises:
        InputError: as ``parity_tests.recorded.replay``.
    """

    def port() -> Side:
        found = build()
        if hasattr(found, "load_state"):
            return ImplementationSide(found, trajectory)
        return found

    return replay_recording(
        trajectory.recording, port, metrics=METRICS, order=PLAYERS
    )


class _Twin:
    """A twin in the protocol ``Implementation``.

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
