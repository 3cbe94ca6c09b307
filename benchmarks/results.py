"""Files of the ladder: reading, and what they say of each variant."""

from collections.abc import Mapping, Sequence
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.schema import read_json
from benchmarks.statistics import (
    ENOUGH_SETS,
    FEWEST_SETS,
    Blocks,
    Claim,
    Interval,
    estimate,
    judge,
    noise_floor,
)
from benchmarks.variants import games, parse
from experiment.pages import describe

SCHEMA, VERSION = "gan-ladder", 2
BUSY = 0.15  # share of the processors that others may take
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
_RESULTS = {"complete": bool, "machine": dict, "plan": dict, "workloads": dict}
_MACHINE = {"cpu": str, "cores": int, "versions": dict}
_WORKLOAD = {"recipe": str, "batch_size": int, "refused": dict, "sets": list}
_PLAN = {"device": str, "rounds": int, "sets": int, "matmul": str}
_VARIANT = {
    "seconds": list,
    "joules": list,
    "warmup_seconds": list,
    "first_seconds": float,
    "iterations": int,
    "games": int,
    "flops": int,
    "optimizer_bytes": int,
    "gemm_flops": float,
    "bandwidth": float,
    "peak_bytes": int,
    "settled": bool,
    "graph_breaks": int,
    "settings": dict,
}

_POSITIVE = (
    "iterations",
    "games",
    "flops",
    "optimizer_bytes",
    "gemm_flops",
    "bandwidth",
)


def load(path: Path) -> dict[str, Any]:
    """The results in a file, verified.

    Raises:
        InputError: the file is no JSON or cut short, of another schema or
            version, or lacks a value; the message names it.
    """
    return read_json(path, SCHEMA, VERSION, "ladder", "measure", _verify)


def _verify(results: Mapping[str, Any]) -> None:
    _fields("it", results, _RESULTS)
    _fields("the plan", results["plan"], _PLAN)
    _fields("the machine", results["machine"], _MACHINE)
    if not isinstance(results["failed"], str | None):
        raise ValueError("failed of it")
    if not results["workloads"]:
        raise ValueError("the workloads")
    for name, of in results["workloads"].items():
        _fields(name, of, _WORKLOAD)
        if of["batch_size"] < 1:
            raise ValueError(f"batch_size of {name}")
        for one in of["sets"]:
            _verify_set(name, one)
        of_sets = {
            frozenset(one["variants"].keys() - of["refused"].keys())
            for one in whole_sets(of)
        }
        if len(of_sets) > 1:
            raise ValueError(f"a variant in a set of {name}")


