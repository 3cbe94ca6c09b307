"""What the runs of a stability study show: tables and a page."""

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.equivalence import MARGINS, clopper_pearson, compare
from benchmarks.stability import FEWEST_SEEDS, SAMPLES, TWINS, diverged
from benchmarks.stability_plot import describe_collapses, plot
from experiment.pages import describe, markdown_table
from experiment.scores import (
    LARGEST_DISTANCE,
    LARGEST_SHARE,
    LEAST_CONFIDENCE,
    shows_digits,
)
from experiment.watch import WINDOW

_HEADER = [
    "twin",
    "start",
    "runs",
    "collapsed",
    "made digits",
    "digits shown, fewest",
    "largest class share, largest",
    "confidence, median (smallest)",
    "Fréchet distance, median (range)",
    "largest D(x) - D(G(z)), largest",
    "final D(x) - D(G(z)), median",
]
_LEGEND = (
    "Made digits: all ten, largest class share at most "
    f"{LARGEST_SHARE:.2f}, confidence at least {LEAST_CONFIDENCE:.2f} and "
    f"Fréchet distance at most {LARGEST_DISTANCE:.0f}. D(x) - D(G(z)): means "
    f"over {WINDOW} iterations, of a run the largest and the last."
)

Run = Mapping[str, Any]


def write(path: Path, results: Mapping[str, Any]) -> list[Path]:
    """Writes a page and a plot next to the JSON file; returns their paths."""
    page, figure = path.with_suffix(".md"), path.with_suffix(".png")
    reasons = [f"- {of.metric}: {of.reason}." for of in MARGINS.values()]
    sections = [
        f"# How often recipe {results['recipe']} succeeds",
        tables(results),
        f"![D(x) and D(G(z)) of every run]({figure.name})",
        "The margins of equivalence were fixed before the runs:",
        "\n".join(reasons),
    ]
    page.write_text("\n\n".join(sections) + "\n")
    plot(figure, results)
    return [page, figure]


def tables(results: Mapping[str, Any]) -> str:
    """The runs as Markdown: by twin and start, failures, equivalence."""
    runs = results["runs"]
    rows = []
    for twin in TWINS:
        seeds, perturbed = _by_start(runs, twin)
        if seeds:
            rows.append([twin, "seeds", *_cells(seeds)])
        if perturbed:
            rows.append([twin, "one ulp from seed 0", *_cells(perturbed)])
    rows.append(["all", "", *_cells(runs)])
    return "\n\n".join(
        [
            markdown_table(_HEADER, rows),
            _LEGEND,
            _failure_rate(runs, results["recipe"]),
            _equivalence(runs),
            _how(results),
        ]
    )


def _by_start(runs: Sequence[Run], twin: str) -> tuple[list[Run], list[Run]]:
    """A twin's runs of seeds, and those of perturbed initial weights."""
    of_twin = [run for run in runs if run["twin"] == twin]
    return (
        [run for run in of_twin if not run["perturbed"]],
        [run for run in of_twin if run["perturbed"]],
    )


def _values(runs: Sequence[Run], metric: str) -> list[float]:
    """A score of every run, or its ``worst_margin`` or ``final_margin``."""
    return [
        (
            run["scores"]
            | {f"{kind}_margin": mean for kind, mean in run["margin"].items()}
        )[metric]
        for run in runs
    ]


def _cells(runs: Sequence[Run]) -> list[str]:
    """The cells of a row, from the number of runs on."""
    judged = [run for run in runs if not diverged(run)]
    made = sum(shows_digits(run["scores"]) for run in judged)
    counts = [f"{len(runs)}", describe_collapses(runs), f"{made}"]
    if not judged:
        return [*counts, *[""] * (len(_HEADER) - 2 - len(counts))]
    confidence = _values(judged, "confidence")
    distance = _values(judged, "frechet_distance")
    return [
        *counts,
        f"{min(_values(judged, 'digits'))}",
        f"{max(_values(judged, 'largest_share')):.2f}",
        f"{np.median(confidence):.2f} ({min(confidence):.2f})",
        f"{np.median(distance):.1f} "
        f"({min(distance):.1f} to {max(distance):.1f})",
        f"{max(_values(judged, 'worst_margin')):z.2f}",
        f"{np.median(_values(judged, 'final_margin')):z.2f}",
    ]


class _Failures(NamedTuple):
    """Runs that failed, their seeds, and the intervals of the rates.

    Attributes:
        runs: that failed.
        seeds: of all runs.
        failing_seeds: those of them of which any run failed.
        rates: the interval of the rate, were the runs independent.
        most_by_seeds: the upper end of the interval by seeds.
    """

    runs: int
    seeds: int
    failing_seeds: int
    rates: tuple[float, float]
    most_by_seeds: float


