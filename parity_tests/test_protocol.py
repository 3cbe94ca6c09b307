"""The protocol of the benchmark: its checks, its files and its report."""

import json
import os
import re
import shutil
import sys
from dataclasses import replace
from functools import cache
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest
import torch

import jax_gan
import torch_ref
from benchmarks import (
    background,
    checks,
    counters,
    processes,
    report,
    worker,
)
from benchmarks.__main__ import _parser, main
from benchmarks.analysis import tabulate
from benchmarks.ladder import measure
from benchmarks.plan import CALLS, Plan
from benchmarks.processes import Worker, starter
from benchmarks.results import load
from benchmarks.schema import write_json
from benchmarks.variant_names import STEPS
from benchmarks.variants import AS_IT_IS, build, reversed_rows, side_of
from benchmarks.work import flops, optimizer_bytes
from experiment.errors import InputError
from experiment.recipes import RECIPES, recipe
from experiment.stream import Stream
from parity_tests.faults.paper import PAPER
from parity_tests.small import small_config, small_data

JOB = worker.TimingJob(
    "jax scan", "lecture", 64, STEPS, "cpu", "strict", 0.01, 8, 8, True
)
SLOW = pytest.mark.slow


CONFIGS = {
    "lecture": small_config(
        generator_hidden=(16,), discriminator_hidden=(12,), precision="float32"
    ),
    "paper": small_config(**PAPER, precision="float32"),
    "mixed": small_config(precision="float32", compute="bfloat16"),
}
COMPILER = pytest.mark.skipif(
    not any(map(shutil.which, ("c++", "g++", "clang++"))),
    reason="torch.compile writes C++ and finds no compiler",
)
VARIANTS = [
    pytest.param(f"{twin} {loop}", marks=COMPILER if loop == "compile" else ())
    for twin, loops in {
        "jax": ("scan", "step", "device", "seeds-2", "tutorial"),
        "torch": ("eager", "compile", "device", "seeds-2", "tutorial"),
    }.items()
    for loop in loops
]


def _built(name, of="lecture"):
    side, config = side_of(name), CONFIGS[of]
    device = side.twin.select_device("cpu", config)
    data = small_data().astype(np.float32)
    return side, build(name, config, data, device, STEPS)


@pytest.mark.parametrize("of", ["lecture", pytest.param("paper", marks=SLOW)])
@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_passes_its_checks(name, of):
    side, variant = _built(name, of)
    if (name, of) == ("torch tutorial", "paper"):
        with pytest.raises(InputError, match="Algorithm 1 alone"):
            variant.create()
        return
    assert checks.parity(variant, 1e-3) is None
    if not name.endswith("tutorial"):
        assert checks.no_host_sync(side, variant) is None
        assert checks.matmul_dtypes(side, variant, "float32") is None

    game = variant.create()

    def block():
        nonlocal game
        game, _ = variant.run(game, STEPS)

    block()
    assert checks.compiles_once(side, block) is None
    if name == "torch compile":
        assert side.graph_breaks() > 0


@pytest.mark.parametrize("name", ["jax scan", "torch eager"])
def test_a_wrong_gradient_is_excluded(name, monkeypatch):
    _, variant = _built(name)
    plain = cache(variant.plain)
    for control in (AS_IT_IS, *checks.CONTROLS):
        plain(control)  # before the fault is injected
    losses = sys.modules[side_of(name).twin.__name__ + ".losses"].LOSSES
    right = losses["non-saturating"]
    wrong = right._replace(
        discriminator=lambda *logits: 1.01 * right.discriminator(*logits)
    )
    monkeypatch.setitem(losses, "non-saturating", wrong)
    found = checks.parity(replace(variant, plain=plain), 1e-3)
    assert "discriminator/optimizer/m" in found
    assert "differ from those of the plain step by 1.0e-02" in found


def _moments_off(variant, by, by_a_control=0.0):
    """The variant, with a plain step whose first moments are larger."""

    def plain(control):
        state, history = variant.plain(AS_IT_IS)
        factor = 1 + by + (0 if control is AS_IT_IS else by_a_control)
        for name in state:
            if "/optimizer/m" in name:
                state[name] = state[name] * factor
        return state, history

    return replace(variant, plain=plain)


