"""The suite can fail: every planted fault is caught, by a wide margin."""

import pytest

from parity_tests.faults import FAULTS
from parity_tests.pair import worst_gaps
from parity_tests.small import small_config, small_data
from parity_tests.test_steps import TOLERANCE

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
    """The same experiments, sound: what is caught is the fault."""
    found = _gaps(fault)
    measured(found, TOLERANCE)


def test_there_are_enough():
    assert len(REAL) >= 40
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
