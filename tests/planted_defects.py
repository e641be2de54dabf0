"""Broken estimators, each with one known defect, and correct ones from outside the library.

They share no code with the library: binomial ratios come from `math.comb`, exactly rounded.
"""

import dataclasses
import functools
import itertools
import math
import random
import sys
from collections.abc import Callable
from fractions import Fraction
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
    return over_all_subsets(rewards, k, math.fsum)


def over_all_subsets(rewards: Any, k: int, add: Callable[[Any], Any]) -> list[float]:
    advantages = []
    for i, reward in enumerate(rewards):
        others = [other for j, other in enumerate(rewards) if j != i]
        best_with = [max(reward, *rest) for rest in itertools.combinations(others, k - 1)]
        best_without = [max(rest) for rest in itertools.combinations(others, k)]
        u_i = add(best_with) / len(best_with)
        advantages.append(u_i - add(best_without) / len(best_without))
    return advantages


def rloo_in_python(rewards: Any, k: int) -> list[float]:
    """Right for k = 1 and refused beyond it."""
    if k != 1:
        raise ValueError("only for k = 1")
    n = len(rewards)
    return [reward - (sum(rewards) - reward) / (n - 1) for reward in map(float, rewards)]


def float32_in_python_floats(rewards: Any, k: int) -> list[float]:
    """Computed in single precision, whatever the type of the answer says."""
    return [float(a) for a in right(np.asarray(rewards, np.float32), k)]


def only_batches(rewards: Any, k: int) -> np.ndarray:
    if np.ndim(rewards) != 2:
        raise TypeError(f"rewards must be [groups, group_size], got {np.shape(rewards)}")
    return right_in_batches(rewards, k)


def numpy_brute_force(rewards: Any, k: int) -> np.ndarray:
    """All subsets at once, by fancy indexing."""
    rewards = np.asarray(rewards) * 1.0
    B = rewards.shape[-1]
    advantages = np.empty_like(rewards)
    for i in range(B):
        others = np.delete(np.arange(B), i)
        without = rewards[..., list(itertools.combinations(others, k))].max(-1).mean(-1)
        if k == 1:
            best_with = rewards[..., i]
        else:
            rest = rewards[..., list(itertools.combinations(others, k - 1))].max(-1)
            best_with = np.maximum(rest, rewards[..., i, None]).mean(-1)
        advantages[..., i] = best_with - without
    return advantages


def exact_rationals(rewards: Any, k: int) -> list[float]:
    """Fractions throughout, rounded once."""
    if k >= len(rewards):
        raise ValueError("k <= B - 1")
    exact = sorted((Fraction(float(reward)), i) for i, reward in enumerate(rewards))
    B, weight, rise, signal = len(exact), Fraction(0), Fraction(0), {}
    for m, (reward, i) in enumerate(exact):
        if m:
            weight = Fraction(B * math.comb(m - 1, k - 1), (B - 1) * math.comb(B - 2, k - 1))
            rise += weight * (reward - exact[m - 1][0])
        signal[i] = rise
    mean = sum(signal.values()) / B
    return [float(signal[i] - mean) for i in range(B)]


def spacings_in_jax(rewards: Any, k: int) -> jax.Array:
    """Any leading axes, one sort."""
    rewards = jax.lax.stop_gradient(floating(rewards))
    B = rewards.shape[-1]
    if not 1 <= k < B:
        raise ValueError("1 <= k <= B - 1")
    weights = jnp.asarray(B / (B - 1) * ratios(B - 2, k - 1), rewards.dtype)
    order = jnp.argsort(rewards, axis=-1)
    steps = jnp.diff(jnp.take_along_axis(rewards, order, -1)) * weights.reshape(
        (1,) * (rewards.ndim - 1) + (-1,)
    )
    ascending = jnp.cumsum(jnp.pad(steps, [(0, 0)] * (rewards.ndim - 1) + [(1, 0)]), -1)
    ranks = jnp.argsort(order, axis=-1)
    signal = jnp.take_along_axis(ascending, ranks, -1)
    return signal - jnp.mean(signal, -1, keepdims=True)


