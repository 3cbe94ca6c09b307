"""What the benchmark needs from PyTorch: settings, counters, peak rates."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch._dynamo.utils import counters
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

import torch_ref as twin
from benchmarks.counters import calls_per_second
from benchmarks.reductions import Reductions
from experiment.config import Config
from experiment.pixels import Data
from experiment.stream import length
from torch_ref.sample import sample_batch

__all__ = ["twin"]
# The validity checks create many games, and each is compiled again: beyond its
# limit of 8 PyTorch would continue uncompiled, with only a warning.
torch._dynamo.config.recompile_limit = 256


def compilations() -> int:
    """Programs that this process has compiled so far."""
    return counters["stats"]["unique_graphs"]


def graph_breaks() -> int:
    """Where the compiled step leaves its programs for Python.

    As ``torch._dynamo.explain`` has it: one program has no break.
    """
    return max(0, compilations() - 1)


def set_matmul(name: str) -> None:
    """Sets float32 matmuls to ``tf32`` on a GPU, or to full precision."""
    precision = "high" if name == "tf32" else "highest"
    torch.set_float32_matmul_precision(precision)
    torch.backends.cudnn.allow_tf32 = name == "tf32"
    torch.backends.cudnn.benchmark = True  # JAX tries the algorithms too


def settings() -> dict[str, Any]:
    """The settings that decide the speed."""
    gpu = torch.cuda.is_available()
    return {
        "matmul_precision": torch.get_float32_matmul_precision(),
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "bfloat16_sums_in_float32": not (
            torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction
        ),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if gpu else "cpu",
        # Programs of reduce-overhead that run without a CUDA graph.
        "cudagraph_skips": counters["inductor"]["cudagraph_skips"],
    }


def synchronise(_: Any) -> None:
    """Waits until all is computed."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


class _HostReads(TorchDispatchMode):
    """Records reads of a tensor's number by Python.

    On a CPU, integers do not count, nor do reads within an optimizer's step:
    its step counts and learning rates, where its operations are not fused.
    """

    found: str | None = None
    stepping = False

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function is torch.ops.aten._local_scalar_dense.default and (
            args[0].is_cuda
            or (args[0].is_floating_point() and not self.stepping)
        ):
            self.found = f"{function} of {args[0].dtype}"
        return function(*args, **(kwargs or {}))

    def set_stepping(self, stepping: bool) -> None:
        """Whether an optimizer is within its step."""
        self.stepping = stepping


def host_sync(call: Callable[[Any], Any], game: Any) -> str | None:
    """Where a run synchronises with the host, or None.

    Under a dispatch mode ``torch.compile`` falls back to eager: of a compiled
    step this observes the plain one.
    """
    reads = _HostReads()
    hooks = (
        register_optimizer_step_pre_hook(lambda *_: reads.set_stepping(True)),
        register_optimizer_step_post_hook(lambda *_: reads.set_stepping(False)),
    )
    try:
        with reads:
            call(game)
    finally:
        for hook in hooks:
            hook.remove()
    return reads.found


_MATMULS = {
    "mm",
    "addmm",
    "bmm",
    "baddbmm",
    "convolution",
    "convolution_backward",
}


class _Matmuls(TorchDispatchMode):
    """Records the data types that matmuls take."""

    def __init__(self):
        super().__init__()
        self.dtypes: set[str] = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function.overloadpacket.__name__ in _MATMULS:
            tensors = (a for a in args if isinstance(a, torch.Tensor))
            self.dtypes |= {str(a.dtype).split(".")[1] for a in tensors}
        return function(*args, **(kwargs or {}))


def matmul_dtypes(call: Callable[[Any], Any], game: Any) -> set[str]:
    """Data types that matmuls and convolutions of a run take.

    Of a compiled step, as in ``host_sync``, those of the plain one.
    """
    with _Matmuls() as matmuls:
        call(game)
    return matmuls.dtypes


def drawn(config: Config, data: Data, device: Any) -> Callable[[int], Any]:
    """The batch that ``device_stream`` draws for an iteration."""
    numbers = torch.tensor(np.asarray(data), device=device)
    rng = torch.Generator(device)

    def draw(step: int) -> Any:
        rng.manual_seed((config.seed * 0x9E3779B1 + step) % 2**32)
        return sample_batch(config, numbers, rng)

    return draw


def seed_of(_: Any, games: list[Any], i: int) -> Any:
    """One of the games that ``stack_games`` stacked; they share memory."""
    return games[i]


def gemm(n: int, dtype: str, seconds: float) -> float:
    """GEMM speed: FLOP/s of n x n matmuls, measured for some seconds."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    # Random: a matmul of ones draws less power, and some chips run faster.
    a = torch.randn((n, n), dtype=getattr(torch, dtype), device=device)
    return 2 * n**3 * calls_per_second(lambda: a @ a, synchronise, seconds)


def bandwidth(n: int, seconds: float) -> float:
    """Memory bandwidth test (STREAM): bytes/s of a += b / 2, n elements.

    Two arrays are read and one is written.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    a, b = torch.ones(n, device=device), torch.ones(n, device=device)
    calls = calls_per_second(lambda: a.add_(b, alpha=0.5), synchronise, seconds)
    return 3 * b.nbytes * calls


def peak_bytes() -> int | None:
    """Peak memory of the GPU; None without one."""
    gpu = torch.cuda.is_available()
    return torch.cuda.max_memory_allocated() if gpu else None


def count_flops(game: Any, batch: Any) -> int:
    """FLOP of a step, by PyTorch's counter."""
    with FlopCounterMode(display=False) as counter:
        game.step(batch)
    return counter.get_total_flops()


class _AllReduces(TorchDispatchMode):
    """Counts all-reduces and the bytes of their tensors."""

    count = bytes = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function is torch.ops.c10d.allreduce_.default:
            self.count += 1
            self.bytes += sum(tensor.nbytes for tensor in args[0])
        return function(*args, **(kwargs or {}))


def count_reductions(train: Any, game: Any, batches: Any) -> Reductions:
    """All-reduces of an iteration of ``train``, as it runs."""
    with _AllReduces() as seen:
        train(game, batches)
    iterations = length(batches)
    return Reductions(seen.count // iterations, seen.bytes // iterations)
