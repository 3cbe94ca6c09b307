"""Checks any two implementations of one training step against each other.

    result = check_pair(build_reference, build_port, batches)
    result.raise_if()

Both start from the reference's initial state and take the same batches. After
every step metrics, gradients and state are compared, array by array. How far
apart they may be is not guessed: a second reference, whose initial weights
differ in the last bit, says how far rounding alone drives the reference from
itself (the control), and that times ``factor`` is the bound of each array.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from experiment.errors import InputError
from parity_tests.comparison import Arrays, Comparison, View
from parity_tests.measure import is_float, one_ulp_away
from parity_tests.result import Coverage, Divergence, Result
from parity_tests.runner import Names, Runner
from parity_tests.side import KINDS, Build, State, Taken


def check_pair(
    reference: Build,
    port: Build,
    batches: Iterable[Any],
    *,
    names: Names | None = None,
    permute: Callable[[Any], Any] | None = None,
    floor: float | None = None,
    factor: float = 100,
    lockstep: bool = False,
    metrics: Mapping[str, str] | None = None,
    order: Sequence[str] = (),
    ignore: Sequence[str] = (),
) -> Result:
    """Runs a reference and a port next to each other, and compares all.

    The error of an array is its largest absolute difference over the larger
    of 1 and the reference's largest absolute value. Its bound after a step is
    the larger of ``floor`` and ``factor`` times the largest error of the
    control so far. Integers and booleans must be equal.

    Args:
        reference: makes the side that is right, a fresh one at each call.
        port: makes the side that is checked.
        batches: one for each step: arrays in dicts, lists and tuples.
        names: what has another name in the port, as messages show it, by the
            reference's: ``{"model/net/0": "model/Dense/0"}`` is for a layer.
        permute: a batch with its examples in another order, for a second
            control: a mean over examples does not depend on the order, its
            rounding does.
        floor: smallest bound; by default 1e-12 in float64 and 5e-7 in
            float32.
        factor: how many times the control's error is allowed.
        lockstep: give the port, and the control, the reference's state after
            every step, so that each step is judged alone. Then arrays that
            diverge in later steps are named too.
        metrics: the part that a metric is of, by the metric's name; it orders
            metrics within a step, and those without one come first.
        order: parts in the order of their updates, where no side tells it.
        ignore: regular expressions of names of arrays not to compare; the
            coverage lists what they left out.

    Returns:
        What differs first, the error and the bound of every array, and what
        was compared.

    Raises:
        InputError: there is no batch; names, shapes or precisions do not
            match; a number of the reference is not finite; a side returns
            views of its memory, changes its batch, or changes nothing;
            the reference is not deterministic; the control is empty.
        Exception: of a side's own code, with a note of side and step.
    """
    if not 0 < factor < np.inf:
        raise InputError(f"factor is {factor}: it must be a positive number")
    for pattern in ignore:
        try:
            re.compile(pattern)
        except re.error as error:
            raise InputError(
                f"ignore {pattern!r} is no regular expression ({error})"
            ) from error
    names = names or {}
    if len(set(names.values())) < len(names):
        raise InputError(f"names {dict(names)} gives two arrays one name")
    # The port's arrays go by the reference's names.
    own = {theirs: ours for ours, theirs in names.items()}
    controls: dict[str, Callable[[Any], Any]] = {"control": _unchanged}
    if permute:
        controls["permuted control"] = permute
    view = View(dict(metrics or {}), tuple(order), tuple(ignore))
    check = _Check(
        Runner("reference", reference, {}),
        Runner("second reference", reference, {}),
        Runner("port", port, own),
        tuple(names),
        [(Runner(name, reference, {}), of) for name, of in controls.items()],
        view,
        Comparison(floor, factor),
        lockstep,
    )
    return check.run(batches)


class _Check:
    """A reference, a port and the controls, step by step."""

    def __init__(
        self,
        reference: Runner,
        second: Runner,
        port: Runner,
        names: tuple[str, ...],
        controls: list[tuple[Runner, Callable[[Any], Any]]],
        view: View,
        comparison: Comparison,
        lockstep: bool,
    ):
        self._reference, self._second, self._port = reference, second, port
        self._names, self._controls, self._view = names, controls, view
        self._comparison, self._lockstep = comparison, lockstep

    def run(self, batches: Iterable[Any]) -> Result:
        """All steps."""
        initial = self._start()
        number = 0
        metrics: Mapping[str, Any] = {}
        first: tuple[Divergence, ...] = ()
        for number, batch in enumerate(batches, start=1):
            metrics = self._step(number, batch)
            first = first or tuple(self._comparison.divergences.values())
        if number == 0:
            raise InputError("there is no batch: give at least one")
        if not self._comparison.has_control:
            raise InputError(
                "the control is empty: the reference ends at the same numbers "
                "from weights that differ in the last place; does it use them?"
            )
        all_of_them = tuple(self._comparison.divergences.values())
        left_out = (
            *self._view.left_out,
            *self._comparison.meaningless.values(),
        )
        counts = {k: sum(key.kind == k for key in initial) for k in KINDS}
        return Result(
            all_of_them if self._lockstep else first,
            tuple(self._comparison.worst.values()),
            Coverage(
                number,
                counts,
                tuple(metrics),
                self._comparison.gradients,
                left_out,
            ),
            tuple(self._comparison.growth),
        )

    def _start(self) -> State:
        """Gives all sides the reference's initial state."""
        self._initial = whole = self._reference.read(0)
        for name in self._names:
            if not any(
                f"{k.part}/{k.path}/".startswith(f"{name}/") for k in whole
            ):
                raise InputError(
                    f"names: the reference has nothing that is called {name}; "
                    f"it has {', '.join(sorted({str(key) for key in whole}))}"
                )
        initial = self._view.state(whole)
        require_alike(initial, self._view.state(self._port.read(0)))
        # What is not compared starts from the reference's as well.
        self._port.write(whole)
        given = self._view.state(self._port.read(0))
        for key, array in initial.items():
            if not np.array_equal(given[key], array):
                raise InputError(
                    f"the port's read does not give back {key} ({key.kind}) "
                    "as its write got it"
                )
        self._write_controls(whole, 0)
        self._comparison.start(self._view.arrays(Taken({}), initial))
        return initial

    def _step(self, number: int, batch: Any) -> Mapping[str, Any]:
        taken = self._reference.step(batch, number)
        state = self._reference.read(number)
        reference = self._view.arrays(taken, self._view.state(state))
        self._comparison.require_finite(number, reference)
        if number == 1:
            self._second.write(self._initial)
            self._comparison.require_deterministic(
                reference, self._of(self._second, batch, number)
            )
        port = self._of(self._port, batch, number)
        self._view.require_same(reference, port)
        for control, permute in self._controls:
            other = self._of(control, permute(batch), number)
            self._comparison.add_control(reference, other)
        self._comparison.add(number, reference, port)
        if self._lockstep:
            self._port.write(state)
            self._write_controls(state, number)
        return taken.metrics

    def _of(self, runner: Runner, batch: Any, number: int) -> Arrays:
        taken = runner.step(batch, number)
        return self._view.arrays(taken, self._view.state(runner.read(number)))

    def _write_controls(self, state: State, number: int) -> None:
        for control, permute in self._controls:
            moves = permute is _unchanged
            control.write(one_ulp_away(state, number) if moves else state)


