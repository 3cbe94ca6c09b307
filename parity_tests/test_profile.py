"""Profiles: what a trace says, and what the command does with it."""

import json
import sys
from types import SimpleNamespace

import pytest
import torch

from benchmarks import jax_profile, profile, profile_worker, torch_profile
from benchmarks.__main__ import main
from benchmarks.profile import load_profile
from benchmarks.profile_report import describe_variant, page
from benchmarks.spans import Span, cut, total
from benchmarks.torch_profile import chrome_spans
from experiment.errors import InputError


def _microseconds(spans):
    totals, running = total(spans)
    return {of.name: (of.calls, of.microseconds) for of in totals}, running


def test_what_is_inside_another_counts_once():
    spans = [
        Span(0, 0, 100, "call"),
        Span(0, 10, 40, "dot"),
        Span(0, 20, 30, None),  # a wait inside it
        Span(0, 50, 60, "dot"),
        Span(0, 200, 210, "add"),
    ]
    found, running = _microseconds(spans)
    assert found == {"call": (1, 60), "dot": (2, 30), "add": (1, 10)}
    assert running == 100


def test_concurrent_threads_count_once():
    spans = [Span(0, 0, 10, "a"), Span(1, 5, 20, "b"), Span(1, 30, 31, "b")]
    found, running = _microseconds(spans)
    assert found == {"b": (2, 16), "a": (1, 10)}
    assert running == 21


def test_rounding_makes_no_negative_piece():
    """The end of an inner span may be rounded past that of the outer."""
    pieces = cut([Span(0, 0, 10, "call"), Span(0, 3, 11, "dot")])
    assert [(p.label, p.start, p.end) for p in pieces] == [
        ("call", 0, 3),
        ("dot", 3, 11),
    ]


def _event(name, start, end, **stats):
    return SimpleNamespace(
        name=name,
        start_ns=1000 * start,
        duration_ns=1000 * (end - start),
        stats=list(stats.items()),
    )


def _task(number, start, end):
    return [
        _event("ThreadpoolListener::StartRegion", start, start, _c=number),
        _event("ThreadpoolListener::StopRegion", end, end),
    ]


def _record(number, at):
    return _event("ThreadpoolListener::Record", at, at, _p=number)


def test_operators_of_xla_on_a_cpu():
    """A dot, in a loop, splits its work and waits; a task of it splits on."""
    lines = [
        [_event("PjitFunction(train)", 0, 90), _record(1, 5)],
        [
            *_task(1, 10, 95),
            _event("while.1", 12, 80, hlo_op="while.1"),
            _event("ThunkExecutor::Execute", 14, 78),
            _event("dot.2", 20, 60, hlo_op="dot.2"),
            _record(2, 21),
            _event("SlinkyThreadPool::Await", 50, 58),
            _event("end: dot.2", 60, 60),
        ],
        [
            *_task(2, 30, 55),
            _record(3, 31),
            # What waited for the dot begins where the dot ends.
            _event("ThunkExecutor::Execute", 40, 55),
            _event("add.3", 42, 52, hlo_op="add.3"),
            *_task(9, 60, 70),  # of no operator
        ],
        [*_task(3, 35, 50)],
    ]
    spans = jax_profile.host_spans(SimpleNamespace(events=e) for e in lines)
    found, running = _microseconds(spans)
    assert found == {
        "dot.2": (1, (40 - 8) + 10 + 15),
        "add.3": (1, 10),
        "while.1": (1, 2 + 2),
    }
    # From 52 to 58 all wait, and the second thread's executor continues to 55.
    assert running == 2 + (52 - 20) + (60 - 58) + 2


def test_kernels_of_xla_on_a_gpu():
    def line(name, *events):
        return SimpleNamespace(name=name, events=events)

    kernel = _event("loop_add_fusion_1", 0, 4)
    planes = [
        SimpleNamespace(
            name="/device:GPU:0",
            lines=[
                line("Stream #7(Compute)", kernel, _event("gemm", 5, 9)),
                line("Stream #8(MemcpyD2D)", _event("MemcpyD2D", 6, 11)),
                line("XLA Ops", _event("fusion.1", 0, 4)),
            ],
        ),
        SimpleNamespace(name="/host:CPU", lines=[line("Stream", kernel)]),
    ]
    found, running = _microseconds(jax_profile.gpu_spans(planes))
    assert found == {
        "loop_add_fusion_1": (1, 4),
        "gemm": (1, 4),
        "MemcpyD2D": (1, 5),
    }
    assert running == 10