@pytest.mark.parametrize(
    ("by", "by_a_control", "passes"),
    [
        (0.01, 0.0, False),
        (0.01, 1e-4, False),
        (0.01, 2e-3, True),
        (0.5, 0.5, False),  # whatever the control
    ],
)
def test_tenfold_of_what_a_control_does_may_pass(by, by_a_control, passes):
    _, variant = _built("torch eager")
    found = checks.parity(_moments_off(variant, by, by_a_control), 1e-3)
    assert (found is None) == passes


@pytest.mark.parametrize("twin", [jax_gan, torch_ref])
def test_reversed_rows(twin):
    """Of the minibatches alone: neither of D's k steps nor of a sample."""
    config = replace(CONFIGS["lecture"], k=2)
    batch = Stream(config, small_data().astype(np.float32)).batch(0)
    found = reversed_rows(twin.place(batch))
    wanted = batch.discriminator.x[:, ::-1]
    np.testing.assert_array_equal(found.discriminator.x, wanted)
    wanted = batch.generator.z[::-1]
    np.testing.assert_array_equal(found.generator.z, wanted)
    of_both = batch.discriminator._replace(x=batch.discriminator.x[0])
    found = reversed_rows(twin.place(of_both))
    np.testing.assert_array_equal(found.x, of_both.x[::-1])


def test_a_state_of_other_arrays_is_excluded():
    _, variant = _built("torch eager")

    def fewer(game):
        return dict(list(variant.state(game).items())[1:])

    found = checks.parity(replace(variant, state=fewer), 1e-3)
    assert "its state is not that of the plain step" in found


@pytest.mark.parametrize("name", ["jax scan", "torch eager"])
def test_float64_shows_what_float32_hides(name):
    side, config, data = side_of(name), CONFIGS["lecture"], small_data()
    data = data.astype(np.float32)
    device = side.twin.select_device("cpu", config)

    def built(config):
        typed = data.astype(config.dtype)
        variant = build(name, config, typed, device, STEPS)
        return _moments_off(variant, 1e-6)

    assert checks.parity(built(config), 1e-3) is None
    job = replace(JOB, variant=name, batch_size=4)
    found = worker.exclusion(job, config, data, side, built)
    assert found.startswith("in float64, ")


CHECKS = ("work", "parity", "no_host_sync", "matmul_dtypes")


@pytest.mark.parametrize("check", CHECKS)
def test_a_worker_heeds_every_check(check, monkeypatch):
    found = []
    for other in CHECKS:
        reason = "wrong" if other == check else None
        monkeypatch.setattr(
            checks,
            other,
            lambda *args, reason=reason: found.append(args) or reason,
        )
    config = CONFIGS["lecture"]
    side, _ = _built("torch eager")
    data = small_data().astype(np.float32)
    job = replace(JOB, variant="torch eager")

    def built(config):
        return build("torch eager", config, data, "cpu", STEPS)

    assert worker.exclusion(job, config, data, side, built) == "wrong"
    if check == "parity":
        assert found[-1][1:] == (worker.TOLERANCES["strict"],)


def test_a_worker_heeds_a_recompilation(monkeypatch):
    monkeypatch.setattr(checks, "compiles_once", lambda *_: "twice")
    found, _ = _ready()
    assert found["excluded"] == "twice"


def test_a_block_is_as_long_as_it_says():
    """It trains the iterations that it claims, and awaits their end."""
    done = []
    found, block = _ready(done)
    del done[:]
    seconds = block()
    assert done[-1] == "awaited"
    assert sum(done[:-1]) == found["iterations"]
    assert 0 < seconds < 60


def _ready(done=None):
    """A worker's measurements of a variant, its block, and what it did."""
    done = [] if done is None else done
    side, variant = _built("torch eager")

    def run(game, count):
        done.append(count)
        return variant.run(game, count)

    watched = SimpleNamespace(**vars(side))
    watched.synchronise = lambda tree: done.append("awaited")
    data, config = small_data().astype(np.float32), CONFIGS["lecture"]
    job = replace(JOB, variant="torch eager", iterations=STEPS)
    counted, game, seconds = worker._compiled(
        job, watched, lambda config: replace(variant, run=run), config
    )
    assert done == [STEPS, "awaited"]
    assert 0 < seconds < 60
    return worker._warm(job, config, data, watched, counted, game)


