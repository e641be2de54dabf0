"""Each estimator of the catalogue against its own formula, in rationals or in plain NumPy."""

import math
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest

from maxpo_jax import estimators

REAL = {
    "distinct": [0.5, -1.25, 3.0, 2.0, 7.5, -4.0],
    "tied at the top": [2.0, 0.0, 2.0, 1.0, 0.0, 2.0],
    "tied at the bottom": [0.0, 3.0, 0.0, 1.0, 0.0, 2.0],
}
BINARY = {str(c): [1.0] * c + [0.0] * (6 - c) for c in range(7)}
B = 6


def advantages(name, rewards, k, **kwargs):
    with jax.enable_x64(True):
        return np.asarray(estimators.get(name)(np.asarray(rewards, np.float64), k, **kwargs))


def close(actual, expected):
    np.testing.assert_allclose(actual, np.array(expected, float), rtol=1e-12, atol=1e-12)


def others(rewards, i):
    return rewards[:i] + rewards[i + 1 :]


@pytest.mark.parametrize("R", (REAL | BINARY).values(), ids=str)
def test_pass_at_1_and_normalized(R):
    mean, spread = np.mean(R), np.std(R, ddof=1)
    close(advantages("dr_grpo", R, 3), R - mean)
    close(advantages("grpo", R, 3), (R - mean) / (spread + 1e-6))


@pytest.mark.parametrize("R", (REAL | BINARY).values(), ids=str)
def test_expected_improvement_by_other_names(R):
    for k in range(2, B + 1):
        expected = oracles.expected_improvement(R, k)
        close(advantages("pkpo_sloo_minus_one", R, k), expected)
        close(advantages("rspo", R, k), expected)


@pytest.mark.parametrize("R", BINARY.values(), ids=BINARY)
def test_binary_pkpo_as_its_paper_has_it(R):
    c = int(sum(R))
    for k in range(1, B + 1):
        misses = Fraction(math.comb(B - 1 - c, k - 1) if c < B else 0, math.comb(B - 1, k - 1))
        close(advantages("pkpo_binary", R, k), [1 if r else 1 - misses for r in R])


@pytest.mark.parametrize("R", (REAL | BINARY).values(), ids=str)
def test_maximum_of_the_whole_group(R):
    left = [max(others(R, i)) for i in range(B)]
    second = sorted(R)[-2]
    smaller = [r for r in R if r < max(R)]
    lead = [max(R) - best for best in left]
    close(advantages("tang_leave_one_out", R, B), lead)
    close(advantages("tang_mean_of_leave_one_out", R, B), [max(R) - np.mean(left)] * B)
    close(advantages("tang_mean_reward", R, B), [max(R) - np.mean(R)] * B)
    argmax = np.arange(B) == np.argmax(R)
    close(advantages("verl_pass_at_k", R, B), (max(R) - second) * argmax)
    scale = np.std(R, ddof=1) + 1e-6
    close(advantages("verl_pass_at_k_std", R, B), (max(R) - second) * argmax / scale)
    is_best = np.array(R) == max(R)
    close(advantages("bon_max_mean", R, B), is_best * (max(R) - np.mean(R)))
    gap = max(R) - max(smaller) if smaller else 0.0
    close(advantages("bon_max_second", R, B), is_best * gap)


@pytest.mark.parametrize("R", (REAL | BINARY).values(), ids=str)
def test_signals_less_their_mean_and_over_their_deviation(R):
    def standardized(signal):
        signal = np.array(signal, float)
        spread = signal.std()
        return (signal - signal.mean()) / spread if np.ptp(signal) else 0 * signal

    for k in range(2, B):
        u, improvement = oracles.u(R, k), oracles.expected_improvement(R, k)
        close(advantages("center_u", R, k), [x - oracles.mean(u) for x in u])
        close(advantages("center_ei", R, k), [x - oracles.mean(improvement) for x in improvement])
        close(advantages("bon_mean", R, k), standardized(u))
        close(advantages("zscore_maxpo", R, k), standardized(oracles.maxpo(R, k)))
        close(advantages("zscore_ei", R, k), standardized(improvement))


@pytest.mark.parametrize("R", BINARY.values(), ids=BINARY)
def test_binary_closed_forms(R):
    R = np.array(R)
    c, failures = int(R.sum()), int(B - R.sum())
    close(advantages("maxrl", R, 1), (R - R.mean()) / R.mean() if c else 0 * R)
    for k in range(1, B):
        slope = (failures / B) ** (k - 1)
        close(advantages("mahdavi_rloo", R, k), slope * (R - R.mean()) * B / (B - 1))
        close(advantages("mahdavi_grpo", R, k), slope * advantages("grpo", R, k))
        rho = 1 - math.comb(failures, k) / math.comb(B, k)
        sigma = math.sqrt(rho * (1 - rho))
        missed = math.comb(failures - 1, k - 1) / math.comb(B - 1, k - 1) if failures else 0.0
        expected = np.where(R == 1, 1 - rho, 1 - rho - missed)
        expected = expected / sigma if sigma else 0 * R
        close(advantages("pass_at_k_training_analytic", R, k), expected)


