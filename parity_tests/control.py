"""The control: how far PyTorch runs from itself when only rounding differs.

Training magnifies rounding. Where two runs of one framework, apart in the
last bit of their initial weights or in the order of their sums, end further
apart than a bound, no port could keep it; then the control takes its place.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

import torch_ref
from experiment.stream import Batch, DiscriminatorBatch, Stream, map_arrays
from parity_tests.compare import Arrays, Gap, by_kind, gap


class Reversed(Stream):
    """The stream with every minibatch in the opposite order.

    Losses are means and know no order, so it changes nothing but the rounding
    of their sums, which every port rounds in its own way.
    """

    def batch(self, step: int) -> Batch | DiscriminatorBatch:
        """What iteration ``step`` consumes, the last example first."""
        batch = super().batch(step)
        if isinstance(batch, DiscriminatorBatch):  # of simultaneous players
            return map_arrays(lambda array: array[::-1].copy(), batch)
        of_d, of_g = batch
        return Batch(
            map_arrays(lambda array: array[:, ::-1].copy(), of_d),
            map_arrays(lambda array: array[::-1].copy(), of_g),
        )


def reference_run(
    stream: Stream, state: Mapping[str, NDArray], steps: int
) -> tuple[Arrays, Arrays]:
    """PyTorch's run from a state on a stream.

    Returns:
        The metrics of all iterations, and the state after the last.
    """
    game = torch_ref.create(stream.config, stream.data)
    game = torch_ref.from_numpy(game, dict(state))
    rows = []
    for number in range(steps):
        batch = torch_ref.place(stream.batch(number))
        game, metrics = game.step(batch)
        rows.append([value.numpy() for value in metrics])
    columns = zip(metrics._fields, zip(*rows, strict=True), strict=True)
    history = {name: np.array(column) for name, column in columns}
    return history, torch_ref.to_numpy(game)


def gaps_of_runs(
    ours: tuple[Arrays, Arrays], theirs: tuple[Arrays, Arrays]
) -> dict[str, Gap]:
    """The gaps of two runs by kind: metrics, weights, moments, statistics."""
    return {"metrics": gap(ours[0], theirs[0]), **by_kind(ours[1], theirs[1])}