@pytest.mark.parametrize("name", ["jax tutorial", "torch tutorial"])
def test_a_host_read_in_every_step_is_excluded(name):
    found = checks.no_host_sync(*_built(name))
    assert "it synchronises with the host" in found


@pytest.mark.parametrize(
    "name",
    [
        "jax scan",
        "jax device",
        "jax seeds-2",
        "torch eager",
        "torch device",
        "torch seeds-2",
        "torch tutorial",
    ],
)
def test_matmuls_of_another_type_are_excluded(name):
    side, variant = _built(name, "mixed")
    assert checks.matmul_dtypes(side, variant, "bfloat16") is None
    found = checks.matmul_dtypes(side, variant, "float32")
    assert found == "its matmuls have type bfloat16"


def test_a_recompilation_is_excluded():
    side, variant = _built("jax scan")
    lengths = iter(range(1, 5))

    def block():
        variant.run(variant.create(), next(lengths))

    block()
    assert "programs in a warm block" in checks.compiles_once(side, block)


def test_a_replay_that_starts_again_is_excluded():
    _, variant = _built("torch eager")

    def forgetful(game, count):
        return variant.run(variant.create(), count)

    found = checks.parity(replace(variant, run=forgetful), 1e-3)
    assert "two iterations have the same losses" in found


def test_same_noise_and_no_change_are_excluded():
    _, variant = _built("torch eager")

    def same(game, count):
        metrics = variant.run(game, 1)[1]
        return game, type(metrics)(*(torch.cat([v] * count) for v in metrics))

    found = checks.parity(replace(variant, run=same), 1e-3)
    assert "the noise is the same" in found
    still = replace(variant, run=lambda game, count: (game, None))
    assert "did not change" in checks.parity(still, 1e-3)


# The quick ones with everything that differs: both rules, all networks.
SOME = pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name,
            marks=() if name in ("lecture", "dcgan", "paper") else SLOW,
        )
        for name in RECIPES
    ],
)


@SOME
def test_work_by_formula(name, digits):
    config = recipe(name, batch_size=4)
    if config.updates == "alternating":
        config = replace(config, k=2)
    data = digits(config)
    for twin in ("jax", "torch"):
        side = side_of(f"{twin} device")
        side.twin.select_device("cpu", config)
        game = side.twin.create(config, data)
        batch = side.twin.place(Stream(config, data).batch(0))
        counted = side.count_flops(game, batch)
        assert checks.work(counted, flops(config, data.shape[1:])) is None
    assert "by formula" in checks.work(1, 2)


def test_work_of_the_optimizers():
    """Adam reads weight, gradient and two moments, and writes three."""
    state = {
        f"{side}/{kind}/kernel": np.zeros(size, np.float32)
        for side, size in (("generator", 10), ("discriminator", 5))
        for kind in ("params", "optimizer/m", "optimizer/v")
    }
    moved = optimizer_bytes(small_config(k=2), state)
    assert moved == 7 * 4 * (10 + 2 * 5)


@SOME
def test_variants_of_jax_lower_for_cuda(name, digits):
    """Every operation can be lowered for a GPU, on a machine without one."""
    config = recipe(name, batch_size=4)
    jax_gan.select_device("cpu", config)
    data = digits(config)
    game = jax_gan.create(config, data)
    batches = jax_gan.place(Stream(config, data).batches(0, 2))
    stack_of_both = jax.tree.map(lambda a: jax.numpy.stack([a, a]), batches)
    calls = (
        (jax_gan.train, game, batches),
        (game.updates, game, jax.tree.map(lambda a: a[0], batches)),
        (jax_gan.train_seeds, jax_gan.stack_games([game] * 2), stack_of_both),
    )
    on_device = jax_gan.device_stream(config, data)
    calls += ((jax.jit(lambda game: on_device(game, 0, 2)), game),)
    for function, *arguments in calls:
        lowered = function.trace(*arguments).lower(lowering_platforms=("cuda",))
        assert "stablehlo" in lowered.as_text()