def require_alike(ours: State, theirs: State) -> None:
    """Raises InputError unless two states have the same names and shapes."""
    only = [
        (whose, [key for key in state if key not in other], state)
        for whose, state, other in (
            ("reference", ours, theirs),
            ("port", theirs, ours),
        )
    ]
    if any(keys for _, keys, _ in only):
        lines = []
        for whose, keys, state in only:
            shown = ", ".join(
                f"{key} {list(state[key].shape)} ({key.kind})"
                for key in keys[:8]
            )
            more = f" and {len(keys) - 8} more" if len(keys) > 8 else ""
            if keys:
                lines.append(f"the {whose} alone has {shown}{more}")
        raise InputError(
            f"names differ: {'; '.join(lines)}: join them by names (--name "
            "OLD=NEW), or leave them out by ignore"
        )
    for key, array in ours.items():
        of = f"{key} ({key.kind})"
        other = theirs[key]
        if array.shape != other.shape:
            raise InputError(
                f"{of} is {list(array.shape)} in the reference and "
                f"{list(other.shape)} in the port: give its layout"
            )
        if array.dtype != other.dtype and is_float(array):
            raise InputError(
                f"{of} is {array.dtype} in the reference and {other.dtype} in "
                "the port: give both the same precision"
            )


def _unchanged(batch: Any) -> Any:
    return batch