def _chrome(cat, name, ts, dur, tid=1):
    return {
        "ph": "X", "cat": cat, "name": name, "pid": 0, "tid": tid,
        "ts": ts, "dur": dur,
    }  # fmt: skip


CHROME = [
    {"ph": "M", "name": "process_name", "pid": 0},
    _chrome("user_annotation", "Optimizer.step#Adam.step", 0, 50),
    _chrome("cpu_op", "Torch-Compiled Region: 0/0", 4, 40),
    _chrome("cpu_op", "aten::linear", 5, 20),
    _chrome("cpu_op", "aten::addmm", 8, 10),
    _chrome("gpu_user_annotation", "Optimizer.step#Adam.step", 0, 90, tid=7),
    _chrome("kernel", "gemm", 30, 8, tid=7),
    _chrome("gpu_memcpy", "Memcpy DtoD", 40, 2, tid=7),
    _chrome("gpu_memset", "Memset", 41, 3, tid=8),
    _chrome("cuda_runtime", "cudaGraphLaunch", 1, 9),
]


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        ("cpu", ({"aten::linear": (1, 10), "aten::addmm": (1, 10)}, 20)),
        (
            "gpu",
            ({"gemm": (1, 8), "Memset": (1, 3), "Memcpy DtoD": (1, 2)}, 12),
        ),
    ],
)
def test_trace_of_pytorch(device, expected):
    assert _microseconds(chrome_spans(CHROME, device)) == expected


THUNKS = """\
000: kCopy  \tcopy.1
001: kWhile \t
condition:
    002: kKernel\tless
body:
    003: kConvolution\tcudnn-conv.1
    004: kCommandBuffer\t
        005: kKernel\tloop_add_fusion
        006: kGemm  \tgemm
    007: kKernel\tloop_multiply_fusion
008: kKernel\tafter_the_loop
"""
HLO = """\
HloModule jit_train
  %dot.2 = f32[4,4] dot(%a), metadata={op_name="jit(train)/while/body/\
closed_call/jit(train_step)/jvp(D)/hidden_0/cond/branch_0_fun/dot_general"}
  %dot.4 = f32[4,4] dot(%a), metadata={op_name="jit(train)/while/D/transpose"}
  ROOT loop_add_fusion.1 = (f32[4], f32[]) fusion(%b), metadata={op_name="add"}
  %copy.3 = f32[4] copy(%c)
"""


def test_what_xla_dumps(tmp_path):
    (tmp_path / "module_1.jit_train.thunk_sequence.txt").write_text(THUNKS)
    other = tmp_path / "module_2.jit_stage.thunk_sequence.txt"
    other.write_text("000: kSort\tsort\n")
    name = "module_1.jit_train.cpu_after_optimizations.txt"
    (tmp_path / name).write_text(HLO)
    assert jax_profile.thunks(tmp_path) == {
        "single": {
            "kKernel": 2,
            "kConvolution": 1,
            "kCommandBuffer": 1,
        },
        "captured": {"kKernel": 1, "kGemm": 1},
    }
    assert jax_profile.origins(tmp_path) == {
        "dot_2": "jvp(D)/hidden_0/dot_general",
        "dot_4": "D/dot_general",
        "loop_add_fusion_1": "add",
    }


def test_nothing_dumped(tmp_path):
    assert jax_profile.thunks(tmp_path) is None
    assert jax_profile.origins(tmp_path) == {}


def test_both_twins_on_a_cpu(tmp_path, capsys):
    out = tmp_path / "profile.json"
    options = ["--workloads", "lecture:4", "--steps", "3", "--out", str(out)]
    assert main(["profile", *options]) == 0
    results = load_profile(out)
    assert results["failed"] is None
    of = results["workloads"]["lecture:4"]["variants"]
    assert list(of) == ["jax scan", "torch eager"]
    calls = {
        name: {one["name"]: one["calls"] for one in found["operators"]}
        for name, found in of.items()
    }
    # One call of the optimizer for each player.
    assert calls["torch eager"]["aten::_fused_adam_"] == 2
    products = [
        one
        for one in of["jax scan"]["operators"]
        if one["origin"].endswith("dot_general")
    ]
    assert products
    assert all(one["calls"] == 1 for one in products)
    assert of["jax scan"]["thunks"] is None
    text = out.with_suffix(".md").read_text()
    assert text == page(results)
    assert capsys.readouterr().out == text + "\n"


