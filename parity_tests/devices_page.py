"""The table of devices as a part of the report."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from experiment.pages import describe, markdown_table
from parity_tests.devices_table import ARRANGEMENTS, CONTROLS, TOLERANCE


def section(results: Mapping[str, Any]) -> list[str]:
    """The part of the report, in Markdown, line by line."""
    rows: dict[str, list[Mapping[str, Any]]] = {}
    for row in results["rows"]:
        rows.setdefault(row["recipe"], []).append(row)
    header = ["recipe", *ARRANGEMENTS, "across twins", "control", "bound"]
    faults = [
        [name, f"{error:.1e}", f"{error / TOLERANCE:.0e}"]
        for name, error in results["faults"].items()
    ]
    return [
        "## Several devices",
        "",
        f"{describe(results['machine'])}. Every recipe with minibatches of "
        f"{results['batch_size']}, both of the paper's losses and k = 1 and 2 "
        "(`paper` has its own of each), "
        f"{results['steps']} iterations in float64: the largest difference of "
        "metrics, weights, moments and statistics from one device of the same "
        "twin, and across twins from one device of the other. The control is "
        "one device of PyTorch with reversed minibatches. The bound of a game "
        f"is {TOLERANCE:.0e}, or {CONTROLS} times its control; the largest is "
        "shown.",
        "",
        markdown_table(header, [_cells(*of) for of in rows.items()]),
        "",
        "Faults injected into two processes of PyTorch, and how far they drive "
        "small games from one device:",
        "",
        markdown_table(["fault", "difference", "times the bound"], faults),
        "",
    ]


def _cells(name: str, rows: list[Mapping[str, Any]]) -> list[str]:
    def of_all(errors: Callable[[Any], Iterable[float]]) -> str:
        return f"{max(max(errors(row)) for row in rows):.1e}"

    def same(arrangement: str) -> str:
        return of_all(lambda row: row["gaps"][arrangement]["same"].values())

    across = of_all(
        lambda row: (
            max(found["across"].values()) for found in row["gaps"].values()
        )
    )
    control = of_all(lambda row: row["control"].values())
    bound = of_all(lambda row: [row["bound"]])
    return [name, *map(same, ARRANGEMENTS), across, control, bound]
