"""The tables of times in the README files."""

from typing import Any

from benchmarks.analysis import Row, tabulate
from benchmarks.results import (
    exclusions,
    hardware,
    lacks_interval,
    whole_repetitions,
)
from experiment.errors import InputError
from experiment.pages import markdown_table


def speed(results: dict[str, Any]) -> str:
    """The best variant of each twin, by workload.

    Raises:
        InputError: a workload has no variant of one of the twins.
    """
    lines = []
    for name, workload in results["workloads"].items():
        if not whole_repetitions(workload):
            continue
        best = tabulate(workload).best_rows()
        if len(best) < 2 or (claim := best["jax"].claim) is None:
            raise InputError(
                f"{name} has times of {' and '.join(best) or 'no twin'} alone: "
                "the table compares both; measure again"
            )
        pair = best["jax"], best["torch"]
        times = [
            f"{_milliseconds(row)} ms ({row.variant.split()[1]})"
            for row in pair
        ]
        rooflines = ", ".join(f"{row.roof_share:.0%}" for row in pair)
        title = f"{workload['recipe']}, batch {workload['batch_size']}"
        ratio = f"{claim.ratio:.2f}"
        lines.append([title, *times, rooflines, ratio, claim.verdict])
    header = ["recipe", "JAX's best", "PyTorch's best", "of their rooflines"]
    header += ["PyTorch / JAX (95 %)", "JAX is"]
    table = markdown_table(header, lines)
    excluded = [
        f"{variant} on {name} ({reason})"
        for name, workload in results["workloads"].items()
        for variant, reason in exclusions(workload).items()
    ]
    last = f" Excluded: {'; '.join(excluded)}." if excluded else ""
    return f"{table}\n\n{_how(results)}{last}"


def _how(results: dict[str, Any]) -> str:
    """Machine, versions and protocol, by the shortest of the workloads."""
    plan = results["plan"]
    timed = [w for w in results["workloads"].values() if whole_repetitions(w)]
    fewest = min(timed, key=lambda workload: len(whole_repetitions(workload)))
    lacking = lacks_interval(fewest)
    return (
        f"{hardware(results)}; {_MATMULS[plan['matmul']]}; process "
        f"repetitions: {len(whole_repetitions(fewest))}, each of "
        f"{plan['rounds']} rounds." + (f" {lacking}" if lacking else "")
    )


def _milliseconds(row: Row) -> str:
    milliseconds = row.milliseconds.estimate
    return f"{milliseconds:.{2 if milliseconds >= 1 else 3}f}"


_MATMULS = {
    "strict": "float32",
    "tf32": "tf32, weights float32",
    "bfloat16": "bfloat16, weights float32",
}


def seeds(results: dict[str, Any]) -> str:
    """images/s of each twin, by how many games it trains together."""
    (workload,) = results["workloads"].values()
    table = tabulate(workload)
    titled = [("one, the best variant", table.best_rows())]
    titled += [(f"{n} together", r) for n, r in table.by_games().items()]
    lines = []
    for title, rows in titled:
        speeds = [
            f"{rows[twin].images:,.0f}" if twin in rows else "excluded"
            for twin in ("jax", "torch")
        ]
        lines.append([title, *speeds])
    recipe, batch = workload["recipe"], workload["batch_size"]
    header = [f"games of {recipe}, batch {batch}", "JAX, images/s of all games"]
    header.append("PyTorch, images/s of all games")
    return f"{markdown_table(header, lines)}\n\n{_how(results)}"