PROFILE = {
    "seconds": [0.3, 0.2],
    "traced_seconds": [0.25],
    "busy_seconds": 0.1,
    "settings": {"device": "a GPU"},
    "operators": [
        {"name": "gemm<float>|x", "calls": 2, "microseconds": 6000.0},
        *(
            {"name": f"add_{i}", "calls": 1, "microseconds": 300.0 - i}
            for i in range(20)
        ),
    ],
}
JAX = {
    **PROFILE,
    "operators": [
        {"origin": "jvp(D)/h/dot", "name": "a", "calls": 1, "microseconds": 3},
        {"origin": "jvp(G)/h/dot", "name": "b", "calls": 1, "microseconds": 3},
        {"origin": "", "name": "c", "calls": 1, "microseconds": 2},
    ],
    "thunks": {"single": {"kConvolution": 3}, "captured": {"kKernel": 5}},
}
# A stand-in for a worker; it dies of a variant that has no answer.
SERVE = """
import json, sys
print(json.dumps({answers}[json.loads(sys.argv[1])["variant"]]))
"""


@pytest.fixture
def worker(monkeypatch):
    """Sets what a worker answers, by variant."""

    def answer(**answers):
        by_variant = {k.replace("_", " "): v for k, v in answers.items()}
        script = SERVE.format(answers=by_variant)
        command = (sys.executable, "-c", script)
        monkeypatch.setattr(profile, "_WORKER", command)

    return answer


def _command(out, *options):
    return main(["profile", "--workloads", "mlp", "--out", str(out), *options])


def test_page(worker, tmp_path, capsys):
    worker(jax_scan=JAX, torch_graph=PROFILE)
    out = tmp_path / "profile.json"
    options = ["--device", "gpu", "--variants", "jax scan", "torch graph"]
    assert _command(out, *options) == 0
    text = capsys.readouterr().out
    assert "20.000 ms an iteration without the tracer" in text
    assert "25.000 ms with it; 22 calls; utilisation 50%" in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    everything = 6000 + sum(300 - i for i in range(20))
    assert (
        f"| gemm&lt;float&gt;\\|x | 2 | 6,000.0 µs | {6000 / everything:.1%} |"
        in rows
    )
    others = sum(300 - i for i in range(9, 20))
    assert (
        f"| 11 others | 11 | {others:,.1f} µs | {others / everything:.1%} |"
        in rows
    )
    assert "| a | jvp(D)/h/dot | 1 | 3.0 µs | 37.5% |" in rows
    assert "dot 75%, unknown 25%" in text
    assert "kConvolution 3; in command buffers: kKernel 5" in text
    assert "traced without command buffers" in text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"busy_seconds": 0.208}, "utilisation 104%"),
        ({"busy_seconds": 0.22}, "utilisation unknown"),
        ({"traced_seconds": [0.192]}, "utilisation 50%"),
        ({"traced_seconds": [0.18]}, "utilisation unknown"),
    ],
)
def test_disturbed_runs_have_no_utilisation(changes, said):
    assert said in describe_variant(PROFILE | changes, 10)


def test_command_buffers_that_are_traced(worker, tmp_path, monkeypatch, capsys):
    flag = "--xla_enable_command_buffers_during_profiling=true"
    monkeypatch.setenv("XLA_FLAGS", flag)
    worker(jax_scan=JAX)
    options = ["--device", "gpu", "--variants", "jax scan"]
    assert _command(tmp_path / "profile.json", *options) == 0
    assert "traced with command buffers" in capsys.readouterr().out


def test_a_worker_that_dies(worker, tmp_path, capsys):
    worker(jax_scan=JAX)
    out = tmp_path / "profile.json"
    assert _command(out) == 1
    captured = capsys.readouterr()
    assert "torch eager ended: killed" in captured.err
    assert f"what was profiled before is kept in {out}" in captured.err
    assert "Incomplete: mlp: torch eager ended" in captured.out
    results = load_profile(out)
    assert list(results["workloads"]["mlp"]["variants"]) == ["jax scan"]
    assert "torch eager ended" in results["failed"]


