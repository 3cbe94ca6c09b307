"""The tables of times on the README files."""

from typing import Any

from benchmarks.results import (
    Row,
    hardware,
    lacks_interval,
    refusals,
    tabulate,
    whole_sets,
)
from experiment.pages import markdown_table


def speed(results: dict[str, Any]) -> str:
    """The best form of each twin, by workload."""
    lines = []
    timed = {k: v for k, v in results["workloads"].items() if whole_sets(v)}
    for name, workload in timed.items():
        of = tabulate(workload)
        best = of.best_rows()
        ours, theirs = best["jax"], best["torch"]
        assert ours.claim is not None, f"{name}: no claim on {ours.variant}"
        ratio, verdict = ours.claim.ratio, ours.claim.verdict
        paces = [
            f"{_milliseconds(row)} ms ({row.variant.split()[1]})"
            for row in (ours, theirs)
        ]
        roofs = f"{ours.roof_share:.0%}, {theirs.roof_share:.0%}"
        recipe, batch = workload["recipe"], workload["batch_size"]
        title = f"{recipe}, batch {batch}"
        lines.append([title, *paces, roofs, f"{ratio:.2f}", verdict])
    header = ["recipe", "JAX's best", "PyTorch's best", "of their rooflines"]
    header += ["PyTorch / JAX (95 %)", "JAX is"]
    table = markdown_table(header, lines)
    refused = [
        f"{variant} on {name} ({reason})"
        for name, workload in results["workloads"].items()
        for variant, reason in refusals(workload).items()
    ]
    last = f" Refused: {'; '.join(refused)}." if refused else ""
    return f"{table}\n\n{_how(results)}{last}"


def _how(results: dict[str, Any]) -> str:
    plan = results["plan"]
    timed = [of for of in results["workloads"].values() if whole_sets(of)]
    fewest = min(timed, key=lambda of: len(whole_sets(of)))
    lacking = lacks_interval(fewest)
    return (
        f"{hardware(results)}; {_PRODUCTS[plan['matmul']]}; sets of processes: "
        f"{len(whole_sets(fewest))}, each of {plan['rounds']} rounds."
        + (f" {lacking}" if lacking else "")
    )


def _milliseconds(row: Row) -> str:
    pace = row.milliseconds.estimate
    return f"{pace:.2f}" if pace >= 1 else f"{pace:.3f}"


_PRODUCTS = {
    "strict": "float32",
    "tf32": "tf32, weights float32",
    "bfloat16": "bfloat16, weights float32",
}


def seeds(results: dict[str, Any]) -> str:
    """Images a second of each twin, by how many games it trains at once."""
    (workload,) = results["workloads"].values()
    of = tabulate(workload)
    titled = [("one, its best form", of.best_rows())]
    titled += [(f"{n} at once", rows) for n, rows in of.by_games().items()]
    lines = []
    for title, rows in titled:
        speeds = [
            f"{rows[twin].images:,.0f}" if twin in rows else "refused"
            for twin in ("jax", "torch")
        ]
        lines.append([title, *speeds])
    recipe, batch = workload["recipe"], workload["batch_size"]
    header = [f"games of {recipe}, batch {batch}", "JAX, images/s in all"]
    table = markdown_table([*header, "PyTorch, images/s in all"], lines)
    return f"{table}\n\n{_how(results)}"
