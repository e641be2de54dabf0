"""Exact variance of the gradient estimate on Bernoulli bandits, in closed form."""

from collections.abc import Mapping, Sequence

import numpy as np
from ml_collections import FrozenConfigDict

from experiments.common.errors import UserError
from experiments.common.estimator_spec import resolve
from experiments.engine.measurement import Measurement, Output
from experiments.measurements import _common
from experiments.measurements._common import Point
from maxpo_jax.bandits import bernoulli


def compute(
    run: FrozenConfigDict, seeds: np.ndarray, points: Sequence[Point]
) -> Mapping[str, np.ndarray]:
    """Variances [points, 1]."""
    variance = np.empty((len(points), len(seeds)))
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
    return {"variance": variance}


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
        )
    },
    compute=compute,
    refuse=refuse,
    together=("estimator", "k", "success_prob"),
    smoke={},
)
