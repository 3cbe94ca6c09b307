"""Names of the variants: a twin, and how it runs its training loop.

``jax scan`` and ``torch eager`` are variants. The second word is an argument
of ``train --accelerate``, or ``device`` (batches drawn on the device),
``seeds-8`` (eight games trained together) or ``tutorial`` (context). The
process of ``jax scan/conv`` starts with XLA flags. A name that ends in
``again`` is an A/A duplicate: the same variant in a second process, which
gives the noise floor.
"""

import re

from experiment.errors import InputError

STEPS = 10  # compared with the plain step; no call is shorter
# About as many iterations in a call of several games: their batches are all
# in memory.
ITERATIONS_OF_ALL_GAMES = 1600
VARIANTS = {
    "jax": "scan step unroll-10 flat device seeds-N tutorial",
    "torch": "eager compile reduce-overhead graph graph-10 compile-graph-10 "
    "device seeds-N tutorial",
}


# By default XLA leaves convolutions and loops out of its CUDA graphs, and
# launches fewer than five kernels one by one.
_CONVOLUTIONS = "--xla_gpu_enable_command_buffer=+CONVOLUTION"
XLA_FLAGS = {
    "conv": _CONVOLUTIONS,
    "conv-1": f"{_CONVOLUTIONS} --xla_gpu_graph_min_graph_size=1",
    "conv-while": f"{_CONVOLUTIONS},+WHILE",
}


def original(name: str) -> str:
    """The variant that an A/A duplicate repeats; others are their own.

    Example:
        >>> original("jax scan again"), original("jax scan")
        ('jax scan', 'jax scan')
    """
    return name.removesuffix(" again")


def duplicate(name: str) -> str:
    """The A/A duplicate of a variant."""
    return f"{name} again"


def is_duplicate(name: str) -> bool:
    """Whether a variant is an A/A duplicate."""
    return original(name) != name


def xla_flags(name: str) -> str:
    """The XLA flags that a variant's process starts with, if any.

    Raises:
        InputError: the flags are unknown, or the variant is not one of JAX.

    Example:
        >>> xla_flags("jax scan/conv again")
        '--xla_gpu_enable_command_buffer=+CONVOLUTION'
    """
    _, slash, flags = original(name).partition("/")
    if not slash:
        return ""
    if flags not in XLA_FLAGS or not name.startswith("jax "):
        raise InputError(
            f"variant {name!r}: flags {flags!r} are unknown; known: "
            f"{', '.join(XLA_FLAGS)}, for variants of jax"
        )
    return XLA_FLAGS[flags]


def parse(name: str) -> tuple[str, str]:
    """Twin and training loop of a variant.

    Raises:
        InputError: there is no such variant.

    Example:
        >>> parse("jax scan/conv again")
        ('jax', 'scan')
    """
    xla_flags(name)
    plain = original(name).partition("/")[0]
    twin, _, loop = plain.partition(" ")
    kind = re.sub(r"^seeds-[1-9]\d{0,3}$", "seeds-N", loop)
    if kind not in VARIANTS.get(twin, "").split() or loop == "seeds-N":
        known = "; ".join(f"{t} with {v}" for t, v in VARIANTS.items())
        raise InputError(f"variant {name!r} is unknown; known: {known}")
    return twin, loop


def games(name: str) -> int:
    """How many games a variant trains together."""
    loop = parse(name)[1]
    return int(loop.removeprefix("seeds-")) if "seeds-" in loop else 1


def iterations(name: str, of_one: int) -> int:
    """Iterations in one call of a variant: fewer if many games do not fit.

    Args:
        name: of the variant.
        of_one: iterations in a call of one game.

    Example:
        >>> iterations("jax seeds-8", 100), iterations("jax seeds-64", 100)
        (100, 25)
    """
    return max(STEPS, min(of_one, ITERATIONS_OF_ALL_GAMES // games(name)))
