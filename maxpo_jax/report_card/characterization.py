"""The class of unbiased estimators, tested on the function itself and not on some policies.

A function A that sees rewards alone and treats all samples alike has, under every policy,

    E g = sum_t c_t grad J_t   exactly if   A_i = sum_t c_t (t/K) EI^(t)_i + b(R_-i)

for some function b of the other rewards: the difference of two estimators with the same mean is
an unbiased estimator of zero, and the rewards of the others are complete. Here EI^(t)_i is the mean
over (t-1)-subsets S of the others of max(R_i - max S, 0), and R_i for t = 1. So the others are held
fixed, the reward of one sample is changed, and its advantage must change as the EI^(t)_i do. What
depends on the order of the samples is averaged over their orders first, which changes no mean.
"""

import functools
import itertools
import math
from typing import NamedTuple

import numpy as np

from maxpo_jax.report_card import probes
from maxpo_jax.report_card.subject import Subject
from maxpo_jax.report_card.verdicts import Counterexample

TOLERANCE = {"double": 1e-6, "single": 1e-5}
"""Largest residual in units of the spread of the rewards, for the precision of the function."""

_ROUNDING = {"double": 1e-3, "single": 1.0}
"""What the size of the rewards adds to their spread: their own rounding, over the tolerance."""

_STANDARD_ERRORS = 3.0
_NOISE_UNITS = 30.0
_MOST_ORDERS = 720
_MOST_CALLS = 3_000
_MOST_MIXED = 8


class Lines(NamedTuple):
    """Groups in which the reward of one sample changes, and its advantage.

    Attributes:
      rewards: [lines, values, B]; along `values` only the reward of `sample` changes.
      sample: [lines] which one it is.
      advantages: [lines, values] of that sample, averaged over orders and keys where they matter.
      noise: [lines, values] standard errors of these averages, zero without a key.
      k: K.
      precision: in which the function computes.
    """

    rewards: np.ndarray
    sample: np.ndarray
    advantages: np.ndarray
    noise: np.ndarray
    k: int
    precision: str


class Fit(NamedTuple):
    """The best combination of grad J_t, t in `scales`.

    Attributes:
      scales: {t: c_t}.
      residual: largest residual over the largest change of an advantage.
      exact: whether the residual is rounding (or, with a key, sampling) error.
      scale_error: how far from the truth a scale may be by these errors alone.
      worst: the line with the largest residual.
    """

    scales: dict[int, float]
    residual: float
    exact: bool
    scale_error: float
    worst: int


def expected_improvement(rewards: np.ndarray, sample: np.ndarray, order: int) -> np.ndarray:
    """EI^(t) of one sample of each group, in float64 from exact binomials.

    Args:
      rewards: [..., B].
      sample: [...] which sample of each group.
      order: t, 1 <= t <= B; EI^(1)_i is R_i.

    Returns:
      [...] float64.

    Example:
      >>> expected_improvement(np.array([0.0, 1.0, 3.0]), np.array(2), 2).item()
      2.5
    """
    index = np.asarray(sample)[..., None]
    index = np.broadcast_to(index, (*rewards.shape[:-1], 1))
    own = np.take_along_axis(rewards, index, axis=-1)
    if order == 1:
        return own[..., 0]
    group_size = rewards.shape[-1]
    is_other = np.broadcast_to(np.arange(group_size) != index, rewards.shape)
    others = np.sort(rewards[is_other].reshape(*rewards.shape[:-1], group_size - 1), axis=-1)
    return np.maximum(own - others, 0.0) @ _is_best(group_size - 1, order - 1)


@functools.lru_cache(maxsize=512)
def _is_best(total: int, size: int) -> np.ndarray:
    """Probability that the m-th lowest of `total` is the best of a random subset of that size."""
    subsets = math.comb(total, size)
    return np.array([math.comb(m, size - 1) / subsets for m in range(total)])


