"""Episodes in a maze under a policy."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from maxpo_jax.mazes import maze as maze_environment
from maxpo_jax.mazes.maze import Maze, MazeState

UNROLL = 10  # steps of an episode that become one piece of program: faster to run


class Trajectory(NamedTuple):
    """One episode.

    Attributes:
      positions: [num_steps] int32, the states in which the actions were taken.
      actions: [num_steps] bool.
      live: [num_steps] bool, False once the episode has ended.
      total: [] float, the return.
    """

    positions: Array
    actions: Array
    live: Array
    total: Array


def rollout(maze: Maze, probs: Array, uniforms: Array) -> Trajectory:
    """Plays one episode from the start.

    Args:
      maze: the maze.
      probs: [num_states] float, the probability of action 1 in each state.
      uniforms: [num_steps] float, independent uniform numbers in [0, 1), one a step;
          `jax.vmap` over them gives independent episodes.

    Returns:
      The trajectory.

    Example:
      >>> from maxpo_jax.mazes import builders as maze_builders
      >>> maze = maze_builders.from_path("110")
      >>> trajectory = rollout(maze, jnp.full(5, 0.5), jnp.array([0.2, 0.9, 0.9]))
      >>> float(trajectory.total), trajectory.live.tolist()
      (1.0, [True, True, False])
    """

    def act(state: MazeState, uniform: Array) -> tuple[MazeState, tuple[Array, ...]]:
        action = uniform < probs[state.position]
        live = ~maze_environment.is_finished(maze, state)
        next_state, reward, _, _ = maze_environment.step(maze, state, action)
        return next_state, (state.position, action, live, reward)

    _, (positions, actions, live, rewards) = jax.lax.scan(
        act, maze_environment.reset(maze), uniforms, unroll=UNROLL
    )
    return Trajectory(positions, actions, live, jnp.sum(rewards))
