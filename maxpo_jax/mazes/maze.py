"""The biased maze: deterministic, two actions, +1 for each forward step, one path to the goal.

The maze is plain data and its dynamics are two pure functions, `reset` and `step`, so it passes
through `jax.jit`, `jax.vmap` and `jax.lax.scan`, and a batch of mazes is a `Maze` with one more
leading axis. How a maze is drawn up is in `maxpo_jax.mazes.builders`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from maxpo_jax.estimators import checks

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


def step(maze: Maze, state: MazeState, action: ArrayLike) -> tuple[MazeState, Array, Array, Array]:
    """Takes one action.

    A finished episode stays where it is: further steps change nothing and earn nothing.

    Args:
      maze: the maze.
      state: where the agent is.
      action: [] integer or bool, 0 or 1; a bool is the fastest.

    Returns:
      The next state; the reward, [] float; `terminated`, [] bool, whether a terminal state is
      reached; `truncated`, [] bool, whether the time limit is reached anywhere else. The two are
      never true together.

    Raises:
      ValueError: the action is neither an integer nor a bool, or, outside jit, another number
        than 0 and 1. Inside jit such a number earns NaN, leads nowhere and takes its time.

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
    action = action_array("action is", action)
    column = action.astype(maze.transitions.dtype)
    finished = is_finished(maze, state)
    position = jnp.where(finished, state.position, maze.transitions[state.position, column])
    reward = jnp.where(finished, 0, maze.rewards[state.position, column])
    if may_be_no_action(action):
        valid = finished | is_action(action)
        position = jnp.where(valid, position, state.position)
        reward = jnp.where(valid, reward, jnp.nan)
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


def action_array(what: str, actions: ArrayLike) -> Array:
    """Takes actions as an array, and refuses what cannot be one.

    Args:
      what: the argument and its verb, for messages: "action is" or "actions are".
      actions: [...] integer or bool, traced or not.

    Returns:
      The same actions, of the same kind.

    Raises:
      ValueError: another type, or, where the numbers are known, one that is neither 0 nor 1.

    Example:
      >>> action_array("actions are", [1, 0]).tolist()
      [1, 0]
      >>> action_array("actions are", [1, 2])
      Traceback (most recent call last):
      ValueError: actions[1] is 2; an action is 0 or 1
    """
    traced = checks.is_traced(*jax.tree.leaves(actions))
    # NumPy keeps a number that is too large for JAX's integers, which would wrap around.
    array = jnp.asarray(actions) if traced else np.asarray(actions)
    whole = jnp.issubdtype(array.dtype, jnp.integer) or array.dtype == bool
    if array.size and not whole:
        raise ValueError(f"{what} {array.dtype}; an action is 0 or 1, an integer or a boolean")
    if not traced:
        for index in np.argwhere(~is_action(array))[:1].tolist():
            place = f"{what.split()[0]}{index or ''}"
            raise ValueError(f"{place} is {array[tuple(index)]}; an action is 0 or 1")
    return jnp.asarray(array)


def may_be_no_action(actions: Array) -> bool:
    """Whether `action_array` could not tell: the numbers are traced, and more than two fit in.

    Args:
      actions: [...] integer or bool.

    Returns:
      A Python bool, so that actions that must be 0 or 1 cost no arithmetic.

    Example:
      >>> may_be_no_action(jnp.array([True, False]))
      False
    """
    return checks.is_traced(actions) and actions.dtype != jnp.bool_


def is_action(actions: Array | np.ndarray) -> Array | np.ndarray:
    """Tells of each number whether it is an action.

    Args:
      actions: [...] integer or bool, of NumPy or JAX.

    Returns:
      [...] bool.

    Example:
      >>> is_action(jnp.array([-1, 0, 1, 2])).tolist()
      [False, True, True, False]
    """
    return (actions == 0) | (actions == 1)
