"""Published algorithms and definitions to compare MaxPO with: they share no code with the library.

Each is written for what it shows: the quadratic algorithm as its paper defines it, PKPO's listing
as its paper prints it, and the closed form in extended precision as the truth for rounding errors.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np


def improvement_weights(group_size: int, k: int) -> np.ndarray:
    """C(m, K-1) / C(B-1, K-1) for m = 1..B-1: the share of comparisons that spacing m enters."""
    size = np.arange(group_size - 1, 1, -1, dtype=np.float64)
    falling = np.cumprod(np.concatenate([[1.0], np.maximum(size - (k - 1), 0) / size]))
    return falling[::-1].copy()


@functools.partial(jax.jit, static_argnames=("k",))
def maxpo_quadratic(rewards: jax.Array, k: int) -> jax.Array:
    r"""MaxPO as its paper computes it: EI_i less the mean EI of the others in the batch without i.

    .. math:: A_i = EI_i - \frac{1}{B-1} \sum_{j \ne i} EI_j^{(-i)}, \qquad
       EI_{(i)} = \sum_{m < i} \binom{m}{K-1} \Big/ \binom{B-1}{K-1} (R_{(m+1)} - R_{(m)})

    One sort, and B batches of B - 1 samples: O(B^2) operations and memory per group.

    Args:
      rewards: [G, B] rewards.
      k: K, 2 <= K <= B - 1. Static.

    Returns:
      [G, B] advantages.

    Source: Takashiro et al., 2026, arXiv:2606.06080.
    """
    size = rewards.shape[-1]
    order = jnp.argsort(rewards, axis=-1)
    ranked = jnp.take_along_axis(rewards, order, axis=-1)

    def improvement(ranked: jax.Array) -> jax.Array:
        spacing = jnp.diff(ranked, axis=-1)
        weights = jnp.asarray(improvement_weights(ranked.shape[-1], k), ranked.dtype)
        gains = jnp.cumsum(jnp.broadcast_to(weights, spacing.shape) * spacing, axis=-1)
        return jnp.concatenate([jnp.zeros_like(gains[..., :1]), gains], axis=-1)

    kept = np.arange(size - 1)
    kept = kept + (kept >= np.arange(size)[:, None])
    baseline = jnp.mean(improvement(ranked[:, kept]), axis=-1)
    return jnp.take_along_axis(improvement(ranked) - baseline, jnp.argsort(order, axis=-1), axis=-1)


def pkpo_sloo_minus_one(rewards: np.ndarray, k: int) -> np.ndarray:
    """PKPO's s^(loo-1) of one group in NumPy, in O(B (K + log B)); it equals (K/B) EI.

    Args:
      rewards: [B] rewards.
      k: K, 2 <= K <= B.

    Returns:
      [B] transformed rewards.

    Source: after Walder and Karkhanis, 2025, arXiv:2505.15201, Listing 1.
    """
    size = len(rewards)
    order = np.argsort(rewards)
    ranked = rewards[order]
    result = np.empty(size)
    result[order] = _pkpo_s(ranked, k) - _pkpo_b(ranked, k - 1) * k / (k - 1) / size
    return result


def _pkpo_m(size: int, k: int, i: int, j: int) -> float:
    if i == j and i >= k - 1:
        ratios = np.arange(i - k + 2, i + 1) / np.arange(size - k + 2, size + 1)
        return float(k / (size - k + 1) * np.prod(ratios))
    if j > i and j >= k - 1 and k >= 2:
        ratios = np.arange(j - k + 2, j) / np.arange(size - k + 2, size)
        return float(k / (size - k + 1) * (k - 1) / size * np.prod(ratios))
    return 0.0


def _pkpo_diagonal(size: int, k: int) -> np.ndarray:
    return np.array([_pkpo_m(size, k, i, i) for i in range(size)])


def _pkpo_deltas(size: int, k: int) -> np.ndarray:
    less = size - 1
    steps = [_pkpo_m(less, k, i, i + 1) - _pkpo_m(less, k, i + 1, i + 1) for i in range(size - 2)]
    return np.array(steps)


def _pkpo_s(ranked: np.ndarray, k: int) -> np.ndarray:
    size = len(ranked)
    terms = ranked * _pkpo_diagonal(size, k)
    terms[: size - 1] += ranked[1:] * _pkpo_deltas(size + 1, k)
    return np.cumsum(terms[::-1])[::-1]


def _pkpo_b(ranked: np.ndarray, k: int) -> np.ndarray:
    size = len(ranked)
    weights = _pkpo_diagonal(size - 1, k) * np.arange(1, size)
    weights[1:] += _pkpo_deltas(size, k) * np.arange(1, size - 1)
    first = [(weights * ranked[1:]).sum()]
    return np.cumsum(np.concatenate([first, (ranked[:-1] - ranked[1:]) * weights]))


def maxpo_in_extended_precision(rewards: np.ndarray, k: int) -> np.ndarray:
    """MaxPO of groups [G, B] by its closed form in `np.longdouble`: sums in order of rank."""
    size = rewards.shape[-1]
    weights = np.zeros(size - 1, np.longdouble)
    ranks = np.arange(size - 1, k - 1, -1)
    ratios = (ranks[:-1] - np.longdouble(k)) / np.maximum(ranks[:-1] - 1, 1)
    weights[ranks - 1] = np.cumprod(np.concatenate([[np.longdouble(size) / (size - 1)], ratios]))
    order = np.argsort(rewards, axis=-1)
    ranked = np.take_along_axis(rewards, order, axis=-1).astype(np.longdouble)
    climbed = np.zeros(ranked.shape, np.longdouble)
    climbed[:, 1:] = np.cumsum(weights * np.diff(ranked, axis=-1), axis=-1)
    result = np.empty_like(climbed)
    np.put_along_axis(result, order, climbed - climbed.mean(axis=-1, keepdims=True), axis=-1)
    return result
