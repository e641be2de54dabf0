"""How a function wants to be called is found out, not asked."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maxpo_jax import estimators
from maxpo_jax.estimators.wrapping import FunctionExitError
from maxpo_jax.report_card.subject import from_function

REWARDS = np.array([[0.0, 1.0, 5.0], [2.0, 2.0, 2.0], [1.0, 0.0, 0.0]])
CENTERED = REWARDS - REWARDS.mean(axis=1, keepdims=True)


def in_jax(rewards, k):
    return rewards - jnp.mean(rewards)


def in_batches(rewards, k):
    return rewards - jnp.mean(rewards, axis=-1, keepdims=True)


def in_numpy(rewards, k):
    return np.subtract(rewards, np.mean(rewards))


def in_python(rewards, k):
    return [reward - sum(rewards) / len(rewards) for reward in rewards.tolist()]


def in_lists(rewards, k):
    if not rewards:
        raise ValueError
    return [reward - sum(rewards) / len(rewards) for reward in rewards]


def in_eager_jax(rewards, k):
    return jnp.where(rewards.at[0].get() > -1e9, rewards - float(jnp.mean(rewards)), 0.0)


@pytest.mark.parametrize(
    ("function", "language", "batching"),
    [
        (in_jax, "jax", "vmap"),
        (in_batches, "jax", "vmap"),
        (in_numpy, "numpy", "loop"),
        (in_python, "numpy", "loop"),
        (in_lists, "python", "loop"),
        (in_eager_jax, "eager jax", "loop"),
    ],
)
def test_every_language_gives_the_same_in_float64(function, language, batching):
    subject = from_function(function, 3, 1)
    assert (subject.language, subject.batching) == (language, batching)
    np.testing.assert_allclose(subject.advantages(REWARDS, 1), CENTERED, atol=1e-15)


def test_a_function_that_vmap_changes_is_looped():
    def host(rewards):
        return (rewards - rewards.mean()).astype(rewards.dtype)

    def reads_neighbors(rewards, k):
        shape = jax.ShapeDtypeStruct(rewards.shape, rewards.dtype)
        return jax.pure_callback(host, shape, rewards, vmap_method="expand_dims")

    subject = from_function(reads_neighbors, 3, 1)
    assert subject.batching == "map"
    np.testing.assert_allclose(subject.advantages(REWARDS, 1), CENTERED, atol=1e-15)


@pytest.mark.parametrize(
    ("function", "randomized"),
    [
        (lambda rewards, k: rewards, False),
        (lambda rewards, k, scale=1.0: rewards, False),
        (lambda rewards, k, rng: rewards + jax.random.normal(rng, (), rewards.dtype), True),
        (lambda rewards, k, *, key: rewards + jax.random.normal(key, (), rewards.dtype), True),
    ],
)
def test_a_key_is_recognized(function, randomized):
    subject = from_function(function, 3, 1)
    assert subject.randomized is randomized
    again = [subject.advantages(REWARDS, 1, seed=seed) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(again[0], again[1])
    assert np.array_equal(again[0], again[2]) is not randomized


def test_single_precision_is_single():
    subject = from_function(in_jax, 3, 1)
    assert subject.advantages(REWARDS, 1, double=False).dtype == np.float32
    assert subject.advantages(REWARDS, 1).dtype == np.float64


def test_facts_of_a_registered_estimator_are_taken_over():
    subject = from_function(estimators.get("maxpo"), 3, 1)
    assert (subject.name, subject.adapter.takes_where, subject.reward_type) == (
        "maxpo",
        True,
        "real",
    )


def test_more_groups_than_one_chunk():
    groups = np.random.default_rng(0).normal(size=(200, 3))
    subject = from_function(in_jax, 3, 1)
    expected = groups - groups.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(subject.advantages(groups, 1), expected, atol=1e-14)


def test_a_function_of_batches_alone_is_given_batches():
    def rows(rewards, k):
        groups, size = rewards.shape
        return rewards - rewards.sum(axis=1).reshape(groups, 1) / size

    subject = from_function(rows, 3, 1)
    assert subject.adapter.as_batch
    assert not from_function(in_batches, 3, 1).adapter.as_batch
    np.testing.assert_allclose(subject.advantages(REWARDS, 1), CENTERED, atol=1e-15)


@pytest.mark.parametrize(
    ("function", "precision"),
    [
        (in_numpy, "double"),
        (in_python, "double"),
        (lambda rewards, k: in_numpy(np.asarray(rewards, np.float32), k), "single"),
        (lambda rewards, k: [float(r) for r in np.asarray(rewards, np.float32)], "single"),
        (lambda rewards, k: np.asarray(rewards, np.float32) * np.pi, "single"),
        (lambda rewards, k: rewards, "double"),
    ],
)
def test_the_precision_of_a_computation_is_found_out(function, precision):
    assert from_function(function, 3, 1).precision == precision


def test_raising_on_one_group_leaves_the_others():
    def no_ties(rewards, k):
        if len(np.unique(rewards)) < 2:
            sys.exit(0)
        return in_numpy(rewards, k)

    subject = from_function(no_ties, 3, 1)
    got = subject.advantages(REWARDS, 1)
    np.testing.assert_array_equal(np.isnan(got).any(axis=1), [False, True, False])
    assert subject.raises(REWARDS[1], 1) == "FunctionExitError: SystemExit: 0"
    assert subject.raises(REWARDS[0], 1) == ""
    with pytest.raises(FunctionExitError):
        subject.advantages(REWARDS[1:2], 1)


def test_an_interrupt_is_not_caught():
    def interrupted(rewards, k):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        from_function(interrupted, 3, 1)
