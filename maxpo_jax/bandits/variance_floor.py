r"""The least variance that an unbiased estimator can have which sees rewards alone.

The class. Let A and A' be unbiased for grad J_K under every policy. What a group expects of the
first sample, E[A_1 - A'_1 | R_1 = r], is then the same number for every r, whatever the policy; and
as no function of the counts of a multinomial sample but 0 has mean 0 whatever its probabilities,
A_1 - A'_1 does not depend on R_1 at all. So every such estimator is

    A_i = EI_i - b(R_-i),    b any symmetric function of the rewards of the others.

(One that depends on the order of the samples, or draws numbers, has at least the variance of its
mean over orders and draws, which is of this form.)

The floor. E|g|^2 is a quadratic function of b, and b is best where no change of it helps:

    E[ grad log pi(x_i) . g | R_-i ] = 0    for every value of R_-i,

one linear equation for each multiset of B - 1 rewards. Weighed by the root of its probability, the
equation's matrix is T + d, with T = E|grad log pi|^2 and d the symmetric matrix that exchanges one
reward for another: with H the matrix of s_l . s_m sqrt(q_l q_m) over reward levels of chance q and
mean score s, d adds up H over the B - 1 rewards. All eigenvalues lie between T and B T, so that the
best b is unique and conjugate gradients find it in some 10 sqrt(B) steps.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from maxpo_jax.bandits import multisets
from maxpo_jax.estimators import checks
from maxpo_jax.estimators.contract import UP_TO_GROUP_SIZE
from maxpo_jax.kernel.rank_weights import subset_probability

MAX_TERMS = 10_000_000
"""The largest problem that is started, in multisets of B rewards times reward levels: seconds."""

_RAREST = math.log(1e-20)
"""Others that are this much rarer than the likeliest change no variance, and cannot be told."""


class _Levels(NamedTuple):
    """What a softmax bandit is to an estimator that sees rewards alone.

    Attributes:
      rewards: [L] the different rewards that occur, ascending.
      probs: [L] their probabilities q.
      scores: [L, d] mean score s of the actions that pay it, in coordinates of their own.
      spreads: [L] mean |score - s|^2 of these actions.
    """

    rewards: np.ndarray
    probs: np.ndarray
    scores: np.ndarray
    spreads: np.ndarray


def variance_floor(logits: ArrayLike, rewards: ArrayLike, group_size: int, k: int) -> float:
    r"""Least variance of any estimator that is unbiased for every policy and sees rewards alone.

    .. math:: \min_b \operatorname{tr} \operatorname{Cov} \frac{K}{B} \sum_i
       (EI_i - b(R_{-i})) \nabla \log \pi(x_i)

    over all symmetric functions b of the rewards of the others, at this bandit and policy. The best
    b depends on the policy: the floor is what no such estimator can beat, and none attains it under
    every policy. With two actions it is 0, as their scores are parallel.

    Args:
      logits: [n] logits of the policy; -inf for an action that does not exist.
      rewards: [n] reward of each action, finite where it exists; ties are fine.
      group_size: B; static.
      k: K, 1 <= K <= B; static.

    Returns:
      A float, the trace of the covariance of g, in the units of `exact.variance`.

    Raises:
      ValueError: if K does not fit B, or if there are too many multisets of rewards (the message
        says how many, and what fits).

    Example:
      >>> from maxpo_jax import exact
      >>> logits, rewards = np.zeros(4), np.arange(4.0)
      >>> floor = variance_floor(logits, rewards, group_size=4, k=2)
      >>> round(floor, 6), round(exact.variance("ei", logits, rewards, 4, 2) / floor, 3)
      (0.220052, 2.071)

    Source: derived here; see the head of this file.

    A bound on what is unbiased for grad J_K with independent samples of the current policy,
    1 <= K <= B.
    """
    levels, k = _problem(logits, rewards, group_size, k)
    advantages = _improvements(levels.rewards, group_size, k)
    return _variance(levels, advantages - _baseline(levels, group_size, k)[:, None], group_size, k)


def best_baseline(
    logits: ArrayLike, rewards: ArrayLike, group_size: int, k: int
) -> Callable[[ArrayLike], jax.Array]:
    r"""The baseline with which expected improvement attains the variance floor.

    .. math:: b(R_{-i}) \quad \text{with} \quad
       \mathbb{E}[\nabla \log \pi(x_i) \cdot g \mid R_{-i}] = 0

    It is the best at this bandit and policy, unbiased at any.

    Args:
      logits: [n] logits of the policy; -inf for an action that does not exist.
      rewards: [n] reward of each action, finite where it exists; ties are fine.
      group_size: B; static.
      k: K, 1 <= K <= B; static.

    Returns:
      A function, rewards [..., B] of groups to baselines [..., B], which may be traced. A reward
      that no action pays counts as the nearest that one does. It raises ValueError on groups of
      another size.

    Raises:
      ValueError: as `variance_floor`.

    Example:
      >>> from maxpo_jax import estimators, exact
      >>> logits, rewards = np.zeros(4), np.arange(4.0)
      >>> baseline = best_baseline(logits, rewards, group_size=4, k=2)
      >>> best = lambda rewards, k: estimators.ei(rewards, k) - baseline(rewards)
      >>> round(exact.variance(best, logits, rewards, 4, 2), 6)
      0.220052

    Source: derived here; see the head of this file.

    Expected improvement less it is unbiased for grad J_K with independent samples of any policy,
    1 <= K <= B; not centered.
    """
    levels, k = _problem(logits, rewards, group_size, k)
    table = _baseline(levels, group_size, k)
    terms = jnp.asarray(multisets.rank_terms(len(levels.rewards), group_size - 1), jnp.int32)
    between = (levels.rewards[1:] + levels.rewards[:-1]) / 2

    def baseline(rewards: ArrayLike) -> jax.Array:
        values = checks.rewards_array("best_baseline", rewards)
        if values.shape[-1] != group_size:
            raise ValueError(
                f"this baseline is for groups of {group_size}, got rewards of shape {values.shape}"
            )
        level = jnp.searchsorted(jnp.asarray(between, values.dtype), values)
        own = jax.nn.one_hot(level, len(levels.rewards), dtype=jnp.int32)
        others = jnp.sum(own, axis=-2, keepdims=True, dtype=jnp.int32) - own
        left = jnp.flip(jnp.cumsum(jnp.flip(others, axis=-1), axis=-1, dtype=jnp.int32), axis=-1)
        action = np.arange(len(terms)).reshape((1,) * values.ndim + (-1,))
        rank = jnp.sum(terms[action, left[..., :-1]] - terms[action, left[..., 1:]], axis=-1)
        return jnp.asarray(table, values.dtype)[rank]

    return baseline


def _problem(logits: ArrayLike, rewards: ArrayLike, group_size: int, k: int) -> tuple[_Levels, int]:
    """The reward levels of the bandit, and K as an int.

    Raises:
      ValueError: for arguments that do not fit.
    """
    logits, rewards = np.asarray(logits, np.float64), np.asarray(rewards, np.float64)
    if logits.ndim != 1 or logits.shape != rewards.shape:
        raise ValueError(
            f"logits and rewards must both be [num_actions], got {logits.shape} and {rewards.shape}"
        )
    real = ~np.isneginf(logits)
    if not (real.any() and np.isfinite(logits[real]).all() and np.isfinite(rewards[real]).all()):
        raise ValueError(
            "logits and rewards must be finite, save that an action of logit -inf is left out, and "
            f"one action must be left; got logits {logits} and rewards {rewards}"
        )
    count = int(checks.integer_k("variance_floor", k))
    checks.check_k("variance_floor", count, UP_TO_GROUP_SIZE, group_size)
    weights = np.exp(logits[real] - logits[real].max())
    occurs = weights > 0
    probs, paid = weights[occurs] / weights.sum(), rewards[real][occurs]
    different, level = np.unique(paid, return_inverse=True)
    _check_size(len(different), group_size)
    chances = np.bincount(level, probs)
    shares = probs / chances[level]
    means = np.zeros((len(different), len(probs)))
    means[level, np.arange(len(probs))] = shares
    # The same scalar products in no more coordinates than there are levels.
    scores = np.asarray(np.linalg.qr((means - probs[None, :]).T, mode="r")).T
    return _Levels(different, chances, scores, np.bincount(level, shares * (1 - shares))), count


def fits(num_rewards: int, group_size: int) -> bool:
    """Whether the floor of a bandit of so many different rewards is computed, or refused.

    Args:
      num_rewards: how many different rewards its actions pay.
      group_size: B.

    Returns:
      Whether it fits `MAX_TERMS`.

    Example:
      >>> fits(4, 16), fits(30, 16)
      (True, False)
    """
    return _num_terms(num_rewards, group_size) <= MAX_TERMS


def _num_terms(num_rewards: int, group_size: int) -> int:
    return num_rewards * multisets.num_multisets(num_rewards, group_size)


def _check_size(num_rewards: int, group_size: int) -> None:
    """Raises ValueError if there are too many multisets of rewards, naming the sizes that fit."""
    if fits(num_rewards, group_size):
        return
    largest_group = multisets.largest_size(
        lambda size: _num_terms(num_rewards, size), group_size, MAX_TERMS
    )
    most_rewards = multisets.largest_size(
        lambda n: _num_terms(n, group_size), num_rewards, MAX_TERMS
    )
    raise ValueError(
        f"{num_rewards} different rewards and group_size {group_size} make "
        f"{multisets.num_multisets(num_rewards, group_size):,} multisets, more than are enumerated "
        f"for a variance floor; with {num_rewards} rewards group_size up to {largest_group} fits, "
        f"with group_size {group_size} up to {most_rewards} different rewards fit; where actions "
        "are many, exact.variance_floor_orthogonal takes any number"
    )


def _improvements(rewards: np.ndarray, group_size: int, k: int) -> np.ndarray:
    """EI [M, L] of a sample of each reward beside each multiset of others; the reward at K = 1."""
    num_levels = len(rewards)
    total = multisets.num_multisets(num_levels, group_size - 1)
    others = multisets.counts(np.arange(total), num_levels, group_size - 1)
    at_most = np.cumsum(others, axis=1)[:, :-1]
    gains = subset_probability(at_most, group_size - 1, k - 1) * np.diff(rewards)[None, :]
    lowest = np.full((total, 1), rewards[0] if k == 1 else 0.0)
    return np.cumsum(np.concatenate([lowest, gains], axis=1), axis=1)


def _baseline(levels: _Levels, group_size: int, k: int) -> np.ndarray:
    """The best b [M], of each multiset of B - 1 rewards by rank."""
    improvements = _improvements(levels.rewards, group_size, k)
    squares = levels.probs * (levels.spreads + (levels.scores**2).sum(axis=1))
    mean_square = squares.sum()
    if mean_square == 0.0:  # one action: g is 0
        return improvements @ levels.probs
    # Best if the scores of different samples were orthogonal; the others are corrections.
    first = improvements @ squares / mean_square
    if group_size == 1:
        return first
    exchange = _exchange(levels, group_size)
    log_chance = _log_chances(levels.probs, group_size - 1)
    root = np.exp(log_chance / 2)
    num_levels, total = len(levels.probs), len(root)

    def normal(scaled: np.ndarray) -> np.ndarray:
        field = np.broadcast_to(scaled[:, None], (total, num_levels))
        return mean_square * scaled + exchange(field)

    pull = exchange(root[:, None] * (improvements - first[:, None]))
    correction = _conjugate_gradients(normal, pull)
    told = log_chance > log_chance.max() + _RAREST
    return first + np.where(told, correction, 0.0) / np.where(told, root, 1.0)


def _conjugate_gradients(
    normal: Callable[[np.ndarray], np.ndarray], target: np.ndarray
) -> np.ndarray:
    """The x with normal(x) = target, for a symmetric and positive definite function."""
    x, residual = np.zeros_like(target), target
    direction, square = residual, residual @ residual
    enough = 1e-28 * square
    while square > enough:
        image = normal(direction)
        length = square / (direction @ image)
        x, residual = x + length * direction, residual - length * image
        before, square = square, residual @ residual
        direction = residual + square / before * direction
    return x


def _exchange(levels: _Levels, group_size: int) -> Callable[[np.ndarray], np.ndarray]:
    """The function from advantages A to sum_(j != i) E[S_i . S_j A_j | R_-i], in roots of chances.

    It takes sqrt(chance) A [M, L], by the multiset of others and the own reward, and gives
    sqrt(chance) times the sum [M]. Given B - 2 rewards D, sample j sees D and the reward m of i,
    and i sees D and the reward l of j.
    """
    num_levels = len(levels.probs)
    total = multisets.num_multisets(num_levels, group_size - 1)
    num_shared = multisets.num_multisets(num_levels, group_size - 2)
    shared = multisets.counts(np.arange(num_shared), num_levels, group_size - 2)
    one_more = np.eye(num_levels, dtype=np.int64)
    index = np.stack([multisets.ranks(shared + one[None, :]) for one in one_more], axis=1)
    roots = np.sqrt(shared + 1.0)
    weighted = np.sqrt(levels.probs)[:, None] * levels.scores
    gram = weighted @ weighted.T

    def exchange(field: np.ndarray) -> np.ndarray:
        pull = np.zeros(total)
        for level in range(num_levels):
            seen = (roots * field[index, level]) @ gram[level]
            pull += np.bincount(index[:, level], roots[:, level] * seen, total)
        return pull

    return exchange


def _variance(levels: _Levels, advantages: np.ndarray, group_size: int, k: int) -> float:
    """Variance of g for advantages [M, L] by the multiset of others and the own reward.

    As the mean of the variance given the rewards, plus the variance of the mean given them: sums
    of squares, which keep their digits however small they are.
    """
    num_levels = len(levels.probs)
    total = multisets.num_multisets(num_levels, group_size)
    groups = multisets.counts(np.arange(total), num_levels, group_size)
    chances = np.exp(_log_chances(levels.probs, group_size))
    pulls, within = np.zeros_like(groups, np.float64), np.zeros(total)
    for level, spread in enumerate(levels.spreads):
        there = groups[:, level] > 0
        others = groups[there]
        others[:, level] -= 1
        own = advantages[multisets.ranks(others), level]
        pulls[there, level] = groups[there, level] * own
        within[there] += spread * groups[there, level] * own**2
    means = pulls @ levels.scores
    centered = means - (chances @ means)[None, :] / chances.sum()
    return float((k / group_size) ** 2 * (chances @ (within + (centered**2).sum(axis=1))))


def _log_chances(probs: np.ndarray, size: int) -> np.ndarray:
    """Log-probability of each multiset of rewards, by rank."""
    total = multisets.num_multisets(len(probs), size)
    return multisets.log_probability(
        multisets.counts(np.arange(total), len(probs), size), np.log(probs)
    )
