"""The test levels of parity, and how near each came to its bound."""

from collections.abc import Mapping
from typing import Any

# The test modules of parity_tests in order, and what each compares.
LEVELS = {
    "test_layers": "every layer and activation: forward and VJP",
    "test_rules": "initial weights, optimizers and schedules",
    "test_geometries": "convolutions of any geometry: forward and VJP",
    "test_losses": "losses and their gradients, to logits of 700",
    "test_forward": "both networks, in training and in evaluation",
    "test_steps": "100 iterations: every recipe, loss, optimizer and k",
    "test_trajectory": "recorded trajectories, three implementations",
    "test_fast_paths": "faster variants of the step",
    "test_devices": "several devices and processes, against one device",
    "test_statistics": "random numbers of each twin's own: distributions, "
    "and whole games by two one-sided tests",
    "test_figure1": "one dimension: where the theory says the game ends",
    "test_long": "200 to 5,000 iterations at full size",
    "test_float32": "float32: 300 iterations in lockstep, and a free run "
    "against a control",
    "test_bfloat16": "bfloat16: one iteration, against PyTorch's own rounding",
}
Measured = Mapping[str, Mapping[str, Mapping[str, float | None]]]


def level_rows(measured: Measured) -> list[list[str]]:
    """A row for each test level: what it compares, how often, error, bound.

    The error shown is the one that comes nearest to its own bound.
    """
    rows = []
    for name, what in LEVELS.items():
        found = [
            (error, bound)
            for test, gaps in measured.items()
            if f".{name}::" in test
            for error, bound in judged(gaps).values()
        ]
        if not found:  # measured before there was such a test level
            continue
        error, bound = max(found, key=lambda pair: _share(*pair))
        rows.append([what, str(len(found)), f"{error:.1e}", f"{bound:.0e}"])
    return rows


def judged(gaps: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """Error and bound of each kind that a test held against a bound."""
    return {
        kind: (found["error"], found["bound"])
        for kind, found in gaps.items()
        if found["bound"] is not None
    }


def _share(error: float, bound: float) -> float:
    """How much of a bound an error takes; a bound of 0 has none to take."""
    return error / bound if bound else 0.0
