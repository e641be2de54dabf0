"""The identities that tie the estimators together, each on groups with and without ties.

The left sides come from the oracles or from the library, never both sides from the same code.
"""

import jax
import numpy as np
import oracles
import pytest
from fact_checks import BINARY, REAL

from maxpo_jax import estimators
from maxpo_jax.bandits import exact

GROUPS = {
    "distinct": [0.5, -1.25, 3.0, 2.0, 7.5, -4.0],
    "ties": [2.0, 0.0, 2.0, 1.0, 0.0, 2.0],
    "binary": [0.0, 1.0, 0.0, 0.0, 1.0, 0.0],
    "all equal": [0.75] * 6,
}
B = 6


def advantages(name, rewards, k):
    with jax.enable_x64(True):
        return np.asarray(estimators.get(name)(np.asarray(rewards, np.float64), k))


def close(actual, expected):
    np.testing.assert_allclose(actual, np.array(expected, float), rtol=0, atol=1e-13)


@pytest.mark.parametrize("rewards", GROUPS.values(), ids=GROUPS)
def test_best_of_the_batch_splits_into_with_and_without_each_sample(rewards):
    """rho_K = (K/B) u_i + (1 - K/B) v_i for every i; hence A* = B/(B-K) (u - mean u), centered."""
    for k in range(1, B):
        share = oracles.Fraction(k, B)
        u, v = oracles.u(rewards, k), oracles.v(rewards, k)
        for u_i, v_i in zip(u, v, strict=True):
            assert share * u_i + (1 - share) * v_i == oracles.rho(rewards, k)
        canonical = oracles.canonical(rewards, k)
        assert canonical == [(u_i - oracles.mean(u)) / (1 - share) for u_i in u]
        assert sum(canonical) == 0


@pytest.mark.parametrize("rewards", GROUPS.values(), ids=GROUPS)
def test_leave_two_out_baseline_is_a_difference_of_best_of_others(rewards):
    """b_i = v_i^(K) - v_i^(K-1), hence EI - L2O = u - v: MaxPO is the canonical advantage."""
    for k in range(2, B):
        difference = zip(oracles.v(rewards, k), oracles.v(rewards, k - 1), strict=True)
        assert oracles.leave_two_out(rewards, k) == [a - b for a, b in difference]
    for k in range(1, B):
        assert oracles.maxpo(rewards, k) == oracles.canonical(rewards, k)
        close(advantages("maxpo", rewards, k), oracles.maxpo(rewards, k))
        close(advantages("canonical", rewards, k), oracles.maxpo(rewards, k))


@pytest.mark.parametrize("rewards", GROUPS.values(), ids=GROUPS)
def test_maxrl_is_the_sum_of_maxpo_over_all_k(rewards):
    by_k = [oracles.maxpo(rewards, k) for k in range(1, B)]
    total = [sum(terms) for terms in zip(*by_k, strict=True)]
    close(advantages("maxrl_real", rewards, 1), total)


def test_practical_maxrl_is_its_binary_case():
    rewards = GROUPS["binary"]
    by_k = [oracles.maxpo(rewards, k) for k in range(1, B)]
    total = [sum(terms) for terms in zip(*by_k, strict=True)]
    close(advantages("maxrl", rewards, 1), total)


def test_binary_closed_form():
    """A+ = C(n0, K) / C(B-1, K), A- = -(c / n0) A+."""
    from math import comb

    for c in range(1, B):
        failures = B - c
        for k in range(1, B):
            success = comb(failures, k) / comb(B - 1, k)
            got = advantages("maxpo", [1.0] * c + [0.0] * failures, k)
            close(got, [success] * c + [-c / failures * success] * failures)


@pytest.mark.parametrize("case", BINARY + REAL, ids=str)
@pytest.mark.parametrize("k", [2, 3, 4])
def test_centering_expected_improvement_biases_it_and_by_what(case, k):
    """E[center(EI)] = (1 - K/B) grad J_K + (K/B) grad J_(K-1), for any signal by the same lemma."""
    group_size = 4
    j_k = exact.gradient(case.logits, case.rewards, k)
    shift = k / group_size * (exact.gradient(case.logits, case.rewards, k - 1) - j_k)
    got = exact.bias(estimators.get("center_ei"), case.logits, case.rewards, group_size, k)
    np.testing.assert_allclose(got, shift, rtol=0, atol=1e-13)
    assert np.abs(shift).max() > 1e-3


def test_nothing_centered_is_unbiased_at_k_equal_to_the_group_size():
    """The centered signal u - mean u vanishes at K = B; the registry refuses what would be 0."""
    for rewards in GROUPS.values():
        assert len(set(oracles.u(rewards, B))) == 1
    for name in estimators.names():
        entry = estimators.get(name)
        is_centered_max_at_k = entry.target == "J_K" and entry.unbiased and entry.centered
        if is_centered_max_at_k:
            assert not entry.k_range.contains(B, B), name


def test_unbiased_estimators_differ_by_a_function_of_the_other_rewards():
    """A - A* of sample i does not change with R_i; nor would a biased estimator pass."""

    def depends_on_own_reward(name, k):
        base = np.array(GROUPS["distinct"])
        others = []
        for own in (-9.0, 0.0, 2.5, 9.0):
            rewards = base.copy()
            rewards[0] = own
            difference = advantages(name, rewards, k) - advantages("maxpo", rewards, k)
            others.append(difference[0])
        return np.ptp(others) > 1e-12

    for k in (2, 3):
        for name in ("ei", "pkpo_s", "pkpo_sloo", "pkpo_sloo_minus_one", "rspo", "canonical"):
            assert not depends_on_own_reward(name, k)
        for name in ("center_ei", "zscore_maxpo", "grpo", "rloo"):
            assert depends_on_own_reward(name, k)
