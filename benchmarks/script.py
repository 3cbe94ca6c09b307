"""What a session on a rented GPU does, and its rehearsal on a CPU."""

import os
from dataclasses import dataclass, replace

from benchmarks import epochs, plan, profile


@dataclass(frozen=True)
class Script:
    """What a session does.

    ``timed`` and ``profiled`` have no variants yet: the session takes the best
    of each twin by ``scout``. Both ladders get the minutes that are left.

    Attributes:
        steps: which tests of the plain steps, as pytest's -k; all if empty.
        scout: the ladder of all variants, once.
        timed: the ladder of the best variants and their A/A duplicates.
        profiled: the profile of the best variants.
        trained: the epochs of recipe ``paper``.
        minutes: for steps and ladders, then for profile and epochs.
    """

    steps: str
    scout: plan.Plan
    timed: plan.Plan
    profiled: profile.Plan
    trained: epochs.Plan
    minutes: tuple[float, float] = (9.0, 4.0)


_SCOUT = plan.Plan(
    device="gpu",
    matmul="tf32",
    workloads=("dcgan", "mlp", "paper", "dcgan64", "lecture"),
    variants=(
        "jax scan",
        "jax scan/conv",
        "jax scan/conv-1",
        "jax unroll-10/conv",
        "jax flat/conv",
        "torch graph-10",
        "torch compile-graph-10",
    ),
    rounds=2,
    repetitions=1,
    block_seconds=0.1,
    patience=300.0,
    jobs=os.cpu_count() or 1,
)
FULL = Script(
    steps="",
    scout=_SCOUT,
    timed=replace(_SCOUT, variants=(), rounds=5, repetitions=5),
    profiled=profile.Plan("gpu", ("dcgan",), (), steps=10),
    trained=epochs.Plan(device="gpu", epochs=1500, every=100, epoch_steps=500),
)
_REHEARSED = replace(
    _SCOUT,
    device="cpu",
    matmul="strict",
    workloads=("lecture:4",),
    variants=("jax scan/conv", "torch eager"),
    rounds=1,
    block_seconds=0.01,
)
# Every part, on a CPU and within a minute or two.
REHEARSAL = Script(
    steps="lecture and float64",
    scout=_REHEARSED,
    timed=replace(_REHEARSED, variants=()),
    profiled=profile.Plan("cpu", ("lecture:4",), (), steps=2),
    trained=epochs.Plan(
        device="cpu", epochs=2, every=1, epoch_steps=2, samples=20
    ),
)
