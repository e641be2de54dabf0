"""The bandit: reward families, hard instances, what arms pay, and exact values of policies."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from maxpo_jax.bandits import bandit as bandits
from maxpo_jax.bandits.bandit import (
    BINARY_INSTANCES,
    INSTANCES,
    REWARD_FAMILIES,
    Bandit,
    make_bandit,
    make_instance,
    sample_rewards,
)

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


def test_without_noise_an_arm_pays_its_reward():
    bandit = Bandit(jnp.array([1.0, 2.0, 3.0]))
    actions = jnp.array([[0, 2], [1, 1]])
    np.testing.assert_array_equal(
        sample_rewards(jax.random.key(0), bandit, actions), [[1, 3], [2, 2]]
    )


def test_noise_has_the_stated_deviation():
    bandit = make_bandit(jax.random.key(0), "gaussian", 2, noise=0.5)
    rewards = sample_rewards(jax.random.key(1), bandit, jnp.zeros(40_000, jnp.int32))
    rewards = rewards - bandit.rewards[0]
    assert abs(float(rewards.mean())) < 4 * 0.5 / 200
    assert abs(float(rewards.std()) - 0.5) < 4 * 0.5 / np.sqrt(2 * 40_000)


MIXED = Bandit(jnp.array([1.0, 4.0, -1.0]), success_probs=jnp.array([0.5, 0.25, 1.0]))
PROBS = jnp.array([0.2, 0.5, 0.3])


@pytest.mark.parametrize("family", REWARD_FAMILIES)
@pytest.mark.parametrize("num_actions", [2, 5, 8])
def test_the_first_arms_do_not_depend_on_the_padding(family, num_actions):
    for seed in range(8):
        exact = make_bandit(jax.random.key(seed), family, num_actions).rewards
        padded = make_bandit(jax.random.key(seed), family, jnp.int32(num_actions), size=1024)
        np.testing.assert_array_equal(padded.rewards[:num_actions], exact)
        np.testing.assert_array_equal(padded.rewards[num_actions:], 0)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_the_value_of_a_policy_is_the_mean_over_all_outcomes(k):
    outcomes = [(1.0, 0.1), (4.0, 0.125), (-1.0, 0.3), (0.0, 0.1 + 0.375)]
    truth = sum(
        np.prod([p for _, p in group]) * max(r for r, _ in group)
        for group in itertools.product(outcomes, repeat=k)
    )
    assert bandits.policy_value(MIXED, PROBS, k) == pytest.approx(truth, rel=1e-6)


def test_arms_pay_as_often_as_they_should():
    num_draws = 20_000
    actions = jnp.tile(jnp.arange(3), (num_draws, 1))
    rewards = np.asarray(sample_rewards(jax.random.key(0), MIXED, actions))
    share = (rewards != 0).mean(axis=0)
    p = np.asarray(MIXED.success_probs)
    assert np.all(np.abs(share - p) <= 5 * np.sqrt(p * (1 - p) / num_draws))
    assert set(np.unique(rewards[:, 1])) == {0.0, 4.0}


def test_success_and_noise_are_independent():
    both = MIXED._replace(noise=jnp.array(0.1))
    actions = jnp.zeros(40_000, jnp.int32)
    rewards = np.asarray(sample_rewards(jax.random.key(2), both, actions))
    noise = rewards - (rewards > 0.5)
    assert abs(noise.std() - 0.1) < 4 * 0.1 / np.sqrt(2 * 40_000)
    assert abs(np.corrcoef(rewards > 0.5, noise)[0, 1]) < 4 / np.sqrt(40_000)


def test_noisy_rewards_have_no_exact_value():
    with pytest.raises(ValueError, match="no finite distribution"):
        bandits.policy_value(MIXED._replace(noise=jnp.array(0.1)), PROBS, 2)


@pytest.mark.parametrize("name", INSTANCES)
def test_instances_are_of_one_kind(name):
    instance = make_instance(name, 18)
    leaves = jax.tree.leaves(instance)
    assert all(leaf.shape == (18,) and leaf.dtype == jnp.float32 for leaf in leaves)
    assert not any(leaf.weak_type for leaf in leaves)
    p = instance.bandit.success_probs
    assert bool(((p > 0) & (p <= 1)).all())
    assert bool((instance.bandit.rewards == 1).all()) == (name in BINARY_INSTANCES)


def test_the_best_rung_of_the_ladder_rises_with_k():
    rewards, p, _ = make_instance("ladder", 9).bandit
    best = [int(np.argmax(rewards * (1 - (1 - p) ** k))) for k in (1, 4, 16, 64)]
    assert best == sorted(best)
    assert best[0] == 0
    assert best[-1] >= 5


def test_mistakes_in_an_instance_are_told():
    with pytest.raises(ValueError, match="choose one of needle"):
        make_instance("haystack", 4)
    with pytest.raises(ValueError, match="at least 2 arms"):
        make_instance("needle", 1)


def test_unknown_family():
    with pytest.raises(ValueError, match=r"'cauchy'.*gaussian, bernoulli, exponential, student_t"):
        make_bandit(jax.random.key(0), "cauchy", 3)
