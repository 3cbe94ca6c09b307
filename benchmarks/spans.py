"""Time of operators in a trace: each moment of a thread counts once."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import groupby
from math import inf
from typing import Any, NamedTuple


class Span(NamedTuple):
    """An interval of the time of a thread, or of a GPU's stream.

    Attributes:
        thread: spans of one thread are disjoint or nested.
        start: microseconds.
        end: microseconds.
        label: the operator's name; None for anything else, as a wait inside
            an operator.
        calls: of the operator; 0 where another thread called it.
    """

    thread: Hashable
    start: float
    end: float
    label: Any
    calls: int = 1


class Total(NamedTuple):
    """An operator's calls, and its microseconds on all threads."""

    name: str
    calls: int
    microseconds: float


def cut(spans: Iterable[Span]) -> list[Span]:
    """The spans without those inside them: no two of a thread overlap.

    Example:
        >>> for piece in cut([Span("t", 0, 9, "call"), Span("t", 2, 5, "dot")]):
        ...     print(piece.start, piece.end, piece.label)
        0 2 call
        2 5 dot
        5 9 call
    """
    # The longer first, if two start together: it is around the other.
    ordered = sorted(spans, key=lambda s: (str(s.thread), s.start, -s.end))
    return [
        piece
        for thread, of_thread in groupby(ordered, key=lambda s: s.thread)
        for piece in _cut([*of_thread, Span(thread, inf, inf, None)])
    ]


def _cut(spans: Iterable[Span]) -> Iterator[Span]:
    """Those of one thread by start; the last one only ends the others."""
    around: list[Span] = []  # the innermost last
    now = -inf
    for span in spans:
        while around and around[-1].end <= span.start:
            inner = around.pop()
            if inner.end > now:
                yield inner._replace(start=now)
                now = inner.end
        if around and span.start > now:
            yield around[-1]._replace(start=now, end=span.start)
        now = max(now, span.start)
        around.append(span)


def total(spans: Sequence[Span]) -> tuple[list[Total], float]:
    """The operators' totals, and how long at least one was running.

    Args:
        spans: of all threads; those labelled None do not count.

    Returns:
        Totals, the longest first; microseconds.

    Example:
        >>> total([Span("t", 0, 9, "call"), Span("t", 2, 5, "dot"),
        ...        Span("other", 4, 10, "dot", calls=0)])
        ... # doctest: +NORMALIZE_WHITESPACE
        ([Total(name='dot', calls=1, microseconds=9.0),
          Total(name='call', calls=1, microseconds=6.0)], 10.0)
    """
    calls: dict[str, int] = defaultdict(int)
    for span in spans:
        calls[span.label] += span.calls
    microseconds: dict[str, float] = defaultdict(float)
    running, end = 0.0, -inf
    for piece in sorted(cut(spans), key=lambda piece: piece.start):
        if piece.label is not None:
            microseconds[piece.label] += piece.end - piece.start
            running += max(0.0, piece.end - max(piece.start, end))
            end = max(end, piece.end)
    longest = sorted(microseconds, key=microseconds.__getitem__, reverse=True)
    return [Total(n, calls[n], microseconds[n]) for n in longest], running
