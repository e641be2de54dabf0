"""Bootstrap intervals: exact small cases, coverage, pairing, and degenerate data."""

import itertools

import numpy as np
import pytest

from experiments.common.statistics import bootstrap_interval


def test_three_values_against_the_enumerated_bootstrap_distribution() -> None:
    values = np.array([0.0, 1.0, 5.0])
    means = [np.mean(resample) for resample in itertools.product(values, repeat=3)]
    low, high = bootstrap_interval(values, statistic=np.mean, confidence=0.8, num_resamples=20_000)
    exact_low, exact_high = np.quantile(means, [0.1, 0.9], method="inverted_cdf")
    np.testing.assert_allclose([low, high], [exact_low, exact_high])


def test_coverage_of_the_mean_of_normal_replicates() -> None:
    rng = np.random.default_rng(0)
    num_trials = 400
    low, high = bootstrap_interval(
        rng.normal(size=(num_trials, 50)), axis=1, statistic=np.mean, num_resamples=500
    )
    covered = np.mean((low <= 0) & (high >= 0))
    # The percentile interval uses the standard deviation with ddof = 0: z shrinks by sqrt(49/50).
    expected = 0.9445
    assert abs(covered - expected) < 4 * np.sqrt(expected * (1 - expected) / num_trials)


def test_axis_seed_and_shape() -> None:
    values = np.random.default_rng(1).normal(size=(2, 7, 3))
    interval = bootstrap_interval(values, axis=1, statistic=np.mean, seed=5)
    assert interval.low.shape == interval.high.shape == (2, 3)
    again = bootstrap_interval(np.moveaxis(values, 1, -1), statistic=np.mean, seed=5)
    np.testing.assert_array_equal(interval.low, again.low)
    other = bootstrap_interval(values, axis=1, statistic=np.mean, seed=6)
    assert not np.array_equal(interval.low, other.low)


def test_curves_share_their_resampled_replicates() -> None:
    first = np.random.default_rng(2).normal(size=9)
    low, high = bootstrap_interval(np.stack([first, first + 3.0]), num_resamples=300)
    np.testing.assert_allclose(low[1] - low[0], 3.0, rtol=1e-12)
    np.testing.assert_allclose(high[1] - high[0], 3.0, rtol=1e-12)


def test_equal_values_give_width_zero_and_one_value_gives_nan() -> None:
    equal = bootstrap_interval(np.full((2, 5), 4.0))
    np.testing.assert_array_equal(equal, np.full((2, 2), 4.0))
    single = bootstrap_interval(np.ones((2, 1)))
    assert single.low.shape == (2,)
    assert np.isnan(single).all()


@pytest.mark.parametrize("values", [np.ones((3, 0)), 1.0])
def test_no_replicates_is_refused(values: object) -> None:
    with pytest.raises(ValueError, match="no replicates"):
        bootstrap_interval(values)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95])
def test_impossible_confidence_is_refused(confidence: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        bootstrap_interval([1.0, 2.0], confidence=confidence)
