"""Moments of the gradient estimate on random softmax bandits, by enumeration of all groups.

The bandit of a seed is that of `bandit_gradients`. Beside each variance stands the floor under it,
the same for every estimator.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from ml_collections import FrozenConfigDict

from experiments.common.estimator_spec import resolve
from experiments.engine.measurement import Measurement, Output
from experiments.measurements import _bandits, _common
from experiments.measurements._common import Point
from maxpo_jax.bandits import exact, multisets, variance_floor

OUTPUTS = {
    "variance": Output(
        "exact trace of the covariance of the gradient estimate", larger_is_better=False
    ),
    "bias": Output(
        "norm of the exact bias of the gradient estimate, relative to the norm of the exact "
        "gradient of $J_K$",
        larger_is_better=False,
    ),
    "cosine": Output("cosine between the exact mean estimate and the exact gradient of $J_K$"),
    "gradient_norm": Output("norm of the exact gradient of $J_K$", larger_is_better=None),
    "floor": Output(
        "least variance of any unbiased estimator of the gradient of $J_K$ that sees rewards alone",
        larger_is_better=None,
    ),
}


def compute(
    run: FrozenConfigDict, seeds: np.ndarray, points: Sequence[Point]
) -> Mapping[str, np.ndarray]:
    """Exact outputs [points, seeds]."""
    problems = [problem(run, int(seed)) for seed in seeds]
    floors = {
        k: [_floor(run, k, *one) for one in problems] for k in {int(point["k"]) for point in points}
    }
    values = np.array(
        [
            [
                (*_measure(run, point["estimator"], int(point["k"]), *one), floor)
                for one, floor in zip(problems, floors[int(point["k"])], strict=True)
            ]
            for point in points
        ]
    )
    return dict(zip(OUTPUTS, np.moveaxis(values, -1, 0), strict=True))


def problem(run: FrozenConfigDict, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits [n] and rewards [n] of the bandit of a seed."""
    n = run.num_actions
    logits, rewards = _bandits.draw_problem(seed, run.reward_family, run.logits, n, n)
    return np.asarray(logits), np.asarray(rewards)


def _measure(
    run: FrozenConfigDict, estimator: str, k: int, logits: np.ndarray, rewards: np.ndarray
) -> tuple[float, ...]:
    """The outputs of one estimator at one K on one bandit, but the floor."""
    moments = exact.moments(resolve(estimator), logits, rewards, run.group_size, k)
    truth = exact.gradient(logits, rewards, k)
    size, length = np.linalg.norm(truth), np.linalg.norm(moments.mean)
    return (
        float(np.trace(moments.covariance)),
        float(np.linalg.norm(moments.mean - truth) / size),
        float(moments.mean @ truth / (length * size)) if length else np.nan,
        float(size),
    )


def _floor(run: FrozenConfigDict, k: int, logits: np.ndarray, rewards: np.ndarray) -> float:
    """The variance floor at one K on one bandit, NaN where it takes too long."""
    if not variance_floor.fits(len(np.unique(rewards)), run.group_size):
        return np.nan
    return variance_floor.variance_floor(logits, rewards, run.group_size, k)


def refuse(run: FrozenConfigDict) -> str:
    """Why a run makes no sense."""
    return _common.first(
        _bandits.refuse_problem(run),
        _common.refuse_estimator(run, binary=run.reward_family == "bernoulli"),
        _refuse_size(run),
        _common.refuse_randomized(run),
    )


def _refuse_size(run: FrozenConfigDict) -> str:
    total = multisets.num_multisets(run.num_actions, run.group_size)
    if total <= exact.MAX_GROUPS:
        return ""
    return (
        f"num_actions {run.num_actions} and group_size {run.group_size} make {total:,} groups, "
        f"more than the {exact.MAX_GROUPS:,} that are enumerated: use bandit_gradients"
    )


MEASUREMENT = Measurement(
    fields={
        "seed": 0,
        "reward_family": "gaussian",
        "num_actions": 4,
        "logits": "uniform",
        "group_size": 16,
        "estimator": "maxpo",
        "k": 4,
    },
    outputs=OUTPUTS,
    compute=compute,
    refuse=refuse,
    together=("estimator", "k"),
    smoke={"num_actions": 3, "group_size": 6},
)
