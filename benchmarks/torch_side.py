"""What the benchmark asks of PyTorch beside training: settings and counters."""

from collections.abc import Callable
from typing import Any

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
from experiment.config import Config
from torch_ref.sample import sample_batch

__all__ = ["twin"]
# The gates make many games, and each is compiled anew: beyond its limit of 8
# PyTorch would go on without compiling, and say so in a warning only.
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
    """Products of float32: ``tf32`` on a GPU, or every bit of them."""
    precision = "high" if name == "tf32" else "highest"
    torch.set_float32_matmul_precision(precision)
    torch.backends.cudnn.allow_tf32 = name == "tf32"
    torch.backends.cudnn.benchmark = True  # JAX tries the algorithms too


def settings() -> dict[str, Any]:
    """What decides the speed, as it is set."""
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


class _Reads(TorchDispatchMode):
    """Notes every number that Python takes out of a tensor.

    Of the CPU, whole numbers do not count, nor what an optimizer reads: its
    counts and rates, when its operations are plain ones.
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


def reads_host(call: Callable[[Any], Any], game: Any) -> str | None:
    """Where a run waits for a number, or None.

    Under such a watch ``torch.compile`` stands aside: of a compiled step it
    sees the plain one.
    """
    reads = _Reads()
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


_PRODUCTS = {
    "mm",
    "addmm",
    "bmm",
    "baddbmm",
    "convolution",
    "convolution_backward",
}


class _Products(TorchDispatchMode):
    """Notes the types of what products take."""

    def __init__(self):
        super().__init__()
        self.found: set[str] = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function.overloadpacket.__name__ in _PRODUCTS:
            tensors = (a for a in args if isinstance(a, torch.Tensor))
            self.found |= {str(a.dtype).split(".")[1] for a in tensors}
        return function(*args, **(kwargs or {}))


def types_of_products(call: Callable[[Any], Any], game: Any) -> set[str]:
    """What products of matrices and convolutions take in a run.

    Of a compiled step, as in ``reads_host``, those of the plain one.
    """
    with _Products() as products:
        call(game)
    return products.found


def drawn(config: Config, data: Any, device: Any) -> Callable[[int], Any]:
    """The batch that ``device_stream`` draws for an iteration."""
    data, rng = torch.tensor(data, device=device), torch.Generator(device)

    def draw(step: int) -> Any:
        rng.manual_seed((config.seed * 0x9E3779B1 + step) % 2**32)
        return sample_batch(config, data, rng)

    return draw


def seed_of(_: Any, games: list[Any], i: int) -> Any:
    """One of the games that ``stack_games`` made one of; they share memory."""
    return games[i]


def gemm(n: int, dtype: str, seconds: float) -> float:
    """FLOP/s of products of two n x n matrices, for so many seconds."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    # Random: a product of ones draws less power, and some chips go faster.
    a = torch.randn((n, n), dtype=getattr(torch, dtype), device=device)
    return 2 * n**3 * calls_per_second(lambda: a @ a, synchronise, seconds)


def bandwidth(n: int, seconds: float) -> float:
    """Bytes/s of a += b / 2 on n numbers: two are read, one is written."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    a, b = torch.ones(n, device=device), torch.ones(n, device=device)
    calls = calls_per_second(lambda: a.add_(b, alpha=0.5), synchronise, seconds)
    return 3 * b.nbytes * calls


def peak_bytes() -> int | None:
    """The most memory of a GPU that was held; None without one."""
    gpu = torch.cuda.is_available()
    return torch.cuda.max_memory_allocated() if gpu else None


def count_flops(game: Any, batch: Any) -> int:
    """Of a step, by PyTorch's counter."""
    with FlopCounterMode(display=False) as counter:
        game.step(batch)
    return counter.get_total_flops()
