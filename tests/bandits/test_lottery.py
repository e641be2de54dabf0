"""Lotteries against brute force."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from maxpo_jax.bandits.lottery import INSTANCES, Lottery

from maxpo_jax.bandits import lottery

MIXED = Lottery(jnp.array([1.0, 4.0, -1.0]), jnp.array([0.5, 0.25, 1.0]))
PROBS = jnp.array([0.2, 0.5, 0.3])


@pytest.mark.parametrize("k", [1, 2, 3])
def test_max_at_k_is_the_mean_over_all_outcomes(k):
    outcomes = [(1.0, 0.1), (4.0, 0.125), (-1.0, 0.3), (0.0, 0.1 + 0.375)]
    truth = sum(
        np.prod([p for _, p in group]) * max(r for r, _ in group)
        for group in itertools.product(outcomes, repeat=k)
    )
    assert lottery.max_at_k(MIXED, PROBS, k) == pytest.approx(truth, rel=1e-6)


def test_pulls_pay_as_often_as_they_should():
    num_pulls = 20_000
    actions = jnp.tile(jnp.arange(3), (num_pulls, 1))
    rewards = np.asarray(lottery.pull(jax.random.key(0), MIXED, actions))
    share = (rewards != 0).mean(axis=0)
    p = np.asarray(MIXED.success_probs)
    assert np.all(np.abs(share - p) <= 5 * np.sqrt(p * (1 - p) / num_pulls))
    assert set(np.unique(rewards[:, 1])) == {0.0, 4.0}


@pytest.mark.parametrize("name", INSTANCES)
def test_instances_are_of_one_kind(name):
    instance = lottery.make_instance(name, 18)
    leaves = jax.tree.leaves(instance)
    assert all(leaf.shape == (18,) and leaf.dtype == jnp.float32 for leaf in leaves)
    assert not any(leaf.weak_type for leaf in leaves)
    p = instance.lottery.success_probs
    assert bool(((p > 0) & (p <= 1)).all())


def test_the_best_rung_of_the_ladder_rises_with_k():
    prizes, p = lottery.make_instance("ladder", 9).lottery
    best = [int(np.argmax(prizes * (1 - (1 - p) ** k))) for k in (1, 4, 16, 64)]
    assert best == sorted(best)
    assert best[0] == 0
    assert best[-1] >= 5


def test_mistakes_are_told():
    with pytest.raises(ValueError, match="choose one of needle"):
        lottery.make_instance("haystack", 4)
    with pytest.raises(ValueError, match="at least 2 arms"):
        lottery.make_instance("needle", 1)
