"""Holds the facts of an estimator to exact enumeration; raises AssertionError for a false one.

A fact that something holds must hold on every case, to rounding. A fact that it does not hold must
be shown by at least one case, far from rounding: so a cautious "no" is a false fact too.
"""

import dataclasses
import itertools
from collections.abc import Callable
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from maxpo_jax import coefficients
from maxpo_jax.bandits import exact
from maxpo_jax.estimators import pass_at_k_training

SIZES = ((2, 1), (2, 2), (4, 2), (4, 3), (4, 4), (5, 2))
ROUNDING = 1e-12
CLEARLY = 1e-3


@dataclasses.dataclass(frozen=True)
class Case:
    """A bandit: logits and rewards of its actions."""

    logits: tuple[float, ...]
    rewards: tuple[float, ...]


BINARY = (
    Case((0.3, -0.4, 0.1), (0.0, 1.0, 0.0)),
    Case((1.0, -0.5, -0.5), (1.0, 0.0, 1.0)),
    Case((-0.2, 1.1, 0.4), (0.0, 0.0, 1.0)),
)
REAL = (
    Case((0.3, -0.4, 0.1), (0.25, 2.0, -1.0)),
    Case((-0.8, 0.6, 0.2), (1.5, 0.5, 1.5)),  # tied at the top
    Case((0.9, 0.0, -0.7), (-3.0, -3.0, 1.0)),  # tied at the bottom
    Case((0.0, 0.5, 1.0), (1.0, 1.1, 4.0)),
)


def j(k: int, case: Case) -> np.ndarray:
    return exact.gradient(case.logits, case.rewards, k) if k > 0 else np.zeros(len(case.logits))


def order_statistic(c: np.ndarray, case: Case) -> np.ndarray:
    return exact.order_statistic_gradient(case.logits, case.rewards, c)


TARGETS: dict[str, Callable[[int, int, Case], np.ndarray]] = {
    "J_K": lambda B, K, case: j(K, case),
    "J_1": lambda B, K, case: j(1, case),
    "J_K - J_(K-1)": lambda B, K, case: j(K, case) - j(K - 1, case),
    "J_K - J_1": lambda B, K, case: j(K, case) - j(1, case),
    "(1-K/B) J_K + (K/B) J_(K-1)": lambda B, K, case: (
        (1 - K / B) * j(K, case) + K / B * j(K - 1, case)
    ),
    "E min of K": lambda B, K, case: -exact.gradient(case.logits, -np.array(case.rewards), K),
    "E median of K": lambda B, K, case: order_statistic(coefficients.median_at_k(K), case),
    "E mean of the best 2 of K": lambda B, K, case: order_statistic(
        coefficients.top_m_at_k(K, 2), case
    ),
    "sum of J_t / t over t < B": lambda B, K, case: sum(
        (j(t, case) / t for t in range(1, B)), np.zeros(len(case.logits))
    ),
}


def cases(estimator) -> tuple[Case, ...]:
    return BINARY if estimator.reward_type == "binary" else BINARY + REAL


def sizes(estimator) -> list[tuple[int, int]]:
    """Group sizes and K that are allowed; draws are countable for few of them."""
    tried = SIZES
    if estimator.randomized:
        tried = ((4, 2), (5, 2)) if "full" in estimator.name else ((2, 1), (4, 2))
    return [(B, K) for B, K in tried if bool(estimator.k_range.contains(K, B))]


def advantages(estimator, rewards, k):
    """Advantages; those of a randomized estimator are the mean over its equally likely draws."""
    if not estimator.randomized:
        return estimator(rewards, k)
    draw = "partition" if "full" in estimator.name else "bootstrap"
    every_draw = {"partition": all_partitions, "bootstrap": all_bootstraps}[draw]
    members, drawn = every_draw(rewards.shape[-1], k)
    shape = (*rewards.shape[:-1], len(members), rewards.shape[-1])
    given = jnp.broadcast_to(members, (*shape, shape[-1])), jnp.broadcast_to(drawn, shape)
    with mock.patch.object(pass_at_k_training, draw, return_value=given):
        repeated = jnp.broadcast_to(rewards[..., None, :], shape)
        return estimator(repeated, k, key=jax.random.key(0)).mean(axis=-2)


