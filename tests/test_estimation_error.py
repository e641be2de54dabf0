"""The estimation error: its means by another route, its plateaus by hand, and its frame."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import estimation_error
from experiments.common.configuration import resolve_config
from experiments.experiment import load, run

TINY = {
    "reward_families": ("gaussian",),
    "estimators": ("maxpo", "grpo", "pass_at_k_training_analytic"),
    "num_actions": 3,
    "group_size": 4,
    "k": 2,
    "num_draws": (10, 400, 1600),
    "num_replicates": 16,
}


@pytest.fixture(scope="module")
def config():
    return resolve_config("estimation_error", "smoke", TINY)


@pytest.fixture(scope="module")
def result(config, tmp_path_factory):
    return run(estimation_error.EXPERIMENT, config, tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def dataset(result):
    return load(estimation_error.EXPERIMENT, result.directory.parent).dataset


def grpo_by_hand(config):
    """Bias and deviation of GRPO, relative to the gradient of J_2, from all n^B ordered groups."""
    logits, rewards = (
        np.asarray(x, np.float64) for x in estimation_error.problem(config, "gaussian")
    )
    probs = np.exp(logits) / np.exp(logits).sum()
    mean, square = np.zeros(3), 0.0
    for group in itertools.product(range(3), repeat=4):
        values, chance = rewards[list(group)], np.prod(probs[list(group)])
        spread = values.std(ddof=1)
        advantages = (values - values.mean()) / (spread + 1e-6) if spread else 0 * values
        g = 2 / 4 * sum(a * (np.eye(3)[i] - probs) for a, i in zip(advantages, group, strict=True))
        mean, square = mean + chance * g, square + chance * g @ g
    truth = np.zeros(3)  # grad E max(R_1, R_2) = E max(R_1, R_2) (S_1 + S_2)
    for i, j in itertools.product(range(3), repeat=2):
        scores = np.eye(3)[i] + np.eye(3)[j] - 2 * probs
        truth += probs[i] * probs[j] * max(rewards[i], rewards[j]) * scores
    size = np.linalg.norm(truth)
    return np.linalg.norm(mean - truth) / size, np.sqrt(square - mean @ mean) / size


def test_exact_bias_and_deviation_are_those_of_all_ordered_groups(config, dataset):
    bias, deviation = grpo_by_hand(config)
    of_grpo = dataset.sel(estimator="grpo", reward_family="gaussian")
    assert float(of_grpo.exact_bias) == pytest.approx(bias, rel=1e-5)
    assert float(of_grpo.exact_deviation) == pytest.approx(deviation, rel=1e-5)


@pytest.mark.parametrize("name", ["maxpo", "grpo"])
def test_square_errors_have_their_exact_mean(dataset, name):
    curve = dataset.sel(estimator=name, reward_family="gaussian")
    squares = curve.error**2
    expected = curve.exact_bias**2 + curve.exact_deviation**2 / curve.num_draws
    sem = squares.std("replicate", ddof=1) / curve.sizes["replicate"] ** 0.5
    assert bool((abs(squares.mean("replicate") - expected) < 6 * sem).all())


def test_running_means_do_not_depend_on_the_points_in_between(config):
    logits, rewards = estimation_error.problem(config, "gaussian")
    means = [
        estimation_error.running_means(
            jax.random.split(jax.random.key(0), 2),
            logits,
            rewards,
            jnp.array(points),
            jnp.asarray(2),
            names=("maxpo",),
            group_size=4,
            block_size=10,
        )[-1]
        for points in ((10, 30, 70), (10, 20, 70))
    ]
    np.testing.assert_array_equal(*means)


def test_estimators_of_other_rewards_are_left_out(dataset, result):
    of_binary = dataset.error.sel(estimator="pass_at_k_training_analytic")
    assert bool(of_binary.isnull().all())
    names = [claim.name for claim in result.claims]
    assert names == ["maxpo", "grpo"]
    assert all(claim.holds for claim in result.claims)


def test_a_wrong_prediction_does_not_hold(dataset):
    wrong = dataset.copy(deep=True)
    wrong["exact_bias"] = wrong.exact_bias * 1.05
    wrong["error"] = wrong.error * wrong.num_draws / 100
    verdicts = [claim.holds for claim in estimation_error.EXPERIMENT.claims(wrong)]
    assert verdicts == [False, False]


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ({"num_draws": (10, 25)}, "multiples of the first, 10"),
        ({"k": 8}, "k = 8 does not fit estimator maxpo"),
        ({"reward_families": ("cauchy",)}, "unknown reward family 'cauchy'"),
    ],
)
def test_a_config_that_makes_no_sense_is_refused(field, message):
    with pytest.raises(ValueError, match=message):
        estimation_error.parts(resolve_config("estimation_error", "smoke", field))
