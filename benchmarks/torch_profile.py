"""A traced run of PyTorch: kernels of a GPU, or operators of a CPU."""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch._inductor import config as inductor
from torch.profiler import ProfilerActivity, profile

from benchmarks.spans import Span

# Without it the tracer does not record torch.compile's kernels for a CPU.
inductor.cpp.enable_kernel_profile = True
# Python around the programs of torch.compile, which have separate names.
_NO_WORK = (
    "Torch-Compiled Region",
    "TorchDynamo Cache Lookup",
    "CompiledFunction",
    "## Call CompiledFxGraph",
)
_CATEGORIES = {
    "cpu": ("cpu_op",),
    "gpu": ("kernel", "gpu_memcpy", "gpu_memset"),
}


def trace(run: Callable[[], float], device: str) -> tuple[float, list[Span]]:
    """The seconds that ``run`` returns, and the spans of its trace."""
    activity = {"cpu": ProfilerActivity.CPU, "gpu": ProfilerActivity.CUDA}
    # Without acc_events some versions warn that the next cycle would lose them.
    with profile(activities=[activity[device]], acc_events=True) as profiler:
        seconds = run()
    with TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(path))
        events = json.loads(path.read_text())["traceEvents"]
    return seconds, chrome_spans(events, device)


def chrome_spans(
    events: Iterable[Mapping[str, Any]], device: str
) -> list[Span]:
    """Kernels, copies and fills by stream, or operators by thread.

    Of a CPU it records the calling thread, which takes part in the work of its
    operators and waits for their other threads.
    """
    return [
        Span(
            (event["pid"], event["tid"]),
            event["ts"],
            event["ts"] + event["dur"],
            None if event["name"].startswith(_NO_WORK) else event["name"],
        )
        for event in events
        if event.get("cat") in _CATEGORIES[device] and event["ph"] == "X"
    ]
