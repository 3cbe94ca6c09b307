"""Differences as ports have them: does ``explain`` name the cause of each?

``python -m parity_tests causes`` writes what it says to a file, from which the
guide has its table.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator

from experiment.files import replace_text
from parity_tests import slips
from parity_tests.causes import explain

COMMITTED = Path(__file__).parent / "report" / "causes.json"


class Injected(NamedTuple):
    """A difference.

    Attributes:
        name: for a reader.
        kind: of the array that has it.
        make: both arrays, with random numbers.
        cause: part of what must be said; empty where nothing may be said,
            since the arrays alone do not tell.
    """

    name: str
    kind: str
    make: Callable[[Generator], slips.Pair]
    cause: str


INJECTED = (
    Injected(
        "a dense kernel that was not transposed",
        "weights",
        slips.changed(6, 6, by=np.transpose),
        "transposed",
    ),
    Injected(
        "a convolution's height and width swapped",
        "weights",
        slips.changed(3, 3, 2, 4, by=lambda a: a.swapaxes(0, 1)),
        "height and width swapped",
    ),
    Injected(
        "a convolution in place of a correlation",
        "weights",
        slips.changed(3, 3, 2, 4, by=lambda a: a[::-1, ::-1]),
        "flipped along axis 0, 1",
    ),
    Injected(
        "a dense kernel after an image flattened channels first",
        "weights",
        slips.changed(48, 5, by=slips.flattened),
        "axis 0 is an image of 3 channels and 4x4",
    ),
    Injected(
        "queries and keys of one kernel swapped",
        "weights",
        slips.changed(5, 24, by=slips.swapped_queries),
        "the same slices along axis 1 in another order",
    ),
    Injected(
        "ascent in place of descent",
        "gradient",
        slips.changed(5, 4, by=np.negative),
        "the sign",
    ),
    Injected(
        "a squared error without its 1/2",
        "gradient",
        slips.changed(5, 4, by=lambda a: 2 * a),
        "2 times the reference",
    ),
    Injected(
        "the mean of two losses in place of their sum",
        "gradient",
        slips.changed(5, 4, by=lambda a: a / 2),
        "0.5 times the reference",
    ),
    Injected(
        "a sum over 64 examples in place of a mean",
        "gradient",
        slips.changed(5, 4, by=lambda a: 64 * a),
        "64 times the reference: a mean over 64",
    ),
    Injected(
        "a variance divided by n - 1, n = 16",
        "activation",
        slips.changed(6, by=lambda a: a * 16 / 15),
        "divided by n in one, by n - 1 in the other, n = 16",
    ),
    Injected(
        "a momentum of .1 as of the old value",
        "statistics",
        slips.moved_statistics(kept=0.1),
        "it keeps 0.1 of its old value, the reference 0.9",
    ),
    Injected(
        "a running variance divided by n, n = 16",
        "statistics",
        slips.moved_statistics(unbiased=False),
        "variance divided by n in one, by n - 1 in the other, n = 16",
    ),
    Injected(
        "a running mean that moves one step late",
        "statistics",
        slips.unmoved,
        "one step late",
    ),
    Injected(
        "a running variance that was never copied",
        "statistics",
        slips.never_copied,
        "1 everywhere: as in a new model, never copied",
    ),
    Injected(
        "b1 of .5 in place of .9",
        "moments",
        slips.adam("m", b1=0.5),
        "it moved 5 times as far: 1 - b",
    ),
    Injected(
        "b2 of .99 in place of .999",
        "moments",
        slips.adam("v", b2=0.99),
        "it moved 10 times as far: 1 - b",
    ),
    Injected(
        "twice the learning rate",
        "weights",
        slips.adam("w", rate=2e-3),
        "it moved 2 times as far, as with a learning rate",
    ),
    Injected(
        "Nesterov's momentum, after the first step",
        "weights",
        slips.nesterov,
        "it moved 1.9 times as far",
    ),
    Injected(
        "AdamW with Optax's decay in place of PyTorch's",
        "weights",
        slips.adam("w", decay=1e-4),
        "another weight decay (AdamW: 1e-4 in Optax, 1e-2 in PyTorch)",
    ),
    Injected(
        "epsilon inside Adam's root",
        "weights",
        slips.adam("w", inside=True),
        "epsilon is inside the root, in the reference outside",
    ),
    Injected(
        "Adam's epsilon of 1e-7, as Keras has it",
        "weights",
        slips.adam("w", epsilon=1e-7),
        "epsilon is 10 times the reference's",
    ),
    Injected(
        "Adam without bias correction",
        "weights",
        slips.adam("w", corrected=False),
        "as without a bias correction",
    ),
    Injected(
        "a bias before a batch norm, under Adam",
        "weights",
        slips.rounding_as_gradient,
        "a bias before a batch norm",
    ),
    Injected(
        "weights that pass through float32",
        "weights",
        slips.changed(5, 4, by=lambda a: a.astype(np.float32)),
        "the reference rounded to float32",
    ),
    Injected(
        "a leaky ReLU with slope .01 in place of .2",
        "activation",
        slips.other_slope,
        "negative numbers are 0.05 times the reference's",
    ),
    Injected(
        "dropout in evaluation",
        "activation",
        slips.changed(8, 5, by=slips.dropped),
        "dropout with keep probability 0.8",
    ),
    Injected(
        "a batch norm's epsilon of 1e-3 in place of 1e-5",
        "activation",
        slips.other_epsilon,
        "",
    ),
    Injected(
        "GELU by tanh in place of the exact one",
        "activation",
        slips.other_gelu,
        "",
    ),
    Injected(
        "a power iteration of spectral normalisation that begins with v",
        "statistics",
        slips.power_iteration_v_first,
        "",
    ),
    Injected(
        "spectral normalisation whose norm is detached",
        "gradient",
        slips.norm_is_constant,
        "",
    ),
)


def said_of(injected: Injected, number: int) -> str:
    """What ``explain`` says of a difference; nothing if it is unknown."""
    pair = injected.make(np.random.default_rng(number))
    name = f"model/layer/{injected.kind}"
    found = explain(
        pair.reference,
        pair.port,
        injected.kind,
        name,
        pair.before,
        pair.moments,
    )
    return "; ".join(found)


def results() -> list[dict[str, Any]]:
    """What ``explain`` says of every difference, and whether it is right."""
    rows = []
    for number, injected in enumerate(INJECTED):
        said = said_of(injected, number)
        right = bool(injected.cause) and injected.cause in said
        rows.append(
            {
                "difference": injected.name,
                "kind": injected.kind,
                "said": said,
                "right": right,
            }
        )
    return rows


def add_causes(commands: Any) -> None:
    """Adds the command to a parser's."""
    command = commands.add_parser(
        "causes",
        help="see which injected differences explain names the cause of",
        description=f"Injects {len(INJECTED)} differences into arrays and "
        "writes what explain says of each as JSON, from which the guide has "
        "its table.",
    )
    command.set_defaults(command=_causes)
    command.add_argument(
        "--out",
        type=Path,
        default=COMMITTED,
        metavar="FILE",
        help="(default: parity_tests/report/causes.json, the committed one)",
    )


def _causes(options: argparse.Namespace) -> int:
    rows = results()
    replace_text(options.out, json.dumps(rows, indent=1) + "\n")
    right = sum(row["right"] for row in rows)
    print(f"{options.out}: {right} of {len(rows)} are named")
    return 0
