"""The expected gradient of every estimator in the world of tokens, by listing all groups."""

import collections
import functools
import itertools
import math

import fact_checks
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fact_checks import CLEARLY, TARGETS, Case

from maxpo_jax import estimators
from maxpo_jax.tokens import gradients
from tests.tokens import tiny

SIZES = ((2, 1), (2, 2), (3, 1), (3, 2), (3, 3))
BIASED_FROM_FOUR = "pass_at_k_training_analytic"  # two or three 0/1 rewards that differ vary alike
NAMES = [name for name in estimators.names() if estimators.get(name).alias_of is None]


@functools.cache
def cases():
    """Rewards of the 40 responses: one is right, many are, real rewards with ties."""
    with jax.enable_x64(True):
        logits = tuple(np.asarray(tiny.log_probs(tiny.policy())).tolist())
    number = np.arange(len(logits))
    rewards = [number == 29, number % 3 == 1, np.array([0.25, 2.0, -1.0, 0.25, 1.5])[number % 5]]
    return [Case(logits, tuple(np.asarray(r, float).tolist())) for r in rewards]


@functools.cache
def groups(group_size):
    """All multisets of responses [groups, B], and the probability of each."""
    with jax.enable_x64(True):
        probs = np.exp(np.asarray(tiny.log_probs(tiny.policy())))
    number = range(len(probs))
    listed = list(itertools.combinations_with_replacement(number, group_size))
    orders = [
        math.factorial(group_size)
        / math.prod(math.factorial(n) for n in collections.Counter(group).values())
        for group in listed
    ]
    return np.array(listed), np.array(orders) * np.prod(probs[np.array(listed)], axis=1)


@functools.cache
def program(group_size):
    """Weighted advantages of all groups -> the sum over groups of their gradient estimates."""
    listed, _ = groups(group_size)
    responses = jnp.asarray(tiny.responses()[listed])
    prompts = jnp.broadcast_to(jnp.asarray(tiny.PROMPT), (len(listed), tiny.PROMPT.size))

    def total(policy, advantages, k):
        return len(listed) * gradients.surrogate(policy, prompts, responses, advantages, k)

    return jax.jit(jax.grad(total))


def expected_gradient(estimator, mixture, group_size, k):
    """Of the advantages of all cases, each times its weight: the gradient is linear in them."""
    listed, probs = groups(group_size)
    advantages = np.zeros(listed.shape)
    for weight, case in mixture:
        rewards, which = np.unique(np.array(case.rewards)[listed], axis=0, return_inverse=True)
        advantages += weight * fact_checks.in_float64(estimator)(rewards, k)[which]
    weighted = jnp.asarray(advantages * probs[:, None])
    return tiny.vector(program(group_size)(tiny.policy(), weighted, jnp.asarray(k)))


def test_probabilities_of_all_groups_sum_to_one():
    with jax.enable_x64(True):
        assert np.exp(np.asarray(tiny.log_probs(tiny.policy()))).sum() == pytest.approx(
            1, abs=1e-12
        )
    for group_size in (2, 3):
        assert groups(group_size)[1].sum() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_expected_gradient_is_what_the_facts_say(name):
    estimator = estimators.get(name)
    allowed = [(B, K) for B, K in SIZES if bool(estimator.k_range.contains(K, B))]
    mixture = list(zip((1.0, -0.7, 0.4), cases(), strict=True))
    mixture = mixture[:2] if estimator.reward_type == "binary" else mixture
    target, residual = TARGETS[estimator.target], 0.0
    with jax.enable_x64(True):
        scores = tiny.scores()
        for B, K in allowed:
            mean = expected_gradient(estimator, mixture, B, K)
            goal = sum(weight * target(B, K, case) for weight, case in mixture) @ scores
            if estimator.unbiased:
                np.testing.assert_allclose(mean, estimator.scale(B, K) * goal, rtol=0, atol=1e-10)
            best_constant = mean @ goal / max(goal @ goal, 1e-300)
            residual = max(residual, np.abs(mean - best_constant * goal).max())
    if not estimator.unbiased and name != BIASED_FROM_FOUR:
        assert residual > CLEARLY, f"{name} is unbiased for {estimator.target}"