ANSWER = {
    "first_seconds": 1.0, "warmup_seconds": [0.1] * 3, "settled": True,
    "iterations": 10, "games": 1, "peak_bytes": 2**20, "settings": {},
    "flops": 1000, "gemm_flops": 1e9, "graph_breaks": 0,
    "optimizer_bytes": 100, "bandwidth": 1e9,
}  # fmt: skip
SERVE = """
import json, sys
print(json.dumps({loaded}), flush=True)
next(sys.stdin)
print("{{}}", flush=True)
next(sys.stdin)
print(json.dumps({answer}), flush=True)
for i, _ in enumerate(sys.stdin):
    if i == {last}:
        {end}
    print(json.dumps(dict(seconds=.1 + .001 * i, joules={joules},
                          compiled={compiled})), flush=True)
"""
NAMES = ("jax scan", "torch eager", "jax scan again", "torch eager again")


def _ladder(
    out, last=99, end="pass", compiled="0", joules=None, names=NAMES,
    started=None, outcome=None, minutes=None, workloads=("mlp",), jobs=1,
    earlier=None, **answer,
):  # fmt: skip
    """A ladder whose workers are stand-ins; torch eager is the odd one."""

    def start(job):
        if started is not None:
            started.append(job)
        odd = job.variant == "torch eager"
        passed = (odd and outcome) or {"excluded": None}
        script = SERVE.format(
            loaded=passed if job.check else {},
            answer=ANSWER | (answer if odd else {}),
            last=last if odd else 99, end=end,
            compiled=compiled if odd else "0",
            joules=joules,
        )  # fmt: skip
        return Worker(job.variant, [sys.executable, "-c", script])

    plan = Plan("cpu", "strict", workloads, names, 3, 2, 0.1, minutes, 5, jobs)
    return _status(measure(plan, out, lambda line: None, start, earlier))


def _status(results):
    return int(results["failed"] is not None)


def test_ladder_and_its_report(tmp_path):
    out = tmp_path / "ladder.json"
    assert _ladder(out) == 0
    results = load(out)
    assert results["complete"]
    workload = results["workloads"]["mlp"]
    assert [len(one["order"]) for one in workload["sets"]] == [3, 3]
    orders = [
        tuple(order) for one in workload["sets"] for order in one["order"]
    ]
    assert {frozenset(order) for order in orders} == {frozenset(NAMES)}
    assert len(set(orders)) > 3
    found = tabulate(workload)
    assert {row.variant for row in found.rows} == set(NAMES)
    roof = found.rows[0].roof.seconds  # 1000 FLOP and 100 bytes, at 1e9 a s
    assert roof == pytest.approx(1.1e-6)
    report.write(tmp_path / "report", results)
    page = (tmp_path / "report" / "report.html").read_text()
    assert page.count("<svg") == 4
    assert "currentColor" in page
    assert "src=" not in page  # nothing to fetch
    assert "| jax scan |" in (tmp_path / "report" / "REPORT.md").read_text()


def test_no_verdict_without_a_duplicate(tmp_path):
    out = tmp_path / "ladder.json"
    assert _ladder(out, names=("jax scan", "torch eager")) == 0
    rows = tabulate(load(out)["workloads"]["mlp"]).rows
    assert {row.claim.verdict for row in rows if row.claim} == {""}


@pytest.mark.parametrize("count", [1, 2])
def test_one_repetition_gives_no_interval_and_no_verdict(count, tmp_path):
    _ladder(tmp_path / "ladder.json")
    results = load(tmp_path / "ladder.json")
    del results["workloads"]["mlp"]["sets"][count:]
    report.write(tmp_path, results)
    text = (tmp_path / "REPORT.md").read_text()
    (row,) = re.findall(r"^\| jax scan \|.*", text, re.MULTILINE)
    claimed = re.search(" to |faster|slower|tie", row)
    assert (claimed is None) == (count == 1)
    assert ("these need at least 2" in text) == (count == 1)


