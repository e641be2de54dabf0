"""Exact variance of the gradient estimate in the limit of many actions, and the floor under it.

Scores are orthogonal and of length 1 there, so that the rewards alone decide: 0 or 1 with a success
probability, or a continuous reward at its quantiles.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from ml_collections import FrozenConfigDict
from scipy import stats

from experiments.common.errors import UserError
from experiments.common.estimator_spec import resolve
from experiments.engine.measurement import Measurement, Output
from experiments.measurements import _common
from experiments.measurements._common import Point
from maxpo_jax import exact

BERNOULLI = "bernoulli"
CONTINUOUS = {
    "gaussian": stats.norm,
    "student_t": stats.t(3),
    "uniform": stats.uniform,
    "exponential": stats.expon,
}


def compute(
    run: FrozenConfigDict, seeds: np.ndarray, points: Sequence[Point]
) -> Mapping[str, np.ndarray]:
    """Variances and floors [points, seeds], the same for every seed."""
    variance, floor = (np.empty((len(points), len(seeds))) for _ in range(2))
    curves: dict[tuple[str, int], list[int]] = {}
    for index, point in enumerate(points):
        curves.setdefault((point["estimator"], int(point["k"])), []).append(index)
    for (spec, k), indices in curves.items():
        rewards, probs = distribution(run, [points[index]["success_prob"] for index in indices])
        try:
            values = exact.variance_orthogonal(resolve(spec), rewards, probs, run.group_size, k)
        except ValueError as error:
            raise UserError(f"estimator {spec}: {error}") from error
        floors = exact.variance_floor_orthogonal(rewards, probs, run.group_size, k)
        variance[indices], floor[indices] = values[:, None], floors[:, None]
    return {"variance": variance, "floor": floor}


def distribution(
    run: FrozenConfigDict, success_probs: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """Rewards [L] and their probabilities [points, L]."""
    p = np.asarray(success_probs, np.float64)
    if run.reward_family == BERNOULLI:
        return np.array([0.0, 1.0]), np.stack([1 - p, p], axis=-1)
    quantiles = (np.arange(run.num_levels) + 0.5) / run.num_levels
    rewards = CONTINUOUS[run.reward_family].ppf(quantiles)
    return rewards, np.full((len(p), run.num_levels), 1 / run.num_levels)


def refuse(run: FrozenConfigDict) -> str:
    """Why a run makes no sense."""
    inside = 0 < run.success_prob < 1
    return _common.first(
        _common.refuse_unknown("reward_family", run.reward_family, (BERNOULLI, *CONTINUOUS)),
        "" if inside else f"success_prob is {run.success_prob}; it must lie between 0 and 1",
        _common.refuse_below(run, 2, "num_levels"),
        _common.refuse_estimator(run, binary=run.reward_family == BERNOULLI),
        _common.refuse_randomized(run),
    )


MEASUREMENT = Measurement(
    fields={
        "reward_family": BERNOULLI,
        "success_prob": 0.3,
        "num_levels": 2048,
        "group_size": 16,
        "estimator": "maxpo",
        "k": 4,
    },
    outputs={
        "variance": Output(
            "exact trace of the covariance of the gradient estimate, of orthogonal scores",
            larger_is_better=False,
        ),
        "floor": Output(
            "least variance of any unbiased estimator of the gradient of $J_K$ that sees rewards "
            "alone, of orthogonal scores",
            larger_is_better=None,
        ),
    },
    compute=compute,
    refuse=refuse,
    together=("estimator", "k", "success_prob"),
    smoke={"num_levels": 64},
)
