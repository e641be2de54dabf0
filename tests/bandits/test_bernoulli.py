"""The variance by success counts against enumeration of all multisets of actions."""

import numpy as np
import pytest

from maxpo_jax import estimators, exact
from maxpo_jax.bandits import bernoulli


@pytest.mark.parametrize("name", ["maxpo", "ei", "rloo", "grpo"])  # two of them biased for J_K
@pytest.mark.parametrize(("arms", "group_size", "k"), [(1, 6, 2), (1, 6, 5), (2, 5, 3), (3, 4, 2)])
def test_enumerating_success_counts_is_enumerating_outcomes(name, arms, group_size, k):
    probs = np.array([0.05, 0.4, 0.9])
    got = bernoulli.total_variance(estimators.get(name), group_size, k, probs, arms)
    for p, variance in zip(probs, got, strict=True):
        policy = np.repeat([p / arms, (1 - p) / arms], arms)
        rewards = np.repeat([1.0, 0.0], arms)
        truth = exact.variance(name, np.log(policy), rewards, group_size, k)
        assert variance == pytest.approx(truth, rel=1e-11)


def test_advantages_that_are_not_told_by_rewards_are_refused():
    with pytest.raises(ValueError, match="equal rewards of a group different advantages"):
        bernoulli.total_variance(lambda rewards, k: rewards.cumsum(axis=-1), 4, 2, [0.5], 1)