def test_an_earlier_file_is_not_lost(tmp_path):
    out = tmp_path / "ladder.json"
    out.write_text("measured with care")
    with pytest.raises(InputError, match="sees none"):
        _ladder(out, outcome={"unsupported": "PyTorch sees none"})
    assert out.read_text() == "measured with care"


def test_no_valid_variant_keeps_an_earlier_file(tmp_path):
    out = tmp_path / "ladder.json"
    out.write_text("measured with care")
    with pytest.raises(InputError, match="every variant is excluded"):
        _ladder(out, names=("torch eager",), outcome={"excluded": "wrong"})
    assert out.read_text() == "measured with care"


def test_report_says_why_a_workload_has_no_table(tmp_path):
    out = tmp_path / "ladder.json"
    _ladder(out)
    results = load(out)
    results["workloads"]["paper"] = {
        "recipe": "paper",
        "batch_size": 100,
        "refused": {"torch graph": "--accelerate graph is for GPUs"},
        "sets": [],
    }
    report.write(tmp_path, results)
    for page in ("REPORT.md", "report.html"):
        assert "torch graph is excluded" in (tmp_path / page).read_text()


def test_the_worst_repetition_counts(tmp_path):
    out = tmp_path / "ladder.json"
    _ladder(out)
    workload = load(out)["workloads"]["mlp"]
    later = workload["sets"][1]
    later["variants"]["jax scan"]["settled"] = False
    later["busy"] = [0.5] * len(later["busy"])
    workload["sets"][0]["busy"] = [0.0] * len(later["busy"])
    table = tabulate(workload)
    settled = {row.variant: row.settled for row in table.rows}
    assert [name for name, is_so in settled.items() if not is_so] == [
        "jax scan"
    ]
    assert table.background == 0.5


def test_a_roofline_is_that_of_the_fastest_repetition(tmp_path):
    _ladder(tmp_path / "ladder.json")
    workload = load(tmp_path / "ladder.json")["workloads"]["mlp"]
    for one, peak in zip(workload["sets"], (3e9, 2e9), strict=True):
        for values in one["variants"].values():
            values |= {"gemm_flops": peak, "bandwidth": peak / 2}
    for row in tabulate(workload).rows:
        assert (row.roof.peak, row.roof.bandwidth) == (3e9, 1.5e9)


@pytest.mark.parametrize("odd", ["seeds-8", "device", "tutorial"])
def test_other_work_is_never_the_best(odd, tmp_path):
    names = (*NAMES, f"jax {odd}")
    _ladder(tmp_path / "ladder.json", names=names)
    workload = load(tmp_path / "ladder.json")["workloads"]["mlp"]
    for one in workload["sets"]:
        values = one["variants"][f"jax {odd}"]
        values["seconds"] = [s / 100 for s in values["seconds"]]
    table = tabulate(workload)
    assert table.rows[0].variant == f"jax {odd}"
    assert table.best == {"jax": "jax scan", "torch": "torch eager"}


def test_background_load_is_what_was_not_idle(monkeypatch):
    moments = iter([(100, 1000), (130, 1040)])
    monkeypatch.setattr(background, "_jiffies", lambda: next(moments))
    assert background.measure_background() == 0.25


