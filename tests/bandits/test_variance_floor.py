"""The variance floor against least squares over every ordered outcome, and the class it bounds."""

import itertools
import math
import time
from fractions import Fraction

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest

from maxpo_jax import estimators, exact
from maxpo_jax.bandits import variance_floor as module

REFERENCES = [
    # (logits, rewards, B, K, floor, variance of EI)
    ([0, 0, 0, 0], [0, 1, 2, 3], 4, 2, 0.2200520833, 0.4557291667),
    ([0.3, -0.2, 0.1], [0, 1, 5], 5, 3, 0.2597847236, 0.7748368394),
    ([0, 0, 0, 0], [0, 0, 1, 1], 5, 2, 0.0395833333, 0.06875),
]
CASES = {
    "distinct": ([0.5, -1.0, 0.2], [0.25, 2.0, -1.0], 4, 2),
    "tied at the top": ([0.5, -1.0, 0.2], [1.5, 0.5, 1.5], 4, 3),
    "two ties": ([0.4, -0.3, 0.0, 1.0], [2.0, 1.0, 2.0, 1.0], 4, 2),
    "all equal": ([0.5, -1.0, 0.2], [0.5, 0.5, 0.5], 3, 1),
    "K = 1": ([0.5, -1.0, 0.2], [3.0, 2.0, -1.0], 4, 1),
    "K = B": ([0.5, -1.0, 0.2], [0.25, 2.0, -1.0], 4, 4),
    "one sample": ([0.5, -1.0, 0.2], [0.25, 2.0, -1.0], 1, 1),
    "two samples": ([0.5, -1.0, 0.2, 0.0], [0.25, 2.0, -1.0, 7.0], 2, 2),
    "a rare arm": ([0.0, 1.0, -7.0], [0.0, 1.0, 30.0], 5, 2),
}


class LeastSquares:
    """E|g|^2 as a function of b, from all ordered outcomes: |target - design b|^2.

    One row for each outcome and action, weighed by the root of the outcome's probability; one
    column for each multiset of rewards that the others may have.
    """

    def __init__(self, logits, rewards, group_size, k):
        probs = np.exp(logits) / np.exp(logits).sum()
        n, B = len(probs), group_size
        self.others = sorted(
            {tuple(sorted(o)) for o in itertools.product(set(rewards), repeat=B - 1)}
        )
        column = {others: j for j, others in enumerate(self.others)}
        self.target, self.design = np.zeros((n**B, n)), np.zeros((n**B, n, len(column)))
        self.mean = np.zeros(n)
        for row, actions in enumerate(itertools.product(range(n), repeat=B)):
            paid = [rewards[a] for a in actions]
            root = math.sqrt(math.prod(probs[a] for a in actions))
            signal = oracles.expected_improvement(paid, k)
            for i, action in enumerate(actions):
                score = k / B * (np.eye(n)[action] - probs)
                self.target[row] += root * float(signal[i]) * score
                seen = tuple(sorted(paid[:i] + paid[i + 1 :]))
                self.design[row, :, column[seen]] += root * score
            self.mean += root * self.target[row]

    def variance(self, baseline):
        left = self.target - self.design @ baseline
        return float((left**2).sum() - self.mean @ self.mean)

    def best(self):
        design, target = self.design.reshape(-1, len(self.others)), self.target.ravel()
        return np.linalg.lstsq(design, target, rcond=None)[0]

    def baseline_of(self, function, own):
        """The values of a baseline, from groups in which the first sample has the reward `own`."""
        groups = np.array([(own, *others) for others in self.others])
        with jax.enable_x64(True):
            return np.asarray(function(groups))[:, 0]


@pytest.mark.parametrize(("logits", "rewards", "group_size", "k", "floor", "ei"), REFERENCES)
def test_reference_values(logits, rewards, group_size, k, floor, ei):
    logits, rewards = np.array(logits, float), np.array(rewards, float)
    assert exact.variance_floor(logits, rewards, group_size, k) == pytest.approx(floor, abs=1e-9)
    assert exact.variance("ei", logits, rewards, group_size, k) == pytest.approx(ei, abs=1e-9)