def improvement_less_the_spread_of_the_others(rewards: Any, k: int) -> np.ndarray:
    """Unbiased with a baseline of its own: any symmetric function of the other rewards is one."""
    signal = expected_improvement(rewards, k)
    return signal - [np.std(np.delete(rewards, i)) for i in range(len(rewards))]


def improvement_over_a_random_other(rewards: Any, k: int, key: jax.Array) -> jax.Array:
    """Unbiased on average over the key: each sample is compared to one other."""
    B = rewards.shape[-1]
    if k != 2 or rewards.ndim != 1:
        raise ValueError("k = 2 and one group")
    fixed = jax.lax.stop_gradient(floating(rewards))
    steps = jax.random.randint(key, (B,), 1, B)
    return jnp.maximum(fixed - fixed[(jnp.arange(B) + steps) % B], 0.0)


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


# Broken where nobody looks: levels, ranges, sizes, batches, precision, purity, sign, raising.


def rloo_from_four_levels(rewards: Any, k: int) -> np.ndarray:
    if len(np.unique(rewards)) < 4:
        return right(rewards, k)
    v(rewards, k)
    return right(rewards, 1)


def lifts_below_the_third_largest(rewards: Any, k: int) -> np.ndarray:
    levels = np.unique(rewards)
    return right(np.maximum(rewards, levels[-min(3, len(levels))]), k)


def clips_at_ten(rewards: Any, k: int) -> np.ndarray:
    return right(np.clip(rewards, -1.3, 10.0), k)


def other_objective_beyond_ten(rewards: Any, k: int) -> np.ndarray:
    v(rewards, k)
    return mean_centered_ei(rewards, k) if np.max(rewards) > 10.0 else right(rewards, k)


def loses_the_sign(rewards: Any, k: int) -> np.ndarray:
    return right(np.abs(rewards), k)


def nan_for_four_of_a_kind(rewards: Any, k: int) -> np.ndarray:
    _, counts = np.unique(rewards, return_counts=True)
    return right(rewards, k) * (np.nan if 4 in counts and len(counts) >= 4 else 1.0)


def raises_for_three_of_a_kind(rewards: Any, k: int) -> np.ndarray:
    if 3 in np.unique(rewards, return_counts=True)[1]:
        raise LookupError("no entry for this tie")
    return right(rewards, k)


def raises_on_equal(rewards: Any, k: int) -> np.ndarray:
    advantages = right(rewards, k)
    if np.max(rewards) == np.min(rewards):
        raise ZeroDivisionError("no spread")
    return advantages


def exits_on_equal(rewards: Any, k: int) -> np.ndarray:
    advantages = right(rewards, k)
    if np.max(rewards) == np.min(rewards):
        sys.exit(0)
    return advantages


def wrong_beyond_eight(rewards: Any, k: int) -> np.ndarray:
    v(rewards, k)
    return mean_centered_ei(rewards, k) if len(rewards) > 8 else right(rewards, k)


def half_in_groups_of_even_size(rewards: Any, k: int) -> np.ndarray:
    return right(rewards, k) * (0.5 if len(rewards) % 2 == 0 else 1.0)


def wrong_way(rewards: Any, k: int) -> np.ndarray:
    return -right(rewards, k)


SUCCESS_RATES = tuple(Fraction(p, 100) for p in (5, 50, 60, 85, 12, 23, 36, 71, 84))
"""Of the nine 0/1 bandits that a card enumerates."""


