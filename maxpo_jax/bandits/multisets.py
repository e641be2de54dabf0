"""Groups of actions by rank: every multiset, or every ordered outcome, of B draws from n actions.

Both enumerations answer to the same two functions, a count and an unranking, so that a caller can
walk through millions of groups in chunks without ever holding them all.
"""

import math
from collections.abc import Callable

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


def largest_size(count: Callable[[int], int], below: int, most: int) -> int:
    """The largest size of which there are few enough groups, for a message to name.

    Args:
      count: function of the size that increases with it.
      below: a size that is too large.
      most: the largest count that is few enough.

    Returns:
      The largest size under `below` with a count of at most `most`, or 0.

    Example:
      >>> largest_size(lambda group_size: num_ordered(10, group_size), 16, 1_000)
      3
    """
    low, high = 0, below
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) <= most else (low, middle)
    return low


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
    by_action = counts(ranks, len(log_probs), group_size)
    arms = np.tile(np.arange(len(log_probs)), len(ranks))
    actions = np.repeat(arms, by_action.ravel()).reshape(len(ranks), group_size)
    return actions, log_probability(by_action, log_probs)


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


def counts(ranks: np.ndarray, num_actions: int, group_size: int) -> np.ndarray:
    """How often each action is in the multisets with these ranks, in lexicographic order.

    Among the multisets that put s draws on the last `parts` actions, those that give the first of
    them at least c are as many as the multisets of s - c draws: so one search in a row of binomials
    finds how many draws are left after each action.

    Args:
      ranks: [m] integers in 0 <= rank < num_multisets(n, B).
      num_actions: n.
      group_size: B.

    Returns:
      [m, n] counts, each row of sum B.

    Example:
      >>> counts(np.arange(3), 2, 2).tolist()
      [[0, 2], [1, 1], [2, 0]]
    """
    left = np.full(len(ranks), group_size)
    rank = np.array(ranks)
    by_action = np.empty((len(ranks), num_actions), dtype=np.int64)
    for action, table in enumerate(rank_terms(num_actions, group_size)):
        rest = np.searchsorted(table, table[left] - rank)
        rank -= table[left] - table[rest]
        by_action[:, action] = left - rest
        left = rest
    by_action[:, -1] = left
    return by_action


def ranks(by_action: np.ndarray) -> np.ndarray:
    """The ranks of the multisets with these counts: the inverse of `counts`.

    Args:
      by_action: [m, n] counts, the rows all of one sum B.

    Returns:
      [m] integers.

    Example:
      >>> ranks(np.array([[0, 2], [1, 1], [2, 0]])).tolist()
      [0, 1, 2]
    """
    num_actions, group_size = by_action.shape[1], int(by_action[:1].sum())
    left = np.cumsum(by_action[:, ::-1], axis=1)[:, ::-1]
    action = np.arange(num_actions - 1)[None, :]
    terms = rank_terms(num_actions, group_size)
    return (terms[action, left[:, :-1]] - terms[action, left[:, 1:]]).sum(axis=1)


def log_probability(by_action: np.ndarray, log_probs: np.ndarray) -> np.ndarray:
    """Logarithm of the multinomial probability of multisets with these counts.

    Args:
      by_action: [m, n] counts, the rows all of one sum B.
      log_probs: [n] log-probability of each action.

    Returns:
      [m] logarithms.

    Example:
      >>> np.exp(log_probability(np.array([[1, 1]]), np.log([0.25, 0.75]))).round(4).tolist()
      [0.375]
    """
    group_size = int(by_action[:1].sum())
    log_factorials = np.array([math.log(math.factorial(m)) for m in range(group_size + 1)])
    log_ways = log_factorials[group_size] - log_factorials[by_action].sum(axis=1)
    return log_ways + by_action @ log_probs


def rank_terms(num_actions: int, group_size: int) -> np.ndarray:
    """What a rank is the sum of: `terms[a, left_a] - terms[a, left_(a+1)]` over actions a < n - 1.

    Here left_a is the number of draws of the actions from a on.

    Args:
      num_actions: n.
      group_size: B.

    Returns:
      [n - 1, B + 1] integers, how many multisets of s draws the actions from a on have.

    Example:
      >>> rank_terms(3, 2).tolist()
      [[1, 3, 6], [1, 2, 3]]
    """
    return np.array(
        [
            [num_multisets(num_actions - action, size) for size in range(group_size + 1)]
            for action in range(num_actions - 1)
        ],
        dtype=np.int64,
    ).reshape(num_actions - 1, group_size + 1)
