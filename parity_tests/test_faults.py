"""The suite can fail: every injected fault is caught, by a wide margin."""

import sys
from dataclasses import replace

import pytest
import torch

import jax_gan
import torch_ref
from experiment.initial import initial_state
from experiment.stream import map_arrays
from parity_tests import test_compare, test_rules
from parity_tests.faults import FAULTS
from parity_tests.pair import worst_gaps
from parity_tests.small import small_config, small_data
from parity_tests.test_steps import TOLERANCE
from torch_ref import weights

MARGIN = 1000
STEPS = (1, 2, 3)

REAL = [fault for fault in FAULTS if not fault.equivalent]
EQUIVALENT = [fault for fault in FAULTS if fault.equivalent]


def _gaps(fault):
    return worst_gaps(small_config(**fault.config), small_data(), 3, at=STEPS)


def _planted(fault):
    with fault.planted():
        return _gaps(fault)


@pytest.mark.parametrize("fault", REAL, ids=lambda fault: fault.name)
def test_planted_fault_is_caught(fault, measured):
    found = _planted(fault)
    measured(found)
    assert max(found.values()).error >= MARGIN * TOLERANCE


@pytest.mark.parametrize("fault", EQUIVALENT, ids=lambda fault: fault.name)
def test_equivalent_fault_changes_nothing(fault, measured):
    found = _planted(fault)
    measured(found, TOLERANCE)


CONFIGS = {str(fault.config): fault for fault in FAULTS}


@pytest.mark.parametrize("fault", CONFIGS.values(), ids=CONFIGS)
def test_without_a_fault_the_twins_agree(fault, measured):
    """The same experiments, correct: what is caught is the fault."""
    found = _gaps(fault)
    measured(found, TOLERANCE)


def _parts():
    """What faults replace in the PyTorch twin: attributes and items."""
    found = {}
    for name, module in sys.modules.items():
        if name.partition(".")[0] != "torch_ref":
            continue
        classes = (v for v in vars(module).values() if isinstance(v, type))
        for owner in (module, *classes):
            for key, value in vars(owner).items():
                found[owner, key] = value
                if isinstance(value, dict) and key.isupper():
                    found |= {(owner, key, k): v for k, v in value.items()}
    return found


def test_a_fault_is_taken_back():
    before = _parts()
    for fault in FAULTS:
        with fault.planted():
            planted = _parts()
        now = _parts()
        changed = [k for k, v in planted.items() if v is not before.get(k)]
        assert changed, fault.name
        assert now.keys() == before.keys(), fault.name
        assert all(now[key] is before[key] for key in before), fault.name


def test_other_initial_weights_are_caught(monkeypatch, digits):
    """Pairs start from JAX's weights; test_rules compares PyTorch's."""

    def another_seed(config, state, data):
        return initial_state(replace(config, seed=config.seed + 1), state, data)

    create = sys.modules["torch_ref.create"]
    monkeypatch.setattr(create, "initial_state", another_seed)
    jax_gan.select_device("cpu", small_config())
    with pytest.raises(AssertionError, match="params"):
        test_rules.test_initial_weights("mlp", "normal", digits)


@pytest.mark.parametrize("plant", ["to_numpy", "from_numpy", "place"])
def test_aliased_memory_is_caught(plant, monkeypatch, tiny):
    """Copies at every border; without one a tensor is compared with itself."""
    aliased = {
        "to_numpy": lambda game: {
            name: view.detach().numpy()
            for name, view in weights._neutral_views(game)
        },
        "from_numpy": _adopt,
        "place": lambda batch: map_arrays(torch.from_numpy, batch),
    }
    monkeypatch.setattr(torch_ref, plant, aliased[plant])
    with pytest.raises(AssertionError):
        test_compare.test_crossing_copies(torch_ref, tiny)


def _adopt(game, arrays):
    for name, view in weights._neutral_views(game):
        view.data = torch.from_numpy(arrays[name])
    return game


def test_there_are_enough():
    assert len(REAL) >= 40
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
