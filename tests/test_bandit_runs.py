"""The experiments of training on bandits: each figure's numbers by another route, and its frame."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import adam_variance, bandit_learning, bandit_runs, k_sensitivity
from experiments.common.configuration import resolve_config
from experiments.experiment import load, run
from experiments.old_lottery import make_instance
from maxpo_jax import estimators

TINY = {
    "num_actions": 9,
    "group_size": 4,
    "k": 2,
    "estimators": ("maxpo",),
    "learning_rates": (0.3, 1.0),
    "num_updates": 20,
    "updates_per_record": 5,
    "num_tuning_seeds": 2,
    "num_seeds": 4,
}
LEARNING = {
    "instances": ("needle", "ladder"),
    "estimators": ("maxpo", "pass_at_k_training_analytic"),
}
VARIANCE = {"instance": "needle", "num_actions": 3, "num_draws": 3000}
SENSITIVITY = {"training_ks": (1, 3), "evaluation_ks": (1, 4), "k": None, "updates_per_record": 20}


def stored(experiment, tmp_path, **fields):
    fields = {name: value for name, value in (TINY | fields).items() if value is not None}
    config = resolve_config(experiment.name, "smoke", fields)
    result = run(experiment, config, tmp_path)
    figure = result.directory / f"{experiment.name}.png"
    assert 4_000 < figure.stat().st_size < 300_000
    return config, load(experiment, tmp_path).dataset


def max_at_k_by_sampling_theory(lottery, logits, k):
    """J_k from the distribution function of the reward, in NumPy."""
    prizes, chance = (np.asarray(x, np.float64) for x in lottery)
    probs = np.exp(np.float64(logits)) / np.exp(np.float64(logits)).sum()
    outcomes = np.append(prizes, 0.0)
    weights = np.append(probs * chance, (probs * (1 - chance)).sum())
    levels = np.unique(outcomes)
    below = np.array([weights[outcomes <= level].sum() for level in levels])
    return levels[-1] - (np.diff(levels) * below[:-1] ** k).sum()


def runs_by_hand(config, name, estimator, ks):
    instance = make_instance(name, config.num_actions)
    return instance, bandit_runs.tuned_runs(config, instance, estimator, ks, int(ks[0]))


def test_bandit_learning(tmp_path):
    config, dataset = stored(bandit_learning.EXPERIMENT, tmp_path, **LEARNING)
    instance, runs = runs_by_hand(config, "ladder", "maxpo", np.full(20, 2))
    point = dataset.sel(instance="ladder", learner="maxpo", update=10).isel(seed=1)
    logits = np.asarray(runs.history.params[1, 1])
    assert float(point.max_at_k) == pytest.approx(
        max_at_k_by_sampling_theory(instance.lottery, logits, 2), rel=1e-5
    )
    assert float(point.max_at_1) == pytest.approx(
        max_at_k_by_sampling_theory(instance.lottery, logits, 1), rel=1e-5
    )
    probs = np.exp(logits) / np.exp(logits).sum()
    assert float(point.entropy) == pytest.approx(-(probs * np.log(probs)).sum(), rel=1e-5)
    assert float(point.gradient_norm) > 0
    # Rewards are not 0/1, so Pass@k Training is not defined on either instance.
    assert bool(dataset.max_at_k.sel(learner="pass_at_k_training_analytic").isnull().all())
    first = dataset.max_at_k.sel(update=0, instance="ladder", learner="maxpo+annealed")
    start = max_at_k_by_sampling_theory(instance.lottery, np.zeros(9), 2)
    np.testing.assert_allclose(first, start, rtol=1e-5)


def test_the_schedule_falls_from_k_to_one_in_equal_steps():
    config = resolve_config("bandit_learning", "smoke", {"num_updates": 40, "k": 4})
    annealed = bandit_learning.schedule(config, "maxpo+annealed")
    np.testing.assert_array_equal(annealed, np.repeat([4, 3, 2, 1], 10))
    assert set(bandit_learning.schedule(config, "maxpo")) == {4}


def test_the_best_learning_rate_of_other_seeds_is_kept():
    fields = TINY | {"instances": ("ladder",), "learning_rates": (1e-6, 0.3)}
    config = resolve_config("bandit_learning", "smoke", fields)
    instance, runs = runs_by_hand(config, "ladder", "maxpo", np.full(20, 2))
    histories = bandit_runs.grid_of_runs(
        jax.random.split(jax.random.key(config.seed), 6),
        instance,
        jnp.full(20, 2),
        jnp.array(config.learning_rates),
        estimator="maxpo",
        optimizer="sgd",
        group_size=4,
        updates_per_record=5,
    )
    final = bandit_runs.max_at_k(instance.lottery, histories.params[:, :, -1], jnp.asarray(2))
    best = int(np.argmax(np.asarray(final)[:, :2].mean(axis=1)))
    assert runs.learning_rate == config.learning_rates[best]
    np.testing.assert_array_equal(runs.history.params, histories.params[best, 2:])


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


def test_adam_variance(tmp_path):
    config, dataset = stored(adam_variance.EXPERIMENT, tmp_path, optimizer="adam", **VARIANCE)
    _, runs = runs_by_hand(config, "needle", "maxpo", np.full(20, 2))
    for seed in range(2):
        truth, deviation = variance_by_hand(runs.history.params[seed, 1])
        point = dataset.true_variance.sel(estimator="maxpo", update=10).isel(seed=seed)
        assert abs(float(point) - truth) < 5 * deviation / config.num_draws**0.5
    state = jax.tree.map(lambda leaf: np.asarray(leaf[0, -1]), runs.history.optimizer_state)
    proxy = (state.nu / (1 - 0.999**20) - (state.mu / (1 - 0.9**20)) ** 2).sum()
    last = dataset.proxy.sel(estimator="maxpo", update=20).isel(seed=0)
    assert float(last) == pytest.approx(proxy, rel=1e-3)


def test_k_sensitivity(tmp_path):
    config, dataset = stored(k_sensitivity.EXPERIMENT, tmp_path, **SENSITIVITY)
    instance, runs = runs_by_hand(config, "ladder", "maxpo", np.full(20, 3))
    point = dataset.max_at_k.sel(estimator="maxpo", training_k=3, evaluation_k=4).isel(seed=2)
    truth = max_at_k_by_sampling_theory(instance.lottery, runs.history.params[2, -1], 4)
    assert float(point) == pytest.approx(truth, rel=1e-5)


@pytest.mark.parametrize("k", [1, 4, 256])
def test_the_optimum_satisfies_its_condition(k):
    """J_k is concave: no policy is better than the largest slope over all arms allows."""
    lottery = make_instance("ladder", 9).lottery
    found = k_sensitivity.largest_max_at_k(lottery, k)
    prizes, chance = (np.asarray(x, np.float64) for x in lottery)
    single = prizes * (1 - (1 - chance) ** k)
    assert found >= single.max() * (1 - 1e-6)
    if k == 1:
        assert found == pytest.approx(single.max(), rel=1e-5)
    trials = np.random.default_rng(0).dirichlet(np.full(9, 0.3), size=200)
    values = [max_at_k_by_sampling_theory(lottery, np.log(p + 1e-30), k) for p in trials]
    assert max(values) <= found * (1 + 1e-6)


@pytest.mark.parametrize(
    ("module", "field", "message"),
    [
        (bandit_learning, {"optimizer": "rmsprop"}, "choose one of sgd, adam"),
        (bandit_learning, {"updates_per_record": 7}, "does not divide num_updates"),
        (bandit_learning, {"num_tuning_seeds": 0}, "must be at least 1"),
        (bandit_learning, {"instances": ("haystack",)}, "choose one of needle"),
        (bandit_learning, {"annealed_estimator": "ei", "k": 17}, "k = 17 does not fit"),
        (adam_variance, {"optimizer": "sgd"}, "the proxy is Adam's"),
        (adam_variance, {"estimators": ("pass_at_k_training_full",)}, "is randomized"),
        (adam_variance, {"estimators": ("pass_at_k_training_analytic",)}, "0/1 rewards"),
        (k_sensitivity, {"training_ks": (1, 32)}, "k = 32 does not fit"),
    ],
)
def test_a_config_that_makes_no_sense_is_refused(module, field, message):
    config = resolve_config(module.EXPERIMENT.name, "smoke", field)
    with pytest.raises(ValueError, match=message):
        module.parts(config)


def test_one_program_serves_every_schedule_of_k():
    count = bandit_runs.grid_of_runs._cache_size
    go = functools.partial(
        bandit_runs.grid_of_runs,
        learning_rates=jnp.array([0.3, 1.0]),
        estimator="maxpo",
        optimizer="sgd",
        group_size=4,
        updates_per_record=5,
    )
    go(
        jax.random.split(jax.random.key(0), 6),
        make_instance("ladder", 9),
        ks=jnp.asarray(np.full(20, 2)),
    )
    before = count()
    ks = jnp.asarray(np.arange(20) // 10 + 1)
    go(jax.random.split(jax.random.key(0), 6), make_instance("needle", 9), ks=ks)
    assert count() == before
