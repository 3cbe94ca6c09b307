"""What several devices cost: all-reduces, the model, and the command."""

import os

import jax
import numpy as np
import pytest
import torch.distributed as dist
from torch.testing._internal.distributed.fake_pg import FakeStore

import jax_gan
import torch_ref
from benchmarks import devices, devices_groups, jax_side, torch_side
from benchmarks.__main__ import main
from benchmarks.devices import load_devices
from benchmarks.devices_groups import ARRANGEMENTS
from benchmarks.devices_report import efficiency, page
from benchmarks.reductions import (
    Reductions,
    bytes_of_xla,
    of_processes,
    of_program,
)
from benchmarks.scaling import (
    LINKS,
    STEPS,
    Link,
    communication,
    strong_efficiency,
    weak_efficiency,
)
from experiment.errors import InputError
from experiment.processes import ALONE
from experiment.stream import Stream
from parity_tests.devices_table import FEW_STEPS, SMALL
from parity_tests.faults.base import DCGAN
from parity_tests.small import small_config, small_data

# All-reduces

CONFIGS = {
    "mlp": SMALL["mlp"].config,
    "dcgan": small_config(k=2, **DCGAN),
    "simultaneous": small_config(updates="simultaneous", **DCGAN),
}
OF_JAX = {
    "lecture": SMALL["lecture"].config,
    "mlp": SMALL["mlp"].config,
    "dcgan": small_config(**DCGAN),
    "dcgan, k = 2": CONFIGS["dcgan"],
    "maxout": small_config(updates="simultaneous", network="maxout"),
}


@pytest.fixture
def two_processes():
    """This process is one of two; the other is not there."""
    dist.init_process_group("fake", rank=0, world_size=2, store=FakeStore())
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize("name", CONFIGS)
def test_all_reduces_of_torch(name, two_processes):
    config, data = CONFIGS[name], small_data()
    torch_ref.select_device("cpu", config)
    game = torch_ref.create(config, data)
    expected = of_processes(config, torch_ref.to_numpy(game))
    stream = Stream(config, data, torch_ref.rows(config.batch_size))
    batches = torch_ref.place(stream.batches(0, 2))
    found = torch_side.count_reductions(torch_ref.train, game, batches)
    assert found == expected


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name == "lecture" else pytest.mark.slow)
        for name in OF_JAX
    ],
)
def test_bytes_of_jax(name):
    config, data = OF_JAX[name], small_data()
    device = jax_gan.spread(jax_gan.select_device("cpu", config), ALONE, 2)
    game = jax_gan.create(config, data, device)
    # The game and the number of iterations that test_devices has compiled.
    stream = Stream(config, data)
    batches = jax_gan.place(stream.batches(0, FEW_STEPS), device)
    train = jax_gan.VARIANTS["scan"](game)
    found = jax_side.count_reductions(train, game, batches)
    assert found.bytes == bytes_of_xla(config, jax_gan.to_numpy(game))


HLO = """\
HloModule jit_train, is_scheduled=true

%add (a: f32[], b: f32[]) -> f32[] {
  ROOT %sum = f32[] add(%a, %b)
}

%inner_body (p: (s32[], f32[4])) -> (s32[], f32[4]) {
  %all-reduce.1 = f32[4]{0} all-reduce(%x), channel_id=1, to_apply=%add
}

%inner_condition (p: (s32[], f32[4])) -> pred[] {
  ROOT %less = pred[] compare(%i, %n), direction=LT
}

%body (p: (s32[], f64[2,3])) -> (s32[], f64[2,3]) {
  %while.1 = (s32[], f32[4]) while(%t), condition=%inner_condition, \
body=%inner_body, backend_config={"known_trip_count":{"n":"2"}}
  %all-reduce.2 = (f64[2,3]{1,0}, bf16[], f64[5]{0}) all-reduce(%a, %b, %c), \
replica_groups={{0,1}}, to_apply=%add
  %all-gather.1 = f64[9]{0} all-gather(%d), dimensions={0}
}

ENTRY %main (p0: f32[4]) -> f32[4] {
  %while.2 = (s32[], f64[2,3]) while(%t), condition=%inner_condition, \
body=%body, backend_config={"known_trip_count":{"n":"10"}}
}
"""


def test_all_reduces_of_a_program():
    """Loops count as often as they run; several arrays are one all-reduce."""
    inner, outer = 4 * 4, 8 * 6 + 2 + 8 * 5
    assert of_program(HLO, 10) == Reductions(2 + 1, 2 * inner + outer)


def test_a_loop_of_unknown_length():
    text = HLO.replace('"known_trip_count":{"n":"2"}', "")
    with pytest.raises(ValueError, match=r"no known number: .*while"):
        of_program(text, 10)


# The model

_BYTES = Reductions(10, 1_000_000)
_FREE = Link("without latency", 0.0, 1e9, 512)


@pytest.mark.parametrize("algorithm", STEPS)
def test_limits_of_the_model(algorithm):
    assert all(communication(_BYTES, of, 1, algorithm) == 0 for of in LINKS)
    # Bandwidth alone: at most twice the bytes, whatever the number of cards.
    assert communication(_BYTES, _FREE, 2, algorithm) == pytest.approx(1e-3)
    many = communication(_BYTES, _FREE, 10**6, algorithm)
    assert many == pytest.approx(2e-3, rel=1e-5)
    latency = Link("without bytes", 1e-6, 1e30, 512)
    steps = {"tree": 2 * 9, "ring": 2 * 511}[algorithm]
    found = communication(_BYTES, latency, 512, algorithm)
    assert found == pytest.approx(10 * steps * 1e-6)


