"""The max@K family and PKPO against brute-force subset enumeration in exact rationals."""

import functools
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest

import maxpo_jax
from maxpo_jax import estimators

GROUP_SIZES = range(1, 9)


def groups_of(group_size: int) -> np.ndarray:
    """Random, tied, 0/1, all-equal and shifted rewards, one group of each kind."""
    rng = np.random.default_rng(group_size)
    return np.stack(
        [
            rng.normal(size=group_size),
            rng.integers(0, 3, size=group_size),
            rng.integers(0, 2, size=group_size),
            np.full(group_size, 0.7),
            rng.integers(0, 5, size=group_size) + 1000.0,
            -(rng.exponential(size=group_size) ** 3),
        ]
    )


def pkpo_sloo(rewards: list[Fraction], k: int) -> list[Fraction]:
    size = len(rewards)
    pairs = zip(oracles.u(rewards, k), oracles.v(rewards, k), strict=True)
    return [u - Fraction(size, size - 1) * v for u, v in pairs]


def rloo(rewards: list[Fraction], k: int) -> list[Fraction]:
    return [reward - oracles.mean(oracles.without(rewards, i)) for i, reward in enumerate(rewards)]


ORACLES = {
    "ei": (oracles.expected_improvement, 0),
    "pkpo_s": (oracles.u, 0),
    "reinforce": (lambda rewards, k: rewards, 0),
    "maxpo": (oracles.maxpo, 1),
    "canonical": (oracles.canonical, 1),
    "pkpo_sloo": (pkpo_sloo, 1),
    "rloo": (rloo, 1),
}
"""Name -> the definition, and how many samples it needs beyond K."""


@functools.cache
def truth(name: str, group_size: int, k: int) -> np.ndarray:
    definition, _ = ORACLES[name]
    groups = [oracles.rationals(group) for group in groups_of(group_size)]
    return np.array([[float(a) for a in definition(group, k)] for group in groups])


def assert_exact(advantages: jax.Array, expected: np.ndarray) -> None:
    assert advantages.dtype == np.float64
    scale = np.maximum(1, np.abs(expected).max(axis=-1, keepdims=True))
    np.testing.assert_allclose(np.asarray(advantages) / scale, expected / scale, atol=1e-12)


@pytest.mark.parametrize("name", ORACLES)
@pytest.mark.parametrize("group_size", GROUP_SIZES)
def test_agrees_with_subset_enumeration(name, group_size):
    _, spare = ORACLES[name]
    with jax.enable_x64(True):
        rewards = jnp.asarray(groups_of(group_size))
        function = estimators.get(name)
        traced = jax.jit(function.function)
        for k in range(1, group_size - spare + 1):
            expected = truth(name, group_size, k)
            assert_exact(function(rewards, k), expected)
            assert_exact(traced(rewards, k), expected)


@pytest.mark.parametrize("group_size", GROUP_SIZES)
def test_batch_estimate_agrees_with_subset_enumeration(group_size):
    with jax.enable_x64(True):
        rewards = jnp.asarray(groups_of(group_size))
        traced = jax.jit(maxpo_jax.expected_max_at_k)
        for k in range(1, group_size + 1):
            expected = [float(oracles.rho(group, k)) for group in groups_of(group_size)]
            for estimate in (maxpo_jax.expected_max_at_k(rewards, k), traced(rewards, k)):
                np.testing.assert_allclose(estimate, expected, rtol=1e-12)


@pytest.mark.parametrize("name", ORACLES)
def test_masked_samples_are_as_if_they_were_not_there(name):
    _, spare = ORACLES[name]
    with jax.enable_x64(True):
        group = groups_of(8)
        where = np.array([True, False, True, True, False, True, True, True])
        padded = jnp.asarray(np.where(where, group, np.nan))
        mask = jnp.asarray(np.broadcast_to(where, group.shape))
        traced = jax.jit(lambda r, k, w: estimators.get(name)(r, k, where=w))
        for k in range(1, 6 - spare + 1):
            expected = np.zeros(group.shape)
            for row, kept in zip(expected, group[:, where], strict=True):
                row[where] = [float(a) for a in ORACLES[name][0](oracles.rationals(kept), k)]
            assert_exact(estimators.get(name)(padded, k, where=mask), expected)
            assert_exact(traced(padded, k, mask), expected)


def test_batch_estimate_ignores_masked_samples():
    rewards = jnp.array([[3.0, jnp.inf, 1.0, 2.0], [0.0, 1.0, 5.0, 5.0]])
    where = jnp.array([[True, False, True, True], [True, True, False, False]])
    estimates = maxpo_jax.expected_max_at_k(rewards, 2, where=where)
    np.testing.assert_allclose(estimates, [(3 + 3 + 2) / 3, 1.0], rtol=1e-6)


def test_maxpo_at_one_is_rloo():
    rewards = jax.random.normal(jax.random.key(0), (5, 7))
    np.testing.assert_allclose(maxpo_jax.maxpo(rewards, 1), maxpo_jax.rloo(rewards, 1), atol=1e-6)
