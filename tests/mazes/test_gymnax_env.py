"""The interface of gymnax 1.0, with gymnax itself: its base class, spaces and wrappers."""

import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments import environment, spaces
from gymnax.wrappers import compat, dm_env, gym, purerl

from maxpo_jax.mazes import builders as maze_builders
from maxpo_jax.mazes import maze
from maxpo_jax.mazes.gymnax_env import GymnaxMaze

ROOT = Path(__file__).parents[2]


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


def test_spaces_are_those_of_gymnax(env):
    assert isinstance(env.action_space(), spaces.Discrete)
    assert isinstance(env.observation_space(env.default_params), spaces.Box)


@pytest.mark.parametrize("action", [2, -1])
def test_what_is_not_an_action_is_refused(env, action):
    _, state = env.reset(jax.random.key(0))
    with pytest.raises(ValueError, match=f"action is {action}; an action is 0 or 1"):
        env.step(jax.random.key(1), state, action)
    with pytest.raises(ValueError, match=r"action is float\d\d"):
        env.step(jax.random.key(1), state, 0.5)


class MazeOnGymnaxBase(environment.Environment):
    """The same maze as gymnax would have it written: its base class resets and truncates."""

    def __init__(self, tables):
        self.tables = tables

    @property
    def default_params(self):
        return environment.EnvParams(max_steps_in_episode=self.tables.max_steps)

    def observe(self, key, state, action, params):
        return jnp.eye(self.tables.terminal.size)[state.position]

    def reset_env(self, key, params):
        state = maze.MazeState(self.tables.start, jnp.zeros((), jnp.int32))
        return self.observe(key, state, None, params), state

    def step_env(self, key, state, action, params):
        reward = self.tables.rewards[state.position, action]
        position = self.tables.transitions[state.position, action]
        state = maze.MazeState(position, state.time + 1)
        terminated = self.tables.terminal[position]
        observation = self.observe(key, state, action, params)
        discount = jnp.where(terminated, 0.0, jnp.float32(1.0))
        return observation, state, reward, terminated, {"discount": discount}

    def is_truncated(self, state, params):
        # Left alone, the base class calls an episode that ends at the time limit both.
        at_limit = super().is_truncated(state, params)
        return at_limit & ~self.tables.terminal[state.position]


@pytest.mark.parametrize("max_steps", [2, 3])
def test_every_step_is_that_of_an_environment_on_the_base_class_of_gymnax(max_steps):
    tables = maze_builders.from_path("101", dead_end_length=1)
    tables = tables._replace(max_steps=jnp.asarray(max_steps, jnp.int32))
    actions = jax.random.bernoulli(jax.random.key(2), 0.6, (40,)).astype(jnp.int32)

    def play(env):
        def act(state, action):
            observation, state, *outcome = env.step(jax.random.key(0), state, action)
            return state, (observation, state, *outcome)

        observation, state = env.reset(jax.random.key(0))
        return observation, jax.jit(lambda: jax.lax.scan(act, state, actions)[1])()

    ours, theirs = play(GymnaxMaze(tables)), play(MazeOnGymnaxBase(tables))
    assert bool(ours[1][3].any())
    assert bool(ours[1][4].any()) == (max_steps == 2)
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)
    assert jax.tree.map(jax.typeof, ours) == jax.tree.map(jax.typeof, theirs)


@pytest.mark.parametrize(("probability", "rewards"), [(0.0, [1, 1, 0]), (1.0, [1, 0, 1])])
def test_sticky_actions_under_gymnax(probability, rewards):
    env = purerl.StickyActionWrapper(GymnaxMaze(maze_builders.from_path("010")), probability)
    _, state = env.reset(jax.random.key(0))
    earned = []
    for action in (0, 1, 1):  # replayed for certain, it is the action before the first: 0
        _, state, reward, *_ = env.step(jax.random.key(1), state, action)
        earned.append(int(reward))
    assert earned == rewards