def _verify_set(name: str, one: Mapping[str, Any]) -> None:
    _fields(name, one, {"busy": list, "order": list, "variants": dict})
    if not all(share is None or 0 <= share <= 1 for share in one["busy"]):
        raise ValueError(f"busy of {name}")
    for variant, values in one["variants"].items():
        where = f"{name}, {variant}"
        parse(variant)
        _fields(where, values, _VARIANT)
        if not values["warmup_seconds"]:
            raise ValueError(f"warmup_seconds of {where}")
        times = values["seconds"] + values["warmup_seconds"]
        if not all(_is_number(s) and 0 < s < inf for s in times):
            raise ValueError(f"the seconds of {where}")
        for key in _POSITIVE:
            if not 0 < values[key] < inf:
                raise ValueError(f"{key} of {where}")
        drawn = [j for j in values["joules"] if j is not None]
        if not all(_is_number(j) and 0 <= j < inf for j in drawn):
            raise ValueError(f"the joules of {where}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _fields(where: str, values: Any, types: Mapping[str, type]) -> None:
    for key, kind in types.items():
        value = values.get(key)
        if not isinstance(value, (int, float) if kind is float else kind):
            raise ValueError(f"{key} of {where}")


def hardware(results: Mapping[str, Any]) -> str:
    """The machine in words, and the GPU before it where one was asked for."""
    machine = describe(results["machine"])
    if results["plan"]["device"] == "cpu":
        return machine
    names = {
        values["settings"]["device"]
        for of in results["workloads"].values()
        for one in of["sets"]
        for values in one["variants"].values()
        if "device" in values["settings"]
    }
    return "; ".join([*sorted(names), machine])


class Roof(NamedTuple):
    """The least time of an iteration: its products, then its optimizers.

    Attributes:
        flops: of the products.
        bytes: that the optimizers move.
        peak: FLOP/s of a large product, in the set where it was fastest.
        bandwidth: bytes/s of a large sum, likewise.
    """

    flops: int
    bytes: int
    peak: float
    bandwidth: float

    @property
    def seconds(self) -> float:
        """The roof itself."""
        return self.flops / self.peak + self.bytes / self.bandwidth


class Row(NamedTuple):
    """What is said of one variant of a workload.

    Attributes:
        milliseconds: of one iteration of one game.
        images: real images that D consumed in a second, in all games.
        roof: what the time could be, at the framework's own measured peaks.
        joules: of the GPU for 1,000 images; None where none was counted.
        first: seconds of the first call of all, less its steady time.
        cached: the same in a later process; None if there was none.
        break_even: iterations after which it has overtaken the variant that
            starts fastest; 0 for that one, infinite if never.
        graph_breaks: programs of ``torch.compile`` in a step, but for one.
        claim: against PyTorch's best; None for that one and for A/A.
    """

    variant: str
    milliseconds: Interval
    images: float
    roof: Roof
    peak_bytes: int
    joules: float | None
    first: float
    cached: float | None
    break_even: float
    settled: bool
    graph_breaks: int
    claim: Claim | None

    @property
    def rate(self) -> float:
        """FLOP/s of its products."""
        return 1000 * self.roof.flops / self.milliseconds.estimate

    @property
    def roof_share(self) -> float:
        """Of the roof's time in the time that it took."""
        return 1000 * self.roof.seconds / self.milliseconds.estimate


class Table(NamedTuple):
    """A workload: its rows by speed, who is best, the A/A floor's ratio.

    ``busy`` is the share of the machine that others had, in the worst set.
    """

    rows: list[Row]
    best: dict[str, str]
    floor: float | None
    busy: float

    def best_rows(self) -> dict[str, Row]:
        """The row of each twin's best variant."""
        rows = {row.variant: row for row in self.rows}
        return {twin: rows[variant] for twin, variant in self.best.items()}

    def by_games(self) -> dict[int, dict[str, Row]]:
        """Each twin's row by how many games it trains at once, in order."""
        found: dict[int, dict[str, Row]] = {}
        for row in self.rows:
            if "seeds-" in row.variant:
                twin = row.variant.partition(" ")[0]
                found.setdefault(games(row.variant), {})[twin] = row
        return dict(sorted(found.items()))


def whole_sets(workload: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The sets with the most whole rounds; a run that ended has a shorter."""
    counts = [_rounds(one) for one in workload["sets"]]
    most = max(counts, default=0)
    return [
        one
        for one, count in zip(workload["sets"], counts, strict=True)
        if count == most > 0
    ]


def refusals(workload: Mapping[str, Any]) -> dict[str, str]:
    """Why a variant has no number; what was entered again for the same, once.

    Example:
        >>> refusals({"refused": {"jax scan": "a", "jax scan again": "a"}})
        {'jax scan': 'a'}
        >>> refusals({"refused": {"jax scan again": "b"}})
        {'jax scan again': 'b'}
    """
    refused = workload["refused"]
    return {
        name: reason
        for name, reason in refused.items()
        if name == (form := name.removesuffix(" again"))
        or refused.get(form) != reason
    }


def _rounds(one: Mapping[str, Any]) -> int:
    """The rounds of a set in which every variant has a block."""
    blocks = (len(v["seconds"]) for v in one["variants"].values())
    return min(blocks, default=0)


def paces(workload: Mapping[str, Any]) -> dict[str, Blocks]:
    """Seconds of an iteration of one game, by variant."""
    found: dict[str, list[list[float]]] = {}
    for one in whole_sets(workload):
        for name, v in one["variants"].items():
            if name not in workload["refused"]:
                work = v["iterations"] * v["games"]
                found.setdefault(name, []).append(
                    [s / work for s in v["seconds"][: _rounds(one)]]
                )
    return {name: np.array(sets) for name, sets in found.items()}


def lacks_interval(workload: Mapping[str, Any]) -> str:
    """Why a workload has no interval and no verdict; empty if it has."""
    if len(whole_sets(workload)) >= FEWEST_SETS:
        return ""
    return (
        "One set of processes gives no interval and no verdict: they need at "
        f"least {FEWEST_SETS} sets, and {ENOUGH_SETS} to find most differences "
        "of 5 %."
    )


def tabulate(workload: Mapping[str, Any]) -> Table:
    """The table of a workload."""
    of = paces(workload)
    seconds = {name: estimate(blocks) for name, blocks in of.items()}
    best = {}
    for twin in ("jax", "torch"):
        rivals = [
            name
            for name in of
            if name.partition(" ")[0] == twin
            and parse(name)[1] in SAME_WORK
            and not name.endswith(" again")
        ]
        if rivals:
            best[twin] = min(rivals, key=seconds.__getitem__)
    floor = noise_floor(of)
    claims = judge(of, best["torch"], floor) if "torch" in best else {}
    sets = whole_sets(workload)
    first = {name: _first_seconds(sets[0]["variants"][name]) for name in of}
    quickest = min(of, key=lambda name: first[name], default=None)
    rows = [
        _row(workload, name, seconds, first, quickest, claims)
        for name in sorted(of, key=seconds.__getitem__)
    ]
    busy = [
        float(np.median(shares))
        for one in sets
        if (shares := [b for b in one["busy"] if b is not None])
    ]
    return Table(
        rows,
        best,
        None if floor is None else float(np.exp(floor)),
        max(busy, default=0.0),
    )


def _first_seconds(values: Mapping[str, Any]) -> float:
    return max(0.0, values["first_seconds"] - values["warmup_seconds"][-1])


def _row(workload, name, seconds, first, quickest, claims) -> Row:
    of = [one["variants"][name] for one in whole_sets(workload)]
    values = of[0]
    pace = seconds[name].estimate
    gain = seconds[quickest].estimate - pace
    late = first[name] - first[quickest]
    break_even = 0.0 if late <= 0 else late / gain if gain > 0 else inf
    images = workload["batch_size"] / pace
    return Row(
        name,
        Interval(*(1000 * value for value in seconds[name])),
        images,
        _roof(of),
        values["peak_bytes"],
        _joules(of, images),
        first[name],
        _first_seconds(of[1]) if len(of) > 1 else None,
        break_even,
        all(values["settled"] for values in of),
        values["graph_breaks"],
        claims.get(name),
    )


def _roof(of: Sequence[Mapping[str, Any]]) -> Roof:
    # A ceiling: a busy moment while it was measured must not lower it.
    peak = max(values["gemm_flops"] for values in of)
    bandwidth = max(values["bandwidth"] for values in of)
    return Roof(of[0]["flops"], of[0]["optimizer_bytes"], peak, bandwidth)


def _joules(of: Sequence[Mapping[str, Any]], images: float) -> float | None:
    """For 1,000 images: all that was drawn, over all that were consumed."""
    drawn = [joules for values in of for joules in values["joules"]]
    if not drawn or None in drawn:
        return None
    seconds = sum(sum(values["seconds"]) for values in of)
    return 1000 * sum(drawn) / (seconds * images)
