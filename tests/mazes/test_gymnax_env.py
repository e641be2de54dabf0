"""The interface of gymnax 1.0: six values from step, reset by itself, spaces."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maxpo_jax.mazes import builders as maze_builders
from maxpo_jax.mazes.gymnax_env import GymnaxMaze


@pytest.fixture
def env():
    return GymnaxMaze(maze_builders.from_path("10"))


def test_step_resets_itself_and_keeps_the_final_observation(env):
    _, state = env.reset(jax.random.key(0))
    _, state, *_ = env.step(jax.random.key(1), state, 1)
    observation, state, reward, terminated, truncated, info = env.step(jax.random.key(2), state, 0)
    assert (float(reward), bool(terminated), bool(truncated)) == (1.0, True, False)
    np.testing.assert_array_equal(observation, [1, 0, 0, 0])
    np.testing.assert_array_equal(info["final_observation"], [0, 0, 1, 0])
    assert (int(state.position), int(state.time)) == (0, 0)
    assert float(info["discount"]) == 0


def test_time_limit_truncates_and_still_bootstraps(env):
    params = env.default_params._replace(max_steps=jnp.asarray(1, jnp.int32))
    _, state = env.reset(jax.random.key(0), params)
    _, state, _, terminated, truncated, info = env.step(jax.random.key(1), state, 1, params)
    assert (bool(terminated), bool(truncated), float(info["discount"])) == (False, True, 1.0)
    assert int(state.time) == 0


def test_random_agent_in_many_mazes_at_once(env):
    mazes = maze_builders.stack([maze_builders.from_path(path) for path in ("11", "01")])

    def play(key, params):
        def act(state, key):
            key_action, key_step = jax.random.split(key)
            action = env.action_space(params).sample(key_action)
            _, state, reward, terminated, _, _ = env.step(key_step, state, action, params)
            return state, (reward, terminated)

        _, state = env.reset(jax.random.key(0), params)
        return jax.lax.scan(act, state, jax.random.wrap_key_data(key))[1]

    keys = jax.random.key_data(jax.random.split(jax.random.key(5), 800))
    rewards, terminated = jax.vmap(play, in_axes=(None, 0))(keys, mazes)
    # Uniform actions: an episode ends after 1 or 2 steps, 1.5 on average, with return 0.75.
    share_ended, mean_reward = np.mean(terminated), np.mean(rewards)
    assert abs(share_ended - 1 / 1.5) < 4 * np.sqrt(0.25 / 1600)
    assert abs(mean_reward - 0.5) < 4 * np.sqrt(0.25 / 1600)


def test_spaces_hold_what_they_say(env):
    observation, _ = env.reset(jax.random.key(0))
    space = env.observation_space()
    assert space.shape == observation.shape
    assert bool(space.contains(observation))
    assert bool(space.contains(space.sample(jax.random.key(3))))
    assert [bool(env.action_space().contains(value)) for value in (-1, 0, 1, 2)] == [
        False,
        True,
        True,
        False,
    ]
