"""Groups of rewards to try a property on, simplest first: the first failure is the smallest."""

import itertools

import numpy as np

from maxpo_jax.estimators.wrapping import RewardType

_MOST_MULTISETS, _MOST_PARTITIONS, _MOST_COUNTS = 150, 40, 8


def groups(group_size: int, reward_type: RewardType) -> np.ndarray:
    """Reward groups from the simplest to the most general.

    All multisets of 0, 1, 2 by their largest reward and sum (0, 1 for binary), then the same in
    shuffled order, then negative, fractional and real-valued groups, groups with ties of all sizes
    among other levels, and one group of each of the `lines`.

    Args:
      group_size: B.
      reward_type: "binary" stops at 0/1 rewards.

    Returns:
      [groups, B] float64.

    Example:
      >>> groups(2, "binary")[:3].tolist()
      [[0.0, 0.0], [0.0, 1.0], [1.0, 1.0]]
    """
    rng = np.random.default_rng(7)
    integer = integer_groups(group_size, levels=2 if reward_type == "binary" else 3)
    shuffled = rng.permuted(integer, axis=1)
    if reward_type == "binary":
        return np.concatenate([integer, shuffled])
    real = rng.normal(size=(8, group_size))
    tied = rng.choice([-1.5, 0.1, 0.7], size=(8, group_size))
    simple = [integer, shuffled, -shuffled[::3], tied, real, 3.0 + 0.1 * real]
    on_lines = lines(group_size, reward_type)[0][:, 2]
    return np.concatenate([*simple, tied_groups(group_size, rng), on_lines])


def tied_groups(group_size: int, rng: np.random.Generator) -> np.ndarray:
    """Groups of distinct levels, tied as each partition of B says (or some, if there are many)."""
    partitions = _partitions(group_size)
    keep = np.linspace(0, len(partitions) - 1, min(len(partitions), _MOST_PARTITIONS)).astype(int)
    rows = [
        rng.permutation(np.repeat(rng.normal(size=len(partitions[i])), partitions[i])) for i in keep
    ]
    return np.array(rows)


def lines(group_size: int, reward_type: RewardType) -> tuple[np.ndarray, np.ndarray]:
    """Groups in which the reward of one sample runs through several values.

    The others are 0/1 with every count (or many), small integers, all distinct, tied, negative,
    beyond ten, large, offset, tiny, and of a wide range; the sample ties with some of them, lies
    between some, below, and above all.

    Args:
      group_size: B.
      reward_type: "binary" leaves 0/1 rewards.

    Returns:
      (rewards [lines, values, B], sample that changes [lines]).

    Example:
      >>> rewards, sample = lines(2, "binary")
      >>> rewards.tolist(), sample.tolist()
      ([[[0.0, 0.0], [1.0, 0.0]], [[0.0, 1.0], [1.0, 1.0]]], [0, 0])
    """
    rng = np.random.default_rng(9)
    n = group_size - 1
    counts = np.arange(group_size)
    if reward_type == "real":
        counts = np.unique(np.linspace(0, n, min(group_size, _MOST_COUNTS)).astype(int))
    binary = (np.arange(n) >= n - counts[:, None]).astype(np.float64)
    if reward_type == "binary":
        others, values = binary, np.tile([0.0, 1.0], (len(binary), 1))
    else:
        signs = rng.choice([-1.0, 1.0], size=(4, n))
        signs[:2] = 1.0
        others = np.concatenate(
            [
                binary,
                rng.permuted(np.tile(np.arange(n) * 1.0, (3, 1)), axis=1),
                rng.integers(0, 3, size=(3, n)),
                rng.normal(size=(6, n)),
                rng.choice(rng.normal(size=max(2, n // 2)), size=(4, n)),
                -rng.exponential(size=(3, n)),
                10.0 + 30.0 * rng.random(size=(3, n)),
                1e6 * rng.normal(size=(3, n)),
                1e6 + rng.normal(size=(3, n)),
                1e-6 * rng.normal(size=(3, n)),
                signs * 10.0 ** rng.uniform(-6.0, 6.0, size=(4, n)),
            ]
        )
        values = _values(others, rng)
    sample = np.arange(len(others)) // 3 % group_size
    rows = np.empty((len(others), values.shape[1], group_size))
    for row, other, value, i in zip(rows, others, values, sample, strict=True):
        row[:] = np.insert(other, i, 0.0)
        row[:, i] = value
    return rows, sample


def _values(others: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """[lines, 6]: below the others, tied with one, between two, between two, best, above."""
    ascending = np.sort(others, axis=1)
    lowest, highest = ascending[:, 0], ascending[:, -1]
    span = np.where(highest > lowest, highest - lowest, 1.0)
    rows, last = np.arange(len(others)), others.shape[1] - 1
    tied, low, high = rng.integers(0, last + 1, size=(3, len(others)))
    between = [
        0.5 * (ascending[rows, i] + ascending[rows, np.minimum(i + 1, last)]) for i in (low, high)
    ]
    below, above = lowest - 0.5 * span, highest + 0.5 * span
    return np.stack([below, ascending[rows, tied], *between, highest, above], axis=1)


def _partitions(total: int, largest: int | None = None) -> list[tuple[int, ...]]:
    """Partitions of a total into parts, at most a few thousand.

    Example:
      >>> _partitions(3)
      [(3,), (2, 1), (1, 1, 1)]
    """
    if total > 24:  # p(24) = 1,575
        rng = np.random.default_rng(total)
        return [
            tuple(np.diff([0, *np.sort(rng.choice(total - 1, size, replace=False)) + 1, total]))
            for size in rng.integers(0, total - 1, size=_MOST_PARTITIONS)
        ]
    if total == 0:
        return [()]
    return [
        (part, *rest)
        for part in range(min(total, largest or total), 0, -1)
        for rest in _partitions(total - part, part)
    ]


def integer_groups(group_size: int, levels: int) -> np.ndarray:
    """Multisets of 0..levels-1, by largest reward and then sum; [groups, B] float64."""
    multisets = itertools.combinations_with_replacement(range(levels), group_size)
    simplest_first = sorted(multisets, key=lambda group: (max(group), sum(group), group))
    keep = np.linspace(0, len(simplest_first) - 1, _MOST_MULTISETS).astype(int)
    chosen = np.unique(keep) if len(simplest_first) > _MOST_MULTISETS else slice(None)
    return np.array(simplest_first, np.float64)[chosen]


def plain_group(group_size: int, reward_type: RewardType) -> np.ndarray:
    """One group in no particular order, all rewards different where they may be.

    Example:
      >>> plain_group(4, "real").tolist(), plain_group(4, "binary").tolist()
      ([1.0, 3.0, 0.0, 2.0], [1.0, 1.0, 0.0, 0.0])
    """
    if reward_type == "binary":
        return (np.arange(group_size) < (group_size + 1) // 2).astype(np.float64)
    ascending = np.arange(group_size)
    return np.concatenate([ascending[1::2], ascending[::2]]).astype(np.float64)
