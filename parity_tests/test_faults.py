"""The suite can fail: every planted fault is caught, by a wide margin."""

from dataclasses import replace

import pytest

from parity_tests.faults import FAULTS
from parity_tests.pair import worst_gaps
from parity_tests.test_steps import TOLERANCE

MARGIN = 1000


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_planted_fault_is_caught(fault, tiny, measured):
    config, data = tiny
    config = replace(config, **fault.config)
    sound = worst_gaps(config, data, steps=3, at=(1, 2, 3))
    assert max(sound.values()).error <= TOLERANCE

    with pytest.MonkeyPatch.context() as patch:
        fault.plant(patch)
        gaps = worst_gaps(config, data, steps=3, at=(1, 2, 3))
    measured(gaps)
    assert max(gaps.values()).error >= MARGIN * TOLERANCE
