"""The largest value of any policy: its condition of optimality, and random policies below it."""

import jax.numpy as jnp
import numpy as np
import pytest

from maxpo_jax.bandits.bandit import make_instance
from maxpo_jax.bandits.optimum import largest_value


def max_at_k_by_sampling_theory(bandit, probs, k):
    """J_k from the distribution function of the reward, in NumPy."""
    rewards, chance = (np.asarray(x, np.float64) for x in bandit[:2])
    outcomes = np.append(rewards, 0.0)
    weights = np.append(probs * chance, (probs * (1 - chance)).sum())
    levels = np.unique(outcomes)
    below = np.array([weights[outcomes <= level].sum() for level in levels])
    return levels[-1] - (np.diff(levels) * below[:-1] ** k).sum()


@pytest.mark.parametrize("k", [1, 4, 256])
def test_no_policy_is_better(k):
    bandit = make_instance("ladder", 9).bandit
    found = largest_value(bandit, k)
    rewards, chance = (np.asarray(x, np.float64) for x in bandit[:2])
    single = rewards * (1 - (1 - chance) ** k)
    assert found >= single.max() * (1 - 1e-6)
    if k == 1:
        assert found == pytest.approx(single.max(), rel=1e-5)
    trials = np.random.default_rng(0).dirichlet(np.full(9, 0.3), size=200)
    values = [max_at_k_by_sampling_theory(bandit, p, k) for p in trials]
    assert max(values) <= found * (1 + 1e-6)


def test_noise_is_refused():
    bandit = make_instance("ladder", 9).bandit._replace(noise=jnp.array(1.0))
    with pytest.raises(ValueError, match="no finite distribution"):
        largest_value(bandit, 2)
