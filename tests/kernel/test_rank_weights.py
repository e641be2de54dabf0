"""Subset probabilities against binomials in exact rationals."""

import math
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maxpo_jax.kernel.rank_weights import subset_probability, traced_subset_probability


def exact(size: int, total: int, count: int, hits: int) -> Fraction:
    ways = math.comb(size, hits) * math.comb(total - size, count - hits)
    return Fraction(ways, math.comb(total, count))


def relative_error(
    values: np.ndarray, total: int, count: int, smallest: float, hits: int | None = None
) -> float:
    """Largest relative error over all sizes whose probability is at least `smallest`."""
    hits = count if hits is None else hits
    truth = [exact(size, total, count, hits) for size in range(total + 1)]
    errors = [
        abs(Fraction(float(value)) / true - 1)
        for value, true in zip(values, truth, strict=True)
        if true > 0 and true >= Fraction(smallest)
    ]
    below = [value for value, true in zip(values, truth, strict=True) if true == 0]
    assert not np.any(below)
    return float(max(errors))


@pytest.mark.parametrize("total", range(9))
def test_host_probabilities_of_small_groups(total):
    for count in range(total + 1):
        values = subset_probability(np.arange(total + 1), total, count)
        assert values.dtype == np.float64
        assert relative_error(values, total, count, 0.0) < 1e-15


@pytest.mark.parametrize(("total", "count"), [(64, 8), (512, 100), (2047, 1), (2047, 1023)])
def test_host_probabilities_of_large_groups(total, count):
    values = subset_probability(np.arange(total + 1), total, count)
    assert relative_error(values, total, count, 1e-300) < 1e-13


def test_traced_probabilities_are_precise_however_small():
    probability = jax.jit(traced_subset_probability(2047, jnp.float32))
    for total, count in [(2047, 1), (2047, 2), (2047, 1023), (2047, 2047), (63, 8), (0, 0)]:
        sizes = np.arange(total + 1)
        values = np.asarray(probability(sizes, jnp.int32(total), jnp.int32(count)))
        assert values.dtype == np.float32
        assert relative_error(values, total, count, 1e-37) < 5e-7


def test_traced_probabilities_in_double_precision():
    with jax.enable_x64(True):
        probability = jax.jit(traced_subset_probability(64, jnp.float64))
        values = np.asarray(probability(np.arange(65), jnp.int32(64), jnp.int32(9)))
    assert relative_error(values, 64, 9, 0.0) < 1e-13


def test_nothing_to_draw_is_certain_to_the_last_bit():
    probability = traced_subset_probability(300, jnp.float32)
    assert np.all(np.asarray(probability(jnp.arange(301), 300, 0)) == 1)


@pytest.mark.parametrize(("total", "count"), [(0, 0), (5, 3), (62, 31), (2046, 63), (2046, 1023)])
def test_probabilities_of_some_hits_on_the_host_and_traced(total, count):
    sizes = np.arange(total + 1)
    traced = jax.jit(traced_subset_probability(2046, jnp.float32))
    for hits in {0, count // 2, count - 1, count} - {-1}:
        values = subset_probability(sizes, total, count, hits)
        assert values.dtype == np.float64
        assert relative_error(values, total, count, 1e-300, hits) < 1e-13
        values = np.asarray(traced(sizes, jnp.int32(total), jnp.int32(count), jnp.int32(hits)))
        assert values.dtype == np.float32
        assert relative_error(values, total, count, 1e-37, hits) < 5e-7