@pytest.mark.parametrize(("logits", "rewards", "group_size", "k"), CASES.values(), ids=CASES)
def test_floor_and_baseline_are_those_of_least_squares_over_outcomes(
    logits, rewards, group_size, k
):
    oracle = LeastSquares(logits, rewards, group_size, k)
    floor = exact.variance_floor(logits, rewards, group_size, k)
    assert floor == pytest.approx(oracle.variance(oracle.best()), rel=1e-10, abs=1e-14)
    best = exact.best_baseline(logits, rewards, group_size, k)
    baseline = oracle.baseline_of(best, rewards[0])
    assert oracle.variance(baseline) == pytest.approx(floor, rel=1e-10, abs=1e-14)
    if len(set(rewards)) > 1:
        np.testing.assert_allclose(baseline, oracle.best(), rtol=1e-6, atol=1e-9)


def test_baseline_makes_an_estimator_that_attains_the_floor_and_is_unbiased_elsewhere():
    logits, rewards, group_size, k = CASES["two ties"]
    baseline = exact.best_baseline(logits, rewards, group_size, k)

    def best(rewards, k):
        return estimators.ei(rewards, k) - baseline(rewards)

    floor = exact.variance_floor(logits, rewards, group_size, k)
    assert exact.variance(best, logits, rewards, group_size, k) == pytest.approx(floor, rel=1e-11)
    elsewhere = np.array([-1.0, 0.3, 0.7, 0.2])
    np.testing.assert_allclose(exact.bias(best, elsewhere, rewards, group_size, k), 0, atol=1e-15)
    there = exact.variance_floor(elsewhere, rewards, group_size, k)
    assert exact.variance(best, elsewhere, rewards, group_size, k) > 1.01 * there


BANDITS = st.tuples(
    st.lists(st.integers(-3, 3).map(float), min_size=3, max_size=3),
    st.lists(st.floats(-2, 2), min_size=3, max_size=3),
    st.integers(1, 3),
)


@hypothesis.settings(max_examples=30, deadline=None)
@hypothesis.given(bandit=BANDITS, seed=st.integers(0, 1000), size=st.floats(1e-4, 10))
def test_no_other_baseline_has_a_lower_variance(bandit, seed, size):
    rewards, logits, k = bandit
    oracle = LeastSquares(logits, rewards, 3, k)
    floor = exact.variance_floor(logits, rewards, 3, k)
    best = oracle.baseline_of(exact.best_baseline(logits, rewards, 3, k), rewards[0])
    change = size * np.random.default_rng(seed).normal(size=len(best))
    assert oracle.variance(best + change) >= floor * (1 - 1e-9) - 1e-13


