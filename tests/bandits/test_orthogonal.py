"""Variances with orthogonal scores: brute force over outcomes, and the theorems of that limit."""

import itertools
import math
from fractions import Fraction

import numpy as np
import oracles
import pytest
from scipy import optimize, stats

from maxpo_jax import estimators, exact
from maxpo_jax.bandits import bernoulli

DISTRIBUTIONS = {
    "binary": ([1.0, 0.0], [0.375, 0.625]),
    "three": ([2.5, -0.5, 1.0], [0.25, 0.5, 0.25]),
    "tied": ([1.0, 3.0, 1.0], [0.25, 0.25, 0.5]),
    "one never paid": ([0.0, 9.0, 1.0], [0.5, 0.0, 0.5]),
    "none lowest": ([-4.0, 0.0, 1.0], [0.0, 0.75, 0.25]),
    "sure": ([1.5], [1.0]),
}
ADVANTAGES = {
    "maxpo": oracles.maxpo,
    "ei": oracles.expected_improvement,
    "pkpo_s": oracles.u,
    "pkpo_sloo": lambda R, k: [
        u - Fraction(len(R), len(R) - 1) * v
        for u, v in zip(oracles.u(R, k), oracles.v(R, k), strict=True)
    ],
    "reinforce": lambda R, k: oracles.rationals(R),
}


def outcomes(rewards, probs, count):
    """Every ordered outcome of `count` rewards, with its chance."""
    pairs = list(zip(oracles.rationals(rewards), oracles.rationals(probs), strict=True))
    for drawn in itertools.product(pairs, repeat=count):
        yield [r for r, _ in drawn], math.prod((p for _, p in drawn), start=Fraction(1))


def brute_force_variance(advantages, rewards, probs, group_size, k):
    squares = (
        chance * oracles.mean([Fraction(a) ** 2 for a in advantages(group, k)])
        for group, chance in outcomes(rewards, probs, group_size)
    )
    return Fraction(k**2, group_size) * sum(squares)


def brute_force_floor(rewards, probs, group_size, k):
    """K^2/B E Var(EI_1 | R_2, ..., R_B)."""
    total = Fraction(0)
    for others, chance in outcomes(rewards, probs, group_size - 1):
        values = [
            (p, oracles.expected_improvement([own[0], *others], k)[0])
            for own, p in outcomes(rewards, probs, 1)
        ]
        mean = sum(p * value for p, value in values)
        total += chance * sum(p * (value - mean) ** 2 for p, value in values)
    return Fraction(k**2, group_size) * total


@pytest.mark.parametrize(("rewards", "probs"), DISTRIBUTIONS.values(), ids=DISTRIBUTIONS)
@pytest.mark.parametrize(("group_size", "k"), [(1, 1), (2, 1), (4, 2), (4, 3), (4, 4)])
def test_floor_is_that_of_all_outcomes(rewards, probs, group_size, k):
    expected = float(brute_force_floor(rewards, probs, group_size, k))
    floor = exact.variance_floor_orthogonal(rewards, probs, group_size, k)
    assert floor == pytest.approx(expected, rel=1e-13, abs=1e-15)


@pytest.mark.parametrize(("rewards", "probs"), DISTRIBUTIONS.values(), ids=DISTRIBUTIONS)
@pytest.mark.parametrize("name", ADVANTAGES)
def test_variance_is_that_of_all_outcomes(name, rewards, probs):
    for k in (1, 3):
        expected = float(brute_force_variance(ADVANTAGES[name], rewards, probs, 4, k))
        found = exact.variance_orthogonal(name, rewards, probs, 4, k)
        assert found == pytest.approx(expected, rel=1e-12, abs=1e-15)


def test_any_function_of_binary_rewards_will_do():
    def squared_share(rewards, k):
        return rewards * rewards.mean() ** 2 - rewards.mean()

    def by_hand(rewards, k):
        share = oracles.mean(rewards)
        return [reward * share**2 - share for reward in rewards]

    found = exact.variance_orthogonal(squared_share, [0.0, 1.0], [0.25, 0.75], 5, 2)
    expected = float(brute_force_variance(by_hand, [0, 1], [0.25, 0.75], 5, 2))
    assert found == pytest.approx(expected, rel=1e-13)


