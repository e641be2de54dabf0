"""Groups of actions by rank: every multiset, or every ordered outcome, of B draws from n actions.

Both enumerations answer to the same two functions, a count and an unranking, so that a caller can
walk through millions of groups in chunks without ever holding them all.
"""

import math

import numpy as np


def num_multisets(num_actions: int, group_size: int) -> int:
    """C(B+n-1, n-1), the number of multisets of B actions out of n.

    Args:
      num_actions: n.
      group_size: B.

    Returns:
      The number, however large.

    Example:
      >>> num_multisets(4, 16)
      969
    """
    return math.comb(group_size + num_actions - 1, num_actions - 1)


def num_ordered(num_actions: int, group_size: int) -> int:
    """n**B, the number of ordered groups of B actions out of n.

    Args:
      num_actions: n.
      group_size: B.

    Returns:
      The number, however large.

    Example:
      >>> num_ordered(4, 16)
      4294967296
    """
    return num_actions**group_size


def multisets(
    ranks: np.ndarray, log_probs: np.ndarray, group_size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Multisets of actions by rank, with the logarithm of their multinomial probability.

    Args:
      ranks: [m] integers in 0 <= rank < num_multisets(n, B).
      log_probs: [n] log-probability of each action.
      group_size: B.

    Returns:
      (actions [m, B], each row ascending; log-probability [m] of the unordered group).

    Example:
      >>> actions, log_prob = multisets(np.arange(3), np.log([0.25, 0.75]), 2)
      >>> actions.tolist(), np.exp(log_prob).round(4).tolist()
      ([[1, 1], [0, 1], [0, 0]], [0.5625, 0.375, 0.0625])
    """
    counts = _counts(ranks, len(log_probs), group_size)
    log_factorials = np.array([math.log(math.factorial(m)) for m in range(group_size + 1)])
    log_ways = log_factorials[group_size] - log_factorials[counts].sum(axis=1)
    arms = np.tile(np.arange(len(log_probs)), len(ranks))
    actions = np.repeat(arms, counts.ravel()).reshape(len(ranks), group_size)
    return actions, log_ways + counts @ log_probs


def ordered(
    ranks: np.ndarray, log_probs: np.ndarray, group_size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Ordered groups of actions by rank, with the logarithm of their probability.

    Args:
      ranks: [m] integers in 0 <= rank < num_ordered(n, B).
      log_probs: [n] log-probability of each action.
      group_size: B.

    Returns:
      (actions [m, B], the digits of the rank in base n; log-probability [m]).

    Example:
      >>> ordered(np.arange(4), np.log([0.25, 0.75]), 2)[0].tolist()
      [[0, 0], [1, 0], [0, 1], [1, 1]]
    """
    num_actions = len(log_probs)
    actions = ranks[:, None] // num_actions ** np.arange(group_size)[None, :] % num_actions
    return actions, log_probs[actions].sum(axis=1)


def _counts(ranks: np.ndarray, num_actions: int, group_size: int) -> np.ndarray:
    """Action counts [m, n] of the multisets with these ranks, in lexicographic order.

    Among the multisets that put s draws on the last `parts` actions, those that give the first of
    them at least c are as many as the multisets of s - c draws: so one search in a row of binomials
    finds how many draws are left after each action.
    """
    left = np.full(len(ranks), group_size)
    rank = np.array(ranks)
    counts = np.empty((len(ranks), num_actions), dtype=np.int64)
    for action in range(num_actions - 1):
        parts = num_actions - action
        table = np.array([num_multisets(parts, s) for s in range(group_size + 1)])
        rest = np.searchsorted(table, table[left] - rank)
        rank -= table[left] - table[rest]
        counts[:, action] = left - rest
        left = rest
    counts[:, -1] = left
    return counts
