"""What an estimator is unbiased for, against exact rationals that share no code with the card."""

import jax
import numpy as np
import oracles
import planted_defects
import pytest

from maxpo_jax.report_card import expectation
from maxpo_jax.report_card.bandits import PANEL, SmallBandit
from maxpo_jax.report_card.subject import from_function


def found(function, group_size, k):
    return expectation.expectation(from_function(function, group_size, k), group_size, k)


@pytest.mark.parametrize(("group_size", "k"), [(4, 2), (5, 3), (5, 2)])
def test_mean_centered_ei_is_the_mixture_that_the_centering_lemma_names(group_size, k):
    # center(EI) -> (1 - K/B) grad J_K + (K/B) grad J_{K-1}
    mixture = found(planted_defects.mean_centered_ei, group_size, k).mixture
    assert mixture.keys() == {k - 1, k}
    assert mixture[k] == pytest.approx(1 - k / group_size, abs=1e-8)
    assert mixture[k - 1] == pytest.approx(k / group_size, abs=1e-8)


def test_means_agree_with_exact_rationals():
    moments = found(planted_defects.mean_centered_ei, 3, 2).moments
    for bandit, mean in zip(PANEL[:5], moments.means, strict=False):

        def centered(rewards):
            signal = oracles.expected_improvement(rewards, 2)
            return [a - oracles.mean(signal) for a in signal]

        exact, _ = oracles.gradient_moments(centered, bandit.rewards, bandit.probs, 3, 2)
        np.testing.assert_allclose(mean, np.array(exact, float), atol=1e-12)


def test_other_targets_and_none():
    reinforce = found(lambda rewards, k: np.asarray(rewards), 4, 2)
    assert (reinforce.other.order, reinforce.unbiased) == (1, False)
    assert reinforce.other.scale == pytest.approx(2.0)  # g carries K/B, where REINFORCE has 1/B
    nothing = found(lambda rewards, k: np.zeros_like(rewards), 4, 2)
    assert "nothing is learned" in nothing.sentence
    assert not nothing.unbiased
    squared = found(lambda rewards, k: np.asarray(rewards) ** 2, 4, 2)
    assert squared.other is None
    assert squared.mixture is None
    assert "no multiple of any" in squared.sentence


def test_an_order_that_matters_is_enumerated_in_full():
    def next_as_baseline(rewards, k):
        return rewards - np.roll(rewards, 1)

    assert found(next_as_baseline, 4, 1).unbiased


def test_a_small_epsilon_is_a_bias_once_it_can_be_told_from_rounding():
    def shrunk(rewards, k):
        return planted_defects.right(rewards, k) * (1 - 1e-4)

    result = found(shrunk, 4, 2)
    assert not result.unbiased
    assert result.target.scale == pytest.approx(1 - 1e-4)


def test_a_key_is_sampled_and_the_groups_are_not():
    def noisy_rloo(rewards, k, key):
        noise = 0.1 * jax.random.normal(key, rewards.shape, rewards.dtype)
        return rewards - (rewards.sum() - rewards) / (len(rewards) - 1) + noise

    result = found(noisy_rloo, 3, 1)
    assert result.unbiased
    assert "which is the sampling error of its keys" in result.sentence
    # The noise adds (1/B) 0.01 E|score|^2 to the variance of RLOO, here for the fair coin.
    exact = expectation.moments(from_function(noisy_rloo, 3, 1), (PANEL[1],), 3, 1, draws=500)
    coin = (PANEL[1].rewards, [0.5, 0.5], 3, 1)
    _, covariance = oracles.gradient_moments(lambda R: oracles.maxpo(R, 1), *coin)
    variance = float(covariance[0][0] + covariance[1][1]) + 0.01 * 0.5 / 3
    assert exact.variances[0] == pytest.approx(variance, rel=0.02)

    def biased(rewards, k, key):
        return noisy_rloo(rewards, k, key) + rewards

    assert not found(biased, 3, 1).unbiased


def test_a_mixture_holds_on_a_policy_it_was_not_fitted_to():
    def over_deviation(rewards, k):
        if not set(np.unique(rewards)) <= {0.0, 1.0}:
            raise ValueError("0/1 rewards only")
        return (rewards - np.mean(rewards)) / (np.std(rewards) + 1e-6)

    # Any function of the number of successes is a polynomial in p on average, hence a mixture.
    subject = from_function(over_deviation, 4, 2)
    mixture = expectation.expectation(subject, 4, 2).mixture
    fresh = SmallBandit("fresh", (0.0, 1.0, 1.0), (0.57, 0.11, 0.32))
    (mean,) = expectation.moments(subject, (fresh,), 4, 2).means
    terms = [
        c * np.array(oracles.max_at_k_gradient(fresh.rewards, fresh.probs, t), float)
        for t, c in mixture.items()
    ]
    np.testing.assert_allclose(mean, sum(terms), atol=1e-9)
