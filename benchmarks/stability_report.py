"""What the runs of ``stability`` show: tables, a page and a plot."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmarks.equivalence import MARGINS, clopper_pearson, compare
from benchmarks.stability import FEWEST_SEEDS, SAMPLES, TWINS, diverged
from experiment.figures import BLUE, GREY, ORANGE
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
    """Writes a page and a plot beside the JSON file; returns their paths."""
    page, picture = path.with_suffix(".md"), path.with_suffix(".png")
    reasons = [f"- {of.metric}: {of.reason}." for of in MARGINS.values()]
    sections = [
        f"# How often recipe {results['recipe']} holds",
        tables(results),
        f"![D(x) and D(G(z)) of every run]({picture.name})",
        "The margins of equivalence were fixed before the runs:",
        "\n".join(reasons),
    ]
    page.write_text("\n\n".join(sections) + "\n")
    plot(picture, results)
    return [page, picture]


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
    """A row of the table, from its number of runs on."""
    judged = [run for run in runs if not diverged(run)]
    made = sum(shows_digits(run["scores"]) for run in judged)
    counts = [f"{len(runs)}", _lost(runs), f"{made}"]
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


def _lost(runs: Sequence[Run]) -> str:
    """How many runs collapsed, and how many of them by diverging."""
    lost = sum(bool(run["collapse"]) for run in runs)
    by_diverging = sum(map(diverged, runs))
    return f"{lost}" + (f" ({by_diverging} diverged)" if by_diverging else "")


def _failure_rate(runs: Sequence[Run], recipe: str) -> str:
    """How many runs failed, and the failure rate that this still allows."""
    # The only recipe that is meant to make digits from every start.
    must_show_digits = recipe == "digits"

    def failed(run: Run) -> bool:
        if run["collapse"]:
            return True
        return must_show_digits and not shows_digits(run["scores"])

    failures = sum(map(failed, runs))
    low, high = clopper_pearson(failures, len(runs))
    starts = {run["seed"] for run in runs}
    lost = {run["seed"] for run in runs if failed(run)}
    _, per_start = clopper_pearson(len(lost), len(starts))
    kinds = ["collapsed"]
    if any(map(diverged, runs)):
        kinds.append("diverged")
    if must_show_digits:
        kinds.append("made no digits")
    *others, last = kinds
    what = f"{', '.join(others)} or {last}" if others else last
    return (
        f"Runs: {len(runs)}; failures ({what}): {failures}. Were the runs "
        f"independent, this would allow a failure rate of {low:.1%} to "
        f"{high:.1%} (Clopper-Pearson, 95 %). They share {len(starts)} seeds, "
        f"of which {len(lost)} failed in any run: by seeds alone the rate may "
        f"be up to {per_start:.1%}."
    )


def _equivalence(runs: Sequence[Run]) -> str:
    """Two one-sided tests of each metric over the seeds."""
    ours, theirs = (_by_start(runs, twin)[0] for twin in TWINS)
    fewest = min(len(ours), len(theirs))
    if fewest < FEWEST_SEEDS:
        return (
            f"Equivalence of the twins takes {FEWEST_SEEDS} seeds of each; "
            f"here are {fewest}."
        )
    if by_diverging := sum(map(diverged, [*ours, *theirs])):
        return (
            "Equivalence of the twins is not tested: a run that diverged has "
            f"no scores, and of the seeds {by_diverging} did."
        )
    rows = []
    for name, margin in MARGINS.items():
        samples = _values(ours, name), _values(theirs, name)
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
    """What the runs were made on, and what judged them."""
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


_CURVES = {
    "real_probability": ("D(x)", BLUE),
    "fake_probability": ("D(G(z))", ORANGE),
}
_HELD: dict[str, Any] = {"linewidth": 0.8, "alpha": 0.5}
# In front of all others.
_LOST: dict[str, Any] = {
    "color": "black",
    "linestyle": "--",
    "linewidth": 1.2,
    "zorder": 3,
}


def usual(results: Mapping[str, Any]) -> tuple[str, str]:
    """A row for a table of one run: the range of each score over all runs."""
    scores = [run["scores"] for run in results["runs"] if not diverged(run)]

    def between(name: str, form: str) -> str:
        values = [of[name] for of in scores]
        ends = f"{min(values):{form}}", f"{max(values):{form}}"
        return " to ".join(dict.fromkeys(ends))

    return (
        f"usual, {len(scores)} runs",
        f"{between('digits', 'd')} digits, largest share "
        f"{between('largest_share', '.0%')}, confidence "
        f"{between('confidence', '.2f')}, Fréchet distance "
        f"{between('frechet_distance', '.1f')}",
    )


def plot(path: Path, results: Mapping[str, Any]) -> None:
    """Every run's D(x) and D(G(z)) over its iterations, a panel for a twin.

    Runs that collapsed, or diverged, are black and dashed.
    """
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    panels = figure.subplots(1, len(TWINS), sharex=True, sharey=True)
    for axis, twin in zip(panels, TWINS, strict=True):
        runs = [run for run in results["runs"] if run["twin"] == twin]
        for run in runs:
            for name, (_, color) in _CURVES.items():
                style = _LOST if run["collapse"] else _HELD | {"color": color}
                course = run["course"]
                axis.plot(course["step"], course[name], **style)
        axis.axhline(0.5, color=GREY, linewidth=0.8, linestyle=":")
        axis.set_ylim(0, 1)
        axis.set_xlabel("iteration")
        axis.set_title(f"{twin}, runs: {len(runs)}, collapsed: {_lost(runs)}")
    handles = [
        Line2D([], [], color=color, label=label)
        for label, color in _CURVES.values()
    ]
    if any(run["collapse"] for run in results["runs"]):
        handles.append(Line2D([], [], label="collapsed or diverged", **_LOST))
    panels[0].set_ylabel("mean probability")
    figure.legend(handles=handles, loc="outside right center")
    figure.suptitle(f"recipe {results['recipe']}")
    figure.savefig(path, dpi=100)
