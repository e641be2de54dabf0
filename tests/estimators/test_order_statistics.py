"""Order statistics against enumeration in rationals, the algorithm of OrderGrad, and identities."""

import functools
import math
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from jax.scipy.special import gammaln

import maxpo_jax
from maxpo_jax import coefficients as of
from maxpo_jax import estimators, exact
from maxpo_jax.estimators import order_statistic, wrap

GROUP_SIZES = range(2, 9)
NAMED = {
    "min_at_k": of.min_at_k,
    "median_at_k": of.median_at_k,
    "top_two_at_k": lambda k: of.top_m_at_k(k, 2),
}


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
        ]
    )


def vectors(k: int) -> list[tuple[float, ...]]:
    """Every order statistic of K by itself, and coefficients of both signs."""
    rng = np.random.default_rng(k)
    return [*map(tuple, np.eye(k).tolist()), tuple(rng.normal(size=k).round(2).tolist())]


@functools.cache
def enumerated(group_size: int, coefficients: tuple[float, ...]) -> np.ndarray:
    groups = groups_of(group_size)
    return np.array([oracles.order_statistic(group, coefficients) for group in groups], float)


def assert_close(advantages, expected):
    scale = np.maximum(1, np.abs(expected).max(axis=-1, keepdims=True))
    np.testing.assert_allclose(np.asarray(advantages) / scale, expected / scale, atol=1e-12)


@pytest.mark.parametrize("group_size", GROUP_SIZES)
def test_agrees_with_subset_enumeration(group_size):
    with jax.enable_x64(True):
        for k in range(1, group_size):
            for c in vectors(k):
                advantages = order_statistic(groups_of(group_size), c)
                assert advantages.dtype == np.float64
                assert_close(advantages, enumerated(group_size, c))


@pytest.mark.parametrize("name", NAMED)
def test_named_ones_are_their_coefficients_static_and_traced(name):
    estimator, rewards = estimators.get(name), groups_of(8)
    with jax.enable_x64(True):
        traced = jax.jit(estimator.function)
        for k in range(estimator.k_range.smallest(8), 8):
            c = NAMED[name](k)
            expected = np.array([oracles.order_statistic(group, c) for group in rewards], float)
            for advantages in (estimator(rewards, k), traced(rewards, k)):
                assert_close(advantages, expected)
            assert_close(order_statistic(rewards, c), expected)


def ordergrad(rewards, alpha, ratio):
    """q_i - v^(-i) of OrderGrad by the weights W^(N,K)_{m,j}, in the arithmetic of the arguments.

    Args:
      rewards: [N].
      alpha: [K] rank weights, ascending.
      ratio: (a, b, c, d, e, f) -> C(a, b) C(c, d) / C(e, f), elementwise.
    """
    N, K = len(rewards), len(alpha)
    m, j = np.arange(1, N + 1)[:, None], np.arange(1, K + 1)
    # The j-th of a subset that has rank r is rank m: below r, at it, above it.
    below = ratio(m - 1, j - 1, N - m - 1, K - j - 1, N - 1, K - 1) @ alpha
    at = ratio(m - 1, j - 1, N - m, K - j, N - 1, K - 1) @ alpha
    above = ratio(m - 2, j - 2, N - m, K - j, N - 1, K - 1) @ alpha
    others = ratio(m[:-1] - 1, j - 1, N - 1 - m[:-1], K - j, N - 1, K) @ alpha
    order = np.argsort(rewards, kind="stable")
    x = rewards[order]
    result = np.zeros(N)
    for r in range(N):
        q = (below[:r] * x[:r]).sum() + at[r] * x[r] + (above[r + 1 :] * x[r + 1 :]).sum()
        v = (others * np.delete(x, r)).sum()
        result[order[r]] = q - v
    return result


@np.vectorize
def in_rationals(a, b, c, d, e, f):
    ways = [math.comb(n, k) if 0 <= k <= n else 0 for n, k in ((a, b), (c, d))]
    return Fraction(ways[0] * ways[1], math.comb(e, f))


def by_log_gamma_in_single_precision(a, b, c, d, e, f):
    def log_binomial(n, k):
        n, k = np.broadcast_arrays(n, k)
        possible = (k >= 0) & (k <= n)
        floats = [np.where(possible, x, 0).astype(np.float32) for x in (n, k, n - k)]
        logs = [np.asarray(gammaln(x + 1)) for x in floats]
        return np.where(possible, logs[0] - logs[1] - logs[2], -np.inf)

    return np.exp(log_binomial(a, b) + log_binomial(c, d) - log_binomial(e, f))


