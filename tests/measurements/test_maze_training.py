"""Training in mazes: exact outputs by another route, the mazes, one program, what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from measured import SEEDS, compute, refused, run_of

from experiments.measurements import maze_optimum, maze_training
from experiments.measurements.maze_training import MEASUREMENT
from maxpo_jax.mazes import builders, exact

SHORT = {"path": "110", "group_size": 8, "k": 2, "num_updates": 400}


@pytest.fixture(scope="module")
def found():
    return compute(MEASUREMENT, **SHORT)


def test_outputs_are_those_of_the_policy_by_dynamic_programming(found):
    """The policy has one logit: its probability of action 1 is one of the outputs."""
    maze = builders.from_path("110")
    for update in (0, 20):
        probs = jnp.full(5, found["prob"][4, update])
        for index, k in ((0, 1), (2, 4)):
            truth = exact.max_at_k(maze, probs, k, 3)
            assert found["J"][4, index, update] == pytest.approx(float(truth), rel=1e-5)
        truth = exact.max_at_k(maze, probs, 2, 3)
        assert found["max_at_k"][4, update] == pytest.approx(float(truth), rel=1e-5)
        goal = exact.goal_probability(maze, probs, 3)
        assert found["goal_probability"][4, update] == pytest.approx(float(goal), rel=1e-4)
    last = jnp.full(5, found["prob"][4, -1])
    truth = exact.return_distribution(maze, last, 3)
    np.testing.assert_allclose(found["return_distribution"][4], truth, rtol=1e-4)
    p = found["prob"].astype(np.float64)
    entropy = -p * np.log(p) - (1 - p) * np.log(1 - p)
    np.testing.assert_allclose(found["entropy"], entropy, rtol=1e-4)


def test_curves_start_alike_and_end_at_their_optima(found):
    assert np.abs(found["prob"][:, 0] - 0.5).max() < 0.15
    # Path "110": J_1 is largest at p = 1, which RLOO approaches; J_2 inside, where MaxPO stays.
    collapsed = compute(MEASUREMENT, **(SHORT | {"estimator": "rloo", "k": 1}))
    assert collapsed["prob"][:, -1].mean() > 0.85
    best = compute(maze_optimum.MEASUREMENT, path="110", group_size=8, k=2)
    late = found["prob"][:, -10:].mean(axis=1)
    error = late.std(ddof=1) / len(late) ** 0.5
    assert abs(late.mean() - best["prob"][0]) < 0.03 + 4 * error


def test_the_smallest_of_two_is_learned_by_name_and_settles_on_what_is_sure(found):
    """Path "110": who always takes action 1 gets 2 for sure."""
    careful = compute(MEASUREMENT, **SHORT, estimator="min_at_k")
    shares = careful["return_distribution"].mean(axis=0)
    assert shares[2] > found["return_distribution"].mean(axis=0)[2] + 0.1


def test_one_program_for_all_traced_fields_and_a_row_depends_on_itself(found):
    count = maze_training._train._cache_size
    before = count()
    for fields in ({"k": 3}, {"learning_rate": 0.1}, {"initial_logit": 1.0}, {"path": "101"}):
        compute(MEASUREMENT, **(SHORT | fields))
    assert count() == before
    run = run_of(MEASUREMENT, **SHORT)
    moved = MEASUREMENT.compute(run, SEEDS[::-1] + 1)
    np.testing.assert_array_equal(np.asarray(moved["J"])[::-1][:-1], found["J"][1:])


def test_groups_that_measure_the_variance_train_nothing(found):
    without = compute(MEASUREMENT, **SHORT, variance_groups=0)
    np.testing.assert_array_equal(without["prob"], found["prob"])
    assert np.isnan(without["gradient_variance"]).all()
    assert np.isfinite(found["gradient_variance"]).all()


def test_adam_trains_a_tabular_policy():
    run = {"path": "110", "policy": "tabular", "optimizer": "adam", "learning_rate": 0.1}
    found = compute(MEASUREMENT, **run, num_updates=200, group_size=8, k=2)
    assert found["goal_probability"][:, -1].min() > 0.8


def test_random_mazes_have_their_depth_and_bias_and_one_shape():
    for depth, bias in ((5, 0.4), (10, 0.8), (20, 0.5)):
        run = run_of(MEASUREMENT, path="random", depth=depth, bias=bias)
        mazes = maze_training.make_mazes(run, SEEDS)
        assert mazes.terminal.shape == (8, 22)
        paths = [
            builders.correct_path(jax.tree.map(lambda leaf, i=i: leaf[i], mazes)) for i in SEEDS
        ]
        assert {(len(path), path.count("1") / len(path)) for path in paths} == {(depth, bias)}
        assert len(set(paths)) > 1


def test_random_mazes_of_many_depths_and_biases_share_one_program():
    run = {"path": "random", "policy": "tabular", "num_updates": 10, "group_size": 4, "k": 2}
    first = compute(MEASUREMENT, **run, depth=5)
    count = maze_training._train._cache_size
    before = count()
    compute(MEASUREMENT, **run, depth=10, bias=0.5)
    assert count() == before
    assert first["J"].shape == (8, 9, 1)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"path": "13"}, "path is '13'; write one action, 0 or 1"),
        ({"path": ""}, "write one action"),
        ({"path": "random", "depth": 0}, "depth is 0; it must be at least 1"),
        ({"path": "random", "bias": 1.5}, "bias is 1.5"),
        ({"num_updates": 15}, "num_updates is 15; it must be a multiple of 10"),
        ({"num_updates": 0}, "num_updates is 0; it must be at least 1"),
        ({"policy": "statless"}, "did you mean stateless?"),
        ({"k": 99}, "allowed are 1 <= k <= B - 1"),
        ({"dead_end_length": -1}, "dead_end_length is -1"),
        ({"optimizer": "adagrad"}, "optimizer 'adagrad' does not exist"),
        ({"estimator": "pass_at_k_training_analytic"}, "is for 0/1 rewards"),
    ],
)
def test_runs_that_make_no_sense_are_refused(fields, message):
    assert message in refused(MEASUREMENT, **fields)
    assert refused(MEASUREMENT, **MEASUREMENT.smoke) == ""
