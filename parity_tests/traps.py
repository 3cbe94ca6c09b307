"""What often makes an array differ, by where it stands."""

import re
from typing import NamedTuple


class Trap(NamedTuple):
    """Usual causes of a difference.

    Attributes:
        phase: of the step, a beginning of it.
        kind: of the array; empty for all.
        slot: a regular expression of the slot of a moment, or of the last
            part of the path of another array.
        causes: in one line.
    """

    phase: str
    kind: str
    slot: str
    causes: str


# The first that fits counts.
TRAPS = (
    Trap(
        "",
        "metric",
        "",
        "mean or sum, sign, logits or probabilities; or when the metric is "
        "taken",
    ),
    Trap(
        "backward pass",
        "gradient",
        "",
        "a derivative at a kink (leaky_relu at 0, ties of a maximum); detach "
        "or stop_gradient; an activation that was not compared",
    ),
    Trap(
        "",
        "gradient",
        "",
        "a layer's forward pass; a derivative at a kink (leaky_relu at 0, ties "
        "of a maximum); detach or stop_gradient (spectral normalisation has "
        "one for u and v); epsilon of a norm; a weight decay that is added",
    ),
    Trap("", "moments", "m", "b1, or gradients that were not compared"),
    Trap(
        "",
        "moments",
        "v",
        "b2, or the variance in place of the second moment",
    ),
    Trap("", "moments", "step", "how many updates an iteration has"),
    Trap(
        "",
        "moments",
        "",
        "a gradient that was not compared, a weight decay added to it, "
        "momentum or dampening",
    ),
    Trap(
        "checkpoint",
        "",
        "",
        "a tensor of another layer, or of another checkpoint",
    ),
    Trap(
        "",
        "weights",
        "bias",
        "a bias before a batch norm, whose gradient is rounding, under Adam; "
        "learning rate, epsilon inside or outside the root, bias correction, "
        "weight decay, which some ports leave out for biases",
    ),
    Trap(
        "",
        "weights",
        "",
        "learning rate, epsilon inside or outside the root, bias correction, "
        "weight decay (AdamW: 1e-4 in Optax, 1e-2 in PyTorch)",
    ),
    Trap(
        "",
        "statistics",
        "var",
        "biased or unbiased variance; momentum of old or of new (Flax's .9 is "
        "PyTorch's .1)",
    ),
    Trap(
        "",
        "statistics",
        "_?[uv]",
        "the order of a power iteration of spectral normalisation (u first in "
        "PyTorch); how many forward passes take one, and epsilon",
    ),
    Trap(
        "",
        "statistics",
        "",
        "momentum of old or of new (Flax's .9 is PyTorch's .1); how many "
        "forward passes move it",
    ),
    Trap(
        "forward pass",
        "",
        "",
        "epsilon of a norm (1e-5 in PyTorch, 1e-6 in Flax's LayerNorm); GELU, "
        "exact in PyTorch and approximate in JAX; pads of a convolution "
        "(SAME); training or evaluation mode; a function between two layers",
    ),
)


def usual_causes(phase: str, kind: str, name: str) -> str:
    """What often makes such an array differ.

    Example:
        >>> usual_causes("update of model", "moments", "model/out/kernel (m)")
        'b1, or gradients that were not compared'
    """
    slot = re.split(r"[/ ]", name)[-1].strip("()")
    return next(
        trap.causes
        for trap in TRAPS
        if phase.startswith(trap.phase)
        and trap.kind in ("", kind)
        and re.fullmatch(trap.slot or ".*", slot)
    )
