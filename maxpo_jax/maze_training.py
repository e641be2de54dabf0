r"""Policy-gradient learning in a maze: groups of trajectories, advantages, one step up the gradient.

B trajectories from the start form the group; an estimator turns their B returns into advantages;

    w <- w + learning_rate * (K/B) sum_i A_i grad log pi(trajectory i).

The whole of training is one compiled program. K, the learning rate, the first weights, the maze and
the key are traced, so that `jax.vmap` over any of them sweeps them in that one program.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from maxpo_jax import maze_exact
from maxpo_jax.environments.maze import Maze
from maxpo_jax.estimators import Estimator
from maxpo_jax.maze_policies import action_probabilities, entropies, trajectory_score
from maxpo_jax.maze_rollouts import rollout

WINDOW = 10
"""Updates over which the sampled curves are averaged; there is one entry of a curve for each."""


class Curves(NamedTuple):
    """What happened during training; entry i is about the updates 10 i + 1 to 10 (i + 1).

    Attributes:
        mean_return: [num_windows] mean return of the episodes, averaged over the window.
        best_return: [num_windows] largest return of a group, averaged over the window.
        prob: [num_windows] probability of action 1 after the window, mean over the states that
            do not end the episode.
        entropy: [num_windows] entropy of the policy after the window, mean over the same states.
        gradient_variance: [num_windows] trace of the covariance of the gradient estimate after the
            window, from further groups that nothing else is done with: its mean is unbiased.
        distribution: [num_windows, num_steps + 1] exact probability of each return after the
            window.
        weights: [num_features] after the last update.
    """

    mean_return: Array
    best_return: Array
    prob: Array
    entropy: Array
    gradient_variance: Array
    distribution: Array
    weights: Array


class GroupGradient(NamedTuple):
    """The gradient estimate from one group, and the returns of its episodes.

    Attributes:
        gradient: [num_features].
        returns: [group_size].
    """

    gradient: Array
    returns: Array


def group_gradient(
    key: Array,
    maze: Maze,
    features: Array,
    weights: Array,
    k: int | Array,
    *,
    estimator: Estimator,
    group_size: int,
    num_steps: int,
) -> GroupGradient:
    r"""Estimates the gradient from one group of episodes.

    .. math:: g = \frac{K}{B} \sum_i A_i \nabla_w \sum_t \log \pi(a_{it} | s_{it})

    Args:
        key: consumed.
        maze: the maze.
        features: [num_states, num_features] what the policy sees of each state.
        weights: [num_features] the policy.
        k: K; a Python int or a traced integer.
        estimator: from `maxpo_jax.estimators.get`; static.
        group_size: B; static.
        num_steps: the longest episode, at least `maze.max_steps`; static.

    Returns:
        The gradient and the returns.

    Example:
        >>> from maxpo_jax import estimators, maze_policies
        >>> from maxpo_jax.environments import maze_builders
        >>> maze = maze_builders.from_path("110")
        >>> features = maze_policies.feature_table("stateless", 5)
        >>> estimate = group_gradient(
        ...     jax.random.key(0), maze, features, jnp.zeros(1), 2,
        ...     estimator=estimators.get("maxpo"), group_size=4, num_steps=3)
        >>> estimate.gradient.shape, estimate.returns.shape
        ((1,), (4,))

    Unbiased for grad J_K of the maze, under independent episodes, wherever `estimator` is: the
    episodes are the samples, their returns the rewards.
    """
    key_episodes, key_estimator = jax.random.split(key)
    uniforms = jax.random.uniform(key_episodes, (group_size, num_steps))
    probs = action_probabilities(weights, features)
    episodes = jax.vmap(rollout, in_axes=(None, None, 0))(maze, probs, uniforms)
    scores = jax.vmap(trajectory_score, in_axes=(None, None, 0, 0, 0))(
        weights, features, episodes.positions, episodes.actions, episodes.live
    )
    randomness = {"key": key_estimator} if estimator.randomised else {}
    advantages = estimator(episodes.total, k, **randomness)
    scale = jnp.asarray(k, advantages.dtype) / group_size
    return GroupGradient(scale * (advantages @ scores), episodes.total)


def train(
    key: Array,
    maze: Maze,
    features: Array,
    weights: Array,
    k: int | Array,
    learning_rate: float | Array,
    *,
    estimator: Estimator,
    group_size: int,
    num_updates: int,
    num_steps: int,
    variance_groups: int,
) -> Curves:
    """Trains a policy by plain stochastic gradient ascent.

    Args:
        key: consumed.
        maze: the maze.
        features: [num_states, num_features] what the policy sees of each state.
        weights: [num_features] the policy at the beginning.
        k: K; a Python int or a traced integer.
        learning_rate: [] float; may be traced.
        estimator: from `maxpo_jax.estimators.get`; static.
        group_size: B; static.
        num_updates: a multiple of 10; static.
        num_steps: the longest episode, at least `maze.max_steps`; static.
        variance_groups: groups drawn after every window to measure the variance of the gradient,
            at least 2; static.

    Returns:
        The curves of training.

    Raises:
        ValueError: `num_updates` is not a positive multiple of 10, or there are fewer than 2
            variance groups.

    Example:
        >>> from maxpo_jax import estimators, maze_policies
        >>> from maxpo_jax.environments import maze_builders
        >>> curves = train(
        ...     jax.random.key(0), maze_builders.from_path("110"),
        ...     maze_policies.feature_table("stateless", 5), jnp.zeros(1), 2, 0.1,
        ...     estimator=estimators.get("maxpo"), group_size=8, num_updates=20, num_steps=3,
        ...     variance_groups=2)
        >>> curves.distribution.shape
        (2, 4)
    """
    if num_updates < 1 or num_updates % WINDOW:
        raise ValueError(f"num_updates is {num_updates}; it must be a positive multiple of 10")
    if variance_groups < 2:
        raise ValueError(f"variance_groups is {variance_groups}; a variance needs at least 2")
    acting = (~maze.terminal).astype(features.dtype)
    over_states = acting / jnp.sum(acting)

    def estimate(weights: Array, key: Array) -> GroupGradient:
        return group_gradient(
            key,
            maze,
            features,
            weights,
            k,
            estimator=estimator,
            group_size=group_size,
            num_steps=num_steps,
        )

    def update(weights: Array, key: Array) -> tuple[Array, tuple[Array, Array]]:
        gradient, returns = estimate(weights, key)
        return weights + learning_rate * gradient, (jnp.mean(returns), jnp.max(returns))

    def window(weights: Array, key: Array) -> tuple[Array, Curves]:
        key_updates, key_variance = jax.random.split(key)
        weights, (means, bests) = jax.lax.scan(
            update, weights, jax.random.split(key_updates, WINDOW)
        )
        gradients = jax.vmap(estimate, in_axes=(None, 0))(
            weights, jax.random.split(key_variance, variance_groups)
        ).gradient
        probs = action_probabilities(weights, features)
        return weights, Curves(
            mean_return=jnp.mean(means),
            best_return=jnp.mean(bests),
            prob=over_states @ probs,
            entropy=over_states @ entropies(weights, features),
            gradient_variance=jnp.sum(jnp.var(gradients, axis=0, ddof=1)),
            distribution=maze_exact.return_distribution(maze, probs, num_steps),
            weights=weights,
        )

    weights, curves = jax.lax.scan(window, weights, jax.random.split(key, num_updates // WINDOW))
    return curves._replace(weights=weights)