def order_matters(subject: Subject, group_size: int, k: int) -> bool:
    """Whether a reordering of the samples does more than reorder the advantages, on any probe."""
    if subject.randomized:
        return True
    groups = probes.groups(group_size, subject.reward_type)
    own = subject.advantages(groups, k)
    size = np.maximum(np.abs(own).max(axis=1, initial=0.0), np.abs(groups).max(axis=1))
    tolerance = TOLERANCE[subject.precision] * np.where(np.isfinite(size), size, 1.0)
    for order in reorderings(group_size):
        difference = np.abs(subject.advantages(groups[:, order], k) - own[:, order]).max(axis=1)
        if (difference > tolerance).any():
            return True
    return False


def reorderings(group_size: int) -> list[np.ndarray]:
    """Orders that generate all others, [B] each: a swap and a rotation, a reversal, and a shuffle.

    Example:
      >>> [order.tolist() for order in reorderings(3)][:3]
      [[2, 1, 0], [1, 0, 2], [1, 2, 0]]
    """
    same = np.arange(group_size)
    swap = same.copy()
    swap[:2] = [1, 0]
    shuffle = np.random.default_rng(3).permutation(group_size)
    return [same[::-1], swap, np.roll(same, -1), shuffle]


def lines(subject: Subject, group_size: int, k: int, *, draws: int, few: bool = False) -> Lines:
    """Evaluate the function on lines: small integers, ties, wide, large, offset rewards and others.

    Args:
      subject: the function under test.
      group_size: B.
      k: K.
      draws: how many keys and orders are drawn for each group, where the function takes a key.
      few: whether a third of the lines will do.

    Returns:
      The `Lines`; advantages that are not finite, or where the function raises, are NaN.
    """
    rewards, sample = probes.lines(group_size, subject.reward_type)
    if few:
        rewards, sample = rewards[::3], sample[::3]
    if subject.randomized:
        advantages, noise = _over_keys(subject, rewards[::3], sample[::3], k, draws)
        return Lines(rewards[::3], sample[::3], advantages, noise, k, subject.precision)
    if order_matters(subject, group_size, k):
        rewards, advantages = _over_orders(subject, rewards, sample, k, few)
        sample = np.zeros(len(rewards), int)
    else:
        values = subject.advantages(rewards.reshape(-1, group_size), k).reshape(rewards.shape)
        advantages = np.take_along_axis(values, sample[:, None, None], axis=2)[:, :, 0]
    advantages = np.where(np.isfinite(advantages), advantages, np.nan).astype(np.float64)
    return Lines(rewards, sample, advantages, np.zeros(advantages.shape), k, subject.precision)


def _over_keys(
    subject: Subject, rewards: np.ndarray, sample: np.ndarray, k: int, draws: int
) -> tuple[np.ndarray, np.ndarray]:
    """Means and standard errors over keys, and over orders drawn along with them."""
    rng = np.random.default_rng(4)
    flat = rewards.reshape(-1, rewards.shape[-1])
    rows, place = np.arange(len(flat)), np.repeat(sample, rewards.shape[1])
    found = []
    for draw in range(draws):
        order = rng.permuted(np.tile(np.arange(flat.shape[1]), (len(flat), 1)), axis=1)
        got = subject.advantages(flat[rows[:, None], order], k, seed=draw * len(flat))
        found.append(got[rows, np.argmax(order == place[:, None], axis=1)])
    values = np.array(found, np.float64).reshape(draws, *rewards.shape[:2])
    return values.mean(axis=0), values.std(axis=0, ddof=1) / np.sqrt(draws)


