"""Builders: from a path, from a drawing, at random; padding; and what they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maxpo_jax.mazes import builders as maze_builders


def returns_of_all_action_sequences(env):
    """Plays every sequence of actions on the tables in plain Python."""
    transitions, rewards = np.asarray(env.transitions), np.asarray(env.rewards)
    terminal, num_steps = np.asarray(env.terminal), int(env.max_steps)
    returns = []
    for number in range(2**num_steps):
        state, total = int(env.start), 0
        for t in range(num_steps):
            if terminal[state]:
                break
            action = (number >> t) & 1
            total += int(rewards[state, action])
            state = int(transitions[state, action])
        returns.append((total, state == int(env.goal)))
    return returns


@pytest.mark.parametrize("path", ["1", "0", "10", "1110111011", "000"])
@pytest.mark.parametrize("dead_end_length", [0, 1, 3])
def test_path_is_read_back(path, dead_end_length):
    env = maze_builders.from_path(path, dead_end_length)
    assert maze_builders.correct_path(env) == path
    assert env.terminal.shape == (len(path) * (1 + dead_end_length) + 2,)


def test_exactly_one_sequence_reaches_the_goal_and_it_alone_has_the_largest_return():
    returns = returns_of_all_action_sequences(maze_builders.from_path("1101", dead_end_length=2))
    assert [total for total, at_goal in returns if at_goal] == [4]
    assert max(total for total, at_goal in returns if not at_goal) == 3


def test_drawing_and_path_are_the_same_maze():
    drawing = """
        S-o-o
        |   |
        o   o-o-G
            |
            o
    """
    drawn = maze_builders.from_drawing(drawing)
    assert maze_builders.correct_path(drawn) == "11011"
    assert returns_of_all_action_sequences(drawn).count((5, True)) == 1
    assert int(drawn.max_steps) == 5
    assert drawn.terminal.shape == (9,)


def test_drawing_and_path_have_the_same_returns():
    drawn = maze_builders.from_drawing("""
        S-o-o
        | |
        o o-G
    """)
    built = maze_builders.from_path("101", dead_end_length=1)
    assert returns_of_all_action_sequences(drawn) == returns_of_all_action_sequences(built)


@pytest.mark.parametrize("bias", [0.0, 0.3, 0.5, 1.0])
def test_random_maze_has_the_share_of_action_1(bias):
    env = maze_builders.random_maze(jax.random.key(1), depth=10, bias=bias)
    assert maze_builders.correct_path(env).count("1") == round(10 * bias)


def test_a_traced_bias_that_is_no_share_makes_every_reward_nan():
    build = jax.vmap(lambda bias: maze_builders.random_maze(jax.random.key(0), 4, bias))
    mazes = build(jnp.array([0.5, 1.2, -0.1, jnp.nan]))
    np.testing.assert_array_equal(np.isnan(mazes.rewards).all((1, 2)), [False, True, True, True])
    assert not np.isnan(mazes.rewards[0]).any()


def test_random_mazes_come_in_one_batch():
    keys = jax.random.split(jax.random.key(0), 20)
    build = jax.jit(jax.vmap(lambda key: maze_builders.random_maze(key, 8, 0.75, 2)))
    mazes = build(keys)
    paths = {
        maze_builders.correct_path(jax.tree.map(lambda leaf, index=index: leaf[index], mazes))
        for index in range(20)
    }
    assert {path.count("1") for path in paths} == {6}
    assert len(paths) > 10


def test_padding_changes_no_return():
    env = maze_builders.from_path("101", dead_end_length=1)
    padded = maze_builders.pad(env, 20)
    assert padded.terminal.shape == (20,)
    assert returns_of_all_action_sequences(env) == returns_of_all_action_sequences(padded)


def test_stack_pads_to_the_largest():
    batch = maze_builders.stack([maze_builders.from_path(path) for path in ("1", "0110")])
    assert batch.transitions.shape == (2, 6, 2)
    for index, path in enumerate(("1", "0110")):
        env = jax.tree.map(lambda leaf, index=index: leaf[index], batch)
        assert maze_builders.correct_path(env) == path


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("", "the path is empty"),
        ("1120", r"character '2' at index 2 of path '1120' is not an action; use 0 or 1"),
        ("1 0", r"character ' ' at index 1"),
    ],
)
def test_bad_paths_are_refused(path, message):
    with pytest.raises(ValueError, match=message):
        maze_builders.from_path(path)


@pytest.mark.parametrize("path", [["01"], ["1", "0"], [1, 0], 10, None, b"10"])
def test_a_path_is_a_string(path):
    with pytest.raises(ValueError, match=r"is not a string; .* from_actions"):
        maze_builders.from_path(path)


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        ([2, 0], r"actions\[0\] is 2; an action is 0 or 1"),
        ([-1, 1], r"actions\[0\] is -1; an action is 0 or 1"),
        (np.array([1, 0, 256], np.int16), r"actions\[2\] is 256; an action is 0 or 1"),
        (np.array([1, 2**32]), r"actions\[1\] is 4294967296; an action is 0 or 1"),
        (jnp.array([1, 3], jnp.uint8), r"actions\[1\] is 3; an action is 0 or 1"),
        ([0.5, 1.0], "actions are float64; an action is 0 or 1, an integer or a boolean"),
        (jnp.array([0.0, 1.0]), "actions are float32; an action is 0 or 1"),
        (["1", "0"], "actions are <U1; an action is 0 or 1"),
        ([1, 2**70], "actions are object; an action is 0 or 1"),
        ([], "at least one action"),
        (1, "vector"),
    ],
)
def test_actions_that_are_not_are_refused(actions, message):
    with pytest.raises(ValueError, match=message) as error:
        maze_builders.from_actions(actions)
    assert "\n" not in str(error.value)


def test_traced_floats_are_refused():
    with pytest.raises(ValueError, match="actions are float32"):
        jax.jit(maze_builders.from_actions)(jnp.array([0.5, 1.0]))


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint8, np.int32, np.int64])
def test_actions_of_every_whole_type_build_the_maze_of_the_path(dtype):
    expected = maze_builders.from_path("1101", dead_end_length=2)
    actions = np.array([1, 1, 0, 1], dtype)
    for built in (
        maze_builders.from_actions(actions, 2),
        jax.jit(maze_builders.from_actions, static_argnums=1)(actions, 2),
    ):
        jax.tree.map(np.testing.assert_array_equal, built, expected)


def test_traced_actions_that_are_not_make_every_reward_nan_in_their_maze_alone():
    actions = jnp.array([[2, 0, 1], [1, 0, 1], [1, -1, 1], [0, 1, 256]])
    mazes = jax.jit(jax.vmap(maze_builders.from_actions))(actions)
    spoilt = np.isnan(mazes.rewards)
    np.testing.assert_array_equal(spoilt.all((1, 2)), [True, False, True, True])
    right = jax.tree.map(lambda leaf: leaf[1], mazes)
    jax.tree.map(np.testing.assert_array_equal, right, maze_builders.from_path("101"))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "drawing is empty"),
        (["S-o-o"], "no goal; mark it with G"),
        (["o-o-G"], "no start; mark it with S"),
        (["S-o-G", "| |", "S o"], "second start at line 3, column 1"),
        (["S-G", "|", "G"], "second goal at line 3, column 1"),
        (["S-o-G", "|   |", "o   x"], "character 'x' at line 3, column 5 .* allowed: S o G"),
        (["S|o-G"], r"character '\|' at line 1, column 2 .* allowed: -"),
        (["S-G", "-"], r"character '-' at line 2, column 1 .* allowed: \|"),
        (["S-G", " o"], "character 'o' at line 2, column 2 .* allowed: a blank"),
        (["S-G", "|"], r"link '\|' at line 2, column 1 .* lacks a cell"),
        (["S-o-G", "", "o"], "cell at line 3, column 1 cannot be reached"),
        (["S-o G"], "cell at line 1, column 5 cannot be reached"),
        (["S-G-o"], "leads on from the goal at line 1, column 3"),
        (["S-o", "| |", "o-G"], "2 correct paths .* meet at line 3, column 3"),
        (["S-o", "| |", "o-o-G"], "2 correct paths .* meet at line 3, column 3"),
    ],
)
def test_bad_drawings_are_refused_with_the_place(lines, message):
    with pytest.raises(ValueError, match=message) as error:
        maze_builders.from_drawing("\n".join(lines))
    assert "\n" not in str(error.value)


def test_ways_that_meet_in_a_dead_end_are_allowed():
    env = maze_builders.from_drawing("S-o-G\n| |\no-o")
    assert maze_builders.correct_path(env) == "11"


def test_impossible_sizes_are_refused():
    with pytest.raises(ValueError, match="dead_end_length is -1"):
        maze_builders.from_path("10", -1)
    with pytest.raises(ValueError, match="depth is 0"):
        maze_builders.random_maze(jax.random.key(0), 0, 0.5)
    with pytest.raises(ValueError, match=r"bias is 1\.2"):
        maze_builders.random_maze(jax.random.key(0), 5, 1.2)
    with pytest.raises(ValueError, match=r"bias is 1\.2"):
        maze_builders.random_maze(jax.random.key(0), 5, jnp.array(1.2))
    with pytest.raises(ValueError, match=r"bias is \[0\.5 0\.5\]"):
        maze_builders.random_maze(jax.random.key(0), 2, np.array([0.5, 0.5]))
    with pytest.raises(ValueError, match=r"depth is 2\.5; it must be a whole number"):
        maze_builders.random_maze(jax.random.key(0), 2.5, 0.5)
    with pytest.raises(ValueError, match=r"dead_end_length is 0\.5; it must be a whole number"):
        maze_builders.from_path("10", 0.5)
    with pytest.raises(ValueError, match="more than num_states = 2"):
        maze_builders.pad(maze_builders.from_path("10"), 2)
    with pytest.raises(ValueError, match="no maze to stack"):
        maze_builders.stack([])
    with pytest.raises(ValueError, match="vector"):
        maze_builders.from_actions(jnp.zeros((2, 2), jnp.int32))


def test_tables_with_two_ways_have_no_correct_path():
    env = maze_builders.from_path("10")
    both = env._replace(
        transitions=env.transitions.at[0, 0].set(1), rewards=env.rewards.at[0, 0].set(1)
    )
    with pytest.raises(ValueError, match="2 ways to the goal"):
        maze_builders.correct_path(both)
