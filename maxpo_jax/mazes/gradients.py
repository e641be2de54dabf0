r"""The policy gradient of a group of episodes in a maze, and the maze as a world to train in.

B trajectories from the start form the group; an estimator turns their B returns into advantages:

    g = (K/B) sum_i A_i grad log pi(trajectory i).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from maxpo_jax.estimators import Estimator
from maxpo_jax.mazes import exact
from maxpo_jax.mazes.maze import Maze
from maxpo_jax.mazes.policy import action_probabilities, entropies, weighted_score
from maxpo_jax.mazes.rollout import rollout
from maxpo_jax.training import Estimate, Window, World, total_variance


class Randomness(NamedTuple):
    """What is random about a group of episodes.

    Attributes:
      uniforms: [group_size, num_steps] independent uniform numbers in [0, 1).
      key_data: of the random key for an estimator that is randomized, else None.
    """

    uniforms: Array
    key_data: Array | None = None


class Record(NamedTuple):
    """What is kept of a window of updates.

    Attributes:
      mean_return: [] mean return of the episodes of the window.
      best_return: [] largest return of a group, averaged over the window.
      prob: [] probability of action 1 after the window, mean over the states that do not end the
        episode.
      entropy: [] entropy of the policy after the window, mean over the same states.
      gradient_variance: [] trace of the covariance of the gradient estimate after the window, from
        the extra groups: its mean is unbiased.
      distribution: [num_steps + 1] exact probability of each return after the window.
    """

    mean_return: Array
    best_return: Array
    prob: Array
    entropy: Array
    gradient_variance: Array
    distribution: Array


def make_world(
    maze: Maze, features: Array, *, estimator: Estimator, group_size: int, num_steps: int
) -> World:
    """The maze as a world: its parameters are the weights of the policy.

    Args:
      maze: the maze.
      features: [num_states, num_features] what the policy sees of each state.
      estimator: from `maxpo_jax.estimators.get`. Static.
      group_size: B. Static.
      num_steps: the longest episode, at least `maze.max_steps`. Static.

    Returns:
      The `World`, whose `draw` gives `Randomness` with a leading axis.

    Example:
      >>> from maxpo_jax import estimators
      >>> from maxpo_jax.mazes import builders, policy
      >>> world = make_world(
      ...     builders.from_path("110"), policy.feature_table("stateless", 5),
      ...     estimator=estimators.get("maxpo"), group_size=8, num_steps=3)
      >>> world.draw(jax.random.key(0), 2).uniforms.shape
      (2, 8, 3)
    """

    def draw(key: Array, n: int) -> Randomness:
        episodes_key, estimator_key = jax.random.split(key)
        # Drawn flat: the same numbers as for a shape of three axes, and compiled 15 times faster.
        uniforms = jax.random.uniform(episodes_key, (n * group_size * num_steps,))
        # Keys travel as data: the check for reused ones does not follow keys through a scan.
        keys = jax.random.split(estimator_key, n) if estimator.randomized else None
        data = None if keys is None else jax.random.key_data(keys)
        return Randomness(uniforms.reshape(n, group_size, num_steps), data)

    def estimate(randomness: Randomness, weights: Array, k: Array) -> Estimate:
        return group_gradient(randomness, maze, features, weights, k, estimator=estimator)

    return World(draw, estimate)


def group_gradient(
    randomness: Randomness,
    maze: Maze,
    features: Array,
    weights: Array,
    k: int | Array,
    *,
    estimator: Estimator,
) -> Estimate:
    r"""Estimates the gradient from one group of episodes.

    .. math:: g = \frac{K}{B} \sum_i A_i \nabla_w \sum_t \log \pi(a_{it} | s_{it})

    Args:
      randomness: of the group; no episode may be longer than its num_steps.
      maze: the maze.
      features: [num_states, num_features] what the policy sees of each state.
      weights: [num_features] the policy.
      k: K; a Python int or a traced integer.
      estimator: from `maxpo_jax.estimators.get`. Static.

    Returns:
      The gradient [num_features] and, as rewards, the returns [group_size].

    Example:
      >>> from maxpo_jax import estimators
      >>> from maxpo_jax.mazes import builders, policy
      >>> uniforms = jnp.array([[0.9, 0.9, 0.9], [0.1, 0.9, 0.9], [0.1, 0.1, 0.9]])
      >>> estimate = group_gradient(
      ...     Randomness(uniforms), builders.from_path("110"), policy.feature_table("stateless", 5),
      ...     jnp.zeros(1), 2, estimator=estimators.get("maxpo"))
      >>> estimate.rewards.tolist(), estimate.gradient.tolist()
      ([0.0, 1.0, 3.0], [1.0])

    Unbiased for grad J_K of the maze, under independent episodes, wherever `estimator` is: the
    episodes are the samples, their returns the rewards.
    """
    uniforms, key_data = randomness
    probs = action_probabilities(weights, features)
    episodes = jax.vmap(rollout, in_axes=(None, None, 0))(maze, probs, uniforms)
    key = None if key_data is None else jax.random.wrap_key_data(key_data)
    advantages = estimator(episodes.total, k, key=key)
    scale = jnp.asarray(k, advantages.dtype) / uniforms.shape[0]
    score = weighted_score(
        weights, features, episodes.positions, episodes.actions, episodes.live, advantages
    )
    return Estimate(scale * score, episodes.total)


def record_window(window: Window, maze: Maze, features: Array, num_steps: int) -> Record:
    """What is kept of a window of training in a maze.

    Args:
      window: of `maxpo_jax.training.train` in the world of the maze.
      maze: the maze.
      features: [num_states, num_features] what the policy sees of each state.
      num_steps: the longest episode, at least `maze.max_steps`. Static.

    Returns:
      The `Record`.

    Example:
      >>> from maxpo_jax.mazes import builders, policy
      >>> groups = Estimate(jnp.array([[1.0], [3.0]]), jnp.array([[0.0, 3.0], [1.0, 0.0]]))
      >>> record = record_window(
      ...     Window(jnp.zeros(1), (), groups, groups), builders.from_path("110"),
      ...     policy.feature_table("stateless", 5), 3)
      >>> [float(x) for x in (record.mean_return, record.best_return, record.gradient_variance)]
      [1.0, 2.0, 2.0]
    """
    probs = action_probabilities(window.params, features)
    acting = (~maze.terminal).astype(features.dtype)
    over_states = acting / jnp.sum(acting)
    returns = window.estimates.rewards
    return Record(
        mean_return=jnp.mean(returns),
        best_return=jnp.mean(jnp.max(returns, axis=1)),
        prob=over_states @ probs,
        entropy=over_states @ entropies(window.params, features),
        gradient_variance=total_variance(window.extra.gradient),
        distribution=exact.return_distribution(maze, probs, num_steps),
    )
