"""All-reduces of an iteration over several devices, by formula and as counted.

The bytes are those of the arrays that are summed. What a device sends for them
depends on the algorithm: by a ring of n, 2 (n - 1) / n times as many. How many
all-reduces XLA makes of them is its own choice: it combines those that are
independent.
"""

import re
from collections.abc import Mapping
from math import prod
from typing import NamedTuple

from numpy.typing import NDArray

from experiment.config import Config


class Reductions(NamedTuple):
    """All-reduces of one iteration.

    Attributes:
        number: how many.
        bytes: of their arrays.
    """

    number: int
    bytes: int


class _Player(NamedTuple):
    """What of a player is summed.

    Attributes:
        weights: bytes of its gradients.
        norms: its batch normalisations.
        statistics: bytes of the means of all of them.
    """

    weights: int
    norms: int
    statistics: int


def of_processes(config: Config, state: Mapping[str, NDArray]) -> Reductions:
    """All-reduces of one iteration of PyTorch's processes, by formula.

    Each update of a player sums its gradients, as one array. A batch
    normalisation sums its mean and its variance in the forward pass, and the
    gradients of both in a backward pass. In Algorithm 1, k steps of D have a
    forward pass of G, and two forward and backward passes of D; G's step has
    one of each of both players.

    Args:
        config: the experiment.
        state: the arrays of its game, by framework-neutral names.
    """
    G, D = (_player(state, side) for side in ("generator", "discriminator"))
    k = config.k
    if config.updates == "simultaneous":  # D's fake batch serves both updates
        of_g, of_d = 2, 5
    else:
        of_g, of_d = k + 2, 4 * k + 2
    passes = (of_g, G), (of_d, D)
    return Reductions(
        k + 1 + 2 * sum(n * player.norms for n, player in passes),
        k * D.weights
        + G.weights
        + 2 * sum(n * player.statistics for n, player in passes),
    )


def bytes_of_xla(config: Config, state: Mapping[str, NDArray]) -> int:
    """Bytes of XLA's all-reduces in one iteration, by formula.

    They are PyTorch's and those that it does without. XLA sums D's gradients of
    real and of fake samples separately, before it adds both. It sums D's
    metrics, two means in its loss and two probabilities, and G's loss in every
    iteration; PyTorch does at the end of a chunk. And in G's step it sums what
    would be the gradient of D's scales, where PyTorch sums its product with
    the scale.

    Args:
        config: the experiment; simultaneous players have no batch
            normalisation.
        state: the arrays of its game, by framework-neutral names.
    """
    D = _player(state, "discriminator")
    metrics = (4 * config.k + 1) * config.dtype.itemsize
    more = config.k * D.weights + D.statistics + metrics
    return of_processes(config, state).bytes + more


def _player(state: Mapping[str, NDArray], side: str) -> _Player:
    def sizes(kind: str, end: str = "") -> list[int]:
        return [
            array.nbytes
            for name, array in state.items()
            if name.startswith(f"{side}/{kind}/") and name.endswith(end)
        ]

    means = sizes("statistics", "/mean")
    return _Player(sum(sizes("params")), len(means), sum(means))


# Of XLA's text: the head of a computation, what an instruction calls, how
# often a loop runs, and an all-reduce of one or several arrays.
_HEAD = re.compile(r"(ENTRY )?%?([\w.-]+) \(.*\{$")
_CALLED = re.compile(
    r"(?:to_apply|calls|body|condition)=%?([\w.-]+)"
    r"|branch_computations=\{([^}]*)\}"
)
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
_ALL_REDUCE = re.compile(r"= (.*?) all-reduce(?:-start)?\(")
_ARRAY = re.compile(r"[a-z]+(\d+)\[([\d,]*)\]")


def of_program(text: str, iterations: int) -> Reductions:
    """All-reduces of one iteration of a compiled program of XLA.

    Args:
        text: of the program after its optimization.
        iterations: that one call of it takes.

    Raises:
        ValueError: a loop does not say how often it runs.
    """
    counts: dict[str, Reductions] = {}
    name = entry = ""
    # A computation comes after those that it calls.
    for line in text.splitlines():
        if head := _HEAD.match(line):
            name = head[2]
            counts[name] = Reductions(0, 0)
            entry = name if head[1] else entry
        elif name:
            here, found = counts[name], _of_instruction(line, counts)
            counts[name] = Reductions(*map(sum, zip(here, found, strict=True)))
    number, size = counts[entry]
    return Reductions(number // iterations, size // iterations)


def _of_instruction(line: str, counts: Mapping[str, Reductions]) -> Reductions:
    if found := _ALL_REDUCE.search(line):
        arrays = _ARRAY.findall(found[1])
        bits = sum(
            int(size) * prod(map(int, filter(None, shape.split(","))))
            for size, shape in arrays
        )
        return Reductions(1, bits // 8)
    names = [
        name.strip().removeprefix("%")
        for one, several in _CALLED.findall(line)
        for name in (several.split(",") if several else [one])
    ]
    number, size = (
        sum(counts[name][i] for name in names if name in counts) for i in (0, 1)
    )
    if not number or " while(" not in line:
        return Reductions(number, size)
    trips = _TRIPS.search(line)
    if trips is None:
        raise ValueError(f"a loop of XLA has no known number: {line[:80]}")
    return Reductions(int(trips[1]) * number, int(trips[1]) * size)
