"""Off-policy max@K: every subset in rationals, exact unbiasedness, and the order of the bias."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest

from maxpo_jax import estimators
from maxpo_jax.bandits import exact
from maxpo_jax.estimators import (
    off_policy_max_at_k,
    off_policy_max_at_k_first_order,
    off_policy_max_at_k_leave_one_out,
)

REWARDS = [2.0, -0.5, 2.0, 0.25, 3.0, -0.5]
RATIOS = [0.5, 1.25, 2.0, 0.75, 1.0, 0.25]
LOGITS = np.array([0.3, -0.4, 0.1])
TABLE = np.array([0.5, 2.0, -1.0])


def float64(function, rewards, ratios, k):
    with jax.enable_x64(True):
        arrays = (jnp.asarray(np.asarray(x, np.float64)) for x in (rewards, ratios))
        return np.asarray(function(*arrays, k))


@pytest.mark.parametrize("k", [1, 2, 4, 6])
def test_equals_the_sum_over_all_subsets(k):
    expected = np.array(oracles.weighted_subset_maxima(REWARDS, RATIOS, k), float)
    got = float64(off_policy_max_at_k, REWARDS, RATIOS, k)
    np.testing.assert_allclose(got, expected, rtol=1e-13)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_leave_one_out_takes_off_the_others(k):
    with_sample = oracles.weighted_subset_maxima(REWARDS, RATIOS, k)
    expected = []
    for i, ratio in enumerate(RATIOS):
        rewards, ratios = oracles.without(REWARDS, i), oracles.without(RATIOS, i)
        # Every K-subset of the others holds K members: the mean over members is the mean over all.
        of_others = oracles.mean(oracles.weighted_subset_maxima(rewards, ratios, k))
        expected.append(with_sample[i] - oracles.Fraction(ratio) * of_others)
    got = float64(off_policy_max_at_k_leave_one_out, REWARDS, RATIOS, k)
    np.testing.assert_allclose(got, np.array(expected, float), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("k", [1, 2, 4, 6])
def test_first_order_equals_the_sum_over_all_subsets(k):
    def first_order(i):
        others = [j for j in range(len(REWARDS)) if j != i]
        terms = [
            (1 + sum(RATIOS[j] - 1 for j in (i, *S))) * max(REWARDS[j] for j in (i, *S))
            for S in itertools.combinations(others, k - 1)
        ]
        return np.mean(terms)

    got = float64(off_policy_max_at_k_first_order, REWARDS, RATIOS, k)
    np.testing.assert_allclose(got, [first_order(i) for i in range(6)], rtol=1e-12, atol=1e-13)


def test_on_policy_they_are_the_estimators_they_extend():
    ones = [1.0] * 6
    for k in (1, 3):
        for function, name in (
            (off_policy_max_at_k, "pkpo_s"),
            (off_policy_max_at_k_first_order, "pkpo_s"),
            (off_policy_max_at_k_leave_one_out, "maxpo"),
        ):
            expected = estimators.get(name)(jnp.array(REWARDS), k)
            got = function(jnp.array(REWARDS), jnp.array(ones), k)
            np.testing.assert_allclose(got, expected, rtol=2e-5, atol=2e-6)


def expected_gradient(function, old_logits, group_size, k):
    """E g under the older policy, over all ordered groups; scores are of the current policy."""
    old, new = (np.exp(x) / np.exp(x).sum() for x in (old_logits, LOGITS))
    groups = np.array(list(itertools.product(range(3), repeat=group_size)))
    A = float64(function, TABLE[groups], (new / old)[groups], k)
    scores = np.eye(3) - new[None, :]
    g = k / group_size * np.einsum("gi,gia->ga", A, scores[groups])
    return old[groups].prod(axis=1) @ g


@pytest.mark.parametrize("function", [off_policy_max_at_k, off_policy_max_at_k_leave_one_out])
@pytest.mark.parametrize("k", [1, 2, 3])
def test_exact_forms_are_unbiased_from_any_older_policy(function, k):
    old_logits = LOGITS + np.array([0.9, -0.5, -0.3])
    got = expected_gradient(function, old_logits, 4, k)
    np.testing.assert_allclose(got, exact.gradient(LOGITS, TABLE, k), rtol=0, atol=1e-13)


def test_bias_of_the_first_order_falls_with_the_square_of_the_distance():
    direction = np.array([0.9, -0.5, -0.3])
    goal = exact.gradient(LOGITS, TABLE, 3)
    biases = [
        np.linalg.norm(
            expected_gradient(off_policy_max_at_k_first_order, LOGITS + step * direction, 4, 3)
            - goal
        )
        for step in (0.2, 0.1, 0.05)
    ]
    assert 3.0 < biases[0] / biases[1] < 5.0
    assert 3.5 < biases[1] / biases[2] < 4.5


def test_large_groups_stay_finite_and_fast():
    rng = np.random.default_rng(0)
    rewards = jnp.asarray(rng.normal(size=(3, 512)), jnp.float32)
    ratios = jnp.asarray(np.exp(0.1 * rng.normal(size=(3, 512))), jnp.float32)
    got = jax.jit(off_policy_max_at_k, static_argnums=2)(rewards, ratios, 64)
    assert np.isfinite(got).all()
    in_double = float64(off_policy_max_at_k, rewards, ratios, 64)
    np.testing.assert_allclose(got, in_double, rtol=1e-3)


def test_no_gradient_flows_through_rewards_or_ratios():
    def total(rewards, ratios):
        return jnp.sum(off_policy_max_at_k_leave_one_out(rewards, ratios, 2) ** 2)

    gradients = jax.grad(total, argnums=(0, 1))(jnp.array(REWARDS), jnp.array(RATIOS))
    for gradient in gradients:
        np.testing.assert_array_equal(gradient, jnp.zeros(6))


def test_mistakes():
    rewards, ratios = jnp.array(REWARDS), jnp.array(RATIOS)
    with pytest.raises(ValueError, match=r"ratios must have the shape of the rewards \(6,\)"):
        off_policy_max_at_k(rewards, ratios[:3], 2)
    with pytest.raises(ValueError, match="k = 7 does not fit group_size = 6"):
        off_policy_max_at_k(rewards, ratios, 7)
    with pytest.raises(ValueError, match="k = 6 does not fit group_size = 6"):
        off_policy_max_at_k_leave_one_out(rewards, ratios, 6)
    with pytest.raises(ValueError, match="k must be a Python int"):
        jax.jit(off_policy_max_at_k)(rewards, ratios, 2)
    with pytest.raises(ValueError, match=r"rewards must be finite, got nan at index \[1\]"):
        off_policy_max_at_k(rewards.at[1].set(jnp.nan), ratios, 2)
    with pytest.raises(ValueError, match=r"ratios must be finite and not negative, .* \[0\]"):
        off_policy_max_at_k(rewards, ratios.at[0].set(-1.0), 2)