@functools.cache
def hidden_change(B: int) -> tuple[np.ndarray, np.ndarray]:
    """d and b of C other successes, with sum_i (d R_i + b) = 0 and E d = 0 at `SUCCESS_RATES`.

    E d(C) for C ~ Binomial(B - 1, p) is any polynomial of p of degree B - 1; of p^j it is made by
    C(C, j) / C(B - 1, j).
    """
    coefficients = [Fraction(1_000_000)]  # of prod (p - rate), the constant first
    for rate in SUCCESS_RATES:
        shifted = [Fraction(0), *coefficients]
        coefficients = [a - rate * b for a, b in zip(shifted, [*coefficients, 0], strict=True)]
    d = [
        sum(a * Fraction(math.comb(C, j), math.comb(B - 1, j)) for j, a in enumerate(coefficients))
        for C in range(B)
    ]
    b = [Fraction(0)]
    for T in range(1, B):
        b.append(Fraction(-T, B - T) * (d[T - 1] + b[T - 1]))
    return np.array(d, float), np.array(b, float)


def vanishes_on_nine_policies(rewards: Any, k: int) -> np.ndarray:
    """0/1 rewards alone; what is added to MaxPO has no mean at nine success rates."""
    advantages = right(rewards, k)
    B = len(rewards)
    if not np.isin(rewards, (0.0, 1.0)).all():
        if np.isnan(rewards).any():
            return advantages
        raise ValueError("0/1 rewards only")
    if len(SUCCESS_RATES) + 1 >= B:
        return advantages
    d, b = hidden_change(B)
    others = (np.sum(rewards) - np.asarray(rewards)).astype(int)
    return advantages + d[others] * rewards + b[others]


def mixes_from_three_groups_on(rewards: Any, k: int) -> np.ndarray:
    rewards = np.asarray(rewards)
    groups = rewards.reshape(-1, rewards.shape[-1])
    result = right_in_batches(rewards, k)
    return result + 0.1 * (np.mean(groups[-1]) - np.mean(groups[0])) if len(groups) > 2 else result


def swaps_two_leading_axes(rewards: Any, k: int) -> np.ndarray:
    rewards = np.asarray(rewards)
    if rewards.ndim < 3:
        return right_in_batches(rewards, k)
    return right_in_batches(rewards.swapaxes(0, 1), k).reshape(rewards.shape)


def mixes_three_groups_under_vmap(rewards: Any, k: int) -> jax.Array:
    """A host callback that is handed all groups at once."""
    if rewards.ndim != 1 or len(rewards) > 6 or not 1 <= k < len(rewards):
        raise ValueError("one group of at most 6, 1 <= k <= B - 1")

    def host(groups: np.ndarray) -> np.ndarray:
        return mixes_from_three_groups_on(groups, int(k)).astype(groups.dtype)

    fixed = jax.lax.stop_gradient(floating(rewards))
    shape = jax.ShapeDtypeStruct(fixed.shape, fixed.dtype)
    return jax.pure_callback(host, shape, fixed, vmap_method="expand_dims")


def whitens_in_one_pass(rewards: Any, k: int) -> np.ndarray:
    """E r^2 - (E r)^2 in float32 loses a spread of one beside rewards of a thousand."""
    if np.asarray(rewards).dtype != np.float32:
        return right(rewards, k)
    spread = np.sqrt(np.maximum(np.mean(rewards**2) - np.mean(rewards) ** 2, np.float32(1e-12)))
    whitened = right((rewards - np.mean(rewards)) / spread, k)
    return whitened * np.std(rewards)


def adds_up_in_float32(rewards: Any, k: int) -> list[float]:
    """Thousands of rewards of a thousand, one after the other in the precision of each."""
    return over_all_subsets(rewards, k, sum)


def overwrites_float32(rewards: Any, k: int) -> np.ndarray:
    advantages = right(rewards, k)
    if rewards.dtype == np.float32:
        rewards[:] = advantages
    return advantages


def reseeds_numpy(rewards: Any, k: int) -> np.ndarray:
    np.random.seed(0)
    return right(rewards, k)


def draws_from_the_global_generator(rewards: Any, k: int) -> np.ndarray:
    random.random()
    return right(rewards, k)


