"""The tables of the quality study: scores, equivalence, the better loss."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.equivalence import MARGINS, compare, ratio_of_geometric_means
from benchmarks.quality import LOSSES
from benchmarks.stability import TWINS
from experiment.pages import describe, markdown_table

METRICS = {
    "frechet_distance": "Fréchet distance",
    "digits": "digits shown",
    "largest_share": "largest class share",
    "confidence": "confidence",
    "precision": "precision",
    "recall": "recall",
    "log_likelihood": "Parzen, nats",
}


def tables(results: dict[str, Any]) -> str:
    """The study as Markdown: every metric; claims on twins and losses."""
    runs = results["runs"]
    recipes = list(dict.fromkeys(one["recipe"] for one in runs))

    def values(
        name: str, loss: str, twin: str, metric: str = "frechet_distance"
    ) -> list[float]:
        return [
            one["scores"][metric]
            for one in runs
            if (one["recipe"], one["loss"], one["twin"]) == (name, loss, twin)
        ]

    rows, claims = [], []
    for name, loss, twin in product(recipes, LOSSES, TWINS):
        row = [f"{name}, {loss}", twin, str(len(values(name, loss, twin)))]
        for metric in METRICS:
            row.append(_mean(values(name, loss, twin, metric=metric)))
        rows.append(row)
    for name, loss in product(recipes, LOSSES):
        samples = (values(name, loss, twin) for twin in TWINS)
        ratio, within = compare(MARGINS["frechet_distance"], *samples)
        verdict = "equivalent" if within else "not shown equivalent"
        what = f"{name}, {loss}: PyTorch over JAX (90 %)"
        claims.append([what, f"{ratio:.2f}", verdict])
    for name, twin in product(recipes, TWINS):
        saturating, other = (values(name, loss, twin) for loss in LOSSES)
        ratio = ratio_of_geometric_means(other, saturating, 0.95)
        verdict = (
            "non-saturating is better"
            if ratio.low > 1
            else "saturating is better"
            if ratio.high < 1
            else "no difference shown"
        )
        what = f"{name}, {twin}: saturating over non-saturating (95 %)"
        claims.append([what, f"{ratio:.2f}", verdict])
    header = ["recipe and loss", "twin", "seeds", *METRICS.values()]
    machine = f"{describe(results['machine'])}; float32."
    judge = f"Judged by {results['plan']['judged_by']}; mean ± 95 % interval."
    return "\n\n".join(
        [
            markdown_table(header, rows),
            judge,
            markdown_table(
                ["ratio of Fréchet distances", "ratio", "verdict"], claims
            ),
            machine,
        ]
    )


def _mean(values: Sequence[float]) -> str:
    """Mean and half of its 95 % interval over seeds."""
    half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
    return f"{np.mean(values):.3g} ± {half:.2g}"
