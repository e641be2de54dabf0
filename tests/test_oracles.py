"""The oracles against numbers worked out by hand."""

from fractions import Fraction

import oracles


def test_definitions_on_a_batch_worked_by_hand():
    rewards = [0, 1, 3]
    assert oracles.rho(rewards, 2) == Fraction(1 + 3 + 3, 3)
    assert oracles.u(rewards, 2) == [2, 2, 3]
    assert oracles.v(rewards, 2) == [3, 3, 1]
    assert oracles.expected_improvement(rewards, 2) == [0, Fraction(1, 2), Fraction(5, 2)]
    assert oracles.leave_two_out(rewards, 2) == [1, Fraction(3, 2), Fraction(1, 2)]
    assert oracles.maxpo(rewards, 2) == [-1, -1, 2]
    assert oracles.canonical(rewards, 2) == [-1, -1, 2]


def test_order_statistics_by_hand():
    rewards = [0, 1, 3]
    assert oracles.weighted_sorted([3, 0, 1], [1, 10, 100]) == 310
    assert oracles.order_statistic(rewards, [0, 1]) == oracles.canonical(rewards, 2)
    # min with sample: 0, 1/2, 1/2; without: 1, 0, 0.
    assert oracles.order_statistic(rewards, [1, 0]) == [-1, Fraction(1, 2), Fraction(1, 2)]


def test_weighted_subset_maxima_by_hand():
    assert oracles.weighted_subset_maxima([0, 1, 3], [1, 1, 1], 2) == [2, 2, 3]
    assert oracles.weighted_subset_maxima([0, 1, 3], [2, 1, 3], 2) == [10, Fraction(11, 2), 13.5]


def test_bandit_by_hand():
    half = Fraction(1, 2)
    # J_2 = p1 R1 (2 - p1) for rewards (0, 1): dJ/dtheta_1 = 2 (1 - p1) p1 (1 - p1).
    assert oracles.max_at_k([0, 1], [half, half], 2) == Fraction(3, 4)
    assert oracles.max_at_k_gradient([0, 1], [half, half], 2) == [-Fraction(1, 4), Fraction(1, 4)]
    # REINFORCE with one sample: g is 0 or (-1/2, 1/2), each half of the time.
    first, covariance = oracles.gradient_moments(lambda R: R, [0, 1], [half, half], 1, 1)
    assert first == [-Fraction(1, 4), Fraction(1, 4)]
    assert covariance == [
        [Fraction(1, 16), -Fraction(1, 16)],
        [-Fraction(1, 16), Fraction(1, 16)],
    ]