@pytest.mark.parametrize(("group_size", "k"), [(5, 4), (12, 1), (24, 7), (24, 23)])
def test_the_algorithm_of_ordergrad_gives_the_same(group_size, k):
    """At sizes beyond the enumeration of subsets, in rationals."""
    rng = np.random.default_rng(k)
    alpha = rng.integers(-4, 5, size=k)
    for rewards in (rng.normal(size=group_size), rng.integers(0, 3, size=group_size)):
        exactly = [np.array(oracles.rationals(values)) for values in (rewards, alpha)]
        with jax.enable_x64(True):
            assert_close(
                order_statistic(rewards.astype(float), alpha), ordergrad(*exactly, in_rationals)
            )


def test_log_gamma_weights_in_single_precision_are_as_far_off_as_the_docstring_says():
    for group_size, k, least, most in ((64, 8, 1e-4, 3e-4), (1024, 32, 5e-4, 5e-3)):
        rewards = np.random.default_rng(0).normal(size=group_size).astype(np.float32)
        alpha = of.max_at_k(k).astype(np.float32)
        with jax.enable_x64(True):
            truth = np.asarray(order_statistic(rewards.astype(float), alpha))
        theirs = ordergrad(rewards, alpha, by_log_gamma_in_single_precision)
        ours = np.asarray(order_statistic(rewards, alpha))
        assert least < np.abs(theirs - truth).max() / np.abs(truth).max() < most
        assert np.abs(ours - truth).max() < 5e-7 * np.abs(truth).max()


REWARDS = np.random.default_rng(3).normal(size=(4, 9))


@pytest.mark.parametrize("k", [1, 2, 5, 8])
def test_the_largest_is_maxpo_and_the_smallest_its_mirror_image(k):
    with jax.enable_x64(True):
        maxpo = maxpo_jax.maxpo(REWARDS, k)
        assert_close(order_statistic(REWARDS, of.max_at_k(k)), maxpo)
        mirrored = -maxpo_jax.maxpo(-REWARDS, k)
        assert_close(order_statistic(REWARDS, of.min_at_k(k)), mirrored)
        assert_close(estimators.min_at_k(REWARDS, k), mirrored)


@pytest.mark.parametrize("k", [1, 2, 5, 8])
def test_the_mean_of_all_is_rloo(k):
    with jax.enable_x64(True):
        mean = order_statistic(REWARDS, np.full(k, 1 / k))
        assert_close(k * mean, maxpo_jax.rloo(REWARDS, k))  # g = (K/B) sum A grad log pi


def test_linear_in_the_coefficients():
    one, other = of.median_at_k(5), of.cvar_at_k(5, 0.3)
    with jax.enable_x64(True):
        mixed = order_statistic(REWARDS, 2 * one - 3 * other)
        parts = 2 * order_statistic(REWARDS, one) - 3 * order_statistic(REWARDS, other)
        assert_close(mixed, parts)


PROBS = [Fraction(1, 2), Fraction(1, 8), Fraction(3, 8)]


@pytest.mark.parametrize("c", [(0.0, 1.0, 0.0), (1.0, -0.5, 2.0), (0.25, 0.0), (3.0,)])
@pytest.mark.parametrize("arms", [[0.25, 2.0, -1.0], [1.5, 0.5, 1.5], [0.0, 1.0, 0.0]])
def test_unbiased_and_centered_on_every_group_that_can_be_drawn(c, arms):
    def advantages(rewards, k):
        return order_statistic(rewards, c)

    truth = oracles.expectation_gradient(
        lambda values: oracles.weighted_sorted(values, c), arms, PROBS, len(c)
    )
    logits = np.log(np.array(PROBS, float))
    for group_size in (len(c) + 1, 6):
        mean = exact.moments(advantages, logits, arms, group_size, len(c)).mean
        np.testing.assert_allclose(mean, np.array(truth, float), atol=1e-14)
    with jax.enable_x64(True):
        groups = np.array(np.meshgrid(*[arms] * 4)).reshape(4, -1).T
        np.testing.assert_allclose(advantages(groups, len(c)).sum(axis=-1), 0, atol=1e-14)


def test_moments_are_those_of_enumeration_in_rationals():
    c, arms = (0.5, 0.0, -1.0), [0.25, 2.0, -1.0]
    mean, covariance = oracles.gradient_moments(
        lambda R: oracles.order_statistic(R, c), arms, PROBS, 4, 3
    )
    logits = np.log(np.array(PROBS, float))
    got = exact.moments(lambda rewards, k: order_statistic(rewards, c), logits, arms, 4, 3)
    np.testing.assert_allclose(got.mean, np.array(mean, float), atol=1e-15)
    np.testing.assert_allclose(got.covariance, np.array(covariance, float), atol=1e-15)