def test_a_worker_takes_the_threads_of_its_framework(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    script = (
        "import json, os; "
        "print(json.dumps({'bound': 'OMP_NUM_THREADS' in os.environ}))"
    )
    found = Worker("it", [sys.executable, "-c", script]).answer(60)
    assert os.environ["OMP_NUM_THREADS"] == "1"
    assert found == {"bound": False}


def test_report_of_seeds_and_of_energy(tmp_path):
    out = tmp_path / "ladder.json"
    names = ("jax scan", "torch eager", "jax seeds-2", "jax seeds-8")
    assert _ladder(out, joules=30.0, names=names) == 0
    report.write(tmp_path / "report", load(out))
    page = (tmp_path / "report" / "report.html").read_text()
    assert "many seeds together" in page
    # 30 J for a block: 10 iterations of 100 images
    assert "<td>30.00</td>" in page


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (
            RuntimeError("CUDA out of memory. Tried to allocate 2 GiB."),
            "it does not fit the memory",
        ),
        (
            MemoryError("Unable to allocate 2 GiB"),
            "it does not fit the memory",
        ),
        (
            RuntimeError("an output was overwritten\nand so on"),
            "it fails: RuntimeError: an output was overwritten",
        ),
        (AssertionError(), "it fails: AssertionError"),
        (InputError("it is for GPUs"), "it is for GPUs"),
    ],
)
@pytest.mark.parametrize("check", [True, False])
def test_a_variant_that_fails_is_excluded(
    check, error, reason, monkeypatch, capsys
):
    def create(*_):
        raise error

    monkeypatch.setattr(worker, "build", create)
    monkeypatch.setattr(sys, "stdin", StringIO("\n"))
    monkeypatch.setattr(sys, "stdout", sys.stdout)  # given back afterwards
    worker.main(replace(JOB, check=check))
    answers = list(map(json.loads, capsys.readouterr().out.splitlines()))
    assert answers == [*([] if check else [{}]), {"excluded": reason}]


@pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(),
    reason="only Linux resets its counter",
)
def test_counters():
    counters.forget_peak()
    before = counters.peak_bytes()
    held = np.ones(2**24)  # 128 MiB
    assert counters.peak_bytes() - before > held.nbytes / 2
    drawn = counters.joules()
    assert drawn is None or drawn > 0


@pytest.mark.parametrize("matmul", ["strict", "bfloat16"])
def test_a_true_worker(matmul, tmp_path, monkeypatch):
    monkeypatch.setitem(CALLS, "lecture", STEPS)
    out = tmp_path / "ladder.json"
    names = ("jax scan", "torch eager", "torch graph")
    plan = Plan("cpu", matmul, ("lecture",), names, 1, 1, 0.01, None)
    assert _status(measure(plan, out, lambda line: None)) == 0
    workload = load(out)["workloads"]["lecture"]
    assert "for GPUs" in workload["refused"]["torch graph"]
    rows = {row.variant for row in tabulate(workload).rows}
    assert rows == {"jax scan", "torch eager"}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there(tmp_path, capsys):
    out = tmp_path / "ladder.json"
    options = ["--device", "gpu", "--variants", "torch eager"]
    assert main(["ladder", *options, "--out", str(out)]) == 2
    assert "--device gpu: PyTorch sees none" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("end", "message"),
    [("sys.exit(3)", "ended"), ("import time; time.sleep(60)", "hung")],
)
def test_a_worker_that_dies_or_hangs(end, message, tmp_path):
    out = tmp_path / "ladder.json"
    assert _ladder(out, last=2, end=end) == 1
    results = load(out)
    assert message in results["failed"]
    (one,) = results["workloads"]["mlp"]["sets"]
    assert len(one["variants"]["torch eager"]["seconds"]) == 2
    report.write(tmp_path / "report", results)


@pytest.mark.parametrize(
    "odd",
    [
        {"compiled": "1"},
        {"excluded": "it does not fit"},
        {"outcome": {"excluded": "it is wrong"}},
    ],
)
def test_an_excluded_variant_gets_no_number(odd, tmp_path):
    out = tmp_path / "ladder.json"
    assert _ladder(out, **odd) == 0
    workload = load(out)["workloads"]["mlp"]
    rows = {row.variant for row in tabulate(workload).rows}
    assert "torch eager" not in rows
    assert ("torch eager again" in rows) == ("outcome" not in odd)
    report.write(tmp_path / "report", load(out))
    text = (tmp_path / "report" / "REPORT.md").read_text()
    reason = workload["refused"]["torch eager"]
    assert f"torch eager is excluded: {reason}" in text


def test_time_that_is_over_before_a_block(tmp_path):
    out = tmp_path / "ladder.json"
    out.write_text("measured with care")
    with pytest.raises(InputError, match="--budget 1e-06: its time was over"):
        _ladder(out, minutes=1e-6)
    assert out.read_text() == "measured with care"


