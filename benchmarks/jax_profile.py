"""A traced run of JAX: kernels of a GPU, or operators of XLA on a CPU.

XLA's operators are the instructions of its compiled program, most of them
fusions of several operations of JAX.
"""

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jax

from benchmarks.spans import Span, cut

# Neither is an operator's work; the second is inside one.
_NO_WORK = ("ThunkExecutor::Execute", "SlinkyThreadPool::Await")
# Parts of JAX's names that are control flow, not layers.
_FLOW = re.compile(
    r"jit\(.*|while|body|closed_call|eval_jaxpr|cond|branch_\d+_fun"
)
_INSTRUCTION = re.compile(
    r'\s*(?:ROOT )?%?([\w.-]+) = .*? ([\w-]+)\(.*op_name="([^"]*)"'
)
# XLA fuses a transpose into a matmul, and names it after the transpose.
_MATMULS = {"dot": "dot_general", "convolution": "conv_general_dilated"}
_THUNK = re.compile(r"( *)(?:\d+: )?(k[A-Z]\w*)")


def trace(run: Callable[[], float], device: str) -> tuple[float, list[Span]]:
    """The seconds that ``run`` returns, and the spans of its trace."""
    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = 0
    # It slows launches, and kernels of a GPU are recorded without it.
    options.host_tracer_level = 0 if device == "gpu" else 1
    with TemporaryDirectory() as folder:
        with jax.profiler.trace(folder, profiler_options=options):
            seconds = run()
        (path,) = Path(folder).rglob("*.xplane.pb")
        planes = list(jax.profiler.ProfileData.from_file(str(path)).planes)
    if device == "gpu":
        return seconds, gpu_spans(planes)
    (host,) = (plane for plane in planes if plane.name == "/host:CPU")
    return seconds, host_spans(host.lines)


def gpu_spans(planes: Iterable[Any]) -> list[Span]:
    """Kernels, copies and fills, by stream."""
    return [
        _span((plane.name, line.name), event, event.name)
        for plane in planes
        if plane.name.startswith("/device:GPU")
        for line in plane.lines
        if line.name.startswith("Stream")
        for event in line.events
    ]


def host_spans(lines: Iterable[Any]) -> list[Span]:
    """Operators, also on other threads than the one that called them.

    XLA records an operator on the thread that calls it. The operator may
    continue as tasks on a pool's threads, which have no name but the number
    under which it scheduled them. Meanwhile a worker may help another operator.
    """
    spans: list[Span] = []
    scheduled: list[Span] = []  # moments, labelled by the task
    for thread, line in enumerate(lines):
        begun: Any = None
        for event in sorted(line.events, key=lambda event: event.start_ns):
            stats = dict(event.stats)
            if "hlo_op" in stats:
                spans.append(_span(thread, event, stats["hlo_op"]))
            elif event.name in _NO_WORK:
                spans.append(_span(thread, event, None))
            elif event.name == "ThreadpoolListener::Record":
                scheduled.append(_span(thread, event, stats["_p"]))
            elif event.name == "ThreadpoolListener::StartRegion":
                begun = event.start_ns, stats["_c"]
            elif event.name == "ThreadpoolListener::StopRegion" and begun:
                start, task = begun
                end = event.start_ns / 1000
                spans.append(Span(thread, start / 1000, end, task, calls=0))
                begun = None
    callers = _callers(spans, scheduled)

    def operator(label: Any) -> str | None:
        while isinstance(label, int):
            label = callers.get(label)
        return label

    return [span._replace(label=operator(span.label)) for span in spans]


def _span(thread: Any, event: Any, label: Any) -> Span:
    start = event.start_ns / 1000
    return Span(thread, start, start + event.duration_ns / 1000, label)


def _callers(spans: list[Span], scheduled: list[Span]) -> dict[int, Any]:
    """The label of what scheduled a task, by task."""
    pieces = {
        thread: list(of_thread)
        for thread, of_thread in groupby(cut(spans), lambda s: s.thread)
    }
    found: dict[int, Any] = {}
    for task in scheduled:
        of_thread = pieces.get(task.thread, [])
        i = bisect_right(of_thread, task.start, key=lambda piece: piece.start)
        if i and task.start <= of_thread[i - 1].end:
            found[task.label] = of_thread[i - 1].label
    return found


def origins(dump: Path) -> dict[str, str]:
    """JAX's names of the instructions of XLA's largest program.

    Args:
        dump: the folder of ``--xla_dump_to``.

    Returns:
        Network, layer and operation of the instruction, or of the last one of
        a fusion; by its name with underscores, as the kernels of a GPU have
        it.
    """
    found = {}
    for line in _largest(dump, "*after_optimizations.txt").splitlines():
        if match := _INSTRUCTION.match(line):
            name, kind, path = match.groups()
            *layers, operation = path.split("/")
            layers = [layer for layer in layers if not _FLOW.fullmatch(layer)]
            operation = _MATMULS.get(kind, operation)
            found[with_underscores(name)] = "/".join([*layers, operation])
    return found


def with_underscores(name: str) -> str:
    """The name of an instruction as that of a kernel.

    Example:
        >>> with_underscores("loop_add_fusion.12")
        'loop_add_fusion_12'
    """
    return re.sub(r"[.-]", "_", name)


def thunks(dump: Path) -> dict[str, dict[str, int]] | None:
    """How XLA launches its largest program on a GPU.

    Args:
        dump: the folder of ``--xla_dump_to``.

    Returns:
        Thunks by kind, of the loop over iterations where there is one:
        ``single``, launched one by one, and ``captured``, in command buffers.
        None if the dump has none, as on a CPU.
    """
    rows: list[tuple[list[str], str]] = []  # kinds around a thunk; its kind
    around: list[tuple[int, str]] = []
    for line in _largest(dump, "*.thunk_sequence*.txt").splitlines():
        if match := _THUNK.match(line):
            depth, kind = len(match[1]), match[2]
            around = [outer for outer in around if outer[0] < depth]
            rows.append(([outer for _, outer in around], kind))
            around.append((depth, kind))
    in_loop = [row for row in rows if "kWhile" in row[0]]
    single, captured = Counter[str](), Counter[str]()
    for outer, kind in in_loop or rows:
        (captured if "kCommandBuffer" in outer else single)[kind] += 1
    return {"single": single, "captured": captured} if rows else None


def _largest(folder: Path, pattern: str) -> str:
    """The text of the largest such file: training is the largest program."""
    files = sorted(folder.glob(pattern), key=lambda path: path.stat().st_size)
    return files[-1].read_text() if files else ""
