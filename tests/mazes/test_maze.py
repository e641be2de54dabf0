"""The dynamics of the maze: rewards, the two ends of an episode, jit, vmap."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maxpo_jax.mazes import builders as maze_builders
from maxpo_jax.mazes import maze

PATH = "1110111011"
step = jax.jit(maze.step)


def walk(env, actions):
    """Plays actions; returns the rewards and the flags of every step."""
    state = maze.reset(env)
    outcomes = []
    for action in actions:
        state, reward, terminated, truncated = step(env, state, action)
        outcomes.append((float(reward), bool(terminated), bool(truncated)))
    return state, outcomes


def test_correct_path_earns_one_a_step_and_ends_at_the_goal():
    env = maze_builders.from_path(PATH)
    state, outcomes = walk(env, [int(action) for action in PATH])
    assert outcomes == [(1.0, False, False)] * 9 + [(1.0, True, False)]
    assert int(state.position) == int(env.goal)
    assert int(state.time) == 10


def test_wrong_action_without_dead_ends_earns_nothing_and_ends():
    env = maze_builders.from_path(PATH)
    _, outcomes = walk(env, [1, 1, 1, 1])
    assert outcomes[-1] == (0.0, True, False)


def test_dead_end_has_its_own_stretch_of_valid_steps():
    env = maze_builders.from_path(PATH, dead_end_length=2)
    _, outcomes = walk(env, [1, 1, 1, 1, 1])
    assert outcomes == [(1.0, False, False)] * 4 + [(1.0, True, False)]


def test_turning_inside_a_dead_end_is_a_wall():
    env = maze_builders.from_path(PATH, dead_end_length=2)
    _, outcomes = walk(env, [1, 1, 1, 1, 0])
    assert outcomes[-1] == (0.0, True, False)


@pytest.mark.parametrize("dead_end_length", [1, 3, 20])
def test_every_dead_end_earns_less_than_the_goal(dead_end_length):
    env = maze_builders.from_path("1101", dead_end_length)
    for index, action in enumerate([1, 1, 0, 1]):
        wrong = 1 - action
        _, outcomes = walk(env, [1, 1, 0, 1][:index] + [wrong] * 6)
        earned = sum(reward for reward, _, _ in outcomes)
        assert earned == index + min(dead_end_length, 4 - index - 1)
        assert earned < 4
        assert outcomes[-1][1]


def test_finished_episode_stays_where_it_is():
    env = maze_builders.from_path("10")
    state, _ = walk(env, [0])
    for action in (0, 1):
        after, reward, terminated, truncated = step(env, state, action)
        assert jax.tree.map(int, after) == jax.tree.map(int, state)
        assert (float(reward), bool(terminated), bool(truncated)) == (0.0, True, False)


def test_time_limit_truncates_and_does_not_terminate():
    env = maze_builders.from_path(PATH)._replace(max_steps=jnp.asarray(3, jnp.int32))
    state, outcomes = walk(env, [1, 1, 1, 0, 1])
    assert outcomes[2] == (1.0, False, True)
    assert outcomes[3:] == [(0.0, False, True)] * 2
    assert int(state.time) == 3
    assert bool(maze.is_finished(env, state))


def test_ending_at_the_time_limit_is_termination_alone():
    env = maze_builders.from_path("111")._replace(max_steps=jnp.asarray(3, jnp.int32))
    _, outcomes = walk(env, [1, 1, 1])
    assert outcomes[-1] == (1.0, True, False)
    _, outcomes = walk(env, [1, 1, 0])
    assert outcomes[-1] == (0.0, True, False)


def test_step_is_the_same_under_jit_and_vmap_over_states_mazes_and_actions():
    envs = maze_builders.stack([maze_builders.from_path(path) for path in ("10", "0111", "110")])
    actions = jnp.array([[1, 0], [0, 0], [1, 1]])
    num_mazes, num_steps = actions.shape

    @jax.jit
    @jax.vmap
    def batched(env, moves):
        def one(state, action):
            state, *outcome = maze.step(env, state, action)
            return state, outcome

        return jax.lax.scan(one, maze.reset(env), moves)[1]

    rewards, terminated, truncated = batched(envs, actions)
    for index in range(num_mazes):
        env = jax.tree.map(lambda leaf, index=index: leaf[index], envs)
        _, outcomes = walk(env, actions[index].tolist())
        assert outcomes == [
            (float(rewards[index, t]), bool(terminated[index, t]), bool(truncated[index, t]))
            for t in range(num_steps)
        ]


def test_two_calls_with_new_mazes_compile_once():
    traces = []

    @jax.jit
    def counted(env, action):
        traces.append(None)
        return maze.step(env, maze.reset(env), action)

    counted(maze_builders.from_path("10"), 1)
    counted(maze_builders.from_path("01"), 1)
    assert len(traces) == 1


def test_observation_is_one_hot():
    env = maze_builders.from_path("110")
    state, _ = walk(env, [1, 1])
    np.testing.assert_array_equal(maze.observe(env, state), np.eye(5)[2])


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (2, "action is 2; an action is 0 or 1"),
        (-1, "action is -1; an action is 0 or 1"),
        (2**32, "action is 4294967296; an action is 0 or 1"),
        (np.uint8(255), "action is 255; an action is 0 or 1"),
        (jnp.array([0, 5]), r"action\[1\] is 5; an action is 0 or 1"),
        (1.0, "action is float64; an action is 0 or 1, an integer or a boolean"),
        ("1", "action is <U1; an action is 0 or 1"),
    ],
)
def test_what_is_not_an_action_is_refused(action, message):
    env = maze_builders.from_path("10")
    with pytest.raises(ValueError, match=message) as error:
        maze.step(env, maze.reset(env), action)
    assert "\n" not in str(error.value)


def test_a_traced_float_is_refused():
    env = maze_builders.from_path("10")
    with pytest.raises(ValueError, match="action is float32"):
        step(env, maze.reset(env), 1.0)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint8, np.int32])
def test_actions_of_every_whole_type_step_alike(dtype):
    env = maze_builders.from_path("10")
    for action, position, reward in ((0, 3, 0.0), (1, 1, 1.0)):
        for one_step in (step, maze.step):
            state, earned, _, _ = one_step(env, maze.reset(env), jnp.asarray(action, dtype))
            assert (int(state.position), float(earned)) == (position, reward)


@pytest.mark.parametrize("action", [2, -1, -2, 127])
@pytest.mark.parametrize("dtype", [jnp.int8, jnp.int32])
def test_what_is_not_an_action_earns_nan_and_leads_nowhere_under_jit(action, dtype):
    env = maze_builders.from_path("11")
    state, reward, terminated, truncated = step(env, maze.reset(env), jnp.asarray(action, dtype))
    assert jax.tree.map(int, state) == maze.MazeState(position=0, time=1)
    assert np.isnan(reward)
    assert reward.dtype == env.rewards.dtype
    assert not terminated
    assert not truncated
    assert step(env, state, jnp.asarray(action, dtype))[3]  # the time limit still holds


def test_padding_after_the_end_of_an_episode_earns_nothing():
    env = maze_builders.from_path("10")
    _, outcomes = walk(env, [1, 0, -1, -1])
    assert outcomes == [(1.0, False, False), (1.0, True, False)] + [(0.0, True, False)] * 2


def test_actions_known_to_be_valid_by_their_type_cost_nothing():
    env = maze_builders.from_path("10")

    def size(dtype):
        action = jax.ShapeDtypeStruct((), dtype)
        return len(jax.make_jaxpr(maze.step)(env, maze.reset(env), action).eqns)

    assert size(bool) < size(jnp.int32)
