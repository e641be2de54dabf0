"""The network on every sequence of zeros and ones, look-ups against counting, and the kernel."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maxpo_jax.kernel import sorting, spacings
from maxpo_jax.kernel.spacings import RankWeights


def loop_sort(values):
    return sorting.sort_in_a_loop(values)[0]


@pytest.mark.parametrize("sort", [sorting.network_sort, loop_sort])
@pytest.mark.parametrize("size", range(1, 17))
def test_network_sorts_every_sequence_of_zeros_and_ones(sort, size):
    sequences = (np.arange(2**size)[None] >> np.arange(size)[:, None]) & 1
    ranked = np.asarray(jax.jit(sort)(jnp.asarray(sequences, jnp.float32)))
    np.testing.assert_array_equal(ranked, np.sort(sequences, axis=0))


@pytest.mark.parametrize(
    ("sort", "size"),
    [(sorting.network_sort, sorting.LONGEST_NETWORK), (loop_sort, sorting.LONGEST_LOOP)],
)
def test_network_is_long_enough_for_its_longest_group(sort, size):
    values = np.random.default_rng(0).normal(size=(size, 100)).astype(np.float32)
    np.testing.assert_array_equal(sort(jnp.asarray(values)), np.sort(values, axis=0))


@pytest.mark.parametrize("size", [1, 2, 3, 17, 64, 100])
def test_undone_exchanges_leave_every_value_where_it_was(size):
    rng = np.random.default_rng(size)
    distinct = rng.permuted(np.tile(np.arange(size), (20, 1)), axis=1).T
    tied = rng.integers(0, 3, size=(size, 20))
    for values in (distinct, tied):
        values = jnp.asarray(values, jnp.float32)
        ranked, exchanges = sorting.sort_in_a_loop(values)
        np.testing.assert_array_equal(sorting.undo_exchanges(ranked, exchanges), values)


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
    values = np.random.default_rng(size).integers(-9, 10, size=(7, size)).astype(np.float32)
    ranked_integers = jnp.sort(sorting.sortable_integers(jnp.asarray(values)), axis=-1)
    ranks = sorting.lowest_rank(jnp.asarray(values), ranked_integers)
    np.testing.assert_array_equal(ranks, (values[:, None, :] < values[:, :, None]).sum(axis=-1))


@pytest.mark.parametrize("num_groups", [0, 1, 39, 40, 79, 80, 97, 976, 1_000, 100_000])
@pytest.mark.parametrize("most", [1, 32, 64, 500])
@pytest.mark.parametrize("least", [1, 40])
def test_blocks_are_neither_too_large_nor_too_small(num_groups, most, least):
    num_blocks = spacings._even_number_of_blocks(num_groups, most, least)
    block = -(-num_groups // num_blocks)
    assert block >= min(least, num_groups)
    assert block <= max(most, 2 * least - 1)
    assert num_blocks < 2 * max(-(-num_groups // most), 1)  # not many small ones


@pytest.mark.parametrize(
    ("size", "fewest_side_by_side"),
    [
        (5, 1),
        (sorting.LONGEST_NETWORK, 1),
        (sorting.LONGEST_NETWORK + 1, 6),
        (sorting.LONGEST_NETWORK + 1, 1_000),
    ],
    ids=["short", "network", "loop", "integers"],
)
@pytest.mark.parametrize("per_group", [False, True])
@pytest.mark.parametrize("groups_in_blocks", [(9, 10), (60, 10), (67, 10)])
def test_kernel_is_its_definition(
    monkeypatch, size, fewest_side_by_side, per_group, groups_in_blocks
):
    """All ways of sorting, weights shared and per group, one block, even blocks, uneven ones."""
    rng = np.random.default_rng(size)
    num_groups, block = groups_in_blocks
    monkeypatch.setattr(spacings, "FEWEST_SIDE_BY_SIDE", fewest_side_by_side)
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