def in_float64(estimator) -> Callable:
    """`f(rewards [groups, B], k)` on NumPy float64.

    It runs operation by operation and in chunks of one shape, so that all estimators share what has
    to be compiled.
    """

    def evaluate(rewards, k):
        groups = np.asarray(rewards)  # refuses a tracer, so that nobody compiles this function
        chunk = 32
        padded = np.resize(groups, (-(-len(groups) // chunk) * chunk, groups.shape[-1]))
        # No random key is in here, and looking for one used twice takes a third of the time.
        with jax.enable_x64(True), jax.debug_key_reuse(False):
            chunks = padded.reshape(-1, chunk, groups.shape[-1])
            results = [advantages(estimator, jnp.asarray(rewards), k) for rewards in chunks]
            return np.concatenate(results)[: len(groups)]

    return evaluate


def all_partitions(group_size: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Membership matrices [draws, B, B] of all partitions in order, and which subsets exist."""
    subset = np.arange(group_size)[:, None]
    drawn = np.arange(group_size) < group_size // k
    members = [
        (np.argsort(order)[None, :] // k == subset) & drawn[:, None]
        for order in itertools.permutations(range(group_size))
    ]
    members = np.unique(np.array(members), axis=0)  # orders within a subset: equally often each
    return members, np.tile(drawn, (len(members), 1))


def all_bootstraps(group_size: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Membership matrices [draws, B, B] of all B-tuples of K-subsets."""
    subsets = np.array(
        [
            [i in chosen for i in range(group_size)]
            for chosen in itertools.combinations(range(group_size), k)
        ]
    )
    tuples = itertools.product(range(len(subsets)), repeat=group_size)
    members = np.array([subsets[list(indices)] for indices in tuples])
    return members, np.ones((len(members), group_size), bool)


def all_groups(case: Case, group_size: int) -> np.ndarray:
    """Rewards [multisets, B] of all groups of this bandit."""
    multisets = itertools.combinations_with_replacement(case.rewards, group_size)
    return np.array(list(multisets))


def check_unbiased(estimator) -> None:
    """E g = scale * grad target on every case, or, where that is denied, for no constant at all."""
    target = TARGETS[estimator.target]
    function = in_float64(estimator)
    worst, residual = 0.0, 0.0
    for B, K in sizes(estimator):
        means = [exact.moments(function, c.logits, c.rewards, B, K).mean for c in cases(estimator)]
        goals = [target(B, K, c) for c in cases(estimator)]
        mean, goal = np.concatenate(means), np.concatenate(goals)
        worst = max(worst, np.abs(mean - estimator.scale(B, K) * goal).max())
        best_constant = mean @ goal / max(goal @ goal, ROUNDING)
        residual = max(residual, np.abs(mean - best_constant * goal).max())
    if estimator.unbiased:
        assert worst < ROUNDING, f"{estimator.name} is biased for {estimator.target}: {worst}"
    else:
        assert residual > CLEARLY, f"{estimator.name} is unbiased for {estimator.target}"


def _assert_fact(estimator, fact: str, deviation: float) -> None:
    if getattr(estimator, fact):
        assert deviation < 1e-11, f"{estimator.name} is not {fact}: {deviation}"
    else:
        assert deviation > CLEARLY, f"{estimator.name} is {fact}"


def _largest(estimator, deviation: Callable) -> float:
    """The largest |deviation(f, groups, k)| over all groups of all cases."""
    f = in_float64(estimator)

    def of_size(B: int, K: int) -> float:
        groups = np.concatenate([all_groups(case, B) for case in cases(estimator)])
        return float(np.abs(deviation(f, groups, K)).max())

    return max(of_size(B, K) for B, K in sizes(estimator))


def check_centered(estimator) -> None:
    """Advantages sum to zero in every group."""
    _assert_fact(estimator, "centered", _largest(estimator, lambda f, R, k: f(R, k).sum(-1)))


def check_shift_invariant(estimator) -> None:
    """Adding a constant changes nothing."""
    _assert_fact(
        estimator,
        "shift_invariant",
        _largest(estimator, lambda f, R, k: f(R + 3.0, k) - f(R, k)),
    )


def check_scale_equivariant(estimator) -> None:
    """Scaling the rewards scales the advantages."""
    _assert_fact(
        estimator,
        "scale_equivariant",
        _largest(estimator, lambda f, R, k: f(4.0 * R, k) - 4.0 * f(R, k)),
    )


def check_k_range(estimator) -> None:
    """Allowed K work; the next on either side are refused in the words of `why_not`."""
    for B in range(1, 6):
        rewards = np.arange(B) % 2 * np.ones(B, np.float32)
        for K in range(B + 2):
            try:
                advantages = estimator(rewards, K, key=jax.random.key(0))
                reason = "" if np.isfinite(advantages).all() else "not finite"
            except ValueError as error:
                reason = str(error)
            assert reason == estimator.why_not(K, B), f"{estimator.name}: K = {K}, B = {B}"


def check_facts(estimator) -> None:
    """Every fact of an estimator that enumeration can decide."""
    check_unbiased(estimator)
    check_centered(estimator)
    if estimator.reward_type == "real":
        check_shift_invariant(estimator)
        check_scale_equivariant(estimator)
    check_k_range(estimator)
