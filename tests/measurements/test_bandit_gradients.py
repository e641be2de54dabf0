"""Sampled moments against enumeration, on the same bandits; padding, pairing, what is refused."""

import numpy as np
import pytest
from measured import SEEDS, compute, refused, run_of

from experiments.measurements import _bandits, bandit_gradients, exact_bandit_gradients
from experiments.measurements.bandit_gradients import MEASUREMENT
from maxpo_jax import exact
from maxpo_jax.bandits import variance_floor

NAMES = ("maxpo", "canonical", "ei", "pkpo_s")
POINTS = [{"estimator": name, "k": k} for k in (1, 3) for name in NAMES]
TINY = {"reward_family": "gaussian", "group_size": 5}


@pytest.fixture(scope="module")
def sampled():
    return {n: compute(MEASUREMENT, POINTS, num_actions=n, num_draws=4000, **TINY) for n in (2, 3)}


@pytest.fixture(scope="module")
def enumerated():
    measurement = exact_bandit_gradients.MEASUREMENT
    return {n: compute(measurement, POINTS, num_actions=n, **TINY) for n in (2, 3)}


@pytest.mark.parametrize("n", [2, 3])
def test_sampled_variances_agree_with_enumeration(sampled, enumerated, n):
    # The deviation of a variance from N draws is sqrt((kurtosis - 1) / N); g may be heavy-tailed.
    tolerance = 5 * np.sqrt(10 / 4000)
    np.testing.assert_allclose(sampled[n]["variance"], enumerated[n]["variance"], rtol=tolerance)
    # The mean of unbiased estimates is off by its standard error alone.
    size = enumerated[n]["gradient_norm"]
    expected = np.sqrt(enumerated[n]["variance"] / 4000) / size
    assert (sampled[n]["mean_error"] < 5 * expected).all()
    assert (enumerated[n]["bias"] < 1e-12).all()


def test_exact_outputs_are_those_of_enumeration(enumerated):
    run = run_of(exact_bandit_gradients.MEASUREMENT, num_actions=3, **TINY)
    logits, rewards = exact_bandit_gradients.problem(run, 5)
    truth = exact.gradient(logits, rewards, 3)
    moments = exact.moments("ei", logits, rewards, 5, 3)
    found = {
        name: values[POINTS.index({"estimator": "ei", "k": 3}), 5]
        for name, values in enumerated[3].items()
    }
    assert found["variance"] == pytest.approx(np.trace(moments.covariance), rel=1e-12)
    assert found["gradient_norm"] == pytest.approx(np.linalg.norm(truth), rel=1e-12)
    assert found["cosine"] == pytest.approx(1, rel=1e-12)
    assert found["floor"] == pytest.approx(exact.variance_floor(logits, rewards, 5, 3), rel=1e-12)


def test_every_estimator_stands_over_the_same_floor(enumerated, monkeypatch):
    floor = enumerated[3]["floor"].reshape(2, len(NAMES), len(SEEDS))
    assert (floor == floor[:, :1]).all()
    assert (enumerated[3]["floor"] < enumerated[3]["variance"]).all()
    monkeypatch.setattr(variance_floor, "MAX_TERMS", 10)
    measurement = exact_bandit_gradients.MEASUREMENT
    too_large = compute(measurement, POINTS[:1], num_actions=3, **TINY)
    assert np.isnan(too_large["floor"]).all()
    assert np.isfinite(too_large["variance"]).all()


def test_a_biased_estimator_is_told_by_its_exact_bias():
    found = compute(
        exact_bandit_gradients.MEASUREMENT, [{"estimator": "rloo", "k": 3}], num_actions=3, **TINY
    )
    run = run_of(exact_bandit_gradients.MEASUREMENT, num_actions=3, **TINY)
    logits, rewards = exact_bandit_gradients.problem(run, 2)
    probs = np.exp(np.float64(logits)) / np.exp(np.float64(logits)).sum()
    rewards = np.float64(rewards)
    toward_the_mean = 3 * probs * (rewards - probs @ rewards)  # E g = K grad J_1
    truth = exact.gradient(logits, rewards, 3)
    bias = np.linalg.norm(toward_the_mean - truth) / np.linalg.norm(truth)
    assert found["bias"][0, 2] == pytest.approx(bias, rel=1e-6)


def test_points_share_their_draws(sampled):
    """MaxPO and the canonical advantage are one function: equal to rounding, not to chance."""
    by_name = sampled[3]["variance"].reshape(2, len(NAMES), len(SEEDS))
    np.testing.assert_allclose(by_name[:, 0], by_name[:, 1], rtol=1e-4)


def test_a_point_is_the_same_alone_and_beside_others(sampled):
    alone = compute(MEASUREMENT, POINTS[6:7], num_actions=3, num_draws=4000, **TINY)
    np.testing.assert_allclose(alone["variance"][0], sampled[3]["variance"][6], rtol=1e-5)


def test_one_program_serves_every_number_of_actions_and_every_k(sampled):
    count = bandit_gradients._moments._cache_size
    before = count()
    points = [{"estimator": name, "k": k} for k in (2, 4) for name in NAMES]
    compute(MEASUREMENT, points, num_actions=100, num_draws=4000, **TINY)
    assert count() == before


@pytest.mark.parametrize("family", ["gaussian", "bernoulli", "exponential", "student_t"])
def test_draws_of_a_bandit_are_prefix_stable(family):
    for seed in (0, 7):
        small, large = (
            _bandits.draw_problem(seed, family, "gaussian", 5, size) for size in (5, 1024)
        )
        for few, many in zip(small, large, strict=True):
            np.testing.assert_array_equal(many[:5], few)
        assert np.isneginf(large[0][5:]).all()


def test_noise_adds_variance_and_leaves_no_exact_gradient(sampled):
    noisy = compute(MEASUREMENT, POINTS, num_actions=3, num_draws=4000, noise=2.0, **TINY)
    assert np.isnan(noisy["mean_error"]).all()
    assert (noisy["variance"].mean(axis=1) > sampled[3]["variance"].mean(axis=1)).all()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"logits": "random"}, "logits 'random' does not exist"),
        ({"k": 16}, "maxpo: k = 16 does not fit"),
        ({"estimator": "maxp0"}, "did you mean 'maxpo'"),
        ({"reward_family": "gausian"}, "did you mean gaussian?"),
        ({"num_draws": 1}, "num_draws is 1; it must be at least 2"),
        ({"num_actions": 0}, "num_actions is 0; it must be at least 2"),
        ({"group_size": 0}, "group_size is 0; it must be at least 1"),
        ({"noise": -1.0}, "must not be negative"),
        ({"estimator": "pass_at_k_training_analytic"}, "is for 0/1 rewards"),
    ],
)
def test_runs_that_make_no_sense_are_refused(fields, message):
    assert message in refused(MEASUREMENT, **fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_actions": 64}, "more than the 5,000,000 that are enumerated"),
        ({"estimator": "pass_at_k_training_full", "reward_family": "bernoulli"}, "is randomized"),
        ({"estimator": "maxp0"}, "did you mean 'maxpo'"),
    ],
)
def test_runs_that_cannot_be_enumerated_are_refused(fields, message):
    assert message in refused(exact_bandit_gradients.MEASUREMENT, **fields)


@pytest.mark.parametrize("measurement", [MEASUREMENT, exact_bandit_gradients.MEASUREMENT])
def test_the_defaults_and_the_quick_trial_make_sense(measurement):
    assert refused(measurement) == ""
    assert refused(measurement, **measurement.smoke) == ""
