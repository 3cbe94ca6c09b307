"""The page of what several devices cost: measured, counted and modelled."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import background
from benchmarks.analysis import iteration_seconds
from benchmarks.devices_groups import ARRANGEMENTS, TWINS
from benchmarks.reductions import Reductions
from benchmarks.results import hardware, load
from benchmarks.scaling import (
    CARDS,
    LINKS,
    STEPS,
    Link,
    communication,
    strong_efficiency,
    weak_efficiency,
)
from benchmarks.statistics import (
    Blocks,
    Interval,
    estimate,
    log_ratios,
    mean_over_repetitions,
)
from experiment.pages import describe, markdown_table

_NAMES = {"jax": "JAX", "torch": "PyTorch"}
_WHAT = {
    "one": "one process",
    "strong": "two, the same minibatch (strong)",
    "weak": "two, twice the minibatch (weak)",
    "apart": "two games, not connected",
}
# The model's computation: measured on one card, in the variants that several
# cards train by.
_MODELLED = "dcgan64"
_ONE_CARD = Path(__file__).parent / "gpu/tf32.json"
_VARIANTS = {"jax": "jax scan", "torch": "torch eager"}


def page(results: Mapping[str, Any]) -> str:
    """All that was measured, as Markdown."""
    sections = ["# What several devices cost", *_measured(results)]
    if results["failed"]:
        sections.append(f"Incomplete: {results['failed']}.")
    if results["reductions"]:
        sections += _counted(results["reductions"])
    if _MODELLED in results["reductions"]:
        sections += _modelled(results["reductions"][_MODELLED])
    return "\n\n".join(sections) + "\n"


def _measured(results: Mapping[str, Any]) -> list[str]:
    sections = [
        "## Time of an iteration on this machine",
        f"{describe(results['machine'])}; float32. A device is a process with "
        "one thread, bound to one core; processes that train one game exchange "
        "their numbers by gloo through this machine's memory. JAX runs its "
        "scan, PyTorch its eager loop. Efficiency is the speed-up over one "
        "process, divided by the speed-up of two perfect ones: with the same "
        "minibatch t(1) / 2 t(2), with twice the minibatch t(1) / t(2).",
        "Two cores show what the exchange costs next to the computation, and "
        "nothing about network cards or about more processes. They share "
        "memory bandwidth and caches, and may be threads of one physical core. "
        "What that alone costs is seen where two processes train separate "
        "games; only what is lost beyond it is due to the exchange. One "
        "process has one core here, and not all of the machine, as it would "
        "have without `--devices`.",
    ]
    for of in results["workloads"].values():
        if of["repetitions"]:
            sections += _times(of, results["plan"])
    return sections


def _times(of: Mapping[str, Any], plan: Mapping[str, Any]) -> list[str]:
    repetitions = of["repetitions"]
    blocks = {
        key: np.array([one["seconds"][key] for one in repetitions])
        for key in repetitions[0]["seconds"]
    }
    rows = [
        _row(of["batch_size"], twin, arrangement, blocks)
        for twin in TWINS
        for arrangement in ARRANGEMENTS
    ]
    load = [b for one in repetitions for b in one["background"] if b]
    note = (
        f"Process repetitions: {len(repetitions)}, each of {plan['rounds']} "
        "rounds; intervals are Student's t over the repetitions."
    )
    if load and np.median(load) > background.MOST:
        note += f" Other processes had {np.median(load):.0%} of the cores."
    return [
        f"### {of['recipe']}, batch {of['batch_size']}",
        markdown_table(
            [
                "twin",
                "processes",
                "images of a minibatch",
                "ms an iteration (95 %)",
                "images/s of all",
                "efficiency (95 %)",
            ],
            rows,
        ),
        note,
    ]


def _row(
    batch_size: int, twin: str, arrangement: str, blocks: Mapping[str, Blocks]
) -> list[str]:
    of = ARRANGEMENTS[arrangement]
    times = blocks[f"{twin} {arrangement}"]
    seconds = estimate(times)
    size = of.factor * batch_size
    games = 1 if of.connected else of.processes
    return [
        _NAMES[twin],
        _WHAT[arrangement],
        f"{size:,}",
        f"{Interval(*(1000 * value for value in seconds)):.3g}",
        f"{games * size / seconds.estimate:,.0f}",
        ""
        if arrangement == "one"
        else f"{efficiency(arrangement, times, blocks[f'{twin} one']):.2f}",
    ]


def efficiency(arrangement: str, times: Blocks, of_one: Blocks) -> Interval:
    """Speed-up of an arrangement over that of perfect devices.

    Args:
        arrangement: its name.
        times: seconds of an iteration, (repetitions, rounds).
        of_one: those of one process.
    """
    of = ARRANGEMENTS[arrangement]
    games = 1 if of.connected else of.processes
    perfect = of.processes / (games * of.factor)
    log, _ = mean_over_repetitions(log_ratios([times], [of_one]))
    return Interval(*(value / perfect for value in log.exp()))


def _counted(reductions: Mapping[str, Any]) -> list[str]:
    rows = [
        [
            name,
            _NAMES[twin],
            *(
                "" if of[how][what] is None else f"{of[how][what]:,}"
                for what in Reductions._fields
                for how in ("formula", "counted")
            ),
        ]
        for name, twins in reductions.items()
        for twin, of in twins.items()
    ]
    return [
        "## All-reduces of an iteration",
        "Bytes are those of the arrays that are summed, in float32 and for "
        "any number of devices; of PyTorch as counted in its dispatcher while "
        "it trains, of JAX as they stand in XLA's compiled program for two "
        "devices of a CPU. By formula, with P the bytes of a player's "
        "gradients, L its batch normalisations and C the bytes of their means: "
        "k + 1 all-reduces of gradients, k P(D) + P(G) bytes; and in every "
        "forward pass 2 L of statistics, 2 C bytes, in every backward pass as "
        "many. Algorithm 1 has k + 1 forward passes of G and one backward, 2 k "
        "+ 1 of D and as many backward. XLA sums D's gradients of real and of "
        "fake samples separately, k P(D) more bytes, and in every iteration "
        "the metrics, 4 k + 1 numbers, and C(D) more bytes in G's step; it "
        "combines independent all-reduces, so no formula has their number.",
        markdown_table(
            [
                "recipe",
                "twin",
                "all-reduces by formula",
                "counted",
                "bytes by formula",
                "counted",
            ],
            rows,
        ),
    ]


def _modelled(reductions: Mapping[str, Any]) -> list[str]:
    measured = load(_ONE_CARD)
    of_card = measured["workloads"][_MODELLED]
    seconds = {
        twin: estimate(iteration_seconds(of_card)[variant]).estimate
        for twin, variant in _VARIANTS.items()
    }
    times = ", ".join(
        f"{_NAMES[twin]} {1000 * of:.2f} ms ({_VARIANTS[twin]})"
        for twin, of in seconds.items()
    )
    size = of_card["batch_size"]
    rows = [
        _model_row(twin, link, cards, seconds[twin], reductions[twin], size)
        for twin in TWINS
        for link in LINKS
        for cards in CARDS
        if cards <= link.most
    ]
    assumed = "; ".join(
        f"{link.name}, {1e6 * link.latency:.0f} µs a step" for link in LINKS
    )
    return [
        f"## Model: {_MODELLED} on many cards",
        "Not measured. An iteration on n cards takes its computation, c "
        "all-reduces of one latency for each step, and 2 (n - 1) / n of their "
        "bytes over the bandwidth of a card. A tree takes 2 log2 n steps, a "
        "ring 2 (n - 1). Assumptions: nothing overlaps; all cards take the "
        "same time; each card has its own link, at its nominal bandwidth; the "
        "computation of a share of a minibatch takes that share of the time, "
        "although a card with few images is not used well. "
        f"Links: {assumed}.",
        f"Computation on one card, batch {size}: {times}, measured on "
        f"{hardware(measured)}. All-reduces: as counted above; for a GPU XLA "
        "may combine others than for a CPU.",
        markdown_table(
            [
                "twin",
                "link",
                "cards",
                "exchange in ms, tree and ring",
                f"efficiency, {size} images in all (strong)",
                f"efficiency, {size} images a card (weak)",
            ],
            rows,
        ),
    ]


def _model_row(
    twin: str,
    link: Link,
    cards: int,
    compute: float,
    reductions: Mapping[str, Any],
    size: int,
) -> list[str]:
    counted = Reductions(**reductions["counted"])
    both = [communication(counted, link, cards, name) for name in STEPS]
    strong = [strong_efficiency(compute, of, cards) for of in both]
    weak = [weak_efficiency(compute, of) for of in both]
    return [
        _NAMES[twin],
        link.name,
        f"{cards}",
        ", ".join(f"{1000 * of:.3g}" for of in both),
        _shares(strong) if size % cards == 0 else "too few images",
        _shares(weak),
    ]


def _shares(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.1%}" for value in values)
