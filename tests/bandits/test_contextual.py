"""The prompts have the difficulty asked for, and the policy is what its definition says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maxpo_jax import estimators
from maxpo_jax.bandits import contextual as contexts

DIFFICULTIES = jnp.array([1e-4, 0.01, 0.5])


@pytest.mark.parametrize(("rank", "num_right"), [(None, 1), (2, 1), (2, 5), (None, 7)])
def test_the_base_policy_succeeds_as_often_as_asked(rank, num_right):
    prompts = contexts.make_contextual_bandit(
        jax.random.key(0), DIFFICULTIES, 8, rank, num_right=num_right
    )
    found = contexts.success_probabilities(prompts, contexts.initial_weights(prompts))
    np.testing.assert_allclose(found, DIFFICULTIES, rtol=1e-5)
    assert (np.asarray(prompts.correct).sum(axis=1) == num_right).all()
    probs = np.where(prompts.correct, jax.nn.softmax(prompts.base_logits), np.nan)
    np.testing.assert_allclose(np.nanmax(probs, axis=1), np.nanmin(probs, axis=1), rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(prompts.features, axis=1), 1, rtol=1e-6)


def test_a_table_moves_one_prompt_and_shared_weights_move_all():
    for rank, moved in ((None, [True, False, False]), (2, [True, True, True])):
        prompts = contexts.make_contextual_bandit(jax.random.key(0), DIFFICULTIES, 8, rank)
        direction = prompts.features[0][:, None] * prompts.correct[0][None].astype(jnp.float32)
        change = contexts.success_probabilities(prompts, 0.5 * direction) - DIFFICULTIES
        assert (np.abs(change / DIFFICULTIES) > 1e-3).tolist() == moved


def test_success_probabilities_are_the_softmax_at_the_right_answer():
    prompts = contexts.make_contextual_bandit(jax.random.key(1), DIFFICULTIES, 5, 3)
    weights = jax.random.normal(jax.random.key(2), (3, 5))
    logits = np.asarray(prompts.base_logits, np.float64)
    logits = logits + np.asarray(prompts.features, np.float64) @ np.asarray(weights, np.float64)
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = probs[np.asarray(prompts.correct)]
    np.testing.assert_allclose(contexts.success_probabilities(prompts, weights), truth, rtol=1e-5)


def test_graded_probabilities_are_evenly_spaced_in_their_logarithm():
    probs = np.asarray(contexts.graded_success_probs(7, 1e-4, 0.5), np.float64)
    np.testing.assert_allclose(np.diff(np.log(probs)), np.log(5000) / 6, rtol=1e-5)


def test_one_answer_is_refused():
    with pytest.raises(ValueError, match="at least 2 answers"):
        contexts.make_contextual_bandit(jax.random.key(0), DIFFICULTIES, 1)
    for num_right in (0, 8):
        with pytest.raises(ValueError, match="1 to 7 can be right"):
            contexts.make_contextual_bandit(jax.random.key(0), DIFFICULTIES, 8, num_right=num_right)


@pytest.mark.parametrize("name", ["maxpo", "pass_at_k_training_full"])
def test_the_gradient_of_a_group_has_the_exact_mean(name):
    bandit = contexts.make_contextual_bandit(jax.random.key(3), jnp.array([0.1, 0.4, 0.7]), 4, 2)
    weights = 0.3 * jax.random.normal(jax.random.key(4), (bandit.features.shape[1], 4))
    num_draws = 20_000
    world = contexts.make_world(bandit, estimator=estimators.get(name), group_size=4)
    draws = jax.jit(
        lambda key: jax.vmap(lambda r: world.estimate(r, weights, jnp.int32(2)).gradient)(
            world.draw(key, num_draws)
        )
    )(jax.random.key(5))
    draws = np.asarray(draws, np.float64)

    def pass_at_2(weights):  # the sum over prompts of 1 - (1-p)^2, by autodiff
        logits = bandit.base_logits + bandit.features @ weights
        p = jnp.sum(jnp.where(bandit.correct, jax.nn.softmax(logits), 0), axis=1)
        return jnp.sum(1 - (1 - p) ** 2)

    if name == "maxpo":
        error = draws.mean(axis=0) - np.asarray(jax.grad(pass_at_2)(weights))
        assert np.all(np.abs(error) < 5 * draws.std(axis=0) / num_draws**0.5)
    assert np.isfinite(draws).all()
