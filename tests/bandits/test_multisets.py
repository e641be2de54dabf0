"""Both enumerations against itertools."""

import collections
import itertools

import numpy as np
import pytest

from maxpo_jax.bandits import multisets

PROBS = np.array([0.2, 0.5, 0.3])


@pytest.mark.parametrize("group_size", [1, 2, 5])
def test_multisets_are_all_there_once_with_their_probability(group_size):
    total = multisets.num_multisets(3, group_size)
    actions, log_prob = multisets.multisets(np.arange(total), np.log(PROBS), group_size)
    expected = collections.Counter()
    for outcome in itertools.product(range(3), repeat=group_size):
        expected[tuple(sorted(outcome))] += np.prod(PROBS[list(outcome)])
    got = dict(zip(map(tuple, actions.tolist()), np.exp(log_prob), strict=True))
    assert len(got) == total == len(expected)
    assert got == pytest.approx(dict(expected), rel=1e-13)


def test_ordered_outcomes_are_all_there_once_with_their_probability():
    actions, log_prob = multisets.ordered(np.arange(27), np.log(PROBS), 3)
    got = dict(zip(map(tuple, actions.tolist()), np.exp(log_prob), strict=True))
    expected = {o: np.prod(PROBS[list(o)]) for o in itertools.product(range(3), repeat=3)}
    assert multisets.num_ordered(3, 3) == 27
    assert got == pytest.approx(expected, rel=1e-13)


def test_one_action_and_ranks_out_of_order():
    actions, log_prob = multisets.multisets(np.array([0]), np.zeros(1), 4)
    assert actions.tolist() == [[0, 0, 0, 0]]
    assert log_prob.tolist() == [0.0]
    ranks = np.array([7, 0, 3])
    whole, _ = multisets.multisets(np.arange(10), np.log(PROBS), 3)
    some, _ = multisets.multisets(ranks, np.log(PROBS), 3)
    assert (some == whole[ranks]).all()


@pytest.mark.parametrize(("num_actions", "group_size"), [(1, 3), (2, 7), (4, 5), (5, 0)])
def test_ranks_undo_counts(num_actions, group_size):
    every = np.arange(multisets.num_multisets(num_actions, group_size))
    by_action = multisets.counts(every, num_actions, group_size)
    assert (by_action.sum(axis=1) == group_size).all()
    np.testing.assert_array_equal(multisets.ranks(by_action), every)
    np.testing.assert_array_equal(multisets.ranks(by_action[::-1]), every[::-1])