@hypothesis.settings(max_examples=25, deadline=None)
@hypothesis.given(bandit=BANDITS, shift=st.floats(-5, 5), scale=st.floats(0.1, 10))
def test_shifted_rewards_have_the_same_floor_and_scaled_ones_its_square(bandit, shift, scale):
    rewards, logits, k = bandit
    floor = exact.variance_floor(logits, rewards, 4, k)
    assert floor >= 0
    changed = exact.variance_floor(logits, scale * np.array(rewards) + shift, 4, k)
    assert changed == pytest.approx(scale**2 * floor, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("name", ["maxpo", "ei", "pkpo_s", "pkpo_sloo"])
def test_every_unbiased_estimator_lies_above(name):
    rng = np.random.default_rng(3)
    for k in (2, 4):
        for _ in range(3):
            logits, rewards = rng.normal(size=4), np.round(rng.normal(size=4), 1)
            floor = exact.variance_floor(logits, rewards, 5, k)
            assert exact.variance(name, logits, rewards, 5, k) > floor


@pytest.mark.parametrize(("group_size", "k"), [(2, 1), (5, 2), (16, 8), (16, 16)])
def test_two_actions_have_parallel_scores_and_no_variance_left(group_size, k):
    for logit in (-3.0, 0.0, 2.0):
        variance = exact.variance("ei", [0.0, logit], [0.0, 1.0], group_size, k)
        assert exact.variance_floor([0.0, logit], [0.0, 1.0], group_size, k) < 1e-25 * variance
        tied = exact.variance_floor([0.0, logit, logit], [0.0, 1.0, 1.0], group_size, k)
        assert tied > 1e-6 * variance


def test_actions_that_do_not_exist_change_nothing():
    logits, rewards, group_size, k = CASES["distinct"]
    floor = exact.variance_floor(logits, rewards, group_size, k)
    padded = [-np.inf, *logits, -np.inf], [0.0, *rewards, np.nan]
    assert exact.variance_floor(*padded, group_size, k) == pytest.approx(floor, rel=1e-13)
    never = exact.variance_floor([*logits, -2000.0], [*rewards, 9.0], group_size, k)
    assert never == pytest.approx(floor, rel=1e-13)
    assert exact.variance_floor([0.0, -np.inf], [1.0, 2.0], group_size, k) == 0.0


def test_baseline_can_be_traced_and_takes_batches_and_near_rewards():
    logits, rewards, group_size, k = CASES["distinct"]
    baseline = exact.best_baseline(logits, np.array(rewards) + 0.1, group_size, k)
    groups = jnp.array([[[0.35, 2.1, -0.9, 2.1], [2.1, 2.1, 0.35, 0.35]]], jnp.float32)
    found = baseline(groups)
    assert found.dtype == jnp.float32
    assert found.shape == groups.shape
    np.testing.assert_array_equal(jax.jit(baseline)(groups), found)
    with jax.enable_x64(True):
        np.testing.assert_allclose(np.asarray(baseline(np.asarray(groups, float))), found, 1e-6)
    with pytest.raises(ValueError, match=r"groups of 4, got rewards of shape \(5,\)"):
        baseline(jnp.zeros(5))


def test_baselines_of_the_rarest_groups_stay_within_the_rewards():
    baseline = exact.best_baseline([0.0, -3.0, 1.0], [0.0, 1.0, 2.5], 60, 20)
    counts = np.random.default_rng(0).multinomial(60, np.ones(3) / 3, size=200)
    groups = np.array([np.repeat([0.0, 1.0, 2.5], count) for count in [*counts, [0, 60, 0]]])
    found = np.asarray(baseline(groups.astype(np.float32)))
    assert np.abs(found).max() < 2.5


def test_four_arms_sixteen_samples_takes_well_under_a_second():
    start = time.perf_counter()
    exact.variance_floor(np.zeros(4), np.arange(4.0), 16, 4)
    assert time.perf_counter() - start < 1.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0, 0], [0, 1], 4, 5), r"k = 5 does not fit group_size = 4: allowed are 1 <= k <= B"),
        (([0, 0], [0, 1], 4, 0), r"k = 0 does not fit group_size = 4"),
        (([0, 0], [0, 1], 4, 1.5), "k must be an integer"),
        (([0, 0], [0, 1, 2], 4, 2), r"must both be \[num_actions\]"),
        (([0, 0], [0, np.inf], 4, 2), "must be finite"),
        (([0, np.nan], [0, 1], 4, 2), "must be finite"),
        (([-np.inf, -np.inf], [0, 1], 4, 2), "one action must be left"),
        ((np.zeros(30), np.arange(30), 16, 2), r"30 different rewards and group_size 16 make .*,"),
        ((np.zeros(30), np.arange(30), 16, 2), "group_size up to 5 fits, with group_size 16 up to"),
    ],
)
def test_what_does_not_fit_is_named(arguments, message):
    for function in (exact.variance_floor, exact.best_baseline):
        with pytest.raises(ValueError, match=message):
            function(*arguments)


