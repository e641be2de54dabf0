"""The population advantage against the exact gradient of J_K, for integer and real K."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fact_checks import BINARY, REAL

from maxpo_jax import objectives
from maxpo_jax.bandits import exact
from maxpo_jax.estimators import population_advantages


@pytest.mark.parametrize("case", BINARY + REAL, ids=str)
@pytest.mark.parametrize("k", [0.5, 1, 1.2, 2, 3.7, 16])
def test_k_times_its_mean_gradient_is_the_gradient_of_the_objective(case, k):
    with jax.enable_x64(True):
        logits, rewards = np.array(case.logits), np.array(case.rewards)
        probs = np.exp(logits) / np.exp(logits).sum()
        advantages = np.asarray(population_advantages(rewards, probs, k))
        assert probs @ advantages == pytest.approx(0, abs=1e-14)
        gradient = k * probs * advantages  # sum_a pi_a A_a (e_a - pi), with A centered
        np.testing.assert_allclose(gradient, exact.gradient(logits, rewards, k), atol=1e-13)
        by_jax = jax.grad(lambda z: objectives.max_at_k(rewards, jax.nn.softmax(z), k))(logits)
        np.testing.assert_allclose(gradient, by_jax, rtol=0, atol=1e-13)


def test_equals_expected_improvement_over_enumerated_draws():
    rewards, probs = [0.0, 1.0, 3.0], [0.25, 0.5, 0.25]
    for k in (2, 3, 4):
        # E max(r, M) - E M for M the best of K - 1 draws, by enumeration over outcomes.
        draws = list(itertools.product(range(3), repeat=k - 1))
        weights = [np.prod([probs[a] for a in actions]) for actions in draws]
        best = [max(rewards[a] for a in actions) for actions in draws]
        improvement = [
            sum(w * max(r - b, 0.0) for w, b in zip(weights, best, strict=True)) for r in rewards
        ]
        mean = sum(p * x for p, x in zip(probs, improvement, strict=True))
        got = population_advantages(jnp.array(rewards), jnp.array(probs), k)
        np.testing.assert_allclose(got, np.array(improvement) - mean, rtol=1e-5, atol=1e-6)


def test_traced_real_k_and_no_gradient():
    rewards, probs = jnp.array([0.0, 1.0, 3.0]), jnp.array([0.25, 0.5, 0.25])
    traced = jax.jit(population_advantages)(rewards, probs, 1.5)
    np.testing.assert_allclose(traced, population_advantages(rewards, probs, 1.5), rtol=1e-6)
    gradient = jax.grad(lambda p: jnp.sum(population_advantages(rewards, p, 2) ** 2))(probs)
    np.testing.assert_array_equal(gradient, jnp.zeros(3))


def test_mistakes():
    with pytest.raises(ValueError, match=r"must both have shape \[num_actions\]"):
        population_advantages(jnp.zeros((2, 3)), jnp.zeros((2, 3)), 2)
    with pytest.raises(ValueError, match="k must be a positive number, got 0"):
        population_advantages(jnp.zeros(2), jnp.full(2, 0.5), 0)
