r"""Superseded by maxpo_jax.training; goes with the experiments that still use it.

B trajectories from the start form the group; an estimator turns their B returns into advantages;

    w <- w + learning_rate * (K/B) sum_i A_i grad log pi(trajectory i).

The whole of training is one compiled program. K, the learning rate, the first weights, the maze and
the key are traced, so that `jax.vmap` over any of them sweeps them in that one program.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from maxpo_jax.estimators import Estimator
from maxpo_jax.mazes import exact as maze_exact
from maxpo_jax.mazes.maze import Maze
from maxpo_jax.mazes.policy import action_probabilities, entropies, weighted_score
from maxpo_jax.mazes.rollout import rollout

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
    uniforms: Array,
    maze: Maze,
    features: Array,
    weights: Array,
    k: int | Array,
    *,
    estimator: Estimator,
    key: Array | None = None,
) -> GroupGradient:
    r"""Estimates the gradient from one group of episodes.

    .. math:: g = \frac{K}{B} \sum_i A_i \nabla_w \sum_t \log \pi(a_{it} | s_{it})

    Args:
        uniforms: [group_size, num_steps] independent uniform numbers in [0, 1); no episode may be
            longer than num_steps.
        maze: the maze.
        features: [num_states, num_features] what the policy sees of each state.
        weights: [num_features] the policy.
        k: K; a Python int or a traced integer.
        estimator: from `maxpo_jax.estimators.get`; static.
        key: for an estimator that is randomized; consumed.

    Returns:
        The gradient and the returns.

    Example:
        >>> from maxpo_jax import estimators
        >>> from maxpo_jax.mazes import policy as maze_policies
        >>> from maxpo_jax.mazes import builders as maze_builders
        >>> maze = maze_builders.from_path("110")
        >>> features = maze_policies.feature_table("stateless", 5)
        >>> uniforms = jnp.array([[0.9, 0.9, 0.9], [0.1, 0.9, 0.9], [0.1, 0.1, 0.9]])
        >>> estimate = group_gradient(
        ...     uniforms, maze, features, jnp.zeros(1), 2, estimator=estimators.get("maxpo"))
        >>> estimate.returns.tolist(), estimate.gradient.tolist()
        ([0.0, 1.0, 3.0], [1.0])

    Unbiased for grad J_K of the maze, under independent episodes, wherever `estimator` is: the
    episodes are the samples, their returns the rewards.
    """
    group_size = uniforms.shape[0]
    probs = action_probabilities(weights, features)
    episodes = jax.vmap(rollout, in_axes=(None, None, 0))(maze, probs, uniforms)
    randomness = {"key": key} if estimator.randomized else {}
    advantages = estimator(episodes.total, k, **randomness)
    scale = jnp.asarray(k, advantages.dtype) / group_size
    score = weighted_score(
        weights, features, episodes.positions, episodes.actions, episodes.live, advantages
    )
    return GroupGradient(scale * score, episodes.total)


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
        >>> from maxpo_jax import estimators
        >>> from maxpo_jax.mazes import policy as maze_policies
        >>> from maxpo_jax.mazes import builders as maze_builders
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
    groups = WINDOW + variance_groups
    key_episodes, key_estimator = jax.random.split(key)
    rates = jnp.where(jnp.arange(groups) < WINDOW, learning_rate, 0)

    def update(weights: Array, inputs: tuple[Array, Array, Array]) -> tuple[Array, GroupGradient]:
        uniforms, rate, number = inputs
        key = jax.random.fold_in(key_estimator, number) if estimator.randomized else None
        estimate = group_gradient(
            uniforms, maze, features, weights, k, estimator=estimator, key=key
        )
        return weights + rate * estimate.gradient, estimate

    def window(weights: Array, window_number: Array) -> tuple[Array, Curves]:
        key = jax.random.fold_in(key_episodes, window_number)
        # Drawn flat: the same numbers as for a shape of three axes, and compiled 15 times faster.
        uniforms = jax.random.uniform(key, (groups * group_size * num_steps,))
        uniforms = uniforms.reshape(groups, group_size, num_steps)
        # After the window the rate is 0: the further groups measure the variance at one policy.
        numbers = window_number * groups + jnp.arange(groups)
        weights, estimates = jax.lax.scan(update, weights, (uniforms, rates, numbers))
        probs = action_probabilities(weights, features)
        returns = estimates.returns[:WINDOW]
        return weights, Curves(
            mean_return=jnp.mean(returns),
            best_return=jnp.mean(jnp.max(returns, axis=1)),
            prob=over_states @ probs,
            entropy=over_states @ entropies(weights, features),
            gradient_variance=jnp.sum(jnp.var(estimates.gradient[WINDOW:], axis=0, ddof=1)),
            distribution=maze_exact.return_distribution(maze, probs, num_steps),
            weights=weights,
        )

    weights, curves = jax.lax.scan(window, weights, jnp.arange(num_updates // WINDOW))
    return curves._replace(weights=weights)
