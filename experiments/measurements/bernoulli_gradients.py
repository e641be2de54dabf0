"""Exact variance of the gradient estimate on Bernoulli bandits, in closed form, and its floor.

The floor is that of the very bandit, with its number of arms: 0 with one arm per outcome, and near
the closed form of orthogonal scores with many.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from ml_collections import FrozenConfigDict

from experiments.common.errors import UserError
from experiments.common.estimator_spec import resolve
from experiments.engine.measurement import Measurement, Output
from experiments.measurements import _common
from experiments.measurements._common import Point
from maxpo_jax import exact
from maxpo_jax.bandits import bernoulli


def compute(
    run: FrozenConfigDict, seeds: np.ndarray, points: Sequence[Point]
) -> Mapping[str, np.ndarray]:
    """Variances and their floors [points, 1]."""
    variance, floor = (np.empty((len(points), len(seeds))) for _ in range(2))
    floors: dict[tuple[float, int], float] = {}
    curves: dict[tuple[str, int], list[int]] = {}
    for index, point in enumerate(points):
        curves.setdefault((point["estimator"], int(point["k"])), []).append(index)
    for (spec, k), indices in curves.items():
        probs = [points[index]["success_prob"] for index in indices]
        try:
            values = bernoulli.total_variance(
                resolve(spec), run.group_size, k, probs, run.arms_per_outcome
            )
        except ValueError as error:
            raise UserError(f"estimator {spec}: {error}") from error
        variance[indices] = values[:, None]
        for index, prob in zip(indices, probs, strict=True):
            if (prob, k) not in floors:
                floors[prob, k] = _floor(run, prob, k)
            floor[index] = floors[prob, k]
    return {"variance": variance, "floor": floor}


def _floor(run: FrozenConfigDict, success_prob: float, k: int) -> float:
    """The least variance of any unbiased estimator of the gradient of J_K."""
    probs = np.array([success_prob, 1 - success_prob]) / run.arms_per_outcome
    logits = np.repeat(np.log(probs), run.arms_per_outcome)
    rewards = np.repeat([1.0, 0.0], run.arms_per_outcome)
    return exact.variance_floor(logits, rewards, run.group_size, k)


def refuse(run: FrozenConfigDict) -> str:
    """Why a run makes no sense."""
    inside = 0 < run.success_prob < 1
    return _common.first(
        "" if inside else f"success_prob is {run.success_prob}; it must lie between 0 and 1",
        _common.refuse_below(run, 1, "arms_per_outcome"),
        _common.refuse_estimator(run, binary=True),
        _common.refuse_randomized(run),
    )


MEASUREMENT = Measurement(
    fields={
        "success_prob": 0.3,
        "arms_per_outcome": 1,
        "group_size": 16,
        "estimator": "maxpo",
        "k": 4,
    },
    outputs={
        "variance": Output(
            "exact trace of the covariance of the gradient estimate", larger_is_better=False
        ),
        "floor": Output(
            "least variance of any unbiased estimator of the gradient of $J_K$ that sees rewards "
            "alone",
            larger_is_better=None,
        ),
    },
    compute=compute,
    refuse=refuse,
    together=("estimator", "k", "success_prob"),
    smoke={},
)
