"""Files of the ladder: their schema, reading and verification.

The keys are those of version 2 of the schema: ``sets`` are the process
repetitions, ``refused`` the variants that are excluded, each with the reason,
and ``busy`` is the background load.
"""

from collections.abc import Mapping
from math import inf
from pathlib import Path
from typing import Any

from benchmarks.schema import read_json
from benchmarks.statistics import ENOUGH_REPETITIONS, FEWEST_REPETITIONS
from benchmarks.variant_names import original, parse
from experiment.pages import describe

SCHEMA, VERSION = "gan-ladder", 2
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
        InputError: the file is not JSON, is truncated, has another schema or
            version, or lacks a value; the message names it.
    """
    return read_json(path, SCHEMA, VERSION, "ladder", "measure again", _verify)


def _verify(results: Mapping[str, Any]) -> None:
    _fields("it", results, _RESULTS)
    _fields("the plan", results["plan"], _PLAN)
    _fields("the machine", results["machine"], _MACHINE)
    if not isinstance(results["failed"], str | None):
        raise ValueError("failed of it")
    if not results["workloads"]:
        raise ValueError("the workloads")
    for name, workload in results["workloads"].items():
        _fields(name, workload, _WORKLOAD)
        if workload["batch_size"] < 1:
            raise ValueError(f"batch_size of {name}")
        for repetition in workload["sets"]:
            _verify_repetition(name, repetition)
        variants = {
            frozenset(
                repetition["variants"].keys() - workload["refused"].keys()
            )
            for repetition in whole_repetitions(workload)
        }
        if len(variants) > 1:
            raise ValueError(f"a variant in one of the sets of {name}")


def _verify_repetition(name: str, repetition: Mapping[str, Any]) -> None:
    _fields(name, repetition, {"busy": list, "order": list, "variants": dict})
    shares = repetition["busy"]
    if not all(share is None or 0 <= share <= 1 for share in shares):
        raise ValueError(f"busy of {name}")
    for variant, values in repetition["variants"].items():
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
        joules = [j for j in values["joules"] if j is not None]
        if not all(_is_number(j) and 0 <= j < inf for j in joules):
            raise ValueError(f"the joules of {where}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _fields(where: str, values: Any, types: Mapping[str, type]) -> None:
    for key, kind in types.items():
        value = values.get(key)
        if not isinstance(value, (int, float) if kind is float else kind):
            raise ValueError(f"{key} of {where}")


def hardware(results: Mapping[str, Any]) -> str:
    """The machine in words, after its GPU where the device is one."""
    machine = describe(results["machine"])
    if results["plan"]["device"] == "cpu":
        return machine
    names = {
        values["settings"]["device"]
        for workload in results["workloads"].values()
        for repetition in workload["sets"]
        for values in repetition["variants"].values()
        if "device" in values["settings"]
    }
    return "; ".join([*sorted(names), machine])


def whole_repetitions(workload: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The repetitions with the most rounds; a stopped one has fewer."""
    counts = [whole_rounds(one) for one in workload["sets"]]
    most = max(counts, default=0)
    return [
        one
        for one, count in zip(workload["sets"], counts, strict=True)
        if count == most > 0
    ]


def whole_rounds(repetition: Mapping[str, Any]) -> int:
    """The rounds of a repetition in which every variant has a block."""
    blocks = (len(v["seconds"]) for v in repetition["variants"].values())
    return min(blocks, default=0)


def exclusions(workload: Mapping[str, Any]) -> dict[str, str]:
    """Why a variant is excluded; an A/A duplicate only for its own reason.

    Example:
        >>> exclusions({"refused": {"jax scan": "a", "jax scan again": "a"}})
        {'jax scan': 'a'}
        >>> exclusions({"refused": {"jax scan again": "b"}})
        {'jax scan again': 'b'}
    """
    reasons = workload["refused"]
    return {
        name: reason
        for name, reason in reasons.items()
        if name == original(name) or reasons.get(original(name)) != reason
    }


def lacks_interval(workload: Mapping[str, Any]) -> str:
    """Why a workload has no interval and no verdict; empty if it has."""
    if len(whole_repetitions(workload)) >= FEWEST_REPETITIONS:
        return ""
    return (
        "One process repetition gives no interval and no verdict: these need "
        f"at least {FEWEST_REPETITIONS}, and {ENOUGH_REPETITIONS} to detect "
        "most differences of 5 %."
    )
