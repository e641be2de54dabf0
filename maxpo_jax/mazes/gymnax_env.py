"""The maze behind the interface of gymnax 1.0, with its spaces, for its wrappers and agents.

Only the spaces need gymnax; it is imported where they are asked for.

Lange, gymnax: A JAX-based Reinforcement Learning Environment Library, 2022.
"""

import functools
from types import ModuleType
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from maxpo_jax.mazes import maze as maze_environment
from maxpo_jax.mazes.maze import NUM_ACTIONS, Maze, MazeState

if TYPE_CHECKING:
    from gymnax.environments.spaces import Box, Discrete


class GymnaxMaze:
    """A maze with the methods that wrappers and agents written for gymnax 1.0 call.

    The maze itself is the `params`, so `jax.vmap` over it trains in many mazes at once. `step`
    resets by itself; the observation before that is `info["final_observation"]`. Observations are
    one-hot positions.

    Example:
      >>> from maxpo_jax.mazes import builders as maze_builders
      >>> env = GymnaxMaze(maze_builders.from_path("10"))
      >>> key = jax.random.key(0)
      >>> observation, state = env.reset(key, env.default_params)
      >>> observation, state, reward, terminated, truncated, info = env.step(
      ...     key, state, 1, env.default_params)
      >>> observation.tolist(), float(reward), bool(terminated)
      ([0.0, 1.0, 0.0, 0.0], 1.0, False)
    """

    name = "BiasedMaze"
    num_actions = NUM_ACTIONS

    def __init__(self, maze: Maze) -> None:
        self.default_params = maze

    @functools.partial(jax.jit, static_argnames="self")
    def reset(self, key: Array, params: Maze | None = None) -> tuple[Array, MazeState]:
        """Begins an episode; the key is not used, as nothing is random."""
        del key
        maze = self.default_params if params is None else params
        state = maze_environment.reset(maze)
        return maze_environment.observe(maze, state), state

    def step(
        self, key: Array, state: MazeState, action: ArrayLike, params: Maze | None = None
    ) -> tuple[Array, MazeState, Array, Array, Array, dict[str, Array]]:
        """Takes one action, and begins anew where that ends the episode; the key is not used.

        Raises:
          ValueError: the action is none, as for `maxpo_jax.mazes.maze.step`.
        """
        del key
        action = maze_environment.action_array("action is", action)
        return self._step(state, action, self.default_params if params is None else params)

    @functools.partial(jax.jit, static_argnames="self")
    def _step(
        self, state: MazeState, action: Array, maze: Maze
    ) -> tuple[Array, MazeState, Array, Array, Array, dict[str, Array]]:
        """Computes `step` in one program."""
        after, reward, terminated, truncated = maze_environment.step(maze, state, action)
        # Not self.reset, which gymnax's vector wrapper replaces by one of many environments.
        first = maze_environment.reset(maze)
        first_observation = maze_environment.observe(maze, first)
        done = terminated | truncated
        seen = maze_environment.observe(maze, after)
        next_state = jax.tree.map(lambda new, old: jnp.where(done, new, old), first, after)
        info = {
            "terminated": terminated,
            "truncated": truncated,
            "final_observation": seen,
            "discount": 1 - terminated.astype(reward.dtype),
        }
        observation = jnp.where(done, first_observation, seen)
        return observation, next_state, reward, terminated, truncated, info

    def action_space(self, params: Maze | None = None) -> "Discrete":
        """The two actions."""
        del params
        return _spaces().Discrete(NUM_ACTIONS)

    def observation_space(self, params: Maze | None = None) -> "Box":
        """One-hot vectors over the states."""
        maze = self.default_params if params is None else params
        return _spaces().Box(0.0, 1.0, (maze.terminal.shape[-1],))


def _spaces() -> ModuleType:
    """Imports gymnax's spaces, or says how to get them."""
    try:
        from gymnax.environments import spaces
    except ImportError as error:
        raise ImportError(
            f"the spaces are gymnax's, which cannot be imported ({error}); "
            "pip install 'gymnax>=1.0.1' six"
        ) from None
    return spaces
