"""What a ladder's results say of each variant: times, roofline, verdicts."""

from collections.abc import Mapping, Sequence
from math import inf
from typing import Any, NamedTuple

import numpy as np

from benchmarks.results import whole_repetitions, whole_rounds
from benchmarks.statistics import (
    Blocks,
    Claim,
    Interval,
    estimate,
    judge,
    noise_floor,
)
from benchmarks.variant_names import games, is_duplicate, parse

# Single games on prepared batches: what the twins are compared by.
SAME_WORK = (
    "scan",
    "step",
    "unroll-10",
    "flat",
    "eager",
    "compile",
    "reduce-overhead",
    "graph",
    "graph-10",
    "compile-graph-10",
)


class Roof(NamedTuple):
    """The least time of an iteration: its matmuls, then its optimizers.

    Attributes:
        flops: of the matmuls.
        bytes: that the optimizers move.
        peak: measured GEMM speed, FLOP/s, in the repetition where it was
            highest.
        bandwidth: measured memory bandwidth, bytes/s, likewise.
    """

    flops: int
    bytes: int
    peak: float
    bandwidth: float

    @property
    def seconds(self) -> float:
        """Seconds of an iteration at the roofline."""
        return self.flops / self.peak + self.bytes / self.bandwidth


class Row(NamedTuple):
    """What is said of one variant of a workload.

    Attributes:
        variant: its name.
        milliseconds: of one iteration of one game.
        images: real images that D consumed in a second, in all games.
        roof: what the time could be, at the framework's own measured peaks.
        peak_bytes: the most memory that was held.
        joules: of the GPU for 1,000 images; None without a count.
        cold: seconds of compilation: of the first call of all, less its time
            when warm.
        warm: the same from the cache, in a later process; None if there was
            none.
        break_even: iterations after which it has overtaken the variant that
            starts fastest; 0 for that one, infinite if never.
        settled: whether its times were constant to 2 % before its rounds.
        graph_breaks: programs of ``torch.compile`` in a step, less one.
        claim: against PyTorch's best; None for that one and for A/A
            duplicates.
    """

    variant: str
    milliseconds: Interval
    images: float
    roof: Roof
    peak_bytes: int
    joules: float | None
    cold: float
    warm: float | None
    break_even: float
    settled: bool
    graph_breaks: int
    claim: Claim | None

    @property
    def rate(self) -> float:
        """FLOP/s of its matmuls."""
        return 1000 * self.roof.flops / self.milliseconds.estimate

    @property
    def roof_share(self) -> float:
        """Time at the roofline over measured time."""
        return 1000 * self.roof.seconds / self.milliseconds.estimate


class Table(NamedTuple):
    """A workload: its rows by speed, and what holds for all of them.

    Attributes:
        rows: one for each variant, the fastest first.
        best: each twin's fastest variant.
        floor: the noise floor, as a ratio; None without an A/A duplicate.
        background: the share of the machine that other processes had, in the
            worst repetition.
    """

    rows: list[Row]
    best: dict[str, str]
    floor: float | None
    background: float

    def best_rows(self) -> dict[str, Row]:
        """The row of each twin's best variant."""
        rows = {row.variant: row for row in self.rows}
        return {twin: rows[variant] for twin, variant in self.best.items()}

    def by_games(self) -> dict[int, dict[str, Row]]:
        """Each twin's row by how many games it trains together, in order."""
        found: dict[int, dict[str, Row]] = {}
        for row in self.rows:
            if "seeds-" in row.variant:
                twin = row.variant.partition(" ")[0]
                found.setdefault(games(row.variant), {})[twin] = row
        return dict(sorted(found.items()))


def iteration_seconds(workload: Mapping[str, Any]) -> dict[str, Blocks]:
    """Seconds of an iteration of one game in every block, by variant."""
    blocks: dict[str, list[list[float]]] = {}
    for repetition in whole_repetitions(workload):
        for name, v in repetition["variants"].items():
            if name not in workload["refused"]:
                work = v["iterations"] * v["games"]
                blocks.setdefault(name, []).append(
                    [s / work for s in v["seconds"][: whole_rounds(repetition)]]
                )
    return {name: np.array(times) for name, times in blocks.items()}


def background_load(workload: Mapping[str, Any]) -> float:
    """The largest median of a repetition; 0 where it was not measured."""
    medians = [
        float(np.median(shares))
        for repetition in whole_repetitions(workload)
        if (shares := [b for b in repetition["busy"] if b is not None])
    ]
    return max(medians, default=0.0)


def tabulate(workload: Mapping[str, Any]) -> Table:
    """The table of a workload."""
    blocks = iteration_seconds(workload)
    seconds = {name: estimate(times) for name, times in blocks.items()}
    best = _best(seconds)
    floor = noise_floor(blocks)
    claims = judge(blocks, best["torch"], floor) if "torch" in best else {}
    variants = whole_repetitions(workload)[0]["variants"] if blocks else {}
    cold = {name: _compilation(variants[name]) for name in blocks}
    quickest = min(blocks, key=lambda name: cold[name], default=None)
    rows = [
        _row(workload, name, seconds, cold, quickest, claims)
        for name in sorted(blocks, key=seconds.__getitem__)
    ]
    return Table(
        rows,
        best,
        None if floor is None else float(np.exp(floor)),
        background_load(workload),
    )


def _best(seconds: Mapping[str, Interval]) -> dict[str, str]:
    """The fastest variant of each twin, of those that do the same work."""
    best = {}
    for twin in ("jax", "torch"):
        rivals = [
            name
            for name in seconds
            if parse(name)[0] == twin
            and parse(name)[1] in SAME_WORK
            and not is_duplicate(name)
        ]
        if rivals:
            best[twin] = min(rivals, key=seconds.__getitem__)
    return best


def _compilation(values: Mapping[str, Any]) -> float:
    return max(0.0, values["first_seconds"] - values["warmup_seconds"][-1])


def _row(workload, name, seconds, cold, quickest, claims) -> Row:
    repetitions = [one["variants"][name] for one in whole_repetitions(workload)]
    first = repetitions[0]
    pace = seconds[name].estimate
    gain = seconds[quickest].estimate - pace
    late = cold[name] - cold[quickest]
    break_even = 0.0 if late <= 0 else late / gain if gain > 0 else inf
    images = workload["batch_size"] / pace
    return Row(
        name,
        Interval(*(1000 * value for value in seconds[name])),
        images,
        _roof(repetitions),
        first["peak_bytes"],
        _joules(repetitions, images),
        cold[name],
        _compilation(repetitions[1]) if len(repetitions) > 1 else None,
        break_even,
        all(values["settled"] for values in repetitions),
        first["graph_breaks"],
        claims.get(name),
    )


def _roof(repetitions: Sequence[Mapping[str, Any]]) -> Roof:
    # A ceiling: background load while it was measured must not lower it.
    peak = max(values["gemm_flops"] for values in repetitions)
    bandwidth = max(values["bandwidth"] for values in repetitions)
    first = repetitions[0]
    return Roof(first["flops"], first["optimizer_bytes"], peak, bandwidth)


def _joules(
    repetitions: Sequence[Mapping[str, Any]], images: float
) -> float | None:
    """For 1,000 images: all energy, over all images that were consumed."""
    joules = [j for values in repetitions for j in values["joules"]]
    if not joules or None in joules:
        return None
    seconds = sum(sum(values["seconds"]) for values in repetitions)
    return 1000 * sum(joules) / (seconds * images)
