"""Single precision: MaxPO to a few roundings for every group size, and ties to the last bit."""

import math
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

import maxpo_jax
from maxpo_jax import coefficients, estimators
from maxpo_jax.kernel.sorting import FEWEST_SIDE_BY_SIDE

GROUP_SIZES = (2, 3, 16, 33, 256, 1000, 4096)
MANY_SEEDS = -(-FEWEST_SIDE_BY_SIDE // 2)  # of two families of rewards or more


def reward_families(group_size: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    index = rng.permutation(group_size)
    return np.stack(
        [
            rng.normal(size=group_size),
            rng.exponential(size=group_size),
            rng.standard_t(2, size=group_size),
            rng.random(group_size) < 0.1,
            rng.random(group_size) < 0.98,
            rng.integers(0, 100, size=group_size),
            rng.integers(0, 100, size=group_size) + 1e6,
            1e6 - (index < 2),
            7.0 * (index == 0),
        ]
    ).astype(np.float32)


def maxpo_in_extended_precision(rewards: np.ndarray, k: int) -> np.ndarray:
    """Sorted spacings, weights by their recursion, all in extended precision."""
    size = rewards.shape[-1]
    weights = np.zeros(size - 1, np.longdouble)
    weight = np.longdouble(size) / (size - 1)
    for m in range(size - 1, k - 1, -1):
        weights[m - 1] = weight
        weight = weight * (m - k) / max(m - 1, 1)
    order = np.argsort(rewards, axis=-1)
    ranked = np.take_along_axis(rewards, order, axis=-1).astype(np.longdouble)
    climbed = np.cumsum(weights * np.diff(ranked, axis=-1), axis=-1)
    climbed = np.concatenate([np.zeros((len(rewards), 1), np.longdouble), climbed], axis=-1)
    result = np.empty_like(climbed)
    np.put_along_axis(result, order, climbed - climbed.mean(axis=-1, keepdims=True), axis=-1)
    return result


@pytest.mark.parametrize(
    ("group_size", "num_seeds"),
    [*((size, 3) for size in GROUP_SIZES), (256, MANY_SEEDS), (1000, MANY_SEEDS)],
)
def test_maxpo_is_precise_to_the_largest_advantage_of_the_group(group_size, num_seeds):
    rewards = np.concatenate([reward_families(group_size, seed) for seed in range(num_seeds)])
    traced = jax.jit(maxpo_jax.maxpo)
    for k in sorted({1, 2, group_size // 4, group_size // 2, group_size - 2, group_size - 1}):
        if not 1 <= k < group_size:
            continue
        truth = maxpo_in_extended_precision(rewards, k)
        largest = np.abs(truth).max(axis=-1)
        span = np.ptp(rewards, axis=-1)
        counted = largest > 1e-30 * span
        for advantages in (maxpo_jax.maxpo(rewards, k), traced(rewards, k)):
            assert advantages.dtype == jnp.float32
            error = np.abs(np.asarray(advantages) - truth).max(axis=-1)
            assert np.all(error[counted] <= 5e-7 * largest[counted]), (k, error / largest)
            assert np.all(np.abs(np.asarray(advantages))[~counted] <= 1e-29)


def mean_coefficients(group_size: int, c: np.ndarray) -> np.ndarray:
    """E c_(1+S) for S hypergeometric, by logarithms of factorials in double precision."""
    m, k = np.arange(1, group_size), len(c)

    def log_binomial(n, r):
        possible = (r >= 0) & (r <= n)
        logs = [special.gammaln(np.where(possible, x, 0) + 1.0) for x in (n, r, n - r)]
        return np.where(possible, logs[0] - logs[1] - logs[2], -np.inf)

    total = np.zeros(group_size - 1)
    for s in np.flatnonzero(c):
        logs = log_binomial(m - 1, s) + log_binomial(group_size - 1 - m, k - 1 - s)
        total += c[s] * np.exp(logs - log_binomial(np.array(group_size - 2), np.array(k - 1)))
    return total


STATISTICS = {
    "smallest": (coefficients.min_at_k, "min_at_k"),
    "median": (coefficients.median_at_k, "median_at_k"),
    "best two": (lambda k: coefficients.top_m_at_k(k, min(k, 2)), "top_two_at_k"),
    "lower tail": (lambda k: coefficients.cvar_at_k(k, min(0.3, 20 / k)), None),
    "spread": (lambda k: coefficients.max_at_k(k) - coefficients.min_at_k(k), None),
    "signed": (lambda k: np.cos(np.arange(k)) * (np.arange(k) < 20), None),
}


@pytest.mark.parametrize(
    ("group_size", "num_seeds"), [(3, 1), (64, 1), (1000, 1), (4096, 1), (200, MANY_SEEDS)]
)
@pytest.mark.parametrize("statistic", STATISTICS)
def test_order_statistics_are_precise_to_the_largest_advantage(group_size, num_seeds, statistic):
    of_k, name = STATISTICS[statistic]
    rewards = np.concatenate([reward_families(group_size, seed) for seed in range(num_seeds)])
    order = np.argsort(rewards, axis=-1)
    spacing = np.diff(np.take_along_axis(rewards, order, axis=-1).astype(np.longdouble), axis=-1)
    scale = np.longdouble(group_size) / (group_size - 1)

    def truth(c):
        climbed = np.cumsum(scale * mean_coefficients(group_size, c) * spacing, axis=-1)
        climbed = np.concatenate([np.zeros((len(rewards), 1), np.longdouble), climbed], axis=-1)
        result = np.empty_like(climbed)
        np.put_along_axis(result, order, climbed - climbed.mean(axis=-1, keepdims=True), axis=-1)
        return result

    for k in sorted({2, min(8, group_size - 1), group_size // 2, group_size - 1} - {1}):
        c = of_k(k)
        expected = truth(c)
        largest = np.abs(truth(np.abs(c))).max(axis=-1)  # no digits come back after cancellation
        if np.all(c >= 0):
            np.testing.assert_array_equal(largest, np.abs(expected).max(axis=-1))
        counted = largest > 1e-30 * np.ptp(rewards, axis=-1)
        found = [estimators.order_statistic(rewards, c)]
        if name is not None:
            found.append(jax.jit(getattr(estimators, name))(rewards, k))
        for advantages in found:
            assert advantages.dtype == jnp.float32
            error = np.abs(np.asarray(advantages) - expected).max(axis=-1)
            assert np.all(error[counted] <= 5e-7 * largest[counted]), (k, error / largest)
            assert np.all(np.abs(np.asarray(advantages))[~counted] <= 1e-29)


def test_tied_rewards_get_equal_advantages_for_any_coefficients():
    rewards = reward_families(1000, seed=11)[3:7]
    advantages = np.asarray(estimators.order_statistic(rewards, np.cos(np.arange(40))))
    for reward, advantage in zip(rewards, advantages, strict=True):
        for value in np.unique(reward):
            assert np.unique(advantage[reward == value]).size == 1


@pytest.mark.parametrize("name", estimators.names())
@pytest.mark.parametrize(("group_size", "num_seeds"), [(16, 1), (1000, 1), (200, MANY_SEEDS)])
def test_tied_rewards_get_equal_advantages_to_the_last_bit(name, group_size, num_seeds):
    estimator = estimators.get(name)
    if estimator.randomized:
        pytest.skip("draws of its own tell tied samples apart")
    families = slice(3, 5 if estimator.reward_type == "binary" else 7)
    seeds = range(11, 11 + num_seeds)
    rewards = np.concatenate([reward_families(group_size, seed)[families] for seed in seeds])
    smallest, largest = (
        estimator.k_range.smallest(group_size),
        estimator.k_range.largest(group_size),
    )
    for k in sorted({smallest, (smallest + largest) // 2, largest}):
        advantages = np.asarray(estimator(rewards, k))
        for reward, advantage in zip(rewards, advantages, strict=True):
            for value in np.unique(reward):
                assert np.unique(advantage[reward == value]).size == 1


@pytest.mark.parametrize("num_groups", [20, FEWEST_SIDE_BY_SIDE])
def test_an_offset_costs_nothing(num_groups):
    rewards = np.random.default_rng(0).integers(0, 50, size=(num_groups, 300)).astype(np.float32)
    for k in (1, 7, 150, 299):
        np.testing.assert_array_equal(
            maxpo_jax.maxpo(rewards, k), maxpo_jax.maxpo(rewards + np.float32(1e6), k)
        )


def test_half_precision_is_computed_in_single():
    rewards = jnp.asarray(reward_families(64, seed=3)[:3], jnp.bfloat16)
    advantages = maxpo_jax.maxpo(rewards, 8)
    assert advantages.dtype == jnp.bfloat16
    in_single = maxpo_jax.maxpo(rewards.astype(jnp.float32), 8)
    np.testing.assert_array_equal(advantages, in_single.astype(jnp.bfloat16))


def test_integers_and_booleans_become_single_precision():
    for rewards in (jnp.array([0, 1, 1]), jnp.array([False, True, True]), [0, 1, 1]):
        advantages = maxpo_jax.maxpo(rewards, 1)
        assert advantages.dtype == jnp.float32
        np.testing.assert_allclose(advantages, [-1, 0.5, 0.5], rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e20, 1e30, 1e37, 3e38])
def test_no_statistic_of_a_group_leaves_the_range_before_its_result(scale):
    rng = np.random.default_rng(5)
    rewards = (scale * rng.uniform(-0.4, 0.4, size=(3, 100))).astype(np.float32)
    # Sums overflow first when one sample stands alone.
    rewards[1] = np.where(np.arange(100) == 7, rewards[1].max(), rewards[1].min())
    wide = rewards.astype(np.float64)
    deviation = wide - wide.mean(axis=-1, keepdims=True)
    spread = wide.std(axis=-1, ddof=1, keepdims=True) + 1e-6
    ranked = np.sort(wide, axis=-1)
    lead = np.where(wide == ranked[:, -1:], ranked[:, -1:] - ranked[:, -2:-1], 0)
    expected = {
        "dr_grpo": deviation,
        "rloo": deviation * 100 / 99,
        "grpo": deviation / spread,
        "verl_pass_at_k_std": lead / spread,
    }
    for name, truth in expected.items():
        advantages = np.asarray(estimators.get(name)(rewards, 100))
        for got, row, reward in zip(advantages, truth, rewards, strict=True):
            np.testing.assert_allclose(got, row, rtol=0, atol=1e-6 * np.abs(row).max())
            for value in np.unique(reward):
                assert np.unique(got[reward == value]).size == 1


def analytic_pass_at_k_training(group_size: int, successes: int, k: int) -> tuple[float, float]:
    """Advantages of a success and of a failure from 1 - rho in rationals."""
    missed = Fraction(1)
    for j in range(successes):
        missed *= Fraction(group_size - j - k, group_size - j)
    of_success = math.sqrt(missed / (1 - missed))
    return of_success, -successes / (group_size - successes) * of_success


@pytest.mark.parametrize(
    ("group_size", "successes", "ks"),
    [
        (16, 3, (1, 4, 13)),
        (1000, 500, (1, 2, 20)),
        (1_000_000, 1, (1, 10, 1000, 900_000)),
        (1_000_000, 3, (1, 10, 1000)),
        (1_000_000, 900, (1, 10, 1000)),
    ],
)
def test_analytic_pass_at_k_training_keeps_rare_successes(group_size, successes, ks):
    rewards = (np.arange(group_size) < successes).astype(np.float32)
    estimator = estimators.get("pass_at_k_training_analytic")
    traced = jax.jit(estimator.function)
    for k in ks:
        expected = analytic_pass_at_k_training(group_size, successes, k)
        for advantages in (estimator(rewards, k), traced(rewards, k)):
            got = np.asarray(advantages)[[0, -1]]
            np.testing.assert_allclose(got, expected, rtol=1e-6)
