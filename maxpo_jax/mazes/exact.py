r"""The exact truth about a maze: the distribution of the return, J_1, J_K, and their optima.

A maze is deterministic, so under a policy that depends on the state alone the return of an episode
has a distribution that follows by dynamic programming, backwards in the steps that remain:

    P_0(s, r) = [r = 0],
    P_h(s, r) = sum_a pi(a | s) P_{h-1}(next(s, a), r - reward(s, a))   unless s ends the episode.

Everything here is a polynomial in the action probabilities: it is differentiable by `jax.grad`, and
as precise as the dtype of the probabilities (use float64 for truth). All functions take the
probability of action 1 in each state; a stateless policy is that vector filled with one number.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from maxpo_jax import objectives
from maxpo_jax.mazes.maze import NUM_ACTIONS, Maze


def return_distribution(maze: Maze, probs: Array, num_steps: int) -> Array:
    r"""Computes the exact distribution of the return of an episode.

    .. math:: P(\textstyle\sum_t r_t = r), \qquad r = 0, \dots, \text{num\_steps}

    Args:
      maze: the maze; its rewards are 0 or 1.
      probs: [num_states] float, the probability of action 1 in each state.
      num_steps: the longest episode, at least `maze.max_steps`; static.

    Returns:
      [num_steps + 1] float, the probability of each return 0, 1, ..., num_steps.

    Example:
      >>> from maxpo_jax.mazes import builders as maze_builders
      >>> maze = maze_builders.from_path("10")
      >>> return_distribution(maze, jnp.full(4, 0.5), num_steps=2).tolist()
      [0.5, 0.25, 0.25]
    """
    nothing = jnp.zeros((maze.terminal.shape[0], num_steps + 1), probs.dtype).at[:, 0].set(1)

    def add_reward(distribution: Array, reward: Array) -> Array:
        moved = jnp.roll(distribution, 1, axis=1).at[:, 0].set(0)
        return jnp.where(reward[:, None] > 0, moved, distribution)

    return _backwards(maze, probs, num_steps, nothing, add_reward)


def goal_probability(maze: Maze, probs: Array, num_steps: int) -> Array:
    r"""Computes the exact probability that an episode reaches the goal.

    Args:
      maze: the maze.
      probs: [num_states] float, the probability of action 1 in each state.
      num_steps: the longest episode, at least `maze.max_steps`; static.

    Returns:
      [] float.

    Example:
      >>> from maxpo_jax.mazes import builders as maze_builders
      >>> float(goal_probability(maze_builders.from_path("10"), jnp.full(4, 0.5), num_steps=2))
      0.25
    """
    at_goal = jnp.zeros(maze.terminal.shape[0], probs.dtype).at[maze.goal].set(1)
    return _backwards(maze, probs, num_steps, at_goal[:, None], lambda value, reward: value)[0]


def max_at_k(maze: Maze, probs: Array, k: int | Array, num_steps: int) -> Array:
    r"""Computes J_K, the expected largest of the returns of K independent episodes.

    .. math:: J_K = \sum_{r=1}^{\text{num\_steps}} \bigl(1 - F(r - 1)^K\bigr),
      \qquad F(r) = P(\text{return} \le r)

    Args:
      maze: the maze; its rewards are 0 or 1.
      probs: [num_states] float, the probability of action 1 in each state.
      k: K, at least 1; a Python int, or an integer array that may be traced.
      num_steps: the longest episode, at least `maze.max_steps`; static.

    Returns:
      [] float; J_1 for K = 1.

    Example:
      >>> from maxpo_jax.mazes import builders as maze_builders
      >>> maze = maze_builders.from_path("10")
      >>> [round(float(max_at_k(maze, jnp.full(4, 0.5), k, 2)), 4) for k in (1, 2)]
      [0.75, 1.1875]
    """
    distribution = return_distribution(maze, probs, num_steps)
    returns = jnp.arange(num_steps + 1, dtype=distribution.dtype)
    return objectives.max_at_k(returns, distribution, k)


class StatelessOptimum(NamedTuple):
    """The best policy with one logit.

    Attributes:
      prob: the probability of action 1.
      value: J_K there.
    """

    prob: float
    value: float


def stateless_optimum(maze: Maze, k: int) -> StatelessOptimum:
    r"""Finds the largest J_K over the policies that take action 1 with one probability everywhere.

    .. math:: \max_{p \in [0, 1]} J_K(p)

    The best point of a grid of 1001 probabilities, then bisection on the sign of the exact
    derivative around it, in float64 (the value itself is too flat there to be compared).

    Args:
      maze: one maze, not traced.
      k: K, at least 1.

    Returns:
      The probability and the value.

    Example:
      >>> from maxpo_jax.mazes import builders as maze_builders
      >>> optimum = stateless_optimum(maze_builders.from_path("10"), 1)  # p + p (1 - p)
      >>> round(optimum.prob, 6), round(optimum.value, 6)
      (1.0, 1.0)
    """
    num_steps = int(maze.max_steps)
    with jax.enable_x64(True):
        grid = np.linspace(0, 1, 1001)
        best = int(np.argmax(_value_and_slope(maze, jnp.asarray(grid), k, num_steps)[0]))
        low, high = grid[max(best - 1, 0)], grid[min(best + 1, 1000)]
        for _ in range(60):
            middle = (low + high) / 2
            rises = _value_and_slope(maze, jnp.asarray([middle]), k, num_steps)[1][0] > 0
            low, high = (middle, high) if rises else (low, middle)
        value = _value_and_slope(maze, jnp.asarray([high]), k, num_steps)[0][0]
        return StatelessOptimum(float(high), float(value))


@functools.partial(jax.jit, static_argnames="num_steps")
def _value_and_slope(maze: Maze, probs: Array, k: Array, num_steps: int) -> tuple[Array, Array]:
    """J_K of stateless policies, and its derivative in their probability of action 1."""
    num_states = maze.terminal.shape[0]

    def value(prob: Array) -> Array:
        return max_at_k(maze, jnp.full(num_states, prob), k, num_steps)

    return jax.vmap(jax.value_and_grad(value))(probs)


def tabular_optimum(maze: Maze) -> float:
    r"""Finds the largest J_K over the policies that choose in each state by itself.

    A deterministic policy that walks to the largest return there is attains it, for every K.

    Args:
      maze: one maze, not traced.

    Returns:
      The largest return of an episode.

    Example:
      >>> from maxpo_jax.mazes import builders as maze_builders
      >>> tabular_optimum(maze_builders.from_path("10"))
      2.0
    """
    value = jnp.zeros(maze.terminal.shape[0])
    for _ in range(int(maze.max_steps)):
        onward = jnp.max(maze.rewards + value[maze.transitions], axis=1)
        value = jnp.where(maze.terminal, 0, onward)
    return float(value[maze.start])


def _backwards(
    maze: Maze,
    probs: Array,
    num_steps: int,
    end: Array,
    add_reward: Callable[[Array, Array], Array],
) -> Array:
    """Carries [num_states, width] values of the end of an episode back to the start."""

    def one_more_step(values: Array, step: Array) -> tuple[Array, None]:
        mixed = sum(
            prob[:, None] * add_reward(values[maze.transitions[:, action]], maze.rewards[:, action])
            for action, prob in zip(range(NUM_ACTIONS), (1 - probs, probs), strict=True)
        )
        ended = maze.terminal[:, None] | (step >= maze.max_steps)
        return jnp.where(ended, end, mixed), None

    steps = jnp.arange(num_steps, dtype=jnp.int32)[::-1]
    values, _ = jax.lax.scan(one_more_step, end, steps)
    return values[maze.start]