def test_a_duplicate_is_not_checked_again(tmp_path):
    started = []
    _ladder(tmp_path / "ladder.json", started=started)
    checked = [job.variant for job in started if job.check]
    assert checked == ["jax scan", "torch eager"]


@pytest.mark.parametrize(
    ("end", "message"),
    [("sys.exit(3)", "ended"), ("import time; time.sleep(60)", "hung")],
)
def test_checks_that_die_or_hang(end, message, tmp_path, capsys):
    out = tmp_path / "ladder.json"

    def start(job):
        return Worker(job.variant, [sys.executable, "-c", f"import sys; {end}"])

    plan = Plan("cpu", "strict", ("mlp",), NAMES, 3, 2, 0.1, None, patience=2)
    assert _status(measure(plan, out, print, start)) == 1
    said = capsys.readouterr().out
    assert message in said
    assert "nothing was timed before" in said
    assert not out.exists()


def test_workloads_side_by_side(tmp_path):
    """All processes of a repetition start before the first block of any."""
    out, started = tmp_path / "ladder.json", []
    both = ("mlp", "lecture")
    assert _ladder(out, started=started, workloads=both, jobs=3) == 0
    results = load(out)
    assert results["complete"]
    for workload in results["workloads"].values():
        assert [len(one["order"]) for one in workload["sets"]] == [3, 3]
        for one in workload["sets"]:
            assert set(one["variants"]) == set(NAMES)
    timed = [job.recipe for job in started if not job.check]
    assert timed == 2 * (4 * ["mlp"] + 4 * ["lecture"])


def test_repetitions_are_added(tmp_path):
    out, started = tmp_path / "ladder.json", []
    _ladder(out)
    before = load(out)
    assert _ladder(out, earlier=load(out), started=started) == 0
    sets = load(out)["workloads"]["mlp"]["sets"]
    assert len(sets) == 4
    assert sets[:2] == before["workloads"]["mlp"]["sets"]
    assert not [job for job in started if job.check]  # they passed before
    assert sets[0]["order"] != sets[2]["order"]


@pytest.mark.parametrize(
    ("odd", "part"),
    [
        ({"machine": "another"}, "another machine (cpu another"),
        ({"gpus": ["H100"]}, "another machine (gpus ['H100'], here []"),
        ({"rounds": 4}, "another plan (rounds 3, now 4"),
    ],
)
def test_repetitions_of_another_machine_or_plan(odd, part, tmp_path, refused):
    out = tmp_path / "ladder.json"
    _ladder(out)
    results = load(out)
    machine = results["machine"]
    machine["gpus"] = odd.get("gpus", machine["gpus"])
    machine["cpu"] = odd.get("machine", machine["cpu"])
    write_json(out, results)
    text = out.read_text()
    options = ["--workloads", "mlp", "--variants", *NAMES, "--add"]
    rounds = ["--rounds", odd.get("rounds", 3)]
    refused(main, ["ladder", "--out", out, *options, *rounds], part, out)
    assert out.read_text() == text


def test_flags_that_this_xla_does_not_know(tmp_path):
    """XLA ends such a process; the other variants continue."""
    out = tmp_path / "ladder.json"
    flagged = "jax scan/conv"

    def start(job):
        end = "sys.exit(1)" if job.variant == flagged else "pass"
        passed = {"excluded": None} if job.check else {}
        script = SERVE.format(
            loaded=passed, answer=ANSWER, last=99, end="pass", compiled="0",
            joules=None,
        )  # fmt: skip
        script = script.replace("import json, sys", f"import json, sys; {end}")
        return Worker(job.variant, [sys.executable, "-c", script])

    names = ("jax scan", flagged, "torch eager")
    plan = Plan("cpu", "strict", ("mlp",), names, 1, 1, 0.1, None, 5)
    assert _status(measure(plan, out, lambda line: None, start)) == 0
    workload = load(out)["workloads"]["mlp"]
    assert "perhaps this XLA lacks its flags" in workload["refused"][flagged]
    assert len(tabulate(workload).rows) == 2


