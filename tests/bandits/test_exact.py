"""Exact moments against rational enumeration of every ordered outcome, and at sizes beyond it."""

import itertools
import math
import time
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest

from maxpo_jax.bandits import exact

PROBS = [Fraction(1, 2), Fraction(1, 8), Fraction(3, 8)]
LOGITS = np.log(np.array(PROBS, dtype=float))
REWARDS = {
    "distinct": [0.25, 2.0, -1.0],
    "two tied at the top": [1.5, 0.5, 1.5],
    "binary": [0.0, 1.0, 0.0],
    "all equal": [0.5, 0.5, 0.5],
}


def reinforce(rewards, k):
    return rewards


def numpy_leave_one_out(rewards, k):
    advantages = np.empty(rewards.shape)  # not traceable, on purpose
    size = rewards.shape[-1]
    advantages[...] = (size * rewards - rewards.sum(-1, keepdims=True)) / (size - 1)
    return advantages


def jax_maxpo_by_subsets(rewards, k):
    """u - v for k = 2: mean over others of max(R_i, R_j), less the others' own mean of maxima."""
    size = rewards.shape[-1]
    pair = jnp.maximum(rewards[..., :, None], rewards[..., None, :])
    by_sample = pair.sum(-1) - rewards
    total = by_sample.sum(-1, keepdims=True) / 2
    pairs_of_others = (size - 1) * (size - 2) / 2
    return by_sample / (size - 1) - (total - by_sample) / pairs_of_others


def first_sample_only(rewards, k):
    return (
        jnp.where(jnp.arange(rewards.shape[-1]) == 0, rewards.T, 0).T
        if rewards.ndim == 1
        else (rewards * (jnp.arange(rewards.shape[-1]) == 0).astype(rewards.dtype)[None, :])
    )


@pytest.mark.parametrize("rewards", REWARDS.values(), ids=REWARDS)
@pytest.mark.parametrize(
    ("estimator", "advantages", "k"),
    [
        (reinforce, lambda R: R, 1),
        (numpy_leave_one_out, lambda R: [r - (sum(R) - r) / (len(R) - 1) for r in R], 1),
        (jax_maxpo_by_subsets, lambda R: oracles.maxpo(R, 2), 2),
        (first_sample_only, lambda R: [R[0], 0, 0, 0], 1),
    ],
)
def test_moments_equal_rational_enumeration(estimator, advantages, k, rewards):
    mean, covariance = oracles.gradient_moments(advantages, rewards, PROBS, 4, k)
    got = exact.moments(estimator, LOGITS, rewards, 4, k)
    assert got.mean.dtype == got.covariance.dtype == np.float64
    np.testing.assert_allclose(got.mean, np.array(mean, float), rtol=0, atol=1e-15)
    np.testing.assert_allclose(got.covariance, np.array(covariance, float), rtol=0, atol=1e-15)


