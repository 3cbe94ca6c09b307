"""What a check of a pair found."""

from dataclasses import dataclass, field
from typing import NamedTuple

from numpy.typing import NDArray

from parity_tests.explain import explain, usual_causes


class ArrayError(NamedTuple):
    """How far an array of the port is from the reference's, at its worst.

    Attributes:
        kind: ``metric``, ``gradient``, ``weights``, ``moments`` or
            ``statistics``.
        name: of the array.
        step: after which the error is largest against its bound.
        error: largest absolute difference, over the larger of 1 and the
            reference's largest absolute value.
        absolute: largest absolute difference.
        ulps: the same in units in the last place.
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
    """

    entry: ArrayError
    phase: str
    reference: NDArray = field(repr=False)
    port: NDArray = field(repr=False)
    before: NDArray | None = field(default=None, repr=False)

    @property
    def causes(self) -> list[str]:
        """What accounts for every number of the array; none if unknown."""
        kind, name = self.entry.kind, self.entry.name
        before = self.before
        if kind not in ("weights", "moments", "statistics"):
            before = None
        return explain(self.reference, self.port, kind, name, before)

    def __str__(self) -> str:
        """One line for a person."""
        of = self.entry
        return (
            f"step {of.step}, {self.phase}: {of.kind} {of.name} differs by "
            f"{of.error:.1e} (bound {of.bound:.1e})"
        )


@dataclass(frozen=True)
class Coverage:
    """What was compared, and what was not.

    Attributes:
        steps: taken.
        arrays: of the state, their number by kind.
        metrics: their names.
        gradients: compared arrays over all steps.
        left_out: what was not compared, with the reason.
    """

    steps: int
    arrays: dict[str, int]
    metrics: tuple[str, ...]
    gradients: int
    left_out: tuple[str, ...]

    def __str__(self) -> str:
        """In one paragraph."""
        arrays = ", ".join(f"{n} of {kind}" for kind, n in self.arrays.items())
        metrics = ", ".join(self.metrics) or "none"
        lines = [
            f"Compared over {self.steps} steps: arrays: {arrays}; metrics: "
            f"{metrics}; arrays of gradients: {self.gradients}."
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
    """

    divergences: tuple[Divergence, ...]
    errors: tuple[ArrayError, ...]
    coverage: Coverage
    growth: tuple[float, ...]

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
        """The cause of what differs first in its step, if it is known.

        A single number, such as a loss, has too many: then the first array of
        the same step that has a known one speaks for it.
        """
        if self.first is None:
            return "nothing differs"
        step, phase = self.first.entry.step, self.first.phase
        for at in self.divergences:
            if at.entry.step == step and (causes := at.causes):
                where = "" if at is self.first else f"{at.entry.name}: "
                return f"explained by: {where}{'; '.join(causes)}"
            if at.phase not in (phase, "step") and phase != "step":
                break
        usual = usual_causes(self.first.entry.kind, self.first.entry.name)
        return f"cause unknown; usual here: {usual}"

    def raise_if(self) -> None:
        """Raises AssertionError with the whole text unless ``ok``."""
        if not self.ok:
            raise AssertionError(str(self))

    def __str__(self) -> str:
        """The verdict, its cause, and what was compared."""
        if self.first is None:
            worst = max(self.errors, key=lambda entry: entry.excess)
            verdict = [
                "The port agrees with the reference.",
                f"Nearest to its bound: {worst.kind} {worst.name}, "
                f"{worst.error:.1e} of {worst.bound:.1e} after step "
                f"{worst.step}.",
            ]
        else:
            verdict = [
                f"The port diverges in {self.first},",
                f"{self.explanation}.",
            ]
            others = self.divergences[1:]
            verdict += [f"Also: {other}" for other in others[:5]]
            if len(others) > 5:
                verdict.append(f"and {len(others) - 5} more")
        course = ", ".join(f"{error:.1e}" for error in self.growth)
        verdict.append(f"Largest error of each step: {course}")
        return "\n".join([*verdict, str(self.coverage)])