DAMAGE = {
    "truncated": (lambda text: text[: len(text) // 2], "truncated"),
    "other schema": (
        lambda text: text.replace("gan-ladder", "x"),
        "not a file of",
    ),
    "version": (lambda text: text.replace('"version": 2', '"version": 9'), "9"),
    "no times": (lambda text: text.replace('"seconds"', '"s"'), "seconds of"),
    "a word": (lambda text: text.replace("0.101,", '"x",'), "the seconds of"),
    "no batch": (
        lambda text: text.replace('"batch_size": 100', '"batch_size": 0'),
        "batch_size of mlp",
    ),
    "nan": (lambda text: text.replace("0.101,", "NaN,"), "the seconds of"),
    "not a dict": (lambda text: "[]", "is not a file of"),
    "no work": (
        lambda text: text.replace('"iterations": 10', '"iterations": 0'),
        "iterations of",
    ),
    "never warm": (
        lambda text: re.sub(r'("warmup_seconds": )\[[^]]*', r"\1[", text),
        "warmup_seconds of",
    ),
    "unknown variant": (
        lambda text: text.replace('"jax scan": {', '"x": {'),
        "variant 'x' is unknown",
    ),
    "lacks a variant": (
        lambda text: text.replace('"jax scan": {', '"jax step": {', 1),
        "a variant in one of the sets",
    ),
}


@pytest.fixture(scope="module")
def measured_ladder(tmp_path_factory):
    out = tmp_path_factory.mktemp("measured") / "ladder.json"
    _ladder(out)
    return out.read_text()


@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_file(case, measured_ladder, tmp_path, refused):
    out = tmp_path / "ladder.json"
    damage, part = DAMAGE[case]
    out.write_text(damage(measured_ladder))
    refused(main, ["report", out, "--out", tmp_path / "r"], part)


def test_no_blank_in_the_name_of_a_cache(tmp_path, monkeypatch):
    """The C++ compiler of torch.compile takes it for the end of a name."""
    monkeypatch.setattr(
        processes, "Worker", lambda *_, **environment: environment
    )
    start = starter("cpu", tmp_path)
    environment = start(replace(JOB, variant="torch compile"))
    others = (JOB, replace(JOB, variant="torch compile", check=False))
    for name in ("JAX_COMPILATION_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR"):
        assert " " not in environment[name].removeprefix(str(tmp_path))
        for other in others:  # each has its own cache
            assert start(other)[name] != environment[name]


BAD = {
    "workload": ["--workloads", "vgg"],
    "no batch": ["--workloads", "mlp:0"],
    "empty batch": ["--workloads", "mlp:"],
    "foreign digits": ["--workloads", "mlp:٣"],
    "batch": ["--workloads", "mlp:5001"],
    "half": ["--workloads", "mlp:1.5"],
    "variant": ["--variants", "jax warp"],
    "flags": ["--variants", "jax scan/warp"],
    "flags of torch": ["--variants", "torch eager/conv"],
    "jobs": ["--jobs", "0"],
    "repetitions": ["--repetitions", "0"],
    "rounds": ["--rounds", "0"],
    "budget": ["--budget", "-1"],
    "block": ["--block", "nan"],
    "matmul": ["--matmul", "tf32"],
    "device": ["--device", "tpu"],
}


def test_a_folder_is_no_file(tmp_path, refused):
    for command in ("ladder", "quality"):
        refused(main, [command, "--out", tmp_path], tmp_path, "name a file")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("case", BAD)
def test_bad_option_of_the_ladder(case, tmp_path, refused):
    arguments = ["ladder", "--out", tmp_path / "ladder.json", *BAD[case]]
    refused(main, arguments, BAD[case][1])
    assert not list(tmp_path.iterdir())


def test_former_option_names_still_work(tmp_path, capsys):
    options = ["--variants", "jax warp", "--sets", "2", "--at-once", "3"]
    assert main(["ladder", "--out", str(tmp_path / "l.json"), *options]) == 2
    warnings = capsys.readouterr().err.splitlines()[:-1]
    assert warnings == [
        "warning: --sets is now --repetitions",
        "warning: --at-once is now --jobs",
    ]
    parsed = _parser().parse_args(["ladder", "--out", "l.json", *options])
    assert (parsed.repetitions, parsed.jobs) == (2, 3)
