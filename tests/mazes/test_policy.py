"""Policies of the maze: what they see, and the score against automatic differentiation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maxpo_jax.mazes import policy as maze_policies


@pytest.mark.parametrize("policy", maze_policies.POLICIES)
def test_constant_weights_give_one_probability_everywhere(policy):
    features = maze_policies.feature_table(policy, 7)
    weights = maze_policies.constant_weights(policy, 7, 1.5)
    probs = maze_policies.action_probabilities(weights, features)
    np.testing.assert_allclose(probs, 1 / (1 + np.exp(-1.5)), rtol=1e-6)


def test_number_of_weights():
    shapes = [maze_policies.feature_table(policy, 7).shape for policy in maze_policies.POLICIES]
    assert shapes == [(7, 1), (7, 7), (7, 4)]


def test_unknown_policy_is_refused():
    with pytest.raises(ValueError, match="choose one of stateless, tabular, shared"):
        maze_policies.feature_table("linear", 7)


@pytest.mark.parametrize("policy", maze_policies.POLICIES)
def test_weighted_score_is_the_gradient_of_the_log_probabilities(policy):
    num_states = 5
    rng = np.random.default_rng(0)
    positions = rng.integers(0, num_states, (3, 6)).astype(np.int32)
    actions = rng.random((3, 6)) < 0.5
    live = np.arange(6) < np.array([[2], [6], [4]])
    advantages = rng.normal(size=3).astype(np.float32)
    features = maze_policies.feature_table(policy, num_states)
    weights = jnp.asarray(rng.normal(size=features.shape[1]), jnp.float32)

    def weighted_log_probability(weights):
        logits = (features @ weights)[positions]
        signs = np.where(actions, 1.0, -1.0).astype(np.float32)
        log_probs = jnp.log(1 / (1 + jnp.exp(-signs * logits)))
        return sum(advantages[i] * log_probs[i, live[i]].sum() for i in range(3))

    expected = jax.grad(weighted_log_probability)(weights)
    score = maze_policies.weighted_score(
        weights, features, *map(jnp.asarray, (positions, actions, live, advantages))
    )
    np.testing.assert_allclose(score, expected, rtol=2e-5, atol=1e-6)


def test_entropy_by_its_definition_and_at_certainty():
    features = maze_policies.feature_table("tabular", 3)
    weights = jnp.array([0.3, -2.0, 60.0])
    p = 1 / (1 + np.exp(-np.array([0.3, -2.0])))
    expected = [*(-p * np.log(p) - (1 - p) * np.log(1 - p)), 0.0]
    np.testing.assert_allclose(
        maze_policies.entropies(weights, features), expected, rtol=1e-5, atol=1e-7
    )
