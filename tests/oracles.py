"""Brute force in exact rationals: slow, obvious, and sharing no code with the library.

Everything here is a literal reading of a definition: means over enumerated subsets of a batch, and
expectations over enumerated outcomes of a bandit. Rewards and probabilities may be ints, floats or
Fractions; a float is taken at its exact binary value, so results are exact for what was passed in.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np

Number = int | float | Fraction
Advantages = Callable[[list[Fraction]], Sequence[Number]]


def rationals(values: Sequence[Number] | np.ndarray) -> list[Fraction]:
    """The values as exact rationals."""
    return [Fraction(value if isinstance(value, Fraction) else float(value)) for value in values]


def mean(values: Sequence[Fraction]) -> Fraction:
    """The mean of a nonempty sequence."""
    return sum(values, Fraction(0)) / len(values)


def without(values: Sequence[Fraction], *indices: int) -> list[Fraction]:
    """The values that are left when those at `indices` are taken out."""
    return [value for j, value in enumerate(values) if j not in indices]


def rho(rewards: Sequence[Number], k: int) -> Fraction:
    """Mean over the k-subsets of the batch of their max."""
    return mean([max(subset) for subset in itertools.combinations(rationals(rewards), k)])


def u(rewards: Sequence[Number], k: int) -> list[Fraction]:
    """u_i: mean over the (k-1)-subsets S of the others of max(R_i, max S)."""
    R = rationals(rewards)
    return [
        mean([max((R[i], *S)) for S in itertools.combinations(without(R, i), k - 1)])
        for i in range(len(R))
    ]


def v(rewards: Sequence[Number], k: int) -> list[Fraction]:
    """v_i: rho_k of the others."""
    R = rationals(rewards)
    return [rho(without(R, i), k) for i in range(len(R))]


def expected_improvement(rewards: Sequence[Number], k: int) -> list[Fraction]:
    """EI_i: mean over the (k-1)-subsets S of the others of max(R_i - max S, 0); R_i for k = 1."""
    R = rationals(rewards)
    if k == 1:
        return R

    def improvement(i: int) -> Fraction:
        others = itertools.combinations(without(R, i), k - 1)
        return mean([max(R[i] - max(S), Fraction(0)) for S in others])

    return [improvement(i) for i in range(len(R))]


def leave_two_out(rewards: Sequence[Number], k: int) -> list[Fraction]:
    """b_i: mean over j != i of EI_j, each computed in the batch without i."""
    R = rationals(rewards)
    return [mean(expected_improvement(without(R, i), k)) for i in range(len(R))]


def maxpo(rewards: Sequence[Number], k: int) -> list[Fraction]:
    """MaxPO as its paper defines it: EI_i - b_i."""
    pairs = zip(expected_improvement(rewards, k), leave_two_out(rewards, k), strict=True)
    return [improvement - baseline for improvement, baseline in pairs]


def canonical(rewards: Sequence[Number], k: int) -> list[Fraction]:
    """The canonical advantage as its theorem states it: u_i - v_i."""
    return [a - b for a, b in zip(u(rewards, k), v(rewards, k), strict=True)]


def weighted_sorted(values: Sequence[Fraction], coefficients: Sequence[Number]) -> Fraction:
    """c . sort(values), ascending; as many values as coefficients."""
    pairs = zip(rationals(coefficients), sorted(values), strict=True)
    return sum((c * value for c, value in pairs), Fraction(0))


def order_statistic(rewards: Sequence[Number], coefficients: Sequence[Number]) -> list[Fraction]:
    """u_i - v_i for c . sort(.) in the place of the maximum, over subsets of the others."""
    R, k = rationals(rewards), len(coefficients)

    def with_sample(i: int) -> Fraction:
        others = itertools.combinations(without(R, i), k - 1)
        return mean([weighted_sorted((R[i], *S), coefficients) for S in others])

    def without_sample(i: int) -> Fraction:
        others = itertools.combinations(without(R, i), k)
        return mean([weighted_sorted(S, coefficients) for S in others])

    return [with_sample(i) - without_sample(i) for i in range(len(R))]


def weighted_subset_maxima(
    rewards: Sequence[Number], ratios: Sequence[Number], k: int
) -> list[Fraction]:
    """Mean over the k-subsets that hold i of (product of importance ratios) * max, for each i."""
    R, w = rationals(rewards), rationals(ratios)
    return [
        mean(
            [
                math.prod((w[j] for j in (i, *S)), start=Fraction(1)) * max(R[j] for j in (i, *S))
                for S in itertools.combinations([j for j in range(len(R)) if j != i], k - 1)
            ]
        )
        for i in range(len(R))
    ]


def max_at_k(rewards: Sequence[Number], probs: Sequence[Number], k: int) -> Fraction:
    """J_k = E[max of k iid rewards], by enumerating the n**k outcomes."""
    return expectation(max, rewards, probs, k)


def expectation(
    statistic: Callable[[list[Fraction]], Fraction],
    rewards: Sequence[Number],
    probs: Sequence[Number],
    k: int,
) -> Fraction:
    """E[statistic of k iid rewards], by enumerating the n**k outcomes."""
    R, p = rationals(rewards), rationals(probs)
    return sum(
        (
            math.prod((p[a] for a in actions), start=Fraction(1))
            * statistic([R[a] for a in actions])
            for actions in itertools.product(range(len(R)), repeat=k)
        ),
        Fraction(0),
    )


def score(action: int, probs: Sequence[Fraction]) -> list[Fraction]:
    """The gradient of log softmax(logits)[action] with respect to the logits."""
    return [Fraction(a == action) - p for a, p in enumerate(probs)]


def max_at_k_gradient(rewards: Sequence[Number], probs: Sequence[Number], k: int) -> list[Fraction]:
    """Gradient of J_k in the logits, by the score function over the n**k outcomes."""
    return expectation_gradient(max, rewards, probs, k)


def expectation_gradient(
    statistic: Callable[[list[Fraction]], Fraction],
    rewards: Sequence[Number],
    probs: Sequence[Number],
    k: int,
) -> list[Fraction]:
    """Gradient of E[statistic of k iid rewards] in the logits, by the score function."""
    R, p = rationals(rewards), rationals(probs)
    total = [Fraction(0)] * len(R)
    for actions in itertools.product(range(len(R)), repeat=k):
        weight = math.prod((p[a] for a in actions), start=Fraction(1))
        weight *= statistic([R[a] for a in actions])
        for action in actions:
            total = [t + weight * s for t, s in zip(total, score(action, p), strict=True)]
    return total


def gradient_moments(
    advantages: Advantages,
    rewards: Sequence[Number],
    probs: Sequence[Number],
    group_size: int,
    k: int,
) -> tuple[list[Fraction], list[list[Fraction]]]:
    """Mean and covariance of g = (k/B) sum_i A_i score(a_i), over all n**B ordered outcomes.

    Args:
      advantages: maps the rewards of one group, a list of Fractions, to its advantages.
      rewards: reward of each action.
      probs: probability of each action; they must sum to one exactly for exact results.
      group_size: B.
      k: K; it only scales g, as `advantages` already knows it.
    """
    R, p = rationals(rewards), rationals(probs)
    n = len(R)
    scores = [score(a, p) for a in range(n)]
    first = [Fraction(0)] * n
    second = [[Fraction(0)] * n for _ in range(n)]
    for actions in itertools.product(range(n), repeat=group_size):
        weight = math.prod((p[a] for a in actions), start=Fraction(1))
        A = [Fraction(value) for value in advantages([R[a] for a in actions])]
        g = [
            Fraction(k, group_size)
            * sum((A[i] * scores[a][b] for i, a in enumerate(actions)), Fraction(0))
            for b in range(n)
        ]
        for b in range(n):
            first[b] += weight * g[b]
            for c in range(n):
                second[b][c] += weight * g[b] * g[c]
    covariance = [[second[b][c] - first[b] * first[c] for c in range(n)] for b in range(n)]
    return first, covariance
