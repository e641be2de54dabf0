r"""Exact variances where the scores of different samples are orthogonal: an infinity of actions.

As the number of actions grows, and for the samples of a language model, two samples hardly ever
share a score. In that limit, with scores of length 1,

    tr Cov g = (K^2 / B) E[A_i^2],

so that advantages alone decide, and the best baseline is what the others expect of the sample,
b(R_-i) = E[EI_i | R_-i]. Rewards are sums over thresholds, R = r_1 + sum_m d_m 1[R > r_m] with the
levels r and their spacings d, and all that is here follows from how many others lie at or below
each threshold. A continuous reward is taken at its quantiles: a few thousand levels are fast.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from maxpo_jax.bandits import exact
from maxpo_jax.bandits.exact import Estimator
from maxpo_jax.estimators import checks
from maxpo_jax.estimators.contract import UP_TO_GROUP_SIZE

_GROUPS_TRIED = 16


def variance_floor_orthogonal(
    rewards: ArrayLike, probs: ArrayLike, group_size: int, k: int
) -> np.ndarray:
    r"""Least variance of any estimator that is unbiased for every policy and sees rewards alone.

    Let F_m be the chance of a reward of at most r_m, and j how many members a random (K-1)-subset
    of the B - 1 others shares with another one. Then

    .. math:: \frac{K^2}{B} \mathbb{E} \operatorname{Var}(EI_i \mid R_{-i})
       = \frac{K^2}{B} \sum_{l, m} d_l d_m F_{\min}^K (1 - F_{\max}) \, \psi(F_{\max}),
       \qquad \psi(x) = \mathbb{E} \, x^{K-1-j}

    with the smaller and the larger of F_l and F_m. For 0/1 rewards and a success probability p it
    is (K^2/B) p (1-p)^K psi(1-p); the variance of expected improvement is 1/(1-p) times that,
    whatever B and K, and that of MaxPO at most B/(B-K) times.

    Args:
      rewards: [L] finite rewards, in any order; ties are fine.
      probs: [..., L] their probabilities, of one or more policies.
      group_size: B; static.
      k: K, 1 <= K <= B; static.

    Returns:
      [...] variances, float64 NumPy, for scores of length 1.

    Raises:
      ValueError: if K does not fit B, or rewards and probabilities do not fit each other.

    Example:
      >>> variance_floor_orthogonal([0.0, 1.0], [[0.5, 0.5], [0.9, 0.1]], 16, k=1).round(6).tolist()
      [0.015625, 0.005625]

    Source: derived here; the class of estimators is that of `variance_floor`.

    A bound on what is unbiased for grad J_K with independent samples of the current policy,
    1 <= K <= B.
    """
    k = int(checks.integer_k("variance_floor_orthogonal", k))
    checks.check_k("variance_floor_orthogonal", k, UP_TO_GROUP_SIZE, group_size)
    levels, chances = _distribution(rewards, probs)
    at_most = np.cumsum(chances[..., :-1], axis=-1)
    above = np.flip(np.cumsum(np.flip(chances[..., 1:], axis=-1), axis=-1), axis=-1)
    ways = [math.comb(k - 1, j) * math.comb(group_size - k, k - 1 - j) for j in range(k)]
    shared = [count / math.comb(group_size - 1, k - 1) for count in ways]
    psi = np.polynomial.polynomial.polyval(at_most, shared[::-1])
    smaller, larger = np.diff(levels) * at_most**k, np.diff(levels) * above * psi
    pairs = larger * (2 * np.cumsum(smaller, axis=-1) - smaller)
    return k**2 / group_size * pairs.sum(axis=-1)


def variance_orthogonal(
    estimator: Estimator, rewards: ArrayLike, probs: ArrayLike, group_size: int, k: int
) -> np.ndarray:
    r"""Variance (K^2 / B) E[A_i^2] of an estimator with orthogonal scores.

    The estimator has to be a weighted sum of the spacings of the sorted rewards, as most of the
    catalogue is; for 0/1 rewards any will do that gives equal rewards equal advantages. Its weights
    are read off its advantages for 0/1 rewards, w(1, f) of a success and w(0, f) of a failure with
    f failures among the others:

    .. math:: A_i = r_1 w(1, 0) + \sum_m d_m \, w(1[R_i > r_m], f_m)

    with f_m others at or below r_m. From the highest threshold down, (1[R_i > r_m], f_m) is a
    Markov chain: each sample below one threshold is below the next with the same chance. The first
    two moments of the sum are carried along it.

    Args:
      estimator: `f(rewards [B], k) -> advantages [B]`, or of batches, in JAX or NumPy, or a
        registered name; static.
      rewards: [L] finite rewards, in any order; ties are fine.
      probs: [..., L] their probabilities, of one or more policies.
      group_size: B; static.
      k: K; static.

    Returns:
      [...] variances, float64 NumPy, for scores of length 1; E g has length 0 in this limit.

    Raises:
      ValueError: if the estimator is no such sum, or rewards and probabilities do not fit.

    Example:
      >>> p = np.array([0.5, 0.9])
      >>> probs = np.stack([1 - p, p], axis=-1)
      >>> floor = variance_floor_orthogonal([0.0, 1.0], probs, 16, k=4)
      >>> (variance_orthogonal("ei", [0.0, 1.0], probs, 16, k=4) / floor).round(6).tolist()
      [2.0, 10.0]
      >>> (variance_orthogonal("maxpo", [0.0, 1.0], probs, 16, k=4) / floor).round(3).tolist()
      [1.102, 1.199]

    Source: derived here.

    Exact for independent samples; it asks nothing of the estimator's expectation.
    """
    levels, chances = _distribution(rewards, probs)
    weights = _weights(estimator, group_size, k, levels)
    at_most = np.cumsum(chances, axis=-1)
    # At or below the highest level are all, this sample and the others.
    chance = np.zeros((*chances.shape[:-1], 2, group_size))
    chance[..., 0, -1] = 1.0
    first, second = np.zeros_like(chance), np.zeros(chances.shape[:-1])
    for m in range(len(levels) - 1, 0, -1):
        step_down = _step_down(at_most[..., m], chances[..., m], group_size)
        chance, first = step_down(chance), step_down(first)
        term = (levels[m] - levels[m - 1]) * weights
        second += (term * (chance * term + 2 * first)).sum(axis=(-2, -1))
        first += chance * term
    lowest = levels[0] * weights[1, 0]
    second += lowest * (lowest + 2 * first.sum(axis=(-2, -1)))
    return k**2 / group_size * second


def _distribution(rewards: ArrayLike, probs: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """The different rewards [L], ascending, and their probabilities [..., L], which add up to 1."""
    rewards, probs = np.asarray(rewards, np.float64), np.asarray(probs, np.float64)
    if rewards.ndim != 1 or not len(rewards) or probs.shape[-1:] != rewards.shape:
        raise ValueError(
            "rewards must be [num_rewards] and probs [..., num_rewards], got "
            f"{rewards.shape} and {probs.shape}"
        )
    total = probs.sum(axis=-1, keepdims=True)
    if not (np.isfinite(rewards).all() and (probs >= 0).all() and np.allclose(total, 1.0)):
        raise ValueError("rewards must be finite, and probs not negative and of sum 1")
    order = np.argsort(rewards)
    levels, starts = np.unique(rewards[order], return_index=True)
    chances = np.add.reduceat((probs / total)[..., order], starts, axis=-1)
    return levels, chances


def _step_down(
    at_most: np.ndarray, leaving: np.ndarray, group_size: int
) -> Callable[[np.ndarray], np.ndarray]:
    """One step of the Markov chain: of those at or below a level, who is below it?

    Args:
      at_most: [...] chance of a reward at or below the level.
      leaving: [...] that of the reward of the level.
      group_size: B.

    Returns:
      A function on [..., 2, B], by whether the sample itself is above, and by the others below.
    """
    nobody = at_most <= 0
    leave = np.where(nobody, 0.0, leaving / np.where(nobody, 1.0, at_most))[..., None, None]
    stay = 1.0 - leave
    before, after = np.arange(group_size)[:, None], np.arange(group_size)[None, :]
    gone = np.maximum(before - after, 0)
    log_factorials = np.cumsum(np.log(np.maximum(np.arange(group_size), 1)))
    log_ways = log_factorials[before] - log_factorials[after] - log_factorials[gone]
    log_stay, log_leave = (np.log(np.maximum(x, np.finfo(float).tiny)) for x in (stay, leave))
    chances = np.exp(log_ways + after * log_stay + gone * log_leave) * (after <= before)

    def step_down(states: np.ndarray) -> np.ndarray:
        below, above = states[..., :1, :], states[..., 1:, :]
        return np.concatenate([stay * below, above + leave * below], axis=-2) @ chances

    return step_down


def _weights(estimator: Estimator, group_size: int, k: int, levels: np.ndarray) -> np.ndarray:
    """Advantages [2, B] of a failure and of a success, by the failures among the others.

    Raises:
      ValueError: if the rewards are others than 0 and 1, and the advantages no sum over spacings.
    """
    of_success, of_failure = exact.advantages_by_successes(estimator, group_size, k)
    weights = np.stack([of_failure[-2::-1], of_success[:0:-1]])
    if not set(levels) <= {0.0, 1.0}:
        rng = np.random.default_rng(0)
        groups = rng.normal(size=(_GROUPS_TRIED, group_size))
        groups[::2] = np.round(groups[::2])
        found = exact.advantages(estimator, groups, k)
        if not np.allclose(found, _sums_over_spacings(groups, weights), rtol=1e-9, atol=1e-9):
            name = getattr(estimator, "name", None) or getattr(estimator, "__name__", estimator)
            raise ValueError(
                f"{name} is no weighted sum of the spacings of sorted rewards: its variance with "
                "orthogonal scores is known for 0/1 rewards alone; for others see exact.variance "
                "on few actions, or estimate it on a bandit of many"
            )
    return weights


def _sums_over_spacings(groups: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Advantages [G, B] from the weights of failures and successes at each threshold."""
    ranked = np.sort(groups, axis=1)
    sums = np.repeat(ranked[:, :1] * weights[1, 0], groups.shape[1], axis=1)
    for m in range(groups.shape[1] - 1):
        above = groups > ranked[:, m : m + 1]
        others = (~above).sum(axis=1, keepdims=True) - ~above
        spacing = ranked[:, m + 1 : m + 2] - ranked[:, m : m + 1]
        sums += spacing * weights[above.astype(int), others]
    return sums
