"""A side of a pair from a training step that changes Flax NNX modules."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
from flax import nnx

from parity_tests.side import KINDS, Layout
from parity_tests.side_jax import JaxSide


def nnx_side(
    step: Callable[[Any], Mapping[str, Any] | None],
    modules: Mapping[str, Any],
    optimizers: Mapping[str, Any],
    layouts: Mapping[str, Layout] | None = None,
) -> "JaxSide":
    """The side of a training step that changes Flax NNX modules in place.

    Args:
        step: of a batch, whose NumPy arrays it gets as JAX's; gives its
            metrics by name.
        modules: the networks by the name of their part.
        optimizers: ``nnx.Optimizer`` by the name of the part they train.
        layouts: as ``jax_side``'s.

    Raises:
        InputError: a module has a variable that is neither a parameter nor a
            batch statistic, or a random state.
    """

    def collect() -> dict[str, Any]:
        state: dict[str, Any] = {}
        for part, module in modules.items():
            weights, statistics, rest = nnx.state(
                module, nnx.Param, nnx.BatchStat, ...
            )
            optimizer = optimizers.get(part)
            state[part] = {
                "weights": nnx.to_pure_dict(weights),
                "statistics": nnx.to_pure_dict(statistics),
                "moments": (nnx.pure(optimizer.opt_state) if optimizer else ()),
                "rest": nnx.to_pure_dict(rest),
            }
        return state

    def spread(state: Mapping[str, Any]) -> None:
        for part, module in modules.items():
            of = state[part]
            for kind, variable in (
                ("weights", nnx.Param),
                ("statistics", nnx.BatchStat),
            ):
                current = nnx.state(module, variable)
                nnx.replace_by_pure_dict(current, of[kind])
                nnx.update(module, current)
            if part in optimizers:
                _update_moments(optimizers[part], of["moments"])

    def pure_step(state: Any, batch: Any) -> tuple[Any, Mapping[str, Any]]:
        spread(state)
        metrics = step(batch)
        return collect(), metrics or {}

    return JaxSide(
        pure_step,
        collect(),
        lambda state: {
            part: {kind: of[kind] for kind in KINDS}
            for part, of in state.items()
        },
        layouts or {},
        lambda state: [of["rest"] for of in state.values()],
    )


def _update_moments(optimizer: nnx.Optimizer, moments: Any) -> None:
    """Puts a pure state in place of an optimizer's."""
    variables = jax.tree.leaves(
        optimizer.opt_state, is_leaf=lambda of: isinstance(of, nnx.Variable)
    )
    for variable, array in zip(
        variables, jax.tree.leaves(moments), strict=True
    ):
        variable[...] = array
