r"""Log-linear policies over the two actions of a maze.

The logit of action 1 in state s is w . phi(s). What the policy sees is the table phi:

- "stateless": phi(s) = 1, one logit for all states;
- "tabular": phi(s) = e_s, one logit for each state;
- "shared": phi(s) = (1, cosines of the state's number), few weights that all states share.
"""

import jax
import jax.numpy as jnp
from jax import Array

POLICIES = ("stateless", "tabular", "shared")
NUM_SHARED_FEATURES = 4


def feature_table(policy: str, num_states: int) -> Array:
    r"""Builds phi, what the policy sees of each state.

    .. math:: \phi_f(s) = \cos\bigl(\pi f (s + 1/2) / S\bigr), \quad f = 0, \dots, 3
      \quad \text{for "shared"}

    Args:
      policy: one of `POLICIES`; static.
      num_states: S; static.

    Returns:
      [num_states, num_features] float.

    Raises:
      ValueError: there is no such policy.

    Example:
      >>> feature_table("stateless", 3).tolist()
      [[1.0], [1.0], [1.0]]
    """
    if policy == "stateless":
        return jnp.ones((num_states, 1))
    if policy == "tabular":
        return jnp.eye(num_states)
    if policy == "shared":
        state = jnp.arange(num_states, dtype=float)[:, None] + 0.5
        frequency = jnp.arange(NUM_SHARED_FEATURES, dtype=float)[None, :]
        return jnp.cos(jnp.pi * frequency * state / num_states)
    raise ValueError(f"policy {policy!r} is unknown; choose one of {', '.join(POLICIES)}")


def constant_weights(policy: str, num_states: int, logit: float | Array) -> Array:
    """Builds the weights with which action 1 has the same logit in every state.

    Args:
      policy: one of `POLICIES`; static.
      num_states: static.
      logit: [] the logit; may be traced.

    Returns:
      [num_features] float.

    Raises:
      ValueError: there is no such policy.

    Example:
      >>> constant_weights("shared", 3, 0.5).tolist()
      [0.5, 0.0, 0.0, 0.0]
    """
    num_features = feature_table(policy, num_states).shape[1]
    seen = jnp.ones(num_features) if policy == "tabular" else jnp.eye(num_features)[0]
    return jnp.asarray(logit, seen.dtype) * seen


def action_probabilities(weights: Array, features: Array) -> Array:
    r"""Computes the probability of action 1 in each state.

    .. math:: \pi(1 | s) = \sigma(w \cdot \phi(s))

    Args:
      weights: [num_features].
      features: [num_states, num_features].

    Returns:
      [num_states] float.

    Example:
      >>> action_probabilities(jnp.zeros(1), feature_table("stateless", 2)).tolist()
      [0.5, 0.5]
    """
    return jax.nn.sigmoid(features @ weights)


def entropies(weights: Array, features: Array) -> Array:
    r"""Computes the entropy of the policy in each state, in nats.

    .. math:: -\sum_a \pi(a | s) \log \pi(a | s)

    Args:
      weights: [num_features].
      features: [num_states, num_features].

    Returns:
      [num_states] float.

    Example:
      >>> print(entropies(jnp.zeros(1), feature_table("stateless", 1)).round(4))
      [0.6931]
    """
    logits = features @ weights
    return jax.nn.softplus(logits) - logits * jax.nn.sigmoid(logits)


def weighted_score(
    weights: Array,
    features: Array,
    positions: Array,
    actions: Array,
    live: Array,
    advantages: Array,
) -> Array:
    r"""Computes the gradient of a weighted sum of the log-probabilities of whole trajectories.

    .. math:: \sum_i A_i \nabla_w \sum_t \log \pi(a_{it} | s_{it})
      = \sum_i A_i \sum_t (a_{it} - \pi(1 | s_{it})) \phi(s_{it})

    Args:
      weights: [num_features].
      features: [num_states, num_features].
      positions: [group_size, num_steps] integer, the states in which the actions were taken.
      actions: [group_size, num_steps] bool.
      live: [group_size, num_steps] bool, False once the episode has ended.
      advantages: [group_size].

    Returns:
      [num_features] float.

    Example:
      >>> features = feature_table("stateless", 2)
      >>> positions, actions = jnp.array([[0, 1]]), jnp.array([[True, False]])
      >>> advantages = jnp.array([2.0])
      >>> weighted_score(
      ...     jnp.zeros(1), features, positions, actions, actions, advantages).tolist()
      [1.0]
    """
    probs = action_probabilities(weights, features)
    surprise = jnp.where(live, actions.astype(probs.dtype) - probs[positions], 0)
    # Summed by state first: a table of features may be as wide as the maze is long.
    by_state = jnp.zeros_like(probs).at[positions].add(advantages[:, None] * surprise)
    return by_state @ features
