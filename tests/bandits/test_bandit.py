"""The bandit: reward families, and pulls with and without noise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from maxpo_jax.bandits.bandit import REWARD_FAMILIES, Bandit, make_bandit, pull

DISTRIBUTIONS = {
    "gaussian": scipy.stats.norm(),
    "exponential": scipy.stats.expon(),
    "student_t": scipy.stats.t(3),
}


@pytest.mark.parametrize("family", DISTRIBUTIONS)
def test_rewards_follow_their_family(family):
    rewards = make_bandit(jax.random.key(1), family, 20_000).rewards
    assert scipy.stats.kstest(np.asarray(rewards), DISTRIBUTIONS[family].cdf).pvalue > 1e-3


def test_bernoulli_rewards_are_zero_or_one():
    rewards = np.asarray(make_bandit(jax.random.key(1), "bernoulli", 10_000).rewards)
    assert set(np.unique(rewards)) == {0.0, 1.0}
    assert abs(rewards.mean() - 0.1) < 4 * np.sqrt(0.1 * 0.9) / 100


def test_some_bernoulli_arm_is_better_than_another():
    keys = jax.random.split(jax.random.key(0), 200)
    rewards = jax.vmap(lambda key: make_bandit(key, "bernoulli", 2).rewards)(keys)
    np.testing.assert_array_equal(rewards.sum(axis=1), 1)
    assert 60 < rewards[:, 0].sum() < 140


def test_every_family_is_tested():
    assert set(REWARD_FAMILIES) == {*DISTRIBUTIONS, "bernoulli"}


def test_pulls_without_noise_pay_the_arm():
    bandit = Bandit(jnp.array([1.0, 2.0, 3.0]))
    actions = jnp.array([[0, 2], [1, 1]])
    np.testing.assert_array_equal(pull(jax.random.key(0), bandit, actions), [[1, 3], [2, 2]])


def test_noise_has_the_stated_deviation():
    bandit = make_bandit(jax.random.key(0), "gaussian", 2, noise=0.5)
    rewards = pull(jax.random.key(1), bandit, jnp.zeros(40_000, jnp.int32)) - bandit.rewards[0]
    assert abs(float(rewards.mean())) < 4 * 0.5 / 200
    assert abs(float(rewards.std()) - 0.5) < 4 * 0.5 / np.sqrt(2 * 40_000)


def test_unknown_family():
    with pytest.raises(ValueError, match=r"'cauchy'.*gaussian, bernoulli, exponential, student_t"):
        make_bandit(jax.random.key(0), "cauchy", 3)
