"""Training on hard bandits: each output by another route, one program, and what is refused."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from measured import SEEDS, compute, refused, run_of

from experiments.common.keys import key_for
from experiments.measurements import bandit_training
from experiments.measurements.bandit_training import MEASUREMENT, schedule
from maxpo_jax import coefficients, estimators, objectives, training
from maxpo_jax.bandits import gradients
from maxpo_jax.bandits.bandit import make_instance

TINY = {
    "num_actions": 9,
    "group_size": 4,
    "k": 2,
    "num_updates": 20,
    "updates_per_record": 5,
    "learning_rate": 0.5,
}
KS = bandit_training.EVALUATION_KS


def max_at_k_by_sampling_theory(bandit, logits, k):
    """J_k from the distribution function of the reward, in NumPy."""
    rewards, chance = (np.asarray(x, np.float64) for x in bandit[:2])
    probs = np.exp(np.float64(logits)) / np.exp(np.float64(logits)).sum()
    outcomes = np.append(rewards, 0.0)
    weights = np.append(probs * chance, (probs * (1 - chance)).sum())
    levels = np.unique(outcomes)
    below = np.array([weights[outcomes <= level].sum() for level in levels])
    return levels[-1] - (np.diff(levels) * below[:-1] ** k).sum()


def windows_of(name, seed, optimizer="sgd", extra_groups=0, **fields):
    """The windows of one run, by the loop itself."""
    run = TINY | fields
    instance = make_instance(name, run["num_actions"])
    _, windows = training.train(
        key_for(seed, "bandit_training"),
        instance.logits,
        jnp.full(run["num_updates"], run["k"]),
        run["learning_rate"],
        world=gradients.make_world(
            instance.bandit, estimator=estimators.get("maxpo"), group_size=run["group_size"]
        ),
        optimizer=training.OPTIMIZERS[optimizer],
        record=lambda window: window,
        updates_per_record=run["updates_per_record"],
        extra_groups=extra_groups,
    )
    return instance, windows


@pytest.fixture(scope="module")
def found():
    return compute(MEASUREMENT, instance="ladder", **TINY)


def test_outputs_are_those_of_the_policies_by_another_route(found):
    instance, windows = windows_of("ladder", 3)
    for record in (1, 3):
        logits = np.asarray(windows.params[record], np.float64)
        for index in (0, 2, 8):
            truth = max_at_k_by_sampling_theory(instance.bandit, logits, KS[index])
            assert found["J"][3, index, record + 1] == pytest.approx(truth, rel=1e-5)
        truth = max_at_k_by_sampling_theory(instance.bandit, logits, 2)
        assert found["max_at_k"][3, record + 1] == pytest.approx(truth, rel=1e-5)
        probs = np.exp(logits) / np.exp(logits).sum()
        entropy = -(probs * np.log(probs)).sum()
        assert found["entropy"][3, record + 1] == pytest.approx(entropy, rel=1e-5)
        norms = np.linalg.norm(windows.estimates.gradient[record], axis=-1)
        assert found["gradient_norm"][3, record + 1] == pytest.approx(norms.mean(), rel=1e-5)


@pytest.mark.parametrize("instance", ["ladder", "needle", "rare_success"])
def test_the_distribution_of_the_reward_is_that_of_the_last_policy(instance):
    found = compute(MEASUREMENT, instance=instance, **TINY)
    rewards = MEASUREMENT.coordinates(run_of(MEASUREMENT, instance=instance, **TINY))["reward"]
    assert np.all(np.diff(rewards) > 0)
    shares = found["reward_distribution"].astype(np.float64)
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(shares @ rewards, found["J"][:, 0, -1], rtol=1e-5)
    best_of_four = rewards[-1] - np.cumsum(shares, axis=1)[:, :-1] ** 4 @ np.diff(rewards)
    np.testing.assert_allclose(best_of_four, found["J"][:, 2, -1], rtol=1e-5)


def test_learners_of_other_order_statistics_end_where_these_are_larger():
    """The sure rung for the smallest and the median of 3, seldom and large rewards for the best."""
    run = {"instance": "ladder", "num_actions": 9, "group_size": 16, "k": 3, "num_updates": 400}
    ends = {
        name: compute(MEASUREMENT, **run, learning_rate=1.0, estimator=name)["reward_distribution"]
        for name in ("min_at_k", "median_at_k", "top_two_at_k", "maxpo")
    }
    rewards = MEASUREMENT.coordinates(run_of(MEASUREMENT, **run))["reward"]
    of_learners = {name: shares.mean(axis=0) for name, shares in ends.items()}
    statistics = {
        "min_at_k": coefficients.min_at_k(3),
        "median_at_k": coefficients.median_at_k(3),
        "top_two_at_k": coefficients.top_m_at_k(3, 2),
        "maxpo": coefficients.max_at_k(3),
    }
    table = np.array(
        [
            [objectives.order_statistic(rewards, shares, c) for shares in of_learners.values()]
            for c in statistics.values()
        ]
    )
    assert np.all(table.max(axis=1) - np.diag(table) < 0.02), table
    assert table[0, 3] < table[0, 0] - 0.5
    assert table[3, 0] < table[3, 3] - 0.2


def test_the_first_record_is_before_the_first_update(found):
    start = max_at_k_by_sampling_theory(make_instance("ladder", 9).bandit, np.zeros(9), 2)
    np.testing.assert_allclose(found["max_at_k"][:, 0], start, rtol=1e-5)
    assert np.isnan(found["gradient_norm"][:, 0]).all()
    assert np.isnan(found["adam_proxy"]).all()
    assert np.isnan(found["gradient_variance"]).all()


def test_one_program_for_all_traced_fields_and_a_row_depends_on_itself(found):
    count = bandit_training._train._cache_size
    before = count()
    for fields in ({"k": 3}, {"learning_rate": 0.1}, {"anneal": True}, {"instance": "needle"}):
        compute(MEASUREMENT, **({"instance": "ladder"} | TINY | fields))
    assert count() == before
    run = {"instance": "ladder"} | TINY
    moved = MEASUREMENT.compute(run_of(MEASUREMENT, **run), SEEDS[::-1] + 1)
    np.testing.assert_array_equal(moved["J"][::-1][:-1], found["J"][1:])


def test_runs_of_a_seed_share_its_groups():
    """At learning rate 0 the rewards that are seen do not depend on the estimator."""
    of_maxpo, of_more_k = (
        compute(MEASUREMENT, **(TINY | {"k": k, "learning_rate": 0.0})) for k in (1, 2)
    )
    for found in (of_maxpo, of_more_k):
        np.testing.assert_array_equal(found["J"][:, :, :1], found["J"][:, :, -1:])
    assert not np.allclose(of_maxpo["gradient_norm"][:, 1], of_more_k["gradient_norm"][:, 1])


def test_k_falls_to_one_in_equal_steps():
    np.testing.assert_array_equal(schedule(4, True, 40), np.repeat([4, 3, 2, 1], 10))
    np.testing.assert_array_equal(schedule(4, False, 3), [4, 4, 4])


def variance_by_hand(logits):
    """Mean and deviation of |g - E g|^2 over all 3^4 groups on the needle, which pays surely."""
    rewards = np.array([0.0, 0.5, 1.0])
    probs = np.exp(np.float64(logits)) / np.exp(np.float64(logits)).sum()
    groups = np.array(list(itertools.product(range(3), repeat=4)))
    chances = probs[groups].prod(axis=1)
    advantages = np.asarray(estimators.get("maxpo")(rewards[groups].astype(np.float32), 2))
    g = 2 / 4 * np.einsum("gi,gin->gn", advantages, np.eye(3)[groups] - probs)
    squares = ((g - chances @ g) ** 2).sum(axis=1)
    return chances @ squares, (chances @ (squares - chances @ squares) ** 2) ** 0.5


def test_adam_its_proxy_and_the_true_variance():
    fields = {"num_actions": 3, "optimizer": "adam", "learning_rate": 0.1}
    found = compute(MEASUREMENT, **(TINY | fields), variance_groups=3000)
    _, windows = windows_of("needle", 1, extra_groups=3000, **fields)
    for record in (1, 3):
        truth, deviation = variance_by_hand(windows.params[record])
        sampled = found["gradient_variance"][1, record + 1]
        assert abs(sampled - truth) < 5 * deviation / 3000**0.5
    state = jax.tree.map(lambda leaf: np.asarray(leaf[-1]), windows.optimizer_state)
    proxy = (state.nu / (1 - 0.999**20) - (state.mu / (1 - 0.9**20)) ** 2).sum()
    assert found["adam_proxy"][1, -1] == pytest.approx(proxy, rel=1e-3)


def test_a_function_of_ones_own_and_a_randomized_estimator_train(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("def mine(rewards, k):\n    return sum(rewards * 0.5 for _ in range(k))\n")
    randomized = "pass_at_k_training_bootstrap"
    tiny = TINY | {"instance": "rare_success"}
    for spec in (f"{path}:mine", randomized):
        assert refused(MEASUREMENT, **tiny, estimator=spec) == ""
        assert np.isfinite(compute(MEASUREMENT, **tiny, estimator=spec)["J"]).all()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"optimizer": "adan"}, "optimizer 'adan' does not exist; did you mean adam?"),
        ({"updates_per_record": 7}, "num_updates is 600; it must be a multiple of 7"),
        ({"updates_per_record": 0}, "updates_per_record is 0; it must be at least 1"),
        ({"num_updates": 0}, "num_updates is 0; it must be at least 1"),
        ({"instance": "needel"}, "did you mean needle?"),
        ({"num_actions": 1}, "num_actions is 1; it must be at least 2"),
        ({"estimator": "maxp0"}, "did you mean 'maxpo'"),
        ({"estimator": "ei", "k": 17}, "ei: k = 17 does not fit group_size = 16"),
        ({"k": 16}, "allowed are 1 <= k <= B - 1"),
        ({"estimator": "top_two_at_k", "k": 1}, "allowed are 2 <= k <= B - 1"),
        ({"estimator": "pass_at_k_training_analytic"}, "is for 0/1 rewards"),
        ({"learning_rate": -0.1}, "must not be negative"),
        ({"learning_rate": float("nan")}, "must not be negative"),
        ({"variance_groups": -1}, "variance_groups is -1"),
        ({"estimator": "rspo", "k": 8, "anneal": True}, "rspo: k = 1 does not fit"),
    ],
)
def test_runs_that_make_no_sense_are_refused(fields, message):
    assert message in refused(MEASUREMENT, **fields)


def test_the_defaults_and_the_quick_trial_make_sense():
    assert refused(MEASUREMENT) == ""
    assert refused(MEASUREMENT, **MEASUREMENT.smoke) == ""