def test_efficiency_of_the_model():
    assert strong_efficiency(1.0, 0.0, 8) == weak_efficiency(1.0, 0.0) == 1
    # 8 cards take 1/8 s and 1/8 s: half of what they could.
    assert strong_efficiency(1.0, 0.125, 8) == 0.5
    assert weak_efficiency(1.0, 1.0) == 0.5


# The page


def _results(**times):
    """Two repetitions of three rounds; a process alone takes 0.2 s."""
    of = dict.fromkeys(ARRANGEMENTS, 0.2) | times
    seconds = {
        f"{twin} {name}": [value, value, value]
        for twin in ("jax", "torch")
        for name, value in of.items()
    }
    repetition = {"background": [0.0] * 3, "seconds": seconds}
    counted = {"number": 60, "bytes": 25_000_000}
    both = {"formula": counted, "counted": counted}
    return {
        "schema": devices.SCHEMA,
        "version": devices.VERSION,
        "machine": {"cpu": "a CPU", "cores": 2, "versions": {"jax": "0"}},
        "plan": {"rounds": 3},
        "failed": None,
        "reductions": {"dcgan64": {"jax": both, "torch": both}},
        "workloads": {
            "lecture:8": {
                "recipe": "lecture",
                "batch_size": 8,
                "repetitions": [repetition, repetition],
            }
        },
    }


def test_page():
    lines = page(_results(strong=0.125, weak=0.25, apart=0.21)).splitlines()
    rows = [line for line in lines if line.startswith("| JAX | ")]
    shown = [row.split(" | ")[2:] for row in rows[:4]]
    assert [cells[0] for cells in shown] == ["8", "8", "16", "8"]
    assert [cells[1].split()[0] for cells in shown] == [
        "200", "125", "250", "210",
    ]  # fmt: skip
    assert [cells[2] for cells in shown] == ["40", "64", "64", "76"]
    assert [cells[3].split()[0] for cells in shown] == [
        "|", "0.80", "0.80", "0.95",
    ]  # fmt: skip
    # 8 cards share 128 images, 512 cannot.
    model = [row for row in rows if "InfiniBand" in row]
    assert [row.count("too few images") for row in model] == [0, 0, 1]


def test_efficiency_has_an_interval():
    of_one = np.array([[0.2], [0.2]])
    found = efficiency("strong", np.array([[0.1], [0.16]]), of_one)
    assert found.estimate == pytest.approx((1.0 * 0.625) ** 0.5)
    assert found.low < 0.625
    assert found.high > 1


# The command


def test_a_file_is_verified(tmp_path):
    path = tmp_path / "devices.json"
    for change, part in {
        ('"gan-devices-cost"', '"x"'): "is not a file of",
        ("0.2", "NaN"): "a time",
        ('"repetitions"', '"r"'): "'repetitions'",
    }.items():
        devices._write(_results(), path)
        load_devices(path)
        path.write_text(path.read_text().replace(*change))
        with pytest.raises(InputError, match=part):
            load_devices(path)


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (["--workloads", "vgg"], "vgg"),
        (["--workloads", "mlp:7"], "batch-size 7 cannot be split evenly"),
        (["--counted", "figure1"], "figure1"),
        (["--rounds", 0], "--rounds is 0"),
        (["--repetitions", -1], "--repetitions is -1"),
        (["--block", 0], "--block is 0"),
        (["--budget", "nan"], "--budget is nan"),
    ],
)
def test_bad_option(options, part, tmp_path, refused):
    out = ["--out", tmp_path / "devices.json"]
    refused(main, ["devices", *out, *options], part)
    assert not list(tmp_path.iterdir())


def test_too_few_cores(tmp_path, refused, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3})
    out = ["--out", tmp_path / "devices.json"]
    refused(main, ["devices", *out], "needs 2 cores")


def test_a_worker_that_ends(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(devices_groups, "_WORKER", ("false",))
    out = tmp_path / "devices.json"
    assert main(["devices", "--out", str(out)]) == 1
    captured = capsys.readouterr()
    assert "jax strong ended: killed" in captured.err
    assert "Incomplete: jax strong ended" in captured.out
    assert "jax strong ended" in load_devices(out)["failed"]


@pytest.mark.slow
def test_rehearsal(tmp_path, capsys):
    """Every part with tiny sizes."""
    out = tmp_path / "devices.json"
    options = ["--workloads", "lecture:4", "--counted", "lecture", "dcgan"]
    options += ["--rounds", "1", "--repetitions", "2", "--block", "0.01"]
    assert main(["devices", *options, "--out", str(out)]) == 0
    results = load_devices(out)
    for twins in results["reductions"].values():
        assert twins["torch"]["formula"] == twins["torch"]["counted"]
        assert twins["jax"]["counted"]["bytes"] > 0
    repetitions = results["workloads"]["lecture:4"]["repetitions"]
    assert [len(one["seconds"]) for one in repetitions] == [8, 8]
    assert capsys.readouterr().out == out.with_suffix(".md").read_text() + "\n"
    assert jax.process_count() == 1
