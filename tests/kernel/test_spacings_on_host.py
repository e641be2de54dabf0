"""The kernel in NumPy: the same rules, sums to a few roundings of float64, equal ties."""

import numpy as np
import oracles
import pytest

from maxpo_jax.estimators.max_at_k import canonical, ei, expected_improvement, max_with_sample
from maxpo_jax.kernel.spacings import weigh_spacings_on_host, weighted_advantages, weights_on_host

GROUPS = np.array([[2.0, -0.5, 2.0, 0.25, 3.0], [0, 0, 1, 1, 1], [7, 7, 7, 7, 7]])


@pytest.mark.parametrize("k", range(1, 6))
def test_equals_every_subset_in_rationals(k):
    for rule, oracle in (
        (max_with_sample, oracles.u),
        (expected_improvement, oracles.expected_improvement),
    ):
        got = weighted_advantages(rule, GROUPS, k, None)
        assert isinstance(got, np.ndarray)
        expected = np.array([oracle(group, k) for group in GROUPS], float)
        np.testing.assert_allclose(got, expected, rtol=1e-14, atol=1e-14)


def test_ties_are_equal_and_groups_do_not_meet_to_the_last_bit():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 9, size=(20, 40)) * 0.1
    weights = weights_on_host(expected_improvement, 40, 7)
    got = weigh_spacings_on_host(groups, weights)
    for group, advantages in zip(groups, got, strict=True):
        for value in np.unique(group):
            assert len(np.unique(advantages[group == value])) == 1
        alone = weigh_spacings_on_host(group[None], weights)[0]
        np.testing.assert_array_equal(alone, advantages)


def test_weights_are_kept_and_cannot_be_written_to():
    weights = weights_on_host(max_with_sample, 8, 3)
    assert weights_on_host(max_with_sample, 8, 3) is weights
    with pytest.raises(ValueError, match="read-only"):
        weights.rise[0] = 1.0


def test_the_public_functions_give_jax_arrays_whatever_they_are_given():
    for function in (ei, canonical):
        assert not isinstance(function(GROUPS, 2), np.ndarray)
