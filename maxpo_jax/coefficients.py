"""Coefficients of order statistics: which of K sorted rewards an objective counts, and how much.

A vector c of K coefficients stands for the objective

    J_c = E[c_1 R_(1:K) + ... + c_K R_(K:K)],    R_(1:K) <= ... <= R_(K:K) iid rewards, sorted,

of which `objectives.order_statistic` is the value, `exact.order_statistic_gradient` the gradient,
and `estimators.order_statistic` the estimator. They are float64 NumPy arrays, so that mixtures are
sums: `(1 - w) * max_at_k(8) + w * min_at_k(8)`.
"""

import operator
from typing import Any

import numpy as np


def max_at_k(k: int) -> np.ndarray:
    """The largest of K rewards: the last coefficient is 1, and J_c is max@K.

    Args:
      k: K, at least 1.

    Returns:
      [K] float64 coefficients.

    Raises:
      ValueError: k is not a positive integer.

    Example:
      >>> max_at_k(3).tolist()
      [0.0, 0.0, 1.0]
    """
    return top_m_at_k(k, 1)


def min_at_k(k: int) -> np.ndarray:
    """The smallest of K rewards: the first coefficient is 1.

    Args:
      k: K, at least 1.

    Returns:
      [K] float64 coefficients.

    Raises:
      ValueError: k is not a positive integer.

    Example:
      >>> min_at_k(3).tolist()
      [1.0, 0.0, 0.0]
    """
    return max_at_k(k)[::-1].copy()


def median_at_k(k: int) -> np.ndarray:
    """The median of K rewards: the middle one, or half of each of the two in the middle.

    Args:
      k: K, at least 1.

    Returns:
      [K] float64 coefficients.

    Raises:
      ValueError: k is not a positive integer.

    Example:
      >>> median_at_k(3).tolist(), median_at_k(4).tolist()
      ([0.0, 1.0, 0.0], [0.0, 0.5, 0.5, 0.0])
    """
    k = _positive("median_at_k", "k", k)
    values = np.zeros(k)
    values[(k - 1) // 2] += 0.5
    values[k // 2] += 0.5
    return values


def top_m_at_k(k: int, m: int) -> np.ndarray:
    """The mean of the largest m of K rewards.

    Args:
      k: K, at least 1.
      m: how many count, 1 <= m <= k; `max_at_k` for 1, the mean reward for k.

    Returns:
      [K] float64 coefficients.

    Raises:
      ValueError: k or m is not a positive integer, or m is larger than k.

    Example:
      >>> top_m_at_k(4, 2).tolist()
      [0.0, 0.0, 0.5, 0.5]
    """
    k, m = _positive("top_m_at_k", "k", k), _positive("top_m_at_k", "m", m)
    if m > k:
        raise ValueError(f"top_m_at_k: m = {m} does not fit k = {k}: allowed are 1 <= m <= k.")
    return np.where(np.arange(k) < k - m, 0.0, 1 / m)


def cvar_at_k(k: int, alpha: float) -> np.ndarray:
    r"""The mean of the lowest share alpha of K rewards: conditional value at risk, the lower tail.

    .. math:: c_m = \frac{\min(\max(\alpha K - (m - 1), 0), 1)}{\alpha K}

    The reward on the boundary counts in part. Rewards are larger the better, so that the lower
    tail is the bad one. For the mean of the upper tail reverse the coefficients.

    Args:
      k: K, at least 1.
      alpha: the share, 0 < alpha <= 1; `min_at_k` up to 1/K, the mean reward for 1.

    Returns:
      [K] float64 coefficients.

    Raises:
      ValueError: k is not a positive integer, or alpha is not in (0, 1].

    Example:
      >>> cvar_at_k(4, 0.5).tolist(), cvar_at_k(5, 0.25).round(3).tolist()
      ([0.5, 0.5, 0.0, 0.0], [0.8, 0.2, 0.0, 0.0, 0.0])
    """
    k = _positive("cvar_at_k", "k", k)
    if not 0 < alpha <= 1:
        raise ValueError(f"cvar_at_k: alpha = {alpha!r} is no share: allowed are 0 < alpha <= 1.")
    return np.clip(alpha * k - np.arange(k), 0.0, 1.0) / (alpha * k)


def _positive(name: str, argument: str, value: Any) -> int:
    try:
        number = 0 if isinstance(value, (bool, np.bool_)) else operator.index(value)
    except TypeError:  # a float, or a traced integer, of which no array of that length can be made
        number = 0
    if number < 1:
        raise ValueError(f"{name}: {argument} must be a positive Python int, got {value!r}.")
    return number
