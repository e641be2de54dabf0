"""pass@k over prompts: one point by another route, the classes, the support, and the frame."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from experiments import pass_at_k
from experiments.common.configuration import resolve_config
from experiments.drawings import pass_at_k as drawing
from experiments.experiment import load, run
from maxpo_jax import estimators

TINY = {
    "policies": ("shared",),
    "estimators": ("maxpo", "grpo"),
    "num_prompts": 6,
    "num_answers": 3,
    "rank": 2,
    "group_size": 4,
    "k": 2,
    "table_learning_rates": (0.5,),
    "shared_learning_rates": (0.5,),
    "num_updates": 3,
    "num_tuning_seeds": 1,
    "num_seeds": 2,
}


@pytest.fixture(scope="module")
def config():
    return resolve_config("pass_at_k", "smoke", TINY)


@pytest.fixture(scope="module")
def result(config, tmp_path_factory):
    return run(pass_at_k.EXPERIMENT, config, tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def dataset(result):
    return load(pass_at_k.EXPERIMENT, result.directory.parent).dataset


def test_an_untrained_policy_is_the_base_policy(config):
    probs = pass_at_k.trained_success_probs(
        jax.random.split(jax.random.key(0), 3),
        pass_at_k.make_prompts(config, "shared"),
        jnp.full(3, 2),
        jnp.zeros(1),
        estimator="maxpo",
        group_size=4,
    )
    base = np.geomspace(config.hardest, config.easiest, 6)
    np.testing.assert_allclose(probs[0, 1], base, rtol=1e-4)


def test_training_is_the_recursion_of_its_definition(config, dataset):
    """The same draws, with softmax, group by group, in NumPy."""
    prompts = pass_at_k.make_prompts(config, "shared")
    features, base = (np.asarray(x, np.float64) for x in (prompts.features, prompts.base_logits))
    weights = np.zeros((2, 3))
    key = jax.random.split(jax.random.fold_in(jax.random.key(config.seed), 1), 3)[2]
    for _ in range(3):
        key, update_key = jax.random.split(key)
        logits = base + features @ weights
        probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        gradient = np.zeros_like(weights)
        for x, prompt_key in enumerate(jax.random.split(update_key, 6)):
            uniform = np.asarray(jax.random.uniform(prompt_key, (4,)))
            actions = np.searchsorted(np.cumsum(probs[x]), uniform, side="right")
            rewards = np.asarray(prompts.correct)[x, actions].astype(np.float32)
            advantages = np.asarray(estimators.get("maxpo")(rewards, 2))
            scores = np.eye(3)[actions] - probs[x]
            gradient += np.outer(features[x], 2 / 4 * advantages @ scores)
        weights = weights + 0.5 * gradient
    logits = base + features @ weights
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = probs[np.asarray(prompts.correct)]
    found = dataset.success_prob.sel(policy="shared", estimator="maxpo").isel(seed=1)
    np.testing.assert_allclose(found, truth, rtol=1e-4)
    assert not np.allclose(found, dataset.base_success_prob, rtol=0.05)


def test_pass_at_k_is_one_minus_all_failures():
    p = xr.DataArray(np.array([0.0, 1e-6, 0.3, 1.0], np.float32), dims="prompt")
    values = drawing.pass_at(p, np.array([1, 256]))
    truth = [1 - (1 - p.values.astype(np.float64)) ** k for k in (1, 256)]
    np.testing.assert_allclose(values.transpose("k", "prompt"), truth, rtol=1e-8, atol=1e-11)


def test_classes_part_the_prompts(dataset):
    names = [name for name in drawing.CLASSES if name != "all prompts"]
    sizes = [drawing.of_class(dataset, name).sizes["prompt"] for name in names]
    assert sum(sizes) == drawing.of_class(dataset, "all prompts").sizes["prompt"] == 6
    assert min(sizes) > 0


def test_support_counts_what_crossed_the_line(dataset):
    changed = dataset.isel(prompt=slice(0, 3)).copy(deep=True)
    changed["base_success_prob"] = ("prompt", [1e-5, 0.1, 0.1])
    changed.success_prob[:] = np.array([0.1, 0.1, 1e-5])
    gained, lost = drawing.support_changes(changed)
    assert bool((gained == 1).all())
    assert bool((lost == 1).all())


def test_claims_name_every_comparison(result):
    names = {claim.name for claim in result.claims}
    assert "maxpo above grpo at k = 256" in names
    assert "grpo widens support" in names


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ({"policies": ("tables",)}, "choose from table, shared"),
        ({"easiest": 1.0}, "hardest < easiest < 1"),
        ({"k": 16}, "k = 16 does not fit estimator maxpo"),
    ],
)
def test_a_config_that_makes_no_sense_is_refused(field, message):
    with pytest.raises(ValueError, match=message):
        pass_at_k.parts(resolve_config("pass_at_k", "smoke", field))
