"""The algorithms that the benchmark compares with, against their definitions in exact rationals."""

import numpy as np
import oracles
import pytest

from experiments import reference_algorithms


@pytest.mark.parametrize(("group_size", "k"), [(3, 2), (5, 2), (5, 4), (6, 3), (7, 6)])
def test_what_is_timed_and_compared_with_is_right(group_size, k):
    rng = np.random.default_rng(group_size)
    for rewards in (rng.integers(0, 4, group_size), rng.normal(size=group_size)):
        group = rewards.astype(np.float32)
        maxpo = np.array(oracles.maxpo(list(group), k), float)
        improvement = np.array(oracles.expected_improvement(list(group), k), float)
        quadratic = reference_algorithms.maxpo_quadratic(group[None], k)[0]
        np.testing.assert_allclose(quadratic, maxpo, atol=2e-6)
        extended = reference_algorithms.maxpo_in_extended_precision(group[None], k)[0]
        np.testing.assert_allclose(extended.astype(float), maxpo, atol=1e-14)
        listing = reference_algorithms.pkpo_sloo_minus_one(group.astype(float), k)
        np.testing.assert_allclose(listing, k / group_size * improvement, atol=1e-12)


def test_k_of_one_in_extended_precision():
    rewards = np.random.default_rng(0).normal(size=(2, 6))
    truth = 6 / 5 * (rewards - rewards.mean(axis=-1, keepdims=True))
    extended = reference_algorithms.maxpo_in_extended_precision(rewards, 1)
    np.testing.assert_allclose(extended.astype(float), truth, atol=1e-14)