def test_the_sizes_that_an_error_names_do_fit(monkeypatch):
    monkeypatch.setattr(module, "MAX_TERMS", 1000)
    with pytest.raises(ValueError, match="group_size up to 5 fits, with group_size 16 up to 3"):
        exact.variance_floor(np.zeros(5), np.arange(5), 16, 2)
    exact.variance_floor(np.zeros(5), np.arange(5), 5, 2)
    exact.variance_floor(np.zeros(3), np.arange(3), 16, 2)


# The class of estimators, in rationals: unknowns are the advantages of a sample of each of 3
# rewards beside each multiset of 3 others.

LEVELS, SIZE = 3, 4
OTHERS = list(itertools.combinations_with_replacement(range(LEVELS), SIZE - 1))
UNKNOWN = {pair: j for j, pair in enumerate(itertools.product(range(LEVELS), OTHERS))}
POLICIES = [
    [Fraction(a, 7), Fraction(b, 7), Fraction(7 - a - b, 7)]
    for a in range(1, 6)
    for b in range(1, 7 - a)
]


def rank(rows):
    """Rank of a matrix of rationals, by elimination."""
    rows, found = [list(row) for row in rows], 0
    for column in range(len(rows[0])):
        pivot = next((i for i in range(found, len(rows)) if rows[i][column]), None)
        if pivot is None:
            continue
        rows[found], rows[pivot] = rows[pivot], rows[found]
        for i in range(found + 1, len(rows)):
            if rows[i][column]:
                factor = rows[i][column] / rows[found][column]
                pairs = zip(rows[i], rows[found], strict=True)
                rows[i] = [x - factor * y for x, y in pairs]
        found += 1
    return found


def unbiased(k):
    """Rows [unknowns | value] of E g = grad J_k at many policies, by enumeration of outcomes."""
    rewards, rows = [0, 1, 3], []
    for probs in POLICIES:
        means = [[Fraction(0)] * len(UNKNOWN) for _ in range(LEVELS)]
        for own, *others in itertools.product(range(LEVELS), repeat=SIZE):
            chance = math.prod((probs[a] for a in (own, *others)), start=Fraction(k))
            score = oracles.score(own, probs)
            for action in range(LEVELS):
                means[action][UNKNOWN[own, tuple(sorted(others))]] += chance * score[action]
        truth = oracles.max_at_k_gradient(rewards, probs, k)
        rows += [[*mean, value] for mean, value in zip(means, truth, strict=True)]
    return rows


def centered():
    """Rows of sum_i A_i = 0 in every group."""
    rows = []
    for group in itertools.combinations_with_replacement(range(LEVELS), SIZE):
        row = [Fraction(0)] * (len(UNKNOWN) + 1)
        for i, own in enumerate(group):
            row[UNKNOWN[own, group[:i] + group[i + 1 :]]] += 1
        rows.append(row)
    return rows


def free_dimensions(rows):
    """How many dimensions of solutions a linear system leaves; None if it has none."""
    matrix = rank([row[:-1] for row in rows])
    return len(UNKNOWN) - matrix if rank(rows) == matrix else None


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_unbiased_estimators_differ_by_a_function_of_the_others_and_one_is_centered(k):
    rows = unbiased(k)
    assert free_dimensions(rows) == len(OTHERS) == 10
    same_for_every_own_reward = []
    for others in OTHERS:
        for own in range(1, LEVELS):
            row = [Fraction(0)] * len(UNKNOWN)
            row[UNKNOWN[own, others]], row[UNKNOWN[0, others]] = Fraction(1), Fraction(-1)
            same_for_every_own_reward.append(row)
    homogeneous = [row[:-1] for row in rows]
    assert rank(homogeneous + same_for_every_own_reward) == rank(homogeneous)
    assert free_dimensions(rows + centered()) == (0 if k < SIZE else None)
