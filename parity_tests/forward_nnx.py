"""A module of Flax NNX as a function of its weights."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from flax import nnx

# By Flax linen's names, which tell the kind of an array.
_COLLECTIONS = {"params": nnx.Param, "batch_stats": nnx.BatchStat}


class NnxFunction:
    """A function of weights and inputs; the module stays as it is.

    Attributes:
        weights: parameters and batch statistics, by the names of linen's
            collections.
        note: is given the path and the output of every module that is called.
    """

    note: Callable[[tuple[Any, ...], Any], None]

    def __init__(self, module: nnx.Module):
        """Takes the module apart."""
        self._graph, *self._states = nnx.split(
            module, *_COLLECTIONS.values(), ...
        )
        self.weights = {
            name: nnx.to_pure_dict(state)
            for name, state in zip(_COLLECTIONS, self._states, strict=False)
        }

    def __call__(self, weights: Any, *inputs: Any, **named: Any) -> Any:
        """What a module with these weights gives."""
        module = nnx.merge(self._graph, *self._states, copy=True)
        for name, variable in _COLLECTIONS.items():
            state = nnx.state(module, variable)
            nnx.replace_by_pure_dict(state, weights[name])
            nnx.update(module, state)
        with self._noting(module):
            return module(*inputs, **named)

    @contextmanager
    def _noting(self, module: nnx.Module) -> Iterator[None]:
        """NNX has no hooks: the classes' calls are replaced meanwhile."""
        paths = {id(of): path for path, of in nnx.iter_modules(module)}
        classes = {type(of) for _, of in nnx.iter_modules(module)}
        calls = {
            of: of.__call__
            for of in classes
            if any("__call__" in vars(base) for base in of.__mro__)
        }

        def noted(of: type) -> Callable[..., Any]:
            original = calls[of]

            def called(self_: Any, *args: Any, **kwargs: Any) -> Any:
                output = original(self_, *args, **kwargs)
                # A class may call that of its base.
                if type(self_) is of and id(self_) in paths:
                    self.note(paths[id(self_)], output)
                return output

            return called

        with ExitStack() as stack:
            for of in calls:
                stack.enter_context(patch.object(of, "__call__", noted(of)))
            yield