@pytest.mark.parametrize("rewards", REWARDS.values(), ids=REWARDS)
@pytest.mark.parametrize("k", [1, 2, 5])
def test_gradient_equals_rational_enumeration(rewards, k):
    expected = np.array(oracles.max_at_k_gradient(rewards, PROBS, k), float)
    np.testing.assert_allclose(exact.gradient(LOGITS, rewards, k), expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize("rewards", REWARDS.values(), ids=REWARDS)
@pytest.mark.parametrize("c", [(1.0, 0.0, 0.0), (0.0, 0.5, 0.5, 0.0), (0.5, -2.0), (3.0,)])
def test_gradient_of_order_statistics_equals_rational_enumeration(rewards, c):
    truth = oracles.expectation_gradient(
        lambda values: oracles.weighted_sorted(values, c), rewards, PROBS, len(c)
    )
    got = exact.order_statistic_gradient(LOGITS, rewards, c)
    np.testing.assert_allclose(got, np.array(truth, float), rtol=0, atol=1e-14)


def test_gradient_of_the_largest_of_many_is_that_of_max_at_k():
    logits, rewards = np.random.default_rng(1).normal(size=(2, 30))
    got = exact.order_statistic_gradient(logits, rewards, np.eye(1000)[-1])
    np.testing.assert_allclose(got, exact.gradient(logits, rewards, 1000), rtol=1e-10, atol=1e-14)
    with pytest.raises(
        ValueError, match=r"^order_statistic_gradient: coefficients must have shape"
    ):
        exact.order_statistic_gradient(logits, rewards, [])


def test_gradient_of_real_k_equals_differences():
    def objective(logits, k):  # J_k = sum of spacings times 1 - F^k, for ascending rewards 0, 1, 3
        probs = np.exp(logits) / np.exp(logits).sum()
        at_most = np.cumsum(probs)
        return (1 - at_most[0] ** k) + 2 * (1 - at_most[1] ** k)

    step = 1e-5
    for k in (0.5, 1.2, 3.7):
        differences = [
            (objective(LOGITS + step * e, k) - objective(LOGITS - step * e, k)) / (2 * step)
            for e in np.eye(3)
        ]
        np.testing.assert_allclose(
            exact.gradient(LOGITS, np.array([0.0, 1.0, 3.0]), k), differences, rtol=1e-8
        )


def test_many_chunks_add_up_to_one(monkeypatch):
    whole = exact.moments(jax_maxpo_by_subsets, LOGITS, REWARDS["distinct"], 9, 2)
    monkeypatch.setattr(exact, "_CHUNK_ELEMENTS", 9 * 7)
    parts = exact.moments(jax_maxpo_by_subsets, LOGITS, REWARDS["distinct"], 9, 2)
    np.testing.assert_allclose(parts.mean, whole.mean, rtol=1e-14, atol=0)
    np.testing.assert_allclose(parts.covariance, whole.covariance, rtol=1e-13, atol=1e-18)


def test_small_variance_beside_a_large_mean_keeps_its_digits():
    p, group_size = 0.25, 4

    def nearly_constant(rewards, k):
        """g is exactly (-1, 1) / 4 in every group, plus a millionth of REINFORCE."""
        successes = rewards.sum(-1, keepdims=True)
        share = rewards / (np.maximum(successes, 1) * (1 - p))
        return np.where(successes > 0, share, -1 / (group_size * p)) + 1e-6 * rewards

    logits = np.log([1 - p, p])
    got = exact.variance(nearly_constant, logits, [0, 1], group_size, 1)
    expected = 1e-12 * exact.variance(reinforce, logits, [0, 1], group_size, 1)
    assert got == pytest.approx(expected, rel=1e-8)


def test_bias_and_variance():
    # REINFORCE for J_1, held against J_2: for rewards (0, 1) the gradients are p q and 2 q (p q).
    p, q = 0.25, 0.75
    logits = np.log([q, p])
    j1 = exact.bias(reinforce, logits, [0, 1], 3, 1)
    np.testing.assert_allclose(j1, 0, atol=1e-15)
    j2 = exact.bias(reinforce, logits, [0, 1], 3, 2)
    np.testing.assert_allclose(j2, [-2 * p * q * (1 - q), 2 * p * q * (1 - q)], atol=1e-15)
    # g_1 = (1/3) sum of three draws of q with probability p: variance p q^3 / 3, twice.
    assert exact.variance(reinforce, logits, [0, 1], 3, 1) == pytest.approx(2 * p * q * q * q / 3)


def test_float64_whatever_the_setting_and_the_setting_is_left_alone():
    seen = []

    def spy(rewards, k):
        seen.append(rewards.dtype)
        return rewards

    exact.moments(spy, LOGITS, REWARDS["distinct"], 3, 1)
    assert set(seen) == {np.dtype(np.float64)}
    assert not jax.config.jax_enable_x64
    assert jnp.zeros(1).dtype == jnp.float32


def test_compiled_once_per_size():
    traces = []

    def counted(rewards, k):
        traces.append(rewards.shape)
        return rewards

    exact.moments(counted, LOGITS, REWARDS["distinct"], 5, 1)
    first = len(traces)
    for rewards in REWARDS.values():
        exact.moments(counted, LOGITS, rewards, 5, 1)
    assert len(traces) == first


def test_too_many_multisets_says_how_many_and_what_fits():
    with pytest.raises(
        ValueError, match=r"64 actions and group_size 16 make [\d,]+ multisets"
    ) as e:
        exact.moments(reinforce, np.zeros(64), np.arange(64.0), 16, 1)
    assert "group_size up to 4 fits" in str(e.value)
    assert "up to 10 actions fit" in str(e.value)


def test_order_dependent_estimator_is_refused_by_name_when_too_large():
    with pytest.raises(ValueError, match=r"first_sample_only depends on the order .* 67,108,864 "):
        exact.moments(first_sample_only, np.zeros(2), np.array([0.0, 1.0]), 26, 1)


@pytest.mark.parametrize(
    ("logits", "rewards", "group_size", "message"),
    [
        (np.zeros(3), np.zeros(2), 4, r"must both be \[num_actions\]"),
        (np.zeros((2, 2)), np.zeros((2, 2)), 4, r"must both be \[num_actions\]"),
        (np.zeros(2), np.array([0, np.nan]), 4, "finite"),
        (np.array([0, -np.inf]), np.zeros(2), 4, "finite"),
        (np.zeros(2), np.zeros(2), 0, "group_size must be at least 1"),
    ],
)
def test_bad_bandits_are_named(logits, rewards, group_size, message):
    with pytest.raises(ValueError, match=message):
        exact.moments(reinforce, logits, rewards, group_size, 1)


def test_wrong_shape_is_named():
    with pytest.raises(ValueError, match=r"returned .* of shape \[\]"):
        exact.moments(lambda rewards, k: rewards.mean(-1), LOGITS, REWARDS["distinct"], 3, 1)


def middle_only(rewards, k):
    middle = rewards.shape[-1] // 2
    return np.where(np.arange(rewards.shape[-1])[None, :] == middle, rewards, 0.0)


def ring(rewards, k):
    return rewards - np.roll(rewards, -1, axis=-1)


def ring_of_all_different(rewards, k):
    ranked = np.sort(rewards, axis=-1)
    all_different = (np.diff(ranked, axis=-1) > 0).all(axis=-1, keepdims=True)
    return np.where(all_different, ring(rewards, k), 0.0)


def last_two_only(rewards, k):
    return np.where(np.arange(rewards.shape[-1])[None, :] >= rewards.shape[-1] - 2, rewards, 0.0)


def brute_force(estimator, probs, rewards, group_size, k):
    """Mean and covariance of g, one ordered outcome after the other."""
    means, seconds, n = np.zeros(len(probs)), 0.0, len(probs)
    for actions in itertools.product(range(n), repeat=group_size):
        advantages = estimator(np.array([[rewards[a] for a in actions]]), k)[0]
        g = np.zeros(n)
        for action, advantage in zip(actions, advantages, strict=True):
            g += k / group_size * advantage * (np.eye(n)[action] - probs)
        weight = math.prod(probs[a] for a in actions)
        means, seconds = means + weight * g, seconds + weight * np.outer(g, g)
    return means, seconds - np.outer(means, means)


@pytest.mark.parametrize("most_ordered", [exact.MAX_ORDERED, 0], ids=["enumerated", "tried"])
@pytest.mark.parametrize("estimator", [middle_only, ring, ring_of_all_different, last_two_only])
@pytest.mark.parametrize(("n", "group_size"), [(2, 3), (2, 8), (3, 5), (4, 4), (5, 4)])
def test_order_of_the_samples_counts_where_it_matters(
    monkeypatch, most_ordered, estimator, n, group_size
):
    monkeypatch.setattr(exact, "MAX_ORDERED", most_ordered)
    probs = np.arange(1, n + 1) / (n * (n + 1) / 2)
    rewards = np.arange(n) ** 1.5 - 1
    mean, covariance = brute_force(estimator, probs, rewards, group_size, 2)
    got = exact.moments(estimator, np.log(probs), rewards, group_size, 2)
    np.testing.assert_allclose(got.mean, mean, rtol=0, atol=1e-13)
    np.testing.assert_allclose(got.covariance, covariance, rtol=0, atol=1e-13)


def test_order_that_matters_at_one_place_in_the_middle():
    # g_1 is 1/2 if the middle one of three samples pays 1, which it does half the time, else 0.
    got = exact.moments(middle_only, np.zeros(2), np.array([0.0, 1.0]), 3, 3)
    np.testing.assert_allclose(got.covariance, [[0.0625, -0.0625], [-0.0625, 0.0625]], atol=1e-15)


def test_order_that_matters_among_many_actions_is_seen():
    # Too many ordered outcomes and too many multisets for one chunk: groups of different actions.
    with pytest.raises(ValueError, match="ring_of_all_different depends on the order"):
        exact.moments(ring_of_all_different, np.zeros(20), np.arange(20.0), 6, 1)


def test_errors_of_the_estimator_itself_come_through():
    def picky(rewards, k):
        raise ValueError("k is out of range")

    with pytest.raises(ValueError, match="k is out of range"):
        exact.moments(picky, LOGITS, REWARDS["distinct"], 3, 1)


def test_four_arms_sixteen_samples_takes_well_under_a_second():
    logits, rewards = np.zeros(4), np.arange(4.0)
    exact.moments(jax_maxpo_by_subsets, logits, rewards, 16, 2)
    start = time.perf_counter()
    m = exact.moments(jax_maxpo_by_subsets, logits, rewards, 16, 2)
    assert time.perf_counter() - start < 0.5
    np.testing.assert_allclose(m.mean, exact.gradient(logits, rewards, 2), rtol=0, atol=1e-14)
