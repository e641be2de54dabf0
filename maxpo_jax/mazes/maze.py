"""The biased maze: deterministic, two actions, +1 for each forward step, one path to the goal.

The maze is plain data and its dynamics are two pure functions, `reset` and `step`, so it passes
through `jax.jit`, `jax.vmap` and `jax.lax.scan`, and a batch of mazes is a `Maze` with one more
leading axis. How a maze is drawn up is in `maxpo_jax.mazes.builders`.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

NUM_ACTIONS = 2


class Maze(NamedTuple):
    """The tables of a deterministic maze; they do not change during an episode.

    Attributes:
        transitions: [num_states, 2] int32, the state that each action leads to. An action that is
            not valid leads to the wall, a terminal state.
        rewards: [num_states, 2] float, 1 where the action is a forward step and 0 elsewhere.
        terminal: [num_states] bool, the states that end the episode: goal, dead ends, wall.
        start: [] int32.
        goal: [] int32.
        max_steps: [] int32, the time limit; reaching it elsewhere than at a terminal state is
            truncation. A builder sets it to the longest walk, so that nothing is truncated.
    """

    transitions: Array
    rewards: Array
    terminal: Array
    start: Array
    goal: Array
    max_steps: Array


class MazeState(NamedTuple):
    """Where the agent is.

    Attributes:
        position: [] int32, index of the state of the maze.
        time: [] int32, the steps taken so far.
    """

    position: Array
    time: Array


def reset(maze: Maze) -> MazeState:
    """Puts the agent at the start.

    Args:
        maze: the maze.

    Returns:
        The state at time 0.

    Example:
        >>> from maxpo_jax.mazes import builders as maze_builders
        >>> state = reset(maze_builders.from_path("10"))
        >>> int(state.position), int(state.time)
        (0, 0)
    """
    return MazeState(position=maze.start, time=jnp.zeros_like(maze.start))


def step(maze: Maze, state: MazeState, action: Array) -> tuple[MazeState, Array, Array, Array]:
    """Takes one action.

    A finished episode stays where it is: further steps change nothing and earn nothing.

    Args:
        maze: the maze.
        state: where the agent is.
        action: [] integer or bool, 0 or 1.

    Returns:
        The next state; the reward, [] float; `terminated`, [] bool, whether a terminal state is
        reached; `truncated`, [] bool, whether the time limit is reached anywhere else. The two are
        never true together.

    Example:
        >>> from maxpo_jax.mazes import builders as maze_builders
        >>> maze = maze_builders.from_path("10")
        >>> state, reward, terminated, truncated = step(maze, reset(maze), 1)
        >>> int(state.position), float(reward), bool(terminated), bool(truncated)
        (1, 1.0, False, False)
        >>> state, reward, terminated, truncated = step(maze, state, 1)  # into the wall
        >>> float(reward), bool(terminated), bool(truncated)
        (0.0, True, False)
    """
    action = jnp.asarray(action, maze.transitions.dtype)
    finished = is_finished(maze, state)
    position = jnp.where(finished, state.position, maze.transitions[state.position, action])
    reward = jnp.where(finished, 0, maze.rewards[state.position, action])
    next_state = MazeState(position, jnp.where(finished, state.time, state.time + 1))
    terminated = maze.terminal[position]
    truncated = ~terminated & (next_state.time >= maze.max_steps)
    return next_state, reward, terminated, truncated


def is_finished(maze: Maze, state: MazeState) -> Array:
    """Tells whether the episode has ended, by termination or by truncation.

    Args:
        maze: the maze.
        state: where the agent is.

    Returns:
        [] bool.

    Example:
        >>> from maxpo_jax.mazes import builders as maze_builders
        >>> maze = maze_builders.from_path("10")
        >>> bool(is_finished(maze, reset(maze)))
        False
    """
    return maze.terminal[state.position] | (state.time >= maze.max_steps)


def observe(maze: Maze, state: MazeState) -> Array:
    """Shows the state to an agent as a one-hot vector.

    Args:
        maze: the maze.
        state: where the agent is.

    Returns:
        [num_states] float, 1 at the position.

    Example:
        >>> from maxpo_jax.mazes import builders as maze_builders
        >>> maze = maze_builders.from_path("10")
        >>> observe(maze, reset(maze)).tolist()
        [1.0, 0.0, 0.0, 0.0]
    """
    num_states = maze.terminal.shape[-1]
    return (jnp.arange(num_states) == state.position).astype(maze.rewards.dtype)