def test_plug_in_at_k_two_is_centered_expected_improvement():
    for R in BINARY.values():
        close(advantages("mahdavi_rloo", R, 2), advantages("center_ei", R, 2))


@pytest.mark.parametrize("name", [n for n in estimators.names() if n != "reinforce"])
def test_equal_rewards_move_nothing(name):
    """Seven times 0.1 has a standard deviation in float32, yet nothing to learn from."""
    entry = estimators.get(name)
    value = 1.0 if entry.reward_type == "binary" else 0.1
    k = min(int(entry.k_range.largest(7)), 7)
    got = np.asarray(entry(np.full(7, value, np.float32), k, key=jax.random.key(0)))
    if name in ("pkpo_s", "pkpo_binary"):
        np.testing.assert_allclose(got, value, rtol=1e-6)  # u is the reward itself
    elif name == "pkpo_sloo":
        np.testing.assert_allclose(got, -value / 6, rtol=1e-5)
    else:
        np.testing.assert_array_equal(got, np.zeros(7))


@pytest.mark.parametrize("name", estimators.names())
def test_masked_samples_are_as_if_they_were_not_there(name):
    entry = estimators.get(name)
    if entry.randomized:
        pytest.skip("see test_draws_ignore_masked_samples")
    valid = jnp.array([1.0, 0.0, 0.0, 1.0] if entry.reward_type == "binary" else [2.0, 0, 0, 5.0])
    padded = jnp.array([9.0, valid[0], valid[1], -9.0, valid[2], valid[3]])
    where = jnp.array([False, True, True, False, True, True])
    for k in range(1, 5):
        if entry.k_range.contains(k, 4):
            got = entry(padded, k, where=where)
            np.testing.assert_allclose(got[where], entry(valid, k), rtol=1e-5, atol=1e-6)
            assert not np.any(got[~where])


def test_binary_estimators_refuse_other_rewards():
    for name in estimators.names():
        entry = estimators.get(name)
        if entry.reward_type == "binary":
            with pytest.raises(ValueError, match=rf"{name}: rewards must be 0 or 1, got 0.5 at"):
                entry(jnp.array([0.0, 0.5, 1.0]), 2)
            inside = jax.jit(lambda r, entry=entry: entry(r, 2))(
                jnp.array([[0, 0.5, 1], [0, 0, 1]])
            )
            assert np.isnan(inside[0]).all()
            assert np.isfinite(inside[1]).all()


def draws(name, rewards, k, count, **kwargs):
    keys = jax.random.split(jax.random.key(3), count)
    return np.asarray(
        jax.vmap(lambda key: estimators.get(name)(rewards, k, key=key, **kwargs))(keys)
    )


def test_full_sampling_draws_every_partition_equally_often():
    rewards = jnp.array([0.0, 1.0, 2.0, 4.0])
    got = draws("pass_at_k_training_full", rewards, 2, 6000)
    # The best sample is with one of three others: the other pair's best is then 2, 2 or 1.
    outcomes, counts = np.unique(got, axis=0, return_counts=True)
    assert len(outcomes) == 3
    standard_error = math.sqrt(6000 * (1 / 3) * (2 / 3))
    assert np.abs(counts - 2000).max() < 4 * standard_error


def test_bootstrap_sampling_averages_to_its_closed_form():
    rewards = jnp.array([0.0, 1.0, 2.0, 4.0, 4.0])
    got = draws("pass_at_k_training_bootstrap", rewards, 2, 6000)
    factor = (5 - 1) * (2 / 5) * (5 - 2) / 5
    expected = factor * np.array(oracles.maxpo(rewards, 2), float)
    standard_error = got.std(axis=0) / math.sqrt(6000)
    assert np.all(np.abs(got.mean(axis=0) - expected) < 4.5 * standard_error)


@pytest.mark.parametrize("name", ["full", "full_std", "bootstrap", "bootstrap_std"])
def test_draws_ignore_masked_samples(name):
    rewards = jnp.array([9.0, 0.0, 1.0, -9.0, 2.0, 4.0])
    where = jnp.array([False, True, True, False, True, True])
    got = draws(f"pass_at_k_training_{name}", rewards, 2, 200, where=where)
    alone = draws(f"pass_at_k_training_{name}", rewards[where], 2, 200)
    assert not np.any(got[:, ~np.asarray(where)])
    np.testing.assert_allclose(got.sum(axis=1), 0, atol=1e-5)
    if "full" in name:  # three partitions, each drawn in 200 tries
        with_mask = np.unique(got[:, np.asarray(where)].round(4), axis=0)
        np.testing.assert_array_equal(with_mask, np.unique(alone.round(4), axis=0))


def test_left_over_samples_get_nothing():
    got = draws("pass_at_k_training_full", jnp.arange(5.0), 2, 50)
    assert np.all((got == 0).sum(axis=1) >= 1)


def test_groups_of_a_batch_draw_for_themselves():
    rewards = jnp.tile(jnp.arange(8.0), (40, 1))
    got = estimators.get("pass_at_k_training_full")(rewards, 2, key=jax.random.key(0))
    assert len(np.unique(np.asarray(got), axis=0)) > 10


def test_every_estimator_is_exported_under_its_name():
    for name in estimators.names():
        assert getattr(estimators, name).__name__ == name
        assert name in estimators.__all__
