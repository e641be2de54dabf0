"""Episodes: which actions are taken, when they end, and how often each return occurs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maxpo_jax.mazes import builders as maze_builders
from maxpo_jax.mazes import exact as maze_exact
from maxpo_jax.mazes.rollout import rollout


def test_an_episode_by_hand():
    maze = maze_builders.from_path("1101")
    trajectory = rollout(maze, jnp.full(6, 0.5), jnp.array([0.1, 0.4, 0.2, 0.0]))
    assert trajectory.actions.tolist() == [True] * 4
    assert trajectory.positions.tolist()[:3] == [0, 1, 2]
    assert trajectory.live.tolist() == [True, True, True, False]
    assert float(trajectory.total) == 2


@pytest.mark.parametrize("num_steps", [3, 25])
def test_more_steps_than_the_maze_is_deep_change_nothing(num_steps):
    maze = maze_builders.from_path("110")
    trajectory = rollout(maze, jnp.array([1.0, 1.0, 0.0, 0.5, 0.5]), jnp.full(num_steps, 0.5))
    assert float(trajectory.total) == 3
    assert int(trajectory.live.sum()) == 3


def test_probability_zero_and_one_are_certain():
    maze = maze_builders.from_path("10")
    trajectory = rollout(maze, jnp.array([1.0, 0.0, 0.0, 0.0]), jnp.array([1 - 2**-24, 0.0]))
    assert float(trajectory.total) == 2


def test_time_limit_ends_the_episode():
    maze = maze_builders.from_path("1111")._replace(max_steps=jnp.asarray(2, jnp.int32))
    trajectory = rollout(maze, jnp.ones(6), jnp.zeros(4))
    assert trajectory.live.tolist() == [True, True, False, False]
    assert float(trajectory.total) == 2


def test_returns_have_the_exact_distribution():
    maze = maze_builders.from_path("1101", dead_end_length=2)
    probs = jnp.linspace(0.2, 0.9, maze.terminal.size)
    num_episodes = 40_000
    uniforms = jax.random.uniform(jax.random.key(0), (num_episodes, 4))
    totals = jax.jit(jax.vmap(rollout, in_axes=(None, None, 0)))(maze, probs, uniforms).total
    exact = np.asarray(maze_exact.return_distribution(maze, probs, 4), np.float64)
    sampled = np.bincount(np.asarray(totals, int), minlength=5) / num_episodes
    standard_error = np.sqrt(exact * (1 - exact) / num_episodes)
    assert np.all(np.abs(sampled - exact) <= 4.5 * standard_error + 1e-7)