def _over_orders(
    subject: Subject, rewards: np.ndarray, sample: np.ndarray, k: int, few: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Groups with few enough orders, in which sample 0 changes, and its means over all orders.

    If all but m + 1 samples are tied, B!/(B-m-1)! orders are different.
    """
    group_size, values = rewards.shape[2], rewards.shape[1]
    untied = 1
    while untied < group_size and math.perm(group_size, untied + 1) <= _MOST_ORDERS:
        untied += 1
    places = np.array(list(itertools.permutations(range(group_size), untied)))
    most = max(2, _MOST_CALLS // (values * len(places)) // (3 if few else 1))
    chosen = np.unique(np.linspace(0, len(rewards) - 1, most).astype(int))
    # The sample first, then those that stay as they are, then those tied to the last of them.
    first = np.arange(group_size) + sample[chosen, None]
    groups = np.take_along_axis(rewards[chosen], first[:, None, :] % group_size, axis=2)
    groups[:, :, untied:] = groups[:, :, group_size - 1 :]
    ordered = np.broadcast_to(groups[None, :, :, -1:], (len(places), *groups.shape)).copy()
    for orders, place in zip(ordered, places, strict=True):
        orders[:, :, place] = groups[:, :, :untied]
    got = subject.advantages(ordered.reshape(-1, group_size), k).reshape(ordered.shape)
    own = np.take_along_axis(got, places[:, None, None, :1], axis=3)[..., 0]
    return groups, own.mean(axis=0)


def fit(found: Lines, orders: tuple[int, ...]) -> Fit:
    """The combination of grad J_t that E g is closest to, by how the advantages change.

    Args:
      found: the lines.
      orders: the t that may be in it.

    Returns:
      The `Fit`; it is exact if every single line agrees.
    """
    rounding = _ROUNDING[found.precision] * np.abs(found.rewards).max(axis=(1, 2))
    unit = np.ptp(found.rewards, axis=(1, 2)) + rounding
    unit = (unit + _NOISE_UNITS * np.nan_to_num(found.noise).max(axis=1))[:, None]
    known = np.isfinite(found.advantages)
    own = _changes(found.advantages, known) / unit
    columns = [
        t / found.k * expected_improvement(found.rewards, found.sample[:, None], t) for t in orders
    ]
    theirs = np.stack([_changes(column, known) / unit for column in columns], axis=-1)
    matrix = theirs.reshape(-1, len(orders))
    scales = np.linalg.lstsq(matrix, own.ravel())[0]
    left = np.abs(own - theirs @ scales)
    size = float(np.abs(own).max())
    noise = float(np.linalg.norm(np.where(known, found.noise / unit, 0.0)))
    tolerance = TOLERANCE[found.precision]
    if noise > 0.0:
        exact = np.linalg.norm(left) <= _STANDARD_ERRORS * noise + tolerance * size
        weight = np.linalg.norm(theirs, axis=-1) / np.linalg.norm(matrix) ** 2
        error = _STANDARD_ERRORS * float(np.linalg.norm(weight * found.noise / unit)) + tolerance
    else:
        exact, error = left.max() <= tolerance * size, tolerance
    return Fit(
        scales=dict(zip(orders, map(float, scales), strict=True)),
        residual=float(left.max()) / size if size > 0.0 else 0.0,
        exact=bool(exact) and size > 1e-12,
        scale_error=error,
        worst=int(np.argmax(left.max(axis=1))),
    )


def mixture(found: Lines) -> dict[int, float] | None:
    """{t: c_t} with E g = sum_t c_t grad J_t exactly, if there is such a thing (B up to 8)."""
    group_size = found.rewards.shape[-1]
    if group_size > _MOST_MIXED or found.noise.any():
        return None
    best = fit(found, tuple(range(1, group_size + 1)))
    kept = {t: c for t, c in best.scales.items() if abs(c) > 1e-6}
    return kept if best.exact and kept else None


def counterexample(found: Lines, scale: float) -> Counterexample | None:
    """Two groups that differ in one reward, between which its advantage changes wrongly."""
    best = fit(found, (found.k,))
    line = best.worst
    known = np.flatnonzero(np.isfinite(found.advantages[line]))
    rewards, own = found.rewards[line], found.advantages[line]
    sample = int(found.sample[line])
    right = scale * expected_improvement(rewards, np.full(len(rewards), sample), found.k)
    first = known[0]
    wrong = np.abs((own - own[first]) - (right - right[first]))[known]
    if not wrong.max() > 0.0:
        return None
    last = known[int(np.argmax(wrong))]
    setting = (
        f"reward of sample {sample} changed to {rewards[last, sample]:.6g}: change of its advantage"
    )
    got, expected = own[last] - own[first], right[last] - right[first]
    return Counterexample(rewards[first], found.k, got, expected, setting)


def _changes(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Deviations from the mean of each line over what is known of it, zero where nothing is."""
    count = np.maximum(known.sum(axis=1, keepdims=True), 1)
    mean = np.where(known, values, 0.0).sum(axis=1, keepdims=True) / count
    return np.where(known, values - mean, 0.0)