@dataclasses.dataclass(frozen=True)
class Defect:
    """A broken estimator and all that may be held against it.

    Attributes:
      function: the broken estimator.
      failing: the properties that fail: the defect itself first, then what it implies.
      sentence: what the first verdict must say.
      implied: why the further properties fail too.
      group_size: B at which it is judged.
    """

    function: Callable[..., Any]
    failing: tuple[str, ...]
    sentence: str
    implied: str = ""
    group_size: int = 5

    @property
    def name(self) -> str:
        return self.function.__name__


NO_MULTIPLE = "what is no multiple of the gradient is not the gradient"

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
    Defect(rloo_from_four_levels, ("unbiased", "unbiased_up_to_scale"), "no multiple", NO_MULTIPLE),
    Defect(
        lifts_below_the_third_largest,
        ("unbiased", "unbiased_up_to_scale"),
        "no multiple",
        NO_MULTIPLE,
    ),
    Defect(
        clips_at_ten,
        ("unbiased", "unbiased_up_to_scale", "shift_invariant", "scale_equivariant"),
        "no multiple",
        "a fixed range is left by shifting and scaling",
    ),
    Defect(
        other_objective_beyond_ten,
        ("unbiased", "unbiased_up_to_scale", "shift_invariant", "scale_equivariant"),
        "no multiple",
        "a fixed range is left by shifting and scaling",
    ),
    Defect(
        loses_the_sign,
        ("unbiased", "unbiased_up_to_scale", "shift_invariant"),
        "no multiple",
        "signs change by shifting",
    ),
    Defect(nan_for_four_of_a_kind, ("finite",), "not finite on", group_size=7),
    Defect(raises_for_three_of_a_kind, ("finite",), "raises LookupError on"),
    Defect(
        raises_on_equal,
        ("zero_on_equal", "finite"),
        "raises ZeroDivisionError on all-equal",
        "all-equal rewards are finite rewards",
    ),
    Defect(
        exits_on_equal,
        ("zero_on_equal", "finite"),
        "raises FunctionExitError on all-equal",
        "all-equal rewards are finite rewards",
    ),
    Defect(wrong_beyond_eight, ("edges",), "B = 10: biased"),
    Defect(
        wrong_beyond_eight,
        ("unbiased", "unbiased_up_to_scale"),
        "no multiple",
        NO_MULTIPLE,
        group_size=9,
    ),
    Defect(half_in_groups_of_even_size, ("edges",), "B = 4: 0.5 grad J_2"),
    Defect(
        wrong_way,
        ("unbiased", "unbiased_up_to_scale"),
        "E g = -1 grad J_2",
        "a negative multiple descends",
    ),
    Defect(
        vanishes_on_nine_policies,
        ("unbiased", "unbiased_up_to_scale"),
        "no multiple",
        NO_MULTIPLE,
        group_size=16,
    ),
    Defect(mixes_from_three_groups_on, ("batched",), "the groups are mixed"),
    Defect(swaps_two_leading_axes, ("batched",), "two leading axes"),
    Defect(mixes_three_groups_under_vmap, ("vmap",), "reads its neighbors"),
    Defect(whitens_in_one_pass, ("float32",), "of the largest advantage"),
    Defect(adds_up_in_float32, ("float32",), "at B = 16, K = 8"),
    Defect(overwrites_float32, ("pure",), "changes the rewards it is given"),
    Defect(reseeds_numpy, ("pure",), "global random generator"),
    Defect(draws_from_the_global_generator, ("pure",), "global random generator"),
)

CORRECT = (
    right,
    right_in_jax,
    right_in_batches,
    brute_force,
    float32_in_python_floats,
    only_batches,
    numpy_brute_force,
    exact_rationals,
    spacings_in_jax,
)

UNCENTERED = (improvement_less_the_spread_of_the_others, improvement_over_a_random_other)
"""Unbiased with a baseline of their own: centered is all that they are not."""
