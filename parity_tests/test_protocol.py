"""The protocol of the benchmark: what it finds, and what it refuses."""

import numpy as np
import pytest

from benchmarks.statistics import estimate, holm, judge, log_ratios, noise_floor

SETS, ROUNDS = 3, 30


def _times(rng, factor=1.0):
    """Blocks of a variant: sets differ by 1 %, blocks by 3 %, some hiccup."""
    sets = []
    for _ in range(SETS):
        level = factor * np.exp(rng.normal(0, 0.01))
        blocks = level * np.exp(rng.normal(0, 0.03, ROUNDS))
        sets.append(np.where(rng.random(ROUNDS) < 0.05, 2 * blocks, blocks))
    return sets


def _verdict(factor, seed):
    rng = np.random.default_rng(seed)
    floor = noise_floor([(_times(rng), _times(rng)) for _ in range(2)])
    claims = {"it": (_times(rng), _times(rng, factor))}
    return judge(claims, floor)["it"]


def test_a_difference_of_a_tenth_is_found():
    claims = [_verdict(1.10, seed) for seed in range(20)]
    assert [claim.verdict for claim in claims].count("faster") >= 19
    assert np.isclose(np.mean([c.ratio.median for c in claims]), 1.1, atol=0.02)
    assert _verdict(1 / 1.10, 0).verdict == "slower"


def test_the_same_against_itself_is_a_tie():
    verdicts = [_verdict(1.0, 100 + seed).verdict for seed in range(100)]
    assert verdicts.count("tie") >= 95


def test_interval_covers_the_truth():
    rng = np.random.default_rng(0)
    found = [estimate(log_ratios(_times(rng), _times(rng))) for _ in range(50)]
    covered = sum(low <= 0 <= high for _, low, high in found)
    assert covered >= 35  # three sets are few: less than 95 %
    assert all(low < median < high for median, low, high in found)


def test_holm():
    assert holm([0.02, 0.02, 0.02]) == pytest.approx([0.06] * 3)
    assert holm([0.5, 0.001]) == pytest.approx([0.5, 0.002])
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_a_block_that_is_not_a_number():
    with pytest.raises(ValueError, match="finite"):
        estimate([[1.0, float("nan")]])
    with pytest.raises(ValueError, match="needs blocks"):
        estimate([])
