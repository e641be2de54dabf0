"""Groups of rewards to try a property on, simplest first: the first failure is the smallest."""

import itertools

import numpy as np

from maxpo_jax.report_card.subject import RewardType

_MOST_MULTISETS = 150


def groups(group_size: int, reward_type: RewardType) -> np.ndarray:
    """Reward groups from the simplest to the most general.

    All multisets of 0, 1, 2 by their largest reward and sum (0, 1 for binary), then the same in
    shuffled order, then negative, fractional, tied and real-valued groups.

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
    return np.concatenate([integer, shuffled, -shuffled[::3], tied, real, 3.0 + 0.1 * real])


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
