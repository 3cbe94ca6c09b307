"""Checks any two implementations of one training step against each other.

    result = check_pair(build_reference, build_port, batches)
    result.raise_if()

Both start from the reference's initial state and take the same batches. After
every step metrics, gradients and state are compared, array by array. How far
apart they may be is not guessed: a second reference, whose initial weights
differ in the last bit, says how far rounding alone drives the reference from
itself (the control), and that times ``factor`` is the bound of each array.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from experiment.errors import InputError
from parity_tests.comparison import Comparison
from parity_tests.control import Control, LiveControl, Permute
from parity_tests.measure import is_float
from parity_tests.result import Coverage, Divergence, Result
from parity_tests.runner import Names, Runner
from parity_tests.side import KINDS, Build, State, Taken
from parity_tests.view import Arrays, View, take_step


def check_pair(
    reference: Build,
    port: Build,
    batches: Iterable[Any],
    *,
    names: Names | None = None,
    controls: int = 1,
    permute: Permute | None = None,
    floor: float | None = None,
    factor: float = 100,
    lockstep: bool = False,
    states_at: Collection[int] | None = None,
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
        controls: how many second references there are, each one unit in the
            last place away in another direction; with 0, and no ``permute``,
            the bound is ``floor`` alone.
        permute: a batch with its examples in another order, for one more
            control: a mean over examples does not depend on the order, its
            rounding does.
        floor: smallest bound; by default 1e-12 in float64 and 5e-7 in
            float32.
        factor: how many times the control's error is allowed.
        lockstep: give the port, and the control, the reference's state after
            every step, so that each step is judged alone. Then arrays that
            diverge in later steps are named too.
        states_at: steps after which gradients and state are compared, and not
            metrics alone; by default all. Large states take time.
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
    if controls < 0:
        raise InputError(f"controls is {controls}: it must be 0 or more")
    view = View(metrics, order, ignore)
    first = Runner("reference", reference)
    control = LiveControl(reference, view, controls, permute)
    check = Check(
        first,
        port,
        names,
        control if controls or permute else None,
        view,
        Comparison(floor, factor),
        lockstep,
        states_at,
        Runner("second reference", reference),
    )
    return check.run(batches)


class Check:
    """A reference, a port and the control, step by step."""

    def __init__(
        self,
        reference: Runner,
        port: Build,
        names: Names | None,
        control: Control | None,
        view: View,
        comparison: Comparison,
        lockstep: bool,
        states_at: Collection[int] | None,
        second: Runner | None = None,
    ):
        """As ``check_pair``.

        Args:
            reference: runs.
            port: is made.
            names: as ``check_pair``'s.
            control: of the reference; None if the floor is the bound.
            view: what is compared.
            comparison: takes the steps.
            lockstep: as ``check_pair``'s.
            states_at: as ``check_pair``'s.
            second: of the reference, whose first step must be the same; None
                if the reference is recorded.
        """
        names = names or {}
        if len(set(names.values())) < len(names):
            raise InputError(f"names {dict(names)} gives two arrays one name")
        # The port's arrays go by the reference's names.
        own = {theirs: ours for ours, theirs in names.items()}
        self._reference, self._port = reference, Runner("port", port, own)
        self._second, self._names, self._control = second, names, control
        self._view, self._comparison = view, comparison
        self._lockstep, self._states_at = lockstep, states_at

    def run(self, batches: Iterable[Any]) -> Result:
        """All steps."""
        initial = self._start()
        number = states = 0
        metrics: Mapping[str, Any] = {}
        first: tuple[Divergence, ...] = ()
        for number, batch in enumerate(batches, start=1):
            whole = self._states_at is None or number in self._states_at
            states += whole
            metrics = self._step(number, batch, whole)
            first = first or tuple(self._comparison.divergences.values())
        if number == 0:
            raise InputError("there is no batch: give at least one")
        if not self._comparison.worst:
            raise InputError(
                "nothing was compared: all arrays are ignored, or none is of "
                "the steps in states_at, and there is no metric"
            )
        if self._control:
            self._comparison.require_control()
        all_of_them = tuple(self._comparison.divergences.values())
        left_out = (
            *self._view.left_out,
            *self._comparison.meaningless.values(),
        )
        counts = {
            kind: sum(key.kind == kind for key in initial) if states else 0
            for kind in KINDS
        }
        return Result(
            all_of_them if self._lockstep else first,
            tuple(self._comparison.worst.values()),
            Coverage(
                number,
                counts,
                tuple(metrics),
                self._comparison.gradients,
                left_out,
                states,
            ),
            tuple(self._comparison.growth),
            tuple(self._comparison.control),
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
        if self._control:
            self._control.write(whole, 0)
        self._comparison.start(self._view.arrays(Taken({}), initial))
        return initial

    def _step(self, number: int, batch: Any, whole: bool) -> Mapping[str, Any]:
        taken = self._reference.step(batch, number, whole)
        state = self._reference.read(number) if whole else {}
        reference = self._view.arrays(taken, self._view.state(state))
        self._comparison.require_finite(number, reference)
        if number == 1:
            self._view.require_known(self._initial, taken.metrics)
            if self._second:
                self._second.write(self._initial)
                again = self._take(self._second, batch, number, whole)
                self._comparison.require_deterministic(reference, again)
        port = self._take(self._port, batch, number, whole)
        self._view.require_same(reference, port)
        if self._control:
            self._comparison.add_control(
                self._control.errors(number, batch, reference, whole)
            )
        self._comparison.add(number, reference, port)
        if self._lockstep and whole:
            self._port.write(state)
            if self._control:
                self._control.write(state, number)
        return taken.metrics

    def _take(
        self, runner: Runner, batch: Any, number: int, whole: bool
    ) -> Arrays:
        return take_step(runner, self._view, batch, number, whole)


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
