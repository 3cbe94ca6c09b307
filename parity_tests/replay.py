"""Replay: any implementation of this GAN, driven through a trajectory."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from parity_tests.compare import Account, Arrays, Gap, by_kind, gap
from parity_tests.trajectory import SIDES, load, part_of, verify_tensors


class Row(NamedTuple):
    """One comparison of a replay: after which iteration, of what, how far."""

    step: int
    kind: str  # metrics, weights, moments or statistics
    gap: Gap


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


def drive(
    folder: Path, implementation: Implementation
) -> Iterator[tuple[int, Account, Account]]:
    """Drives an implementation through a trajectory, step by step.

    It starts from the recorded initial state and is never corrected.

    Yields:
        The number of each iteration, and what it left behind in the
        implementation and in the reference: metrics, and the state where one
        was recorded. The protocol has no gradients.

    Raises:
        InputError: the trajectory is damaged, or what the implementation
            returned lacks a name, or has one too many, another shape or
            precision, or a number that is not finite.
    """
    trajectory = load(folder)
    dtype = trajectory.config.dtype
    initial = part_of("state/", trajectory.read(0))
    implementation.load_state(trajectory.portable_config, initial)
    for step in range(1, trajectory.steps + 1):
        recorded = trajectory.read(step)
        batch = {
            f"{side}/{name}": array
            for side in SIDES
            for name, array in part_of(f"{side}/", recorded).items()
        }
        metrics = {
            # A Python float does not have the config's precision.
            name: np.array(value, dtype if type(value) is float else None)
            for name, value in implementation.iterate(batch).items()
        }
        theirs = Account(
            part_of("metrics/", recorded), {}, part_of("state/", recorded)
        )
        state: Arrays = {}
        if theirs.state:
            after = implementation.read_state()
            state = {name: np.array(array) for name, array in after.items()}
        ours = Account(metrics, {}, state)
        for found, wanted in zip(ours, theirs, strict=True):
            layouts = {k: (str(a.dtype), a.shape) for k, a in wanted.items()}
            verify_tensors(
                f"the implementation, iteration {step}", found, layouts
            )
        yield step, ours, theirs


def replay(folder: Path, implementation: Implementation) -> list[Row]:
    """How far an implementation is from the reference, step by step.

    Returns:
        The gap of the metrics after every iteration, and those of weights,
        moments and statistics where they were recorded.

    Raises:
        InputError: as ``drive``.
    """
    rows = []
    for step, ours, theirs in drive(folder, implementation):
        found = {"metrics": gap(ours.metrics, theirs.metrics)}
        found |= by_kind(ours.state, theirs.state)
        rows += [Row(step, kind, value) for kind, value in found.items()]
    return rows
