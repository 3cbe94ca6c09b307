"""What a check of a pair found."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from experiment.pages import html_page, markdown_table
from parity_tests.causes import explain
from parity_tests.traps import usual_causes


def _rounded(causes: Sequence[str]) -> tuple[str, ...]:
    """Causes whose numbers are equal if they differ by rounding."""
    return tuple(
        re.sub(r"\d+\.\d+", lambda found: f"{float(found[0]):.4g}", cause)
        for cause in causes
    )


class ArrayError(NamedTuple):
    """How far an array of the port is from the reference's, at its worst.

    Attributes:
        kind: ``metric``, ``gradient``, ``weights``, ``moments`` or
            ``statistics``.
        name: of the array.
        step: after which the error is largest against its bound.
        error: largest absolute difference, over the larger of 1 and the
            reference's largest absolute value.
        absolute: largest absolute difference of all steps.
        ulps: the error in units in the last place.
        bound: of ``error``.
    """

    kind: str
    name: str
    step: int
    error: float
    absolute: float
    ulps: float
    bound: float

    @property
    def excess(self) -> float:
        """The error over its bound."""
        if self.bound:
            return self.error / self.bound
        return float("inf") if self.error else 0.0


@dataclass(frozen=True)
class Divergence:
    """An array that is further from the reference than its bound.

    Attributes:
        entry: which array, in which step, how far.
        phase: of the step: ``update of generator``, ``forward pass``, or
            ``step``.
        reference: the array of the reference.
        port: that of the port.
        before: the reference's before the step, of a state.
        moments: the reference's after it by slot, of weights.
    """

    entry: ArrayError
    phase: str
    reference: NDArray = field(repr=False)
    port: NDArray = field(repr=False)
    before: NDArray | None = field(default=None, repr=False)
    moments: Mapping[str, NDArray] = field(default_factory=dict, repr=False)

    @property
    def causes(self) -> list[str]:
        """What accounts for every number of the array; none if unknown."""
        kind, name = self.entry.kind, self.entry.name
        before = self.before
        if kind not in ("weights", "moments", "statistics"):
            before = None
        return explain(
            self.reference, self.port, kind, name, before, self.moments
        )

    def __str__(self) -> str:
        """One line for a person."""
        of = self.entry
        step = f"step {of.step}, " if of.step else ""
        return (
            f"{step}{self.phase}: {of.kind} {of.name} differs by "
            f"{of.error:.1e} (bound {of.bound:.1e})"
        )


@dataclass(frozen=True)
class Coverage:
    """What was compared, and what was not.

    Attributes:
        steps: taken; none of a checkpoint.
        arrays: of the state, their number by kind.
        metrics: their names.
        gradients: compared arrays over all steps.
        left_out: what was not compared, with the reason.
        states: the steps after which the state was compared; None for all.
    """

    steps: int
    arrays: dict[str, int]
    metrics: tuple[str, ...]
    gradients: int
    left_out: tuple[str, ...]
    states: int | None = None

    def __str__(self) -> str:
        """In one paragraph."""
        arrays = ", ".join(f"{n} of {kind}" for kind, n in self.arrays.items())
        metrics = ", ".join(self.metrics) or "none"
        lines = [f"Compared: {arrays}."]
        if self.steps:
            when = ""
            if self.states not in (None, self.steps):
                when = f" after {self.states} of them"
            lines = [
                f"Compared over {self.steps} steps: arrays{when}: {arrays}; "
                f"metrics: {metrics}; arrays of gradients: {self.gradients}."
            ]
        lines += [f"Not compared: {what}." for what in self.left_out]
        return "\n".join(lines)


@dataclass(frozen=True)
class Result:
    """What ``check_pair`` found.

    Attributes:
        divergences: the arrays beyond their bounds, in the order of their
            making; without lockstep, those of the first such step.
        errors: of every array, the worst of all steps.
        coverage: what was compared.
        growth: the largest error of each step.
        control: that of the control; empty if there was none.
    """

    divergences: tuple[Divergence, ...]
    errors: tuple[ArrayError, ...]
    coverage: Coverage
    growth: tuple[float, ...]
    control: tuple[float, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether no array is beyond its bound."""
        return not self.divergences

    @property
    def first(self) -> Divergence | None:
        """The divergence that comes first in the first step that has one."""
        return self.divergences[0] if self.divergences else None

    @property
    def explanation(self) -> str:
        """The cause of what differs first, if it is known."""
        if self.first is None:
            return "nothing differs"
        if causes := self._causes(self.first):
            return f"explained by: {'; '.join(causes)}"
        entry = self.first.entry
        usual = usual_causes(self.first.phase, entry.kind, entry.name)
        return f"cause unknown; usual here: {usual}"

    def _causes(self, first: Divergence) -> list[str]:
        """Causes of all arrays of the first phase and kind that differ.

        A single number, such as a loss, has too many causes; then the next
        kind of the same step speaks for it. Without steps, each array of a
        checkpoint has its own cause, and later layers have that of the first.
        """
        if not self.coverage.steps:
            return first.causes
        groups: dict[tuple[int, str, str], list[Divergence]] = {}
        for of in self.divergences:
            place = of.entry.step, of.phase, of.entry.kind
            groups.setdefault(place, []).append(of)
        for (when, _, kind), group in groups.items():
            telling = [of for of in group if np.count_nonzero(of.reference) > 1]
            if when != first.entry.step or (not telling and kind != "metric"):
                break
            if telling:
                same = len({_rounded(of.causes) for of in telling}) == 1
                return telling[0].causes if same else []
        return []

    def _with_causes(self, of: Divergence) -> str:
        causes = [] if self.coverage.steps else of.causes
        return f"{of}{': explained by: ' * bool(causes)}{'; '.join(causes)}"

    def raise_if(self) -> None:
        """Raises AssertionError with the whole text unless ``ok``."""
        if not self.ok:
            raise AssertionError(str(self))

    def html(self, path: Path) -> None:
        """Writes a page with the verdict and a row for every array."""
        header = ["kind", "array", "step", "error", "bound", "ulps"]
        rows = [
            [
                of.kind,
                of.name,
                f"{of.step}",
                f"{of.error:.1e}",
                f"{of.bound:.1e}",
                f"{of.ulps:.3g}",
            ]
            for of in sorted(self.errors, key=lambda of: -of.excess)
        ]
        page = "\n\n".join(
            [
                "# A port against its reference",
                *str(self).split("\n"),
                "The largest error of every array, the nearest to its bound "
                "first. An error is the largest absolute difference over the "
                "larger of 1 and the reference's largest absolute value.",
                markdown_table(header, rows),
            ]
        )
        path.write_text(html_page("A port against its reference", page, path))

    @property
    def verdict(self) -> str:
        """Whether they agree, or where they diverge first and why."""
        if self.first is None:
            worst = max(self.errors, key=lambda entry: entry.excess)
            step = f" after step {worst.step}" if worst.step else ""
            lines = [
                "The port agrees with the reference.",
                f"Nearest to its bound: {worst.kind} {worst.name}, "
                f"{worst.error:.1e} of {worst.bound:.1e}{step}.",
            ]
        else:
            lines = [
                f"The port diverges in {self.first},",
                f"{self.explanation}.",
            ]
            others = self.divergences[1:]
            lines += [f"Also: {self._with_causes(of)}" for of in others[:5]]
            if len(others) > 5:
                lines.append(f"and {len(others) - 5} more")
        if self.coverage.steps:
            lines.append(f"Largest error of each step: {_course(self.growth)}")
        if self.control:
            lines.append(f"That of the control: {_course(self.control)}")
        return "\n".join(lines)

    def __str__(self) -> str:
        """The verdict, and what was compared."""
        return f"{self.verdict}\n{self.coverage}"


def _course(errors: Sequence[float]) -> str:
    return ", ".join(f"{error:.1e}" for error in errors)
