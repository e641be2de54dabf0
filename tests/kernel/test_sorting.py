"""The network on every sequence of zeros and ones, look-ups against counting, and the kernel."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maxpo_jax.kernel import sorting, spacings
from maxpo_jax.kernel.spacings import RankWeights


@pytest.mark.parametrize("size", range(1, 17))
def test_network_sorts_every_sequence_of_zeros_and_ones(size):
    sequences = (np.arange(2**size)[None] >> np.arange(size)[:, None]) & 1
    ranked = np.asarray(jax.jit(sorting.network_sort)(sequences.astype(np.float32)))
    np.testing.assert_array_equal(ranked, np.sort(sequences, axis=0))


def test_network_is_long_enough_for_its_longest_group():
    values = np.random.default_rng(0).normal(size=(sorting.LONGEST_NETWORK, 500))
    values = values.astype(np.float32)
    np.testing.assert_array_equal(sorting.network_sort(values), np.sort(values, axis=0))


def test_integers_have_the_order_of_the_values():
    tiny = np.finfo(np.float32).tiny
    values = np.array([-np.inf, -3e38, -1.5, -tiny, 0.0, tiny, 1.0, 3e38, np.inf], np.float32)
    integers = np.asarray(sorting.sortable_integers(jnp.asarray(values)))
    assert np.all(np.diff(integers.astype(np.int64)) > 0)
    np.testing.assert_array_equal(sorting.values_of(integers, jnp.float32), values)
    assert sorting.sortable_integers(jnp.float32(-0.0)) == sorting.sortable_integers(jnp.float32(0))


def test_integers_of_double_precision():
    with jax.enable_x64(True):
        values = jnp.asarray(np.random.default_rng(0).normal(size=100))
        integers = sorting.sortable_integers(values)
        assert integers.dtype == jnp.int64
        np.testing.assert_array_equal(jnp.argsort(integers), jnp.argsort(values))
        np.testing.assert_array_equal(sorting.values_of(integers, jnp.float64), values)


@pytest.mark.parametrize("size", [1, 2, 3, 17, 64, 100])
def test_lowest_rank_counts_the_smaller_values(size):
    values = np.random.default_rng(size).integers(0, 20, size=(7, size)).astype(np.int32)
    ranks = sorting.lowest_rank(jnp.asarray(values), jnp.sort(jnp.asarray(values), axis=-1))
    np.testing.assert_array_equal(ranks, (values[:, None, :] < values[:, :, None]).sum(axis=-1))


@pytest.mark.parametrize("size", [5, sorting.LONGEST_NETWORK, sorting.LONGEST_NETWORK + 1])
@pytest.mark.parametrize("per_group", [False, True])
@pytest.mark.parametrize("groups_in_blocks", [(9, 10), (60, 10), (67, 10)])
def test_kernel_is_its_definition(monkeypatch, size, per_group, groups_in_blocks):
    """Both ways of sorting, weights shared and per group, one block, even blocks, uneven ones."""
    rng = np.random.default_rng(size)
    num_groups, block = groups_in_blocks
    monkeypatch.setattr(spacings, "SAMPLES_OF_SHORT_GROUPS", size * block)
    monkeypatch.setattr(spacings, "SAMPLES_OF_LONG_GROUPS", size * block)
    rewards = rng.integers(-3, 4, size=(num_groups, size)).astype(np.float32)
    lead = (num_groups,) if per_group else ()
    weights = RankWeights(
        *(rng.normal(size=(*lead, size - 1)).astype(np.float32) for _ in range(2)),
        rng.normal(size=lead).astype(np.float32),
    )
    kernel = spacings.weigh_spacings.__wrapped__  # traced anew, with blocks of this size
    got = np.asarray(jax.jit(kernel)(jnp.asarray(rewards), weights))

    ranked = np.sort(rewards, axis=-1).astype(np.float64)
    spacing = np.diff(ranked, axis=-1)
    shared = weights.anchor * ranked[:, -1] + (weights.floor * spacing).sum(axis=-1)
    climbed = np.cumsum(weights.rise * spacing, axis=-1)
    results = shared[:, None] + np.concatenate([np.zeros((num_groups, 1)), climbed], axis=-1)
    ranks = (rewards[:, None, :] < rewards[:, :, None]).sum(axis=-1)
    expected = np.take_along_axis(results, ranks, axis=-1)
    np.testing.assert_allclose(got, expected, atol=2e-5)
