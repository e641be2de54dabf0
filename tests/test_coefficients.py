"""Coefficients against the statistics of NumPy and of plain sorting, and what is refused."""

import numpy as np
import pytest

from maxpo_jax import coefficients


@pytest.mark.parametrize("k", range(1, 8))
def test_coefficients_are_the_statistics_of_k_rewards(k):
    rewards = np.sort(np.random.default_rng(k).normal(size=k))
    assert coefficients.max_at_k(k) @ rewards == rewards.max()
    assert coefficients.min_at_k(k) @ rewards == rewards.min()
    assert coefficients.median_at_k(k) @ rewards == pytest.approx(np.median(rewards))
    for m in range(1, k + 1):
        top = coefficients.top_m_at_k(k, m)
        assert top @ rewards == pytest.approx(rewards[-m:].mean())
        share = coefficients.cvar_at_k(k, m / k)
        assert share @ rewards == pytest.approx(rewards[:m].mean())


@pytest.mark.parametrize("alpha", [0.01, 0.3, 0.55, 1.0])
def test_tail_is_the_mean_of_the_quantile_function_below_alpha(alpha):
    rewards = np.array([-2.0, 0.5, 1.0, 4.0, 7.0])
    levels = (np.arange(100_000) + 0.5) / 100_000 * alpha
    truth = rewards[(levels * 5).astype(int)].mean()
    assert coefficients.cvar_at_k(5, alpha) @ rewards == pytest.approx(truth, abs=1e-3)
    assert coefficients.cvar_at_k(5, alpha).sum() == pytest.approx(1)


def test_each_is_an_array_of_its_own():
    largest = coefficients.max_at_k(2)
    largest += coefficients.min_at_k(2)
    assert coefficients.max_at_k(2).tolist() == [0, 1]
    assert largest.dtype == np.float64


@pytest.mark.parametrize("k", [0, -1, 2.0, True, "3", None])
@pytest.mark.parametrize("name", ["max_at_k", "min_at_k", "median_at_k"])
def test_k_is_a_positive_integer(name, k):
    with pytest.raises(ValueError, match="k must be a positive Python int, got"):
        getattr(coefficients, name)(k)


def test_sizes_of_tails():
    with pytest.raises(ValueError, match="m = 4 does not fit k = 3: allowed are 1 <= m <= k"):
        coefficients.top_m_at_k(3, 4)
    with pytest.raises(ValueError, match="m must be a positive Python int, got 0"):
        coefficients.top_m_at_k(3, 0)
    for alpha in (0.0, -0.5, 1.5, float("nan")):
        with pytest.raises(ValueError, match=f"alpha = {alpha} .*0 < alpha <= 1"):
            coefficients.cvar_at_k(3, alpha)