def _must_show_digits(recipe: str) -> bool:
    return recipe == "digits"  # the only one that should, from every start


def _failures(runs: Sequence[Run], recipe: str) -> _Failures:
    def failed(run: Run) -> bool:
        if run["collapse"]:
            return True
        return _must_show_digits(recipe) and not shows_digits(run["scores"])

    count = sum(map(failed, runs))
    seeds = {run["seed"] for run in runs}
    failing = {run["seed"] for run in runs if failed(run)}
    _, most_by_seeds = clopper_pearson(len(failing), len(seeds))
    rates = clopper_pearson(count, len(runs))
    return _Failures(count, len(seeds), len(failing), rates, most_by_seeds)


def _failure_rate(runs: Sequence[Run], recipe: str) -> str:
    """How many runs failed, and the interval of the failure rate."""
    of = _failures(runs, recipe)
    low, high = of.rates
    kinds = ["collapsed"]
    if any(map(diverged, runs)):
        kinds.append("diverged")
    if _must_show_digits(recipe):
        kinds.append("made no digits")
    *others, last = kinds
    what = f"{', '.join(others)} or {last}" if others else last
    return (
        f"Runs: {len(runs)}; failures ({what}): {of.runs}. Were the runs "
        f"independent, this would allow a failure rate of {low:.1%} to "
        f"{high:.1%} (Clopper-Pearson, 95 %). They share {of.seeds} seeds, "
        f"of which {of.failing_seeds} failed in any run: by seeds alone the "
        f"rate may be up to {of.most_by_seeds:.1%}."
    )


def _equivalence(runs: Sequence[Run]) -> str:
    """Two one-sided tests of each metric over the seeds."""
    seeds = [_by_start(runs, twin)[0] for twin in TWINS]
    fewest = min(map(len, seeds))
    if fewest < FEWEST_SEEDS:
        return (
            "Equivalence of the twins is tested with at least "
            f"{FEWEST_SEEDS} seeds of each; this study has {fewest}."
        )
    if by_diverging := sum(map(diverged, chain(*seeds))):
        return (
            "Equivalence of the twins is not tested: a run that diverged has "
            f"no scores, and {by_diverging} of these runs diverged."
        )
    rows = []
    for name, margin in MARGINS.items():
        samples = [_values(runs, name) for runs in seeds]
        interval, is_equivalent = compare(margin, *samples)
        kind = "ratio" if margin.is_ratio else "difference"
        rows.append(
            [
                f"{margin.metric}, {kind}",
                *(
                    f"{np.mean(of):.3g} ± {np.std(of, ddof=1):.2g}"
                    for of in samples
                ),
                f"{interval:z.3f}",
                f"{margin.low:.2f} to {margin.high:.2f}",
                "equivalent" if is_equivalent else "not shown equivalent",
            ]
        )
    header = ["over the seeds", *(f"{twin}, mean ± sd" for twin in TWINS)]
    header += ["PyTorch against JAX (90 %)", "margin", "verdict (TOST, 5 %)"]
    return markdown_table(header, rows)


def _how(results: Mapping[str, Any]) -> str:
    """Machines, settings, and what judged the runs."""
    config = results["config"]
    machines = " ".join(f"{describe(of)};" for of in results["machines"])
    precision = config["precision"]
    if config["compute"] != "full":
        precision = f"{config['compute']}, weights {precision}"
    return (
        f"{machines} {precision}; {config['steps']:,} iterations. The digit "
        f"classifier judges {SAMPLES:,} samples of each run against "
        f"{results['judged_by']}."
    )


def usual(results: Mapping[str, Any]) -> tuple[str, str]:
    """A row for a table of one run: the range of each score of all runs."""
    scores = [run["scores"] for run in results["runs"] if not diverged(run)]

    def between(name: str, spec: str) -> str:
        values = [of[name] for of in scores]
        ends = f"{min(values):{spec}}", f"{max(values):{spec}}"
        return " to ".join(dict.fromkeys(ends))

    return (
        f"usual, {len(scores)} runs",
        f"{between('digits', 'd')} digits, largest share "
        f"{between('largest_share', '.0%')}, confidence "
        f"{between('confidence', '.2f')}, Fréchet distance "
        f"{between('frechet_distance', '.1f')}",
    )


def failures(results: Mapping[str, Any]) -> tuple[str, str]:
    """A row for the same table: how many failed, and how many might."""
    runs = results["runs"]
    of = _failures(runs, results["recipe"])
    return (
        f"failed, of {len(runs)} runs",
        f"{of.runs}; in general up to {of.rates[1]:.1%}, were they "
        f"independent, or {of.most_by_seeds:.1%} by their {of.seeds} seeds "
        "(Clopper-Pearson, 95 %)",
    )
