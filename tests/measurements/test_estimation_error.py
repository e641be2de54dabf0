"""The estimation error: its mean square by exact moments, its points, and what is refused."""

import numpy as np
import pytest
from measured import compute, refused, run_of

from experiments.measurements import estimation_error, exact_bandit_gradients
from experiments.measurements.estimation_error import MEASUREMENT
from maxpo_jax import exact

TINY = {"reward_family": "gaussian", "num_actions": 3, "group_size": 4, "k": 2}
POINTS = [{"estimator": "maxpo"}, {"estimator": "grpo"}]


@pytest.fixture(scope="module")
def found():
    return compute(MEASUREMENT, POINTS, num_draws=5000, bandit_seed=3, **TINY)["error"]


def test_square_errors_have_their_exact_mean(found):
    run = run_of(MEASUREMENT, num_draws=5000, bandit_seed=3, **TINY)
    draws = estimation_error.num_draws(run)
    assert draws.tolist() == [10, 20, 50, 100, 200, 500, 1000, 2000, 5000]
    logits, rewards = estimation_error.problem(run)
    truth = exact.gradient(logits, rewards, 2)
    size = np.linalg.norm(truth)
    for point, name in enumerate(("maxpo", "grpo")):
        moments = exact.moments(name, logits, rewards, 4, 2)
        bias = np.linalg.norm(moments.mean - truth) / size
        expected = bias**2 + np.trace(moments.covariance) / size**2 / draws
        squares = found[point] ** 2
        standard_error = squares.std(axis=0, ddof=1) / len(squares) ** 0.5
        assert (abs(squares.mean(axis=0) - expected) < 6 * standard_error).all()


def test_the_first_points_do_not_depend_on_the_last(found):
    fewer = compute(MEASUREMENT, POINTS, num_draws=2000, bandit_seed=3, **TINY)["error"]
    np.testing.assert_allclose(fewer, found[..., :8], rtol=1e-5)


def test_the_bandit_is_that_of_the_exact_measurement():
    fields = TINY | {"logits": "gaussian"}
    run = run_of(exact_bandit_gradients.MEASUREMENT, **{k: fields[k] for k in fields if k != "k"})
    for mine, theirs in zip(
        estimation_error.problem(run_of(MEASUREMENT, bandit_seed=3, **TINY)),
        exact_bandit_gradients.problem(run, 3),
        strict=True,
    ):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_draws": 5}, "num_draws is 5; it must be at least 10"),
        ({"k": 8}, "maxpo: k = 8 does not fit"),
        ({"reward_family": "cauchy"}, "reward_family 'cauchy' does not exist"),
        ({"estimator": "pass_at_k_training_analytic"}, "is for 0/1 rewards"),
    ],
)
def test_runs_that_make_no_sense_are_refused(fields, message):
    assert message in refused(MEASUREMENT, **fields)
    assert refused(MEASUREMENT, **MEASUREMENT.smoke) == ""