def test_a_first_worker_that_dies(worker, tmp_path, capsys):
    worker()
    assert _command(tmp_path / "profile.json") == 1
    assert "nothing was profiled before" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_an_excluded_variant(worker, tmp_path):
    worker(jax_scan={"excluded": "it is for GPUs"}, torch_eager=PROFILE)
    out = tmp_path / "profile.json"
    assert _command(out) == 0
    assert load_profile(out)["workloads"]["mlp"]["refused"] == {
        "jax scan": "it is for GPUs"
    }
    text = out.with_suffix(".md").read_text()
    assert "jax scan is excluded: it is for GPUs." in text


def test_no_valid_variant_keeps_an_earlier_file(worker, tmp_path, capsys):
    out = tmp_path / "profile.json"
    out.write_text("profiled with care")
    worker(jax_scan={"excluded": "so"}, torch_eager={"excluded": "so"})
    assert _command(out) == 2
    assert "every variant is excluded" in capsys.readouterr().err
    assert out.read_text() == "profiled with care"


def test_a_device_that_is_not_there(worker, tmp_path, capsys):
    worker(jax_scan={"unsupported": "--device gpu: JAX sees none"})
    assert _command(tmp_path / "profile.json") == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == "error: --device gpu: JAX sees none"
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize(
    ("device", "key", "part"),
    [
        ("gpu", "unsupported", "--device gpu: PyTorch sees none"),
        ("cpu", "excluded", "--accelerate graph is for GPUs"),
    ],
)
def test_what_a_worker_cannot_profile(device, key, part, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", sys.stdout)  # given back afterwards
    job = profile_worker.ProfileJob("torch graph", "lecture", 4, 1, device, "")
    profile_worker.main(job)
    answer = json.loads(capsys.readouterr().out)
    assert list(answer) == [key]
    assert part in answer[key]


def test_a_tracer_that_sees_nothing(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    monkeypatch.setattr(torch_profile, "trace", lambda run, _: (run(), []))
    job = profile_worker.ProfileJob("torch eager", "lecture", 4, 1, "cpu", "")
    profile_worker.main(job)
    answer = json.loads(capsys.readouterr().out)
    assert answer == {"excluded": "the tracer recorded no operator or kernel"}


BAD = {
    "workload": ["--workloads", "vgg"],
    "batch": ["--workloads", "mlp:0"],
    "variant": ["--variants", "jax warp"],
    "steps": ["--steps", "0"],
    "device": ["--device", "tpu"],
}


@pytest.mark.parametrize("case", BAD)
def test_bad_option(case, tmp_path, refused):
    arguments = ["profile", "--out", tmp_path / "profile.json", *BAD[case]]
    refused(main, arguments, BAD[case][1])
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be(tmp_path, refused):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "README.md").write_text("read me")
    for name, part in {
        "file/profile.json": "file: ",
        "folder.json": "is a folder",
        "profile.txt": "must end in .json",
        "README.json": "README.md exists already",
    }.items():
        refused(main, ["profile", "--out", tmp_path / name], part)
    assert (tmp_path / "README.md").read_text() == "read me"


DAMAGE = {
    "truncated": (lambda text: text[: len(text) // 2], "truncated"),
    "not a dict": (lambda text: "[]", "is not a file of"),
    "other schema": (
        lambda text: text.replace("gan-profile", "gan-ladder"),
        "is not a file of",
    ),
    "version": (lambda text: text.replace('"version": 1', '"version": 9'), "9"),
    "no times": (lambda text: text.replace('"seconds"', '"s"'), "'seconds'"),
    "nan": (lambda text: text.replace("0.25", "NaN"), "a time"),
    "negative": (lambda text: text.replace("6000.0", "-1"), "a time"),
    "a word": (lambda text: text.replace("0.25", '"x"'), "missing or invalid"),
    "no operators": (
        lambda text: text.replace('"operators"', '"o"'),
        "'operators'",
    ),
    "no machine": (lambda text: text.replace('"cores"', '"c"'), "'cores'"),
    "unknown variant": (
        lambda text: text.replace('"torch eager": {', '"x": {'),
        "variant 'x' is unknown",
    ),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_file(case, worker, tmp_path):
    out = tmp_path / "profile.json"
    worker(torch_eager=PROFILE)
    assert _command(out, "--variants", "torch eager") == 0
    load_profile(out)
    damage, part = DAMAGE[case]
    out.write_text(damage(out.read_text()))
    with pytest.raises(InputError) as caught:
        load_profile(out)
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)
