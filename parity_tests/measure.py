"""How far an array is from another, and what rounding alone can do."""

import numpy as np
from numpy.typing import NDArray

from experiment.errors import InputError
from parity_tests.side import State


def is_float(array: NDArray) -> bool:
    """Whether an array holds rounded numbers; others must be equal."""
    return array.dtype.kind in "fcV"  # V: bfloat16 of ml_dtypes


def difference(ours: NDArray, theirs: NDArray) -> NDArray:
    """Absolute differences; not a number counts as infinitely far.

    Integers and booleans are 0 or 1 apart: equal or not.
    """
    if not is_float(theirs):
        return (ours != theirs).astype(float)
    exact = np.complex128 if theirs.dtype.kind == "c" else np.float64
    with np.errstate(invalid="ignore"):
        apart = np.abs(
            ours.astype(exact, copy=False) - theirs.astype(exact, copy=False)
        )
    if np.isnan(np.max(apart, initial=0)):
        return np.where(np.isnan(apart), np.inf, apart)
    return np.asarray(apart)


def size_of(array: NDArray) -> float:
    """The largest finite absolute value, or 1 if that is more."""
    if not is_float(array):
        return 1.0
    size = float(np.abs(array).max(initial=1))
    if np.isfinite(size):
        return size
    return float(np.abs(array[np.isfinite(array)]).max(initial=1))


def error_of(ours: NDArray, theirs: NDArray) -> float:
    """The largest difference over the reference's size, or over 1."""
    return float(difference(ours, theirs).max(initial=0)) / size_of(theirs)


def ulps_of(apart: NDArray, theirs: NDArray) -> float:
    """The largest difference in units in the last place of the reference."""
    if theirs.dtype.kind != "f":
        return 0.0
    normal = np.maximum(np.abs(theirs), np.finfo(theirs.dtype).tiny)
    with np.errstate(over="ignore"):
        units = apart / np.spacing(normal)
    return float(units.max(initial=0))


def is_near(a: NDArray, b: NDArray) -> bool:
    """Equal but for rounding, in units of the largest number."""
    if a.shape != b.shape:
        return False
    size = max(np.abs(a).max(initial=0), np.abs(b).max(initial=0))
    return bool(np.abs(a - b).max(initial=0) <= 1e-6 * size)


def accounts_for(image: NDArray, a: NDArray, b: NDArray) -> bool:
    """Whether what b should be is b, and nearer to it than a is."""
    if not is_near(image, b):
        return False
    left, whole = np.abs(image - b), np.abs(a - b)
    return bool(left.max(initial=0) <= 1e-3 * whole.max(initial=0))


def factor_of(a: NDArray, b: NDArray) -> float | None:
    """The f of b = f a, if there is one but 1.

    Of one number alone there always is: then it explains nothing.
    """
    if np.count_nonzero(a) < 2:
        return None
    at = np.unravel_index(np.abs(a).argmax(), a.shape)
    factor = float(b[at] / a[at])
    if factor == 0 or np.isclose(factor, 1, rtol=1e-7):
        return None
    if not accounts_for(factor * a, a, b):
        return None
    return -1.0 if np.isclose(factor, -1, rtol=1e-7) else factor


def sample_size(factor: float) -> int | None:
    """The n of a factor n / (n - 1), or of its inverse."""
    larger = max(factor, 1 / factor) if factor > 0 else 0.0
    if not 1 < larger <= 1.5:
        return None
    n = larger / (larger - 1)
    return round(n) if np.isclose(n, round(n), rtol=1e-5) else None


def one_ulp_away(state: State, *seed: int) -> State:
    """The state with every weight one unit in the last place up or down.

    Zeros stay: their neighbours are numbers that no computation meets.

    Args:
        state: of a side.
        *seed: of the directions.

    Raises:
        InputError: no weight moved.
    """
    rng = np.random.default_rng(seed)
    moved = dict(state)
    count = 0
    for key, array in state.items():
        if key.kind == "weights" and is_float(array):
            up = np.where(rng.random(array.shape) < 0.5, np.inf, -np.inf)
            near = np.nextafter(array, up.astype(array.dtype))
            moved[key] = np.where(array == 0, array, near)
            count += int((array != 0).sum())
    if not count:
        raise InputError(
            "the control is empty: the reference has no weight that is not 0"
        )
    return moved
