"""Broken estimators, each with one known defect, and correct ones from outside the library.

They share no code with the library: binomial ratios come from `math.comb`, exactly rounded.
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


@functools.cache
def ratios(total: int, size: int) -> np.ndarray:
    """C(m, size) / C(total, size) for m = 0 .. total."""
    return np.array([math.comb(m, size) / math.comb(total, size) for m in range(total + 1)])


@functools.cache
def with_sample(B: int, K: int) -> np.ndarray:
    """[B, B] matrix from sorted rewards to u."""
    if not 1 <= K <= B:
        raise ValueError(f"u needs 1 <= k <= B, got k = {K} and B = {B}")
    matrix = np.zeros((B, B))
    if K > 1:
        above = (K - 1) / (B - 1) * ratios(B - 2, K - 2) if B > 1 else np.zeros(1)
        matrix += np.triu(np.append(0.0, above)[None, :].repeat(B, 0), 1)
    return matrix + np.diag(ratios(B - 1, K - 1))


@functools.cache
def without_sample(B: int, K: int) -> np.ndarray:
    """[B, B] matrix from sorted rewards to v."""
    if not 1 <= K <= B - 1:
        raise ValueError(f"v needs 1 <= k <= B - 1, got k = {K} and B = {B}")
    weights = K / (B - 1) * ratios(B - 2, K - 1)
    below = np.tril(np.append(weights, 0.0)[None, :].repeat(B, 0), -1)
    above = np.triu(np.append(0.0, weights)[None, :].repeat(B, 0), 1)
    return below + above


def in_order(rewards: Any, matrix: np.ndarray) -> np.ndarray:
    """The matrix applied to the sorted rewards, put back in the order of the samples."""
    rewards = np.asarray(rewards)
    order = np.argsort(rewards, kind="stable")
    result = np.empty(rewards.shape, np.result_type(rewards, np.float32))
    result[order] = matrix @ rewards[order]
    return result


def u(rewards: Any, k: int) -> np.ndarray:
    return in_order(rewards, with_sample(len(rewards), k))


def v(rewards: Any, k: int) -> np.ndarray:
    return in_order(rewards, without_sample(len(rewards), k))


def expected_improvement(rewards: Any, k: int) -> np.ndarray:
    return u(rewards, k) - (v(rewards, k - 1) if k > 1 else 0.0)


# Correct ones.


def right(rewards: Any, k: int) -> np.ndarray:
    return u(rewards, k) - v(rewards, k)


def right_in_jax(rewards: Any, k: int) -> jax.Array:
    return leaks_a_gradient(jax.lax.stop_gradient(rewards), k)


def right_in_batches(rewards: Any, k: int) -> np.ndarray:
    return np.apply_along_axis(right, -1, rewards, k)


def brute_force(rewards: Any, k: int) -> list[float]:
    """Pure Python, straight from the definition."""
    advantages = []
    for i, reward in enumerate(rewards):
        others = [other for j, other in enumerate(rewards) if j != i]
        best_with = [max(reward, *rest) for rest in itertools.combinations(others, k - 1)]
        best_without = [max(rest) for rest in itertools.combinations(others, k)]
        u_i = sum(best_with) / len(best_with)
        advantages.append(u_i - sum(best_without) / len(best_without))
    return advantages


def rloo_in_python(rewards: Any, k: int) -> list[float]:
    """Right for k = 1 and refused beyond it."""
    if k != 1:
        raise ValueError("only for k = 1")
    n = len(rewards)
    return [reward - (sum(rewards) - reward) / (n - 1) for reward in map(float, rewards)]


# Broken ones.


def wrong_scale(rewards: Any, k: int) -> np.ndarray:
    return right(rewards, k) * k / len(rewards)


def baseline_includes_the_sample(rewards: Any, k: int) -> np.ndarray:
    all_subsets = ratios(len(rewards), k)
    best_of_k = np.diff(all_subsets) @ np.sort(np.asarray(rewards, float))
    return u(rewards, k) - best_of_k


def mean_centered_ei(rewards: Any, k: int) -> np.ndarray:
    signal = expected_improvement(rewards, k)
    return signal - signal.mean()


def ties_lost_in_sorting(rewards: Any, k: int) -> np.ndarray:
    """The first of each tie gets what all of them should share."""
    advantages = right(rewards, k)
    _, first, count = np.unique(rewards, return_index=True, return_counts=True)
    result = np.zeros_like(advantages)
    result[first] = advantages[first] * count
    return np.where(np.isnan(advantages), np.nan, result)


def off_by_one_in_k(rewards: Any, k: int) -> np.ndarray:
    return right(rewards, k + 1)


def std_normalized(rewards: Any, k: int) -> np.ndarray:
    advantages = right(rewards, k)
    return advantages / (np.std(rewards) + 1e-6)


def truncates_integers(rewards: Any, k: int) -> np.ndarray:
    """The output allocated like the input, as in a published listing."""
    result = np.zeros_like(rewards)
    result[:] = right(rewards, k)
    return result


def float32_binomials(rewards: Any, k: int) -> np.ndarray:
    """Binomials formed as products in the precision of the rewards: the large ones overflow."""
    if np.asarray(rewards).dtype != np.float32:
        return right(rewards, k)
    B = len(rewards)
    m = np.arange(B - 1, dtype=np.float32)
    binomials = np.ones(B - 1, np.float32)
    for j in range(k - 1):
        binomials = binomials * np.maximum(m - j, 0) / np.float32(j + 1)
    weights = np.float32(B / (B - 1)) * binomials / binomials[-1]
    order = np.argsort(rewards)
    ascending = np.append(np.float32(0.0), np.cumsum(weights * np.diff(rewards[order])))
    result = np.empty_like(rewards)
    result[order] = ascending - ascending.mean()
    return result


def floating(rewards: Any) -> jax.Array:
    rewards = jnp.asarray(rewards)
    is_floating = jnp.issubdtype(rewards.dtype, jnp.floating)
    return rewards if is_floating else rewards.astype(jnp.float32)


def reads_neighbors_under_vmap(rewards: Any, k: int) -> jax.Array:
    """A host callback that is handed all groups at once and centers them together."""
    if rewards.ndim != 1 or len(rewards) > 6:
        raise TypeError("one group at a time, of at most 6")

    def host(groups: np.ndarray) -> np.ndarray:
        K = int(k)
        rows = [u(row, K) - 0.0 * v(row, K) for row in groups.reshape(-1, groups.shape[-1])]
        signal = np.reshape(rows, groups.shape)
        B = groups.shape[-1]
        return (B / (B - K) * (signal - signal.mean())).astype(groups.dtype)

    fixed = jax.lax.stop_gradient(floating(rewards))
    if k >= len(rewards):
        raise ValueError("k <= B - 1")
    shape = jax.ShapeDtypeStruct(fixed.shape, fixed.dtype)
    return jax.pure_callback(host, shape, fixed, vmap_method="expand_dims")


def mixes_the_groups_of_a_batch(rewards: Any, k: int) -> np.ndarray:
    """The mean over the whole array, where that over the group was meant."""
    rewards = np.asarray(rewards)
    B = rewards.shape[-1]
    without_sample(B, k)
    signal = np.apply_along_axis(u, -1, rewards, k)
    return B / (B - k) * (signal - signal.mean())


def leaks_a_gradient(rewards: Any, k: int) -> jax.Array:
    rewards = floating(rewards)
    matrix = with_sample(len(rewards), k) - without_sample(len(rewards), k)
    order = jnp.argsort(rewards)
    ascending = jnp.asarray(matrix, rewards.dtype) @ rewards[order]
    return jnp.zeros_like(rewards).at[order].set(ascending)


def baseline_too_large(rewards: Any, k: int) -> np.ndarray:
    B = len(rewards)
    return u(rewards, k) - B / (B - 1) * v(rewards, k)


def no_baseline(rewards: Any, k: int) -> np.ndarray:
    v(rewards, k)
    return expected_improvement(rewards, k) if k > 1 else right(rewards, k)


def nan_on_equal(rewards: Any, k: int) -> np.ndarray:
    advantages = right(rewards, k)
    size = np.max(rewards) - np.min(rewards)
    return advantages / size * size


def sorts_in_place(rewards: Any, k: int) -> np.ndarray:
    order = np.argsort(rewards, kind="stable")
    rewards.sort()
    result = np.empty(len(rewards))
    result[order] = right(rewards, k)
    return result


def swallows_nan(rewards: Any, k: int) -> np.ndarray:
    return right(np.nan_to_num(np.asarray(rewards, float)), k)


def other_centering_at_one(rewards: Any, k: int) -> np.ndarray:
    if k == 1:
        v(rewards, k)
        return rewards - np.mean(rewards)
    return right(rewards, k)


def clamps_k(rewards: Any, k: int) -> np.ndarray:
    return right(rewards, min(k, len(rewards) - 1))


def masks_by_zero_reward(rewards: Any, k: int, where: Any = None) -> np.ndarray:
    if where is None:
        return right(rewards, k)
    return right(np.where(where, rewards, 0.0), k) * where


class RemembersTheLastGroup:
    """A baseline carried over from the group before."""

    __name__ = "remembers_the_last_group"

    def __init__(self) -> None:
        self.last = 0.0

    def __call__(self, rewards: Any, k: int) -> np.ndarray:
        advantages = right(rewards, k) - self.last
        self.last = float(np.mean(rewards))
        return advantages


@dataclasses.dataclass(frozen=True)
class Defect:
    """A broken estimator and all that may be held against it.

    Attributes:
      function: the broken estimator.
      failing: the properties that fail: the defect itself first, then what it implies.
      sentence: what the first verdict must say.
      implied: why the further properties fail too.
    """

    function: Callable[..., Any]
    failing: tuple[str, ...]
    sentence: str
    implied: str = ""

    @property
    def name(self) -> str:
        return self.function.__name__


DEFECTS = (
    Defect(wrong_scale, ("unbiased",), "E g = 0.4 grad J_2"),
    Defect(
        baseline_includes_the_sample,
        ("unbiased", "edges"),
        "E g = 0.6 grad J_2",
        "1 - K/B of the signal is left, which is nothing at K = B",
    ),
    Defect(
        mean_centered_ei,
        ("unbiased", "unbiased_up_to_scale"),
        "E g = 0.4 grad J_1 + 0.6 grad J_2",
        "what is no multiple of the gradient is not the gradient",
    ),
    Defect(
        ties_lost_in_sorting,
        ("equal_on_ties", "permutation_equivariant"),
        "tied rewards get different advantages",
        "swapping two tied samples changes no reward and must change no advantage",
    ),
    Defect(
        off_by_one_in_k,
        ("unbiased", "unbiased_up_to_scale"),
        "E g = 0.666667 grad J_3, not of J_2",
        "what is no multiple of the gradient is not the gradient",
    ),
    Defect(
        std_normalized,
        ("unbiased", "unbiased_up_to_scale", "scale_equivariant"),
        "no multiple of any grad J_t",
        "rewards over their own deviation have no scale left",
    ),
    Defect(truncates_integers, ("integer_rewards",), "other advantages than the same floats"),
    Defect(float32_binomials, ("float32",), "float32 is not finite at B = 1024, K = 512"),
    Defect(reads_neighbors_under_vmap, ("vmap",), "reads its neighbors"),
    Defect(mixes_the_groups_of_a_batch, ("batched",), "the groups are mixed"),
    Defect(leaks_a_gradient, ("no_gradient",), "a gradient flows through the rewards"),
    Defect(
        baseline_too_large,
        ("centered", "shift_invariant", "zero_on_equal"),
        "do not sum to zero",
        "the part of the baseline in excess is proportional to the rewards themselves",
    ),
    Defect(no_baseline, ("centered",), "do not sum to zero"),
    Defect(
        nan_on_equal,
        ("zero_on_equal", "finite"),
        "do not give zero",
        "all-equal rewards are finite rewards",
    ),
    Defect(sorts_in_place, ("pure",), "changes the rewards it is given"),
    Defect(swallows_nan, ("nan",), "goes unnoticed"),
    Defect(other_centering_at_one, ("edges",), "k = 1: 0.8 grad J_1"),
    Defect(clamps_k, ("edges",), "k = B: biased"),
    Defect(masks_by_zero_reward, ("mask",), "masked sample"),
    Defect(RemembersTheLastGroup(), ("deterministic",), "other advantages"),
)

CORRECT = (right, right_in_jax, right_in_batches, brute_force)
