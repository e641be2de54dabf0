"""What intervals over paired seeds decide: planted differences, ties, and what cannot be told."""

import numpy as np
import pytest
from scipy import stats

from experiments.analysis import effects
from experiments.common.findings import FAILS, HOLDS, TIED, UNDECIDED
from experiments.common.statistics import bootstrap_interval

RNG = np.random.default_rng(0)
SEEDS = RNG.normal(size=40)  # what paired runs share
NOISE = RNG.normal(size=40)


@pytest.mark.parametrize(
    ("shift", "noise", "outcome"),
    [
        (0.5, 0.1, HOLDS),
        (-0.5, 0.1, FAILS),
        (0.01, 1.0, UNDECIDED),
        (0.01, 0.01, TIED),  # told from nothing, and too little to matter
        (0.0, 0.0, TIED),
        (np.nan, 0.1, UNDECIDED),
    ],
)
def test_a_difference_is_paired_and_decides_what_its_interval_can(shift, noise, outcome):
    second = 10 + 30 * SEEDS
    second += 10 - second.mean()
    found = effects.difference("here", second + shift + noise * NOISE, second)
    assert found.outcome == outcome
    if np.isfinite(shift):
        assert found.estimate == pytest.approx(shift + noise * NOISE.mean())
        assert found.low <= found.estimate <= found.high


@pytest.mark.parametrize(
    ("factor", "outcome"), [(0.8, HOLDS), (1.2, FAILS), (0.999, TIED), (1.0, TIED)]
)
def test_a_ratio_is_geometric_and_paired(factor, outcome):
    second = np.exp(SEEDS)
    found = effects.ratio_below_one("here", factor * second * np.exp(0.001 * NOISE), second)
    assert found.outcome == outcome
    assert found.estimate == pytest.approx(factor, rel=1e-3)


def test_to_be_near_has_to_be_shown():
    values = 1 + 0.1 * NOISE
    values -= values.mean() - 1
    assert effects.near("here", values, 1.0, 0.1).outcome == HOLDS
    assert effects.near("here", values, 1.0, 0.01).outcome == UNDECIDED
    assert effects.near("here", values, 2.0, 0.1).outcome == FAILS
    assert effects.near("here", values[:1], 1.0, 0.5).outcome == UNDECIDED  # one seed alone
    assert effects.near("here", values * np.nan, 1.0, 0.5).outcome == UNDECIDED


def test_exact_numbers_decide_without_an_interval():
    assert effects.exact("here", 2.0, holds=True).outcome == HOLDS
    assert effects.exact("here", 2.0).outcome == ""
    assert effects.exact("here", np.nan, holds=True).outcome == UNDECIDED


def test_effects_that_are_judged_together_have_wider_intervals():
    def width(num_effects):
        low, high = effects.interval(NOISE, num_effects)
        return high - low

    expected = stats.norm.ppf(1 - 0.025 / 10) / stats.norm.ppf(0.975)
    assert width(10) / width(1) == pytest.approx(expected, rel=0.05)


def test_the_family_of_a_finding_misses_no_more_often_than_said():
    """Ten true means of 0, many times: at least one interval leaves it out in 5%, not in 40%."""
    rng = np.random.default_rng(1)
    trials = 150
    missed = 0
    for _ in range(trials):
        values = rng.normal(size=(10, 60))
        ends = bootstrap_interval(
            values, statistic=np.mean, confidence=1 - effects.LEVEL / 10, num_resamples=4000
        )
        missed += bool(((ends.low > 0) | (ends.high < 0)).any())
    expected = 0.07  # the percentile interval of 60 values is a little short, far out in its tails
    assert missed / trials < expected + 4 * np.sqrt(expected * (1 - expected) / trials)


def test_a_statistic_of_resampled_seeds_has_the_interval_of_a_mean_where_it_is_one():
    ends = effects.interval_of(lambda seeds: NOISE[seeds].mean(axis=1), len(NOISE))
    np.testing.assert_allclose(ends, effects.interval(NOISE), atol=0.02)
    curve = np.stack([NOISE, 2 * NOISE], axis=-1)
    ends = effects.interval_of(lambda seeds: curve[seeds].mean(axis=1), len(NOISE))
    np.testing.assert_allclose(ends.low[1], 2 * ends.low[0])
    one = effects.interval_of(lambda seeds: curve[seeds].mean(axis=1), 1)
    assert np.isnan(one).all()
