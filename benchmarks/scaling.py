"""A model of training on many cards: computation, then communication.

With c all-reduces of b bytes in all, latency l of a step between two cards and
bandwidth w of a card's link, an iteration on n cards takes

    t(n) = compute + c l steps(n) + 2 (n - 1) / n b / w,

where compute is that of one card over n if the minibatch stays (strong
scaling), and that of one card if each card has a minibatch (weak scaling). A
ring takes 2 (n - 1) steps, a tree (recursive halving and doubling) 2 log2 n
(Thakur et al. 2005, Optimization of Collective Communication Operations in
MPICH, IJHPCA 19:49-66). Nothing overlaps.
"""

from collections.abc import Callable
from math import log2
from typing import NamedTuple

from benchmarks.reductions import Reductions

CARDS = (8, 64, 512)


class Link(NamedTuple):
    """What joins two cards; both figures are assumed, not measured.

    Attributes:
        name: of it.
        latency: seconds of a step of an all-reduce.
        bandwidth: bytes/s of a card, in each direction.
        most: cards that it joins.
    """

    name: str
    latency: float
    bandwidth: float
    most: int


# Bandwidths are nominal. Latencies of NVLink and InfiniBand are about those of
# NCCL's own model of short messages (its tuning.cc); Ethernet's is of sockets.
LINKS = (
    Link("NVLink in a machine, 450 GB/s", 1e-6, 450e9, 8),
    Link("InfiniBand, 400 Gbit/s a card", 5e-6, 50e9, 512),
    Link("Ethernet, 100 Gbit/s a card", 20e-6, 12.5e9, 512),
)
STEPS: dict[str, Callable[[int], float]] = {
    "tree": lambda n: 2 * log2(n),
    "ring": lambda n: 2 * (n - 1),
}


def communication(
    reductions: Reductions, link: Link, cards: int, algorithm: str
) -> float:
    """Seconds of the all-reduces of an iteration.

    Example:
        >>> link = Link("of glass", 1e-6, 1e9, 8)
        >>> communication(Reductions(10, 2_000_000), link, 2, "ring")
        0.00202
    """
    steps = STEPS[algorithm](cards)
    sent = 2 * (cards - 1) / cards * reductions.bytes
    return reductions.number * link.latency * steps + sent / link.bandwidth


def strong_efficiency(compute: float, messages: float, cards: int) -> float:
    """Speed-up over the number of cards, of the same minibatch.

    Args:
        compute: seconds of an iteration on one card.
        messages: seconds of the communication.
        cards: that share the minibatch evenly.
    """
    return compute / (compute + cards * messages)


def weak_efficiency(compute: float, messages: float) -> float:
    """Images/s of a card over those of one card alone."""
    return compute / (compute + messages)
