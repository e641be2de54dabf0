"""Measurements without a seed: the optima, and the exact variance on Bernoulli bandits."""

import numpy as np
import pytest
from measured import compute, refused

from experiments.common.errors import UserError
from experiments.measurements import bandit_optimum, bernoulli_gradients, maze_optimum
from maxpo_jax import exact
from maxpo_jax.bandits.bandit import make_instance
from maxpo_jax.bandits.optimum import largest_value


def test_the_optimum_of_a_maze_has_its_own_facts():
    """Path "1": every policy does best at p = 1."""
    found = compute(maze_optimum.MEASUREMENT, path="1", k=3)
    values = [found[name][0] for name in ("value", "prob", "mean_return", "best_return", "entropy")]
    np.testing.assert_allclose(values, (1.0, 1.0, 1.0, 1.0, 0.0), atol=1e-12)


def test_a_policy_that_tells_states_apart_reaches_the_goal():
    found = compute(maze_optimum.MEASUREMENT, path="1110", policy="tabular", k=3)
    values = [found[name][0] for name in ("value", "prob", "mean_return", "best_return", "entropy")]
    assert values == [4.0, 0.75, 4.0, 4.0, 0.0]


def test_the_optimum_of_a_bandit_is_that_of_the_library():
    found = compute(bandit_optimum.MEASUREMENT, instance="ladder", num_actions=9)["J"][0]
    bandit = make_instance("ladder", 9).bandit
    assert found[2] == pytest.approx(largest_value(bandit, 4), rel=1e-9)
    assert (np.diff(found) > 0).all()


def test_bernoulli_variances_are_those_of_enumeration():
    points = [
        {"estimator": name, "k": k, "success_prob": p}
        for p in (0.2, 0.7)
        for k in (2, 3)
        for name in ("maxpo", "ei")
    ]
    found = compute(bernoulli_gradients.MEASUREMENT, points, group_size=5, arms_per_outcome=2)
    rows = zip(points, found["variance"][:, 0], found["floor"][:, 0], strict=True)
    for point, value, floor in rows:
        p = point["success_prob"]
        policy = np.array([p, p, 1 - p, 1 - p]) / 2
        truth = exact.variance(
            point["estimator"], np.log(policy), [1.0, 1.0, 0.0, 0.0], 5, point["k"]
        )
        assert value == pytest.approx(truth, rel=1e-10)
        least = exact.variance_floor(np.log(policy), [1.0, 1.0, 0.0, 0.0], 5, point["k"])
        assert floor == pytest.approx(least, rel=1e-12)
        assert 0 < floor < value


def test_an_estimator_that_looks_at_the_order_is_told(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("def first(rewards, k):\n    return rewards.cumsum()\n")
    points = [{"estimator": f"{path}:first", "k": 2, "success_prob": 0.5}]
    with pytest.raises(UserError, match="equal rewards of a group different advantages"):
        compute(bernoulli_gradients.MEASUREMENT, points)


@pytest.mark.parametrize(
    ("measurement", "fields", "message"),
    [
        (bernoulli_gradients, {"k": 16}, "maxpo: k = 16 does not fit"),
        (bernoulli_gradients, {"success_prob": 0.0}, "must lie between 0 and 1"),
        (bernoulli_gradients, {"arms_per_outcome": 0}, "arms_per_outcome is 0"),
        (bernoulli_gradients, {"estimator": "pass_at_k_training_full"}, "is randomized"),
        (bandit_optimum, {"instance": "haystack"}, "instance 'haystack' does not exist"),
        (bandit_optimum, {"num_actions": 1}, "num_actions is 1"),
        (maze_optimum, {"path": "random"}, "no optimum of its own"),
        (maze_optimum, {"path": "2"}, "path is '2'"),
        (maze_optimum, {"k": 0}, "k is 0; it must be at least 1"),
    ],
)
def test_runs_that_make_no_sense_are_refused(measurement, fields, message):
    assert message in refused(measurement.MEASUREMENT, **fields)
    assert refused(measurement.MEASUREMENT) == ""
