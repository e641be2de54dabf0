"""A masked group is the group of its valid samples: every estimator, long padding, every K."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maxpo_jax import estimators
from maxpo_jax.estimators import (
    centered,
    max_at_k,
    maxrl,
    order_statistics,
    pass_at_k_training,
    pkpo,
    tang,
)
from maxpo_jax.kernel.spacings import rank_weights

PADDED = 4096
SIZES = (2, 64, 700, 4095)
ROUNDINGS = 32 * np.finfo(np.float32).eps  # of two ways to make weights, one in single precision
DETERMINISTIC = [n for n in estimators.names() if not estimators.get(n).randomized]
RANDOMIZED = [n for n in estimators.names() if estimators.get(n).randomized]
RULES = {
    name: function
    for module in (max_at_k, centered, maxrl, order_statistics, pass_at_k_training, pkpo, tang)
    for name, function in inspect.getmembers(module, inspect.isfunction)
    if list(inspect.signature(function).parameters) == ["m", "B", "K", "P"]
}


def masks(padded: int, sizes: tuple[int, ...]) -> np.ndarray:
    """One group of each size, its valid samples spread over the padding."""
    order = np.random.default_rng(1).permuted(np.tile(np.arange(padded), (len(sizes), 1)), axis=1)
    return order < np.array(sizes)[:, None]


def rewards_for(estimator, where: np.ndarray) -> np.ndarray:
    """Normal or 0/1 rewards with tied best samples; NaN where nobody may look."""
    rng = np.random.default_rng(2)
    real = np.round(rng.normal(size=where.shape), 1)
    # Groups of 0/1 rewards with one success, a tenth, and nearly all: slopes of every size.
    share = np.resize([0.001, 0.1, 0.9], len(where))[:, None]
    binary = (rng.random(where.shape) < share).astype(float)
    rewards = binary if estimator.reward_type == "binary" else real
    return np.where(where, rewards, np.nan).astype(np.float32)


def ks_of(estimator, sizes: tuple[int, ...]) -> list[int]:
    """K over the whole range of each size: its ends and its middle."""
    tried = {k for n in sizes for k in (1, 2, n // 2, n - 1, n)}
    return sorted(k for k in tried if any(estimator.k_range.contains(k, n) for n in sizes))


def assert_same_as_alone(estimator, got, rewards, where, k):
    """Rows that K fits are those of the valid samples alone, to a few roundings."""
    for advantages, group, valid in zip(np.asarray(got), rewards, where, strict=True):
        if estimator.k_range.contains(k, valid.sum()):
            alone = np.asarray(estimator(group[valid], k))
            largest = np.abs(alone).max()
            if not estimator.shift_invariant:  # what is as large as the rewards rounds like them
                largest = max(largest, np.abs(group[valid]).max())
            np.testing.assert_allclose(
                advantages[valid], alone, rtol=0, atol=ROUNDINGS * largest, err_msg=f"k = {k}"
            )
        else:
            assert np.isnan(advantages[valid]).all()
        assert np.all(advantages[~valid] == 0)


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_static_and_traced_k_are_as_if_masked_samples_were_not_there(name):
    estimator = estimators.get(name)
    where = masks(PADDED, SIZES)
    rewards = rewards_for(estimator, where)
    program = jax.jit(lambda rewards, where, k: estimator(rewards, k, where=where))
    for k in ks_of(estimator, SIZES):
        assert_same_as_alone(estimator, program(rewards, where, k), rewards, where, k)
    for index in (1, 2):  # two of the groups alone, as outside jit every group has to fit K
        for k in ks_of(estimator, SIZES[index : index + 1])[1:-1] or [SIZES[index]]:
            some = slice(index, index + 1)
            got = estimator(rewards[some], k, where=where[some])
            assert_same_as_alone(estimator, got, rewards[some], where[some], k)


def ranks_by_position(key, shape, where):
    """In the place of a random permutation: one that depends on positions among valid samples."""
    valid = jnp.ones(shape, bool) if where is None else where
    position = jnp.cumsum(valid, axis=-1) - 1
    row = jnp.broadcast_to(jnp.arange(shape[-2]).reshape(-1, 1), shape)
    draws = jnp.where(valid, jnp.sin((13 * position + 78 * row).astype(jnp.float32)), 2.0)
    return jnp.argsort(jnp.argsort(draws, axis=-1), axis=-1)


@pytest.mark.parametrize("name", RANDOMIZED)
def test_draws_are_as_if_masked_samples_were_not_there(monkeypatch, name):
    monkeypatch.setattr(pass_at_k_training, "_random_ranks", ranks_by_position)
    estimator, size, key = estimators.get(name), 128, jax.random.key(0)
    where = masks(256, (size,))
    rewards = rewards_for(estimator, where)
    program = jax.jit(lambda rewards, k, where: estimator(rewards, k, where=where, key=key))
    for k in (1, 2, 40, 64, 65, 127):
        if estimator.k_range.contains(k, size):
            alone = np.asarray(estimator(rewards[where][None], k, key=key))[0]
            for got in (program(rewards, k, where), estimator(rewards, k, where=where, key=key)):
                got = np.asarray(got)
                np.testing.assert_allclose(
                    got[where], alone, rtol=0, atol=ROUNDINGS * np.abs(alone).max()
                )
                assert not np.any(got[~where])


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("name", RULES)
def test_spacings_between_masked_samples_weigh_exactly_nothing(name, double):
    assert len(RULES) >= 10
    sizes = np.array([1, *SIZES, 1500])
    with jax.enable_x64(double):
        dtype = jnp.float64 if double else jnp.float32
        program = jax.jit(lambda k, sizes: rank_weights(RULES[name], PADDED, k, dtype, sizes))
        for k in (1, 2, 24, 60, 100, 512, 700, 2047, 4095):
            weights = program(k, sizes)
            for weight in (weights.rise, weights.floor):
                for row, size in zip(np.asarray(weight), sizes, strict=True):
                    assert np.all(row[max(size - 1, 0) :] == 0)
                    assert k >= size or np.isfinite(row).all()