@pytest.mark.parametrize("group_size", [8, 700])  # both ways of sorting
def test_masked_samples_are_as_if_they_were_not_there(group_size):
    rng = np.random.default_rng(5)
    sizes = np.array([group_size, group_size // 2 + 1])
    order = rng.permuted(np.tile(np.arange(group_size), (2, 1)), axis=1)
    where = order < sizes[:, None]
    rewards = np.where(where, np.round(rng.normal(size=where.shape), 1), np.nan)
    rewards = rewards.astype(np.float32)
    for c in (of.median_at_k(3), np.array([1.0, -2.0])):
        masked = jax.jit(lambda r, w, c=c: order_statistic(r, c, where=w))(rewards, where)
        eager = order_statistic(rewards, c, where=where)
        for row, advantages in enumerate(np.asarray(masked)):
            valid = where[row]
            alone = np.asarray(order_statistic(rewards[row, valid], c))
            atol = 5e-7 * np.abs(alone).max()
            np.testing.assert_allclose(advantages[valid], alone, rtol=0, atol=atol)
            np.testing.assert_allclose(eager[row, valid], alone, rtol=0, atol=atol)
            assert not np.any(advantages[~valid])


def test_a_group_with_too_few_valid_samples_is_nan_in_jit_and_refused_outside():
    rewards, c = jnp.array([[0.0, 1.0, 5.0, 2.0], [0.0, 1.0, 5.0, 2.0]]), (0.0, 1.0)
    where = jnp.array([[True, True, True, False], [True, False, True, False]])
    got = np.asarray(jax.jit(lambda w: order_statistic(rewards, c, where=w))(where))
    np.testing.assert_allclose(got[0, :3], maxpo_jax.maxpo(rewards[0, :3], 2), rtol=1e-6)
    assert np.isnan(got[1, [0, 2]]).all()
    assert not got[1, [1, 3]].any()
    with pytest.raises(ValueError, match=r"index \[1\] has 2 valid samples.*k = 2.*coefficients"):
        order_statistic(rewards, c, where=where)


def test_keeps_the_contract():
    rewards = jnp.array([[0.0, 1.0, 5.0, 2.0], [jnp.nan, 1.0, 0.0, 2.0]])
    inside = jax.jit(order_statistic, static_argnames="coefficients")(rewards, (0.0, 1.0))
    assert np.isnan(inside[1]).all()
    expected = order_statistic(rewards[0], [0, 1])
    np.testing.assert_array_equal(inside[0], expected)
    np.testing.assert_array_equal(
        jax.vmap(lambda r: order_statistic(r, (0, 1)))(rewards[:1])[0], expected
    )
    half = order_statistic(rewards[0].astype(jnp.bfloat16), (0.0, 1.0))
    assert half.dtype == jnp.bfloat16
    assert order_statistic(jnp.array([0, 1, 1]), [1.0]).dtype == jnp.float32
    slope = jax.grad(lambda r: jnp.sum(order_statistic(r, (1.0, 0.0)) ** 2))(rewards[0])
    assert not np.any(slope)
    assert order_statistic(jnp.zeros((3, 0, 4)), (1.0, 0.0)).shape == (3, 0, 4)


def test_a_function_of_k_is_an_estimator_wherever_one_is_taken():
    def tail(rewards, k):
        return order_statistic(rewards, of.cvar_at_k(k, 0.25))

    estimator = wrap(tail)
    assert not estimator.traced_k
    rewards = REWARDS.astype(np.float32)
    np.testing.assert_allclose(
        jax.jit(estimator, static_argnums=1)(rewards, 4),
        estimators.min_at_k(rewards, 4),
        atol=1e-6,
    )


@pytest.mark.parametrize(
    ("coefficients", "message"),
    [
        ([], r"shape \[K\] with K >= 1.*got shape \[0\]"),
        (1.0, r"got shape \[\]"),
        (np.eye(2), r"got shape \[2, 2\]; for several objectives"),
        ([0.0, math.nan], "must be finite, got nan at index 1"),
        ([math.inf], "must be finite, got inf at index 0"),
        (["a"], r"real numbers, one for each of K sorted rewards, got \['a'\]"),
        ([1j], "real numbers"),
        ([[1.0], [1.0, 2.0]], "real numbers"),
        (None, r"got shape \[\]"),
        (np.ones(4), r"k = 4 does not fit group_size = 4.*1 <= k <= B - 1, here 1\.\.3.*k is the"),
        (np.ones(9), r"k = 9 does not fit group_size = 4.*draw a larger group, or pass fewer"),
    ],
)
def test_bad_coefficients(coefficients, message):
    with pytest.raises(ValueError, match=f"^order_statistic: .*{message}") as error:
        order_statistic(jnp.arange(4.0), coefficients)
    assert "\n" not in str(error.value)


def test_bad_coefficients_and_rewards_in_jit():
    with pytest.raises(ValueError, match=r"known before the program is compiled.*static argument"):
        jax.jit(order_statistic)(jnp.arange(4.0), jnp.ones(2))
    with pytest.raises(ValueError, match=r"^order_statistic: rewards must be finite, got nan"):
        order_statistic([math.nan, 0.0, 1.0], [1.0])
    with pytest.raises(ValueError, match=r"^top_two_at_k: k = 1 .*2 <= k <= B - 1.*'maxpo'"):
        estimators.top_two_at_k(jnp.arange(4.0), 1)