def test_several_policies_at_once_are_each_alone():
    rewards = [0.0, 1.0, 5.0]
    probs = np.random.default_rng(0).dirichlet(np.ones(3), size=(2, 3))
    floors = exact.variance_floor_orthogonal(rewards, probs, 6, 2)
    variances = exact.variance_orthogonal("maxpo", rewards, probs, 6, 2)
    assert floors.shape == variances.shape == (2, 3)
    for at in np.ndindex(2, 3):
        alone = exact.variance_floor_orthogonal(rewards, probs[at], 6, 2)
        assert floors[at] == pytest.approx(alone, rel=1e-14)
        alone = exact.variance_orthogonal("maxpo", rewards, probs[at], 6, 2)
        assert variances[at] == pytest.approx(alone, rel=1e-14)


NEAR_ZERO = np.logspace(-6, -1, 30)
P = np.concatenate([NEAR_ZERO, np.linspace(0.11, 0.89, 40), 1 - NEAR_ZERO[::-1]])


def over_floor(name, success_probs, group_size, k):
    """Variance over floor for 0/1 rewards."""
    probs = np.stack([1 - success_probs, success_probs], axis=-1)
    floor = exact.variance_floor_orthogonal([0.0, 1.0], probs, group_size, k)
    return exact.variance_orthogonal(name, [0.0, 1.0], probs, group_size, k) / floor


SIZES = [(2, 1), (3, 2), (4, 1), (4, 3), (5, 2), (8, 4), (8, 7), (16, 8), (16, 15), (64, 32)]


@pytest.mark.parametrize(("group_size", "k"), [*SIZES, (4, 4), (16, 16)])
def test_expected_improvement_pays_one_over_the_chance_of_failure(group_size, k):
    np.testing.assert_allclose(over_floor("ei", P, group_size, k) * (1 - P), 1, rtol=1e-9)


@pytest.mark.parametrize(("group_size", "k"), SIZES)
def test_maxpo_pays_at_most_the_group_over_what_k_leaves_of_it(group_size, k):
    """At most B/(B-K), towards p = 1; B/(B-1) towards p = 0."""
    ratio = over_floor("maxpo", P, group_size, k)
    most = group_size / (group_size - k)
    assert (ratio <= most * (1 + 1e-9)).all()
    assert (ratio >= group_size / (group_size - 1) * (1 - 1e-9)).all()
    assert ratio[-1] == pytest.approx(most, rel=1e-3)
    assert ratio[0] == pytest.approx(group_size / (group_size - 1), rel=1e-3)


@pytest.mark.parametrize("k", [1, 2, 5, 7])
def test_what_a_baseline_pays_is_its_distance_from_the_best_under_a_tilted_law(k):
    """1 + E[(b(C)/e(C) - p)^2] / (p (1-p)), C the others' successes tilted by e(C)^2."""
    group_size = 8
    successes = np.arange(group_size)
    improvement = np.array([math.comb(group_size - 1 - c, k - 1) for c in successes])
    for p in (0.05, 0.4, 0.9):
        tilted = stats.binom.pmf(successes, group_size - 1, p) * improvement**2
        tilted /= tilted.sum()
        ratio = 1 + tilted @ (successes / (group_size - k) - p) ** 2 / (p * (1 - p))
        found = over_floor("maxpo", np.array([p]), group_size, k)
        assert found == pytest.approx(ratio, rel=1e-12)


CROSSINGS = [(1, 0.063), (4, 0.065), (8, 0.082), (12, 0.14), (15, 0.5)]


@pytest.mark.parametrize(("k", "crossing"), CROSSINGS)
def test_maxpo_has_the_lower_variance_above_a_success_probability_near_one_over_b(k, crossing):
    def excess(p):
        probs = np.array([p])
        return float((over_floor("maxpo", probs, 16, k) - over_floor("ei", probs, 16, k))[0])

    assert optimize.brentq(excess, 0.01, 0.9, xtol=1e-4) == pytest.approx(crossing, abs=5e-3)


@pytest.mark.parametrize("arms", [50, 100, 200])
def test_many_arms_come_near_the_limit_as_one_over_their_number(arms):
    p, group_size, k = 0.3, 6, 3
    policy, rewards = np.repeat([p / arms, (1 - p) / arms], arms), np.repeat([1.0, 0.0], arms)
    limit = float(exact.variance_floor_orthogonal([1.0, 0.0], [p, 1 - p], group_size, k))
    floor = exact.variance_floor(np.log(policy), rewards, group_size, k)
    assert abs(floor / limit - 1) < 4 / arms
    half = exact.variance_floor(np.log(policy[::2]), rewards[::2], group_size, k)
    assert (half - limit) / (floor - limit) == pytest.approx(2, rel=0.1)
    for name in ("maxpo", "ei"):
        limit = float(exact.variance_orthogonal(name, [1.0, 0.0], [p, 1 - p], group_size, k))
        many = bernoulli.total_variance(estimators.get(name), group_size, k, [p], arms)[0]
        assert abs(many / limit - 1) < 4 / arms