def test_flattened_observations_under_gymnax(env):
    flat = purerl.FlattenObservationWrapper(env)
    observation, state = flat.reset(jax.random.key(0), env.default_params)
    space = flat.observation_space(env.default_params)
    assert space.shape == observation.shape == (4,)
    observation, *_, info = flat.step(jax.random.key(1), state, 0, env.default_params)
    np.testing.assert_array_equal(observation, [1, 0, 0, 0])
    np.testing.assert_array_equal(info["final_observation"], [0, 0, 0, 1])


def test_wrappers_of_gymnax_on_top_of_each_other_in_many_mazes():
    mazes = maze_builders.stack([maze_builders.from_path(path) for path in ("11", "10")])
    env = GymnaxMaze(jax.tree.map(lambda leaf: leaf[0], mazes))
    env = purerl.FlattenObservationWrapper(purerl.StickyActionWrapper(env, 0.0))
    with jax.numpy_dtype_promotion("standard"):  # LogWrapper multiplies floats by bools
        env = purerl.LogWrapper(env)
        keys = jax.random.split(jax.random.key(0), 2)
        _, state = jax.vmap(env.reset)(keys, mazes)
        step = jax.jit(jax.vmap(env.step, in_axes=(0, 0, None, 0)))
        for action in (1, 1):
            _, state, _, terminated, _, info = step(keys, state, action, mazes)
    assert terminated.tolist() == info["returned_episode"].tolist() == [True, True]
    assert info["returned_episode_returns"].tolist() == [2.0, 1.0]
    assert info["returned_episode_lengths"].tolist() == [2, 2]


def test_other_interfaces_of_gymnax(env):
    legacy = compat.LegacyStepAPIWrapper(env)
    _, state = legacy.reset(jax.random.key(0))
    _, _, reward, done, _ = legacy.step(jax.random.key(1), state, 0)
    assert (float(reward), bool(done)) == (0.0, True)

    with jax.numpy_dtype_promotion("standard"):  # the wrapper subtracts a bool from 1.0
        deepmind = dm_env.GymnaxToDmEnvWrapper(env)
        time_step = deepmind.reset(jax.random.key(0))
        time_step = deepmind.step(jax.random.key(1), time_step, 0)
    assert (float(time_step.reward), float(time_step.discount)) == (0.0, 0.0)


def test_gymnasium_through_gymnax(env):
    one = gym.GymnaxToGymWrapper(env, seed=1)
    observation, _ = one.reset(seed=2)
    assert (one.action_space.n, one.observation_space.shape) == (2, observation.shape)
    assert [float(one.step(action)[1]) for action in (1, 0)] == [1.0, 1.0]
    with pytest.raises(ValueError, match="action is 2; an action is 0 or 1"):
        one.step(2)

    many = gym.GymnaxToVectorGymWrapper(env, num_envs=3)
    assert many.action_space.shape == (3,)
    many.reset(seed=2)
    many.step(np.array([1, 1, 0]))
    observations, rewards, terminated, *_ = many.step(np.array([0, 1, 1]))
    assert rewards.tolist() == [1.0, 0.0, 1.0]
    assert terminated.tolist() == [True, True, False]
    np.testing.assert_array_equal(observations, np.eye(4)[[0, 0, 1]])


def test_without_gymnax_the_maze_is_played_and_only_the_spaces_are_missing():
    code = """
import sys
sys.modules["gymnax"] = None  # as if it were not installed
import jax
from maxpo_jax.mazes import builders as maze_builders
from maxpo_jax.mazes.gymnax_env import GymnaxMaze
env = GymnaxMaze(maze_builders.from_path("10"))
_, state = env.reset(jax.random.key(0))
print(float(env.step(jax.random.key(1), state, 1)[2]))
for space in (env.action_space, env.observation_space):
    try:
        space()
    except ImportError as error:
        print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    reward, *messages = done.stdout.splitlines()
    assert float(reward) == 1
    assert len(messages) == 2
    assert all("pip install 'gymnax>=1.0.1'" in message for message in messages)
