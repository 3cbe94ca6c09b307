"""What a session on a rented GPU does, and its rehearsal on a CPU."""

from dataclasses import dataclass

from benchmarks.epochs import SAMPLES


@dataclass(frozen=True)
class Script:
    """What a session does.

    Attributes:
        device: ``gpu``, or ``cpu`` for a rehearsal.
        matmul: products of the ladder.
        steps: which tests of the rung, as pytest's -k; all if empty.
        workloads: the most telling first.
        forms: of which the ladder's sets time the best of each twin.
        rounds: of the scout, then of a set.
        sets: of the ladder.
        block_seconds: the least that a block takes.
        profiled: workloads, and iterations of each.
        epochs, every, epoch_steps, samples: see ``benchmarks.epochs``.
        minutes: for steps and ladder, then for profile and epochs.
    """

    device: str
    matmul: str
    steps: str
    workloads: tuple[str, ...]
    forms: tuple[str, ...]
    rounds: tuple[int, int]
    sets: int
    block_seconds: float
    profiled: tuple[tuple[str, ...], int]
    epochs: int
    every: int
    epoch_steps: int
    samples: int
    minutes: tuple[float, float]


FULL = Script(
    device="gpu",
    matmul="tf32",
    steps="",
    workloads=("dcgan", "mlp", "paper", "dcgan64", "lecture"),
    forms=(
        "jax scan",
        "jax scan/conv",
        "jax scan/conv-1",
        "jax unroll-10/conv",
        "jax flat/conv",
        "torch graph-10",
        "torch compile-graph-10",
    ),
    rounds=(2, 5),
    sets=5,
    block_seconds=0.1,
    profiled=(("dcgan",), 10),
    epochs=1500,
    every=100,
    epoch_steps=500,
    samples=SAMPLES,
    minutes=(9.0, 4.0),
)
# Every part, on a CPU and within a minute or two.
REHEARSAL = Script(
    device="cpu",
    matmul="strict",
    steps="lecture and float64",
    workloads=("lecture:4",),
    forms=("jax scan/conv", "torch eager"),
    rounds=(1, 1),
    sets=1,
    block_seconds=0.01,
    profiled=(("lecture:4",), 2),
    epochs=2,
    every=1,
    epoch_steps=2,
    samples=20,
    minutes=(9.0, 4.0),
)