def test_unequal_many_arms_come_near_the_limit_for_real_rewards_too():
    rewards, probs, arms = [0.0, 1.0, 2.5], np.array([0.2, 0.5, 0.3]), 500
    logits = np.log(np.repeat(probs, arms))
    floor = exact.variance_floor(logits, np.repeat(rewards, arms), 5, 2)
    limit = exact.variance_floor_orthogonal(rewards, probs, 5, 2)
    assert floor == pytest.approx(float(limit), rel=5e-3)


@pytest.mark.parametrize("draw", [stats.norm.ppf, stats.expon.ppf, lambda q: q])
def test_leave_one_out_pays_the_same_for_every_distribution(draw):
    rewards = draw((np.arange(500) + 0.5) / 500)
    probs = np.full(500, 1 / 500)
    floor = exact.variance_floor_orthogonal(rewards, probs, 16, 1)
    assert floor == pytest.approx(rewards.var() / 16, rel=1e-12)
    maxpo = exact.variance_orthogonal("maxpo", rewards, probs, 16, 1)
    assert maxpo / floor == pytest.approx(16 / 15, rel=1e-12)


@pytest.mark.parametrize("k", [2, 8, 15])
def test_quantiles_of_a_uniform_reward_are_as_good_as_its_integral(k):
    """Floor K^2/B 2 int int_(x<y) x^K (1-y) psi(y), and EI the same without the factor x."""
    B, grid = 16, (np.arange(2000) + 0.5) / 2000
    shared = stats.hypergeom(B - 1, k - 1, k - 1).pmf(np.arange(k))
    powers = k - 1 - np.arange(k)

    def integral(own):  # 2/(own+1) sum over j of shared_j int y^(own+1+power) (1-y)
        beta = 1 / ((own + powers + 2) * (own + powers + 3))
        return k**2 / B * 2 / (own + 1) * shared @ beta

    probs = np.full(2000, 1 / 2000)
    floor = exact.variance_floor_orthogonal(grid, probs, B, k)
    assert floor == pytest.approx(integral(k), rel=1e-5)
    ei = exact.variance_orthogonal("ei", grid, probs, B, k)
    assert ei == pytest.approx(integral(k - 1), rel=1e-5)


def test_large_groups_neither_overflow_nor_lose_the_ratio():
    probs = [0.7, 0.3]
    for name, expected in (("ei", 1 / 0.7), ("maxpo", None)):
        floor = exact.variance_floor_orthogonal([0.0, 1.0], probs, 1024, 8)
        ratio = exact.variance_orthogonal(name, [0.0, 1.0], probs, 1024, 8) / floor
        assert ratio == pytest.approx(expected or 1024 / 1023, rel=1e-6 if expected else 1e-2)


@pytest.mark.parametrize(
    ("rewards", "probs", "message"),
    [
        ([0.0, 1.0], [0.2, 0.2, 0.6], r"got \(2,\) and \(3,\)"),
        ([0.0, 1.0], [0.2, 0.2], "of sum 1"),
        ([0.0, 1.0], [-0.2, 1.2], "not negative"),
        ([0.0, np.nan], [0.5, 0.5], "must be finite"),
        ([], [], r"must be \[num_rewards\]"),
    ],
)
def test_bad_distributions_are_named(rewards, probs, message):
    with pytest.raises(ValueError, match=message):
        exact.variance_floor_orthogonal(rewards, probs, 4, 2)
    with pytest.raises(ValueError, match=message):
        exact.variance_orthogonal("maxpo", rewards, probs, 4, 2)


def test_k_out_of_range_is_named():
    with pytest.raises(ValueError, match="k = 5 does not fit group_size = 4: allowed are"):
        exact.variance_floor_orthogonal([0.0, 1.0], [0.5, 0.5], 4, 5)
    with pytest.raises(ValueError, match="k = 4 does not fit group_size = 4: allowed are"):
        exact.variance_orthogonal("maxpo", [0.0, 1.0], [0.5, 0.5], 4, 4)


def test_what_is_no_sum_over_spacings_is_refused_for_other_rewards_than_0_and_1():
    exact.variance_orthogonal("grpo", [0.0, 1.0], [0.5, 0.5], 4, 1)
    with pytest.raises(ValueError, match="grpo is no weighted sum of the spacings"):
        exact.variance_orthogonal("grpo", [0.0, 2.0], [0.5, 0.5], 4, 1)
