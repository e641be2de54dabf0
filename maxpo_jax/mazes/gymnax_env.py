"""The maze behind the interface of gymnax 1.0, which it does not import.

Lange, gymnax: A JAX-based Reinforcement Learning Environment Library, 2022.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from maxpo_jax.mazes import maze as maze_environment
from maxpo_jax.mazes.maze import NUM_ACTIONS, Maze, MazeState


class Discrete(NamedTuple):
    """The integers 0 to n - 1."""

    n: int
    shape: tuple[int, ...] = ()
    dtype: Any = jnp.int32

    def sample(self, key: Array) -> Array:
        """Draws one of them; the key is consumed."""
        return jax.random.randint(key, self.shape, 0, self.n, self.dtype)

    def contains(self, value: Array) -> Array:
        """Tells whether a value is one of them."""
        return (jnp.asarray(value) >= 0) & (jnp.asarray(value) < self.n)


class Box(NamedTuple):
    """Arrays of one shape, each entry between low and high."""

    low: float
    high: float
    shape: tuple[int, ...]
    dtype: Any = jnp.float32

    def sample(self, key: Array) -> Array:
        """Draws uniformly; the key is consumed."""
        return jax.random.uniform(key, self.shape, self.dtype, self.low, self.high)

    def contains(self, value: Array) -> Array:
        """Tells whether all entries lie in the range."""
        return jnp.all((jnp.asarray(value) >= self.low) & (jnp.asarray(value) <= self.high))


class GymnaxMaze:
    """A maze with the methods that agents written for gymnax 1.0 call.

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

    @functools.partial(jax.jit, static_argnames="self")
    def step(
        self, key: Array, state: MazeState, action: Array, params: Maze | None = None
    ) -> tuple[Array, MazeState, Array, Array, Array, dict[str, Array]]:
        """Takes one action, and begins anew where that ends the episode."""
        maze = self.default_params if params is None else params
        after, reward, terminated, truncated = maze_environment.step(maze, state, action)
        first_observation, first = self.reset(key, maze)
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

    def action_space(self, params: Maze | None = None) -> Discrete:
        """The two actions."""
        del params
        return Discrete(NUM_ACTIONS)

    def observation_space(self, params: Maze | None = None) -> Box:
        """One-hot vectors over the states."""
        maze = self.default_params if params is None else params
        return Box(0.0, 1.0, (maze.terminal.shape[-1],))
