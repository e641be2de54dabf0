"""Training on prompts: one run by NumPy, pass@k by its definition, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from measured import compute, refused, run_of

from experiments.common.keys import key_for
from experiments.measurements import contextual_training
from experiments.measurements.contextual_training import MEASUREMENT
from maxpo_jax import estimators
from maxpo_jax.bandits import contextual

TINY = {
    "policy": "shared",
    "num_prompts": 6,
    "num_answers": 3,
    "rank": 2,
    "group_size": 4,
    "k": 2,
    "learning_rate": 0.5,
    "num_updates": 3,
    "updates_per_record": 1,
}


PROBS = ("base_success_prob", "success_prob")


@pytest.fixture(scope="module")
def found():
    return compute(MEASUREMENT, **TINY)


def test_an_untrained_policy_is_the_base_policy(found):
    untrained = compute(MEASUREMENT, **(TINY | {"learning_rate": 0.0}))
    base = np.geomspace(1e-4, 0.5, 6)
    np.testing.assert_allclose(untrained["success_prob"], np.tile(base, (8, 1)), rtol=1e-4)
    np.testing.assert_allclose(found["base_success_prob"], np.tile(base, (8, 1)), rtol=1e-4)


def test_training_is_the_recursion_of_its_definition(found):
    """The same draws, with softmax, group by group, in NumPy."""
    bandit = contextual_training.make_prompts(run_of(MEASUREMENT, **TINY))
    features, base = (np.asarray(x, np.float64) for x in (bandit.features, bandit.base_logits))
    weights = np.zeros((2, 3))
    world = contextual.make_world(bandit, estimator=estimators.get("maxpo"), group_size=4)
    key = key_for(5, "contextual_training")
    for update in range(3):  # of windows of one update
        groups = world.draw(jax.random.fold_in(key, update), 1)
        logits = base + features @ weights
        probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        gradient = np.zeros_like(weights)
        for x in range(6):
            uniform = np.asarray(groups.actions[0, x])
            actions = np.searchsorted(np.cumsum(probs[x]), uniform, side="right")
            rewards = np.asarray(bandit.correct)[x, actions].astype(np.float32)
            advantages = np.asarray(estimators.get("maxpo")(rewards, 2))
            scores = np.eye(3)[actions] - probs[x]
            gradient += np.outer(features[x], 2 / 4 * advantages @ scores)
        weights = weights + 0.5 * gradient
    logits = base + features @ weights
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = probs[np.asarray(bandit.correct)]
    np.testing.assert_allclose(found["success_prob"][5], truth, rtol=1e-4)
    assert not np.allclose(found["success_prob"], found["base_success_prob"], rtol=0.05)


def test_pass_at_k_is_one_minus_all_failures(found):
    p = found["success_prob"].astype(np.float64)
    truth = [(1 - (1 - p) ** k).mean(axis=1) for k in (1, 256)]
    np.testing.assert_allclose(found["J"][:, [0, 8]], np.transpose(truth), rtol=1e-5)
    ends = [(1 - (1 - found[name].astype(np.float64)) ** 2).mean(axis=1) for name in PROBS]
    np.testing.assert_allclose(found["max_at_k"][:, [0, -1]], np.transpose(ends), rtol=1e-5)
    assert found["max_at_k"].shape[1] == 1 + 3


def test_one_program_for_all_traced_fields(found):
    count = contextual_training._train._cache_size
    before = count()
    for fields in ({"k": 3}, {"learning_rate": 0.1}, {"prompts_seed": 1}, {"hardest": 1e-3}):
        compute(MEASUREMENT, **(TINY | fields))
    assert count() == before


def test_other_prompts_are_other_prompts():
    first, second = (
        contextual_training.make_prompts(run_of(MEASUREMENT, **TINY, prompts_seed=seed))
        for seed in (0, 1)
    )
    assert not jnp.allclose(first.features, second.features)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"policy": "tables"}, "did you mean table?"),
        ({"easiest": 1.0}, "hardest < easiest < 1"),
        ({"k": 16}, "maxpo: k = 16 does not fit"),
        ({"num_answers": 1}, "num_answers is 1; it must be at least 2"),
        ({"num_right": 32}, "num_right is 32; at least one answer must be right and one wrong"),
        ({"num_prompts": 0}, "num_prompts is 0"),
        ({"num_updates": 0}, "num_updates is 0"),
    ],
)
def test_runs_that_make_no_sense_are_refused(fields, message):
    assert message in refused(MEASUREMENT, **fields)
    assert refused(MEASUREMENT, **MEASUREMENT.smoke) == ""
