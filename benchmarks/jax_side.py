"""What the benchmark needs from JAX: settings, counters, peak rates."""

from collections.abc import Callable
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.extend.core import jaxprs_in_params
from jax.interpreters import partial_eval

import jax_gan as twin
from benchmarks.counters import calls_per_second
from benchmarks.reductions import Reductions, of_program
from experiment.config import Config
from experiment.pixels import Data
from experiment.stream import length
from jax_gan.sample import sample_batch

__all__ = ["twin"]
_compiled = 0


def _count(event: str, *_: Any, **__: Any) -> None:
    global _compiled
    _compiled += event == "/jax/core/compile/backend_compile_duration"


jax.monitoring.register_event_duration_secs_listener(_count)


def compilations() -> int:
    """Programs that this process has compiled so far."""
    return _compiled


def graph_breaks() -> int:
    """A jitted program has none."""
    return 0


def set_matmul(name: str) -> None:
    """Sets float32 matmuls to ``tf32`` on a GPU, or to full precision."""
    precision = "tensorfloat32" if name == "tf32" else "highest"
    jax.config.update("jax_default_matmul_precision", precision)


def settings() -> dict[str, Any]:
    """The settings that decide the speed."""
    return {
        "matmul_precision": jax.config.values["jax_default_matmul_precision"],
        "x64": jax.config.values["jax_enable_x64"],
        "backend": jax.default_backend(),
        "device": jax.devices()[0].device_kind,
    }


def synchronise(tree: Any) -> None:
    """Waits until all of it is computed."""
    jax.block_until_ready(tree)


def host_sync(call: Callable[[Any], Any], game: Any) -> str | None:
    """Where a run synchronises with the host, or None.

    A traced run has no numbers that the host could read.
    """
    try:
        jax.eval_shape(call, game)
    except (jax.errors.JAXTypeError, TypeError) as error:
        return str(error).splitlines()[0]
    return None


def matmul_dtypes(call: Callable[[Any], Any], game: Any) -> set[str]:
    """Data types that matmuls and convolutions of a run take."""
    return _matmul_dtypes(jax.make_jaxpr(call)(game).jaxpr)


def _matmul_dtypes(jaxpr: Any) -> set[str]:
    dtypes = set()
    for equation in jaxpr.eqns:
        if equation.primitive.name in ("dot_general", "conv_general_dilated"):
            dtypes |= {str(a.aval.dtype) for a in equation.invars}
        for inner in jaxprs_in_params(equation.params):
            dtypes |= _matmul_dtypes(inner)
    return dtypes


def drawn(config: Config, data: Data, device: Any) -> Callable[[int], Any]:
    """The batch that ``device_stream`` draws for an iteration."""
    numbers = jax.device_put(np.asarray(data), device)
    key = jax.random.key(config.seed, impl="rbg")
    draw = jax.jit(lambda key: sample_batch(config, numbers, key))
    return lambda step: draw(jax.random.fold_in(key, step))


def seed_of(game: Any, _: list[Any], i: int) -> Any:
    """One of the games that ``stack_games`` stacked."""
    return jax.tree.map(lambda leaf: leaf[i], game)


def gemm(n: int, dtype: str, seconds: float) -> float:
    """GEMM speed: FLOP/s of n x n matmuls, measured for some seconds."""
    # Random: a matmul of ones draws less power, and some chips run faster.
    a = jax.random.normal(jax.random.key(0), (n, n), dtype)
    matmul = jax.jit(lambda a: a @ a)
    return 2 * n**3 * calls_per_second(lambda: matmul(a), synchronise, seconds)


def bandwidth(n: int, seconds: float) -> float:
    """Memory bandwidth test (STREAM): bytes/s of a += b / 2, n elements.

    Two arrays are read and one is written.
    """
    a, b = jnp.ones(n, jnp.float32), jnp.ones(n, jnp.float32)
    add = jax.jit(lambda a, b: a + b / 2, donate_argnums=0)

    def call() -> Array:
        nonlocal a
        a = add(a, b)
        return a

    return 3 * b.nbytes * calls_per_second(call, synchronise, seconds)


def peak_bytes() -> int | None:
    """Peak memory of the GPU; None without one."""
    statistics = jax.local_devices()[0].memory_stats()
    return statistics["peak_bytes_in_use"] if statistics else None


def count_flops(game: Any, batch: Any) -> int:
    """FLOP of the matmuls in the traced step, as written for a CPU."""
    closed = jax.make_jaxpr(type(game).step)(game, batch)
    used = [True] * len(closed.jaxpr.outvars)
    return _flops(partial_eval.dce_jaxpr(closed.jaxpr, used)[0])


def _flops(jaxpr: Any) -> int:
    """Counts repeated operations once, as XLA computes them."""
    total = 0
    known: dict[str, Any] = {}  # equations by their text
    first: dict[int, Any] = {}  # what stands for an array computed again
    for equation in jaxpr.eqns:
        name, params = equation.primitive.name, equation.params
        inputs = (str(first.get(id(a), a)) for a in equation.invars)
        text = f"{name} {params} {list(inputs)}"
        same = known.setdefault(text, equation)
        if same is not equation:
            pairs = zip(equation.outvars, same.outvars, strict=True)
            first |= {id(a): first.get(id(b), b) for a, b in pairs}
            continue
        if name == "dot_general":
            contracted = params["dimension_numbers"][0][0]
            shape = equation.invars[0].aval.shape
            total += (
                2
                * prod(equation.outvars[0].aval.shape)
                * prod(shape[axis] for axis in contracted)
            )
        elif name == "cond":  # by platform: the one of matmuls is the CPU's
            total += max(_flops(branch.jaxpr) for branch in params["branches"])
        elif "jaxpr" in params or "call_jaxpr" in params:
            inner = params.get("jaxpr", params.get("call_jaxpr"))
            inner = getattr(inner, "jaxpr", inner)
            total += params.get("length", 1) * _flops(inner)
    return total


def count_reductions(train: Any, game: Any, batches: Any) -> Reductions:
    """All-reduces of an iteration, in XLA's program of a jitted ``train``."""
    text = train.lower(game, batches).compile().as_text()
    return of_program(text, length(batches))
