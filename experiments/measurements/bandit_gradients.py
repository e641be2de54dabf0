"""Moments of the gradient estimate on random softmax bandits, sampled.

The seed draws the bandit and the groups; estimators and K are evaluated on the same groups.
"""

import functools
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import FrozenConfigDict

from experiments.common.keys import key_for
from experiments.engine.measurement import Measurement, Output
from experiments.measurements import _bandits, _common
from experiments.measurements._common import Point
from maxpo_jax.bandits import exact, gradients
from maxpo_jax.bandits.bandit import Bandit
from maxpo_jax.estimators import Estimator

STATIC = ("estimators", "family", "logits", "size", "group_size", "num_draws", "noisy")


def compute(
    run: FrozenConfigDict, seeds: np.ndarray, points: Sequence[Point]
) -> Mapping[str, np.ndarray]:
    """Variance and error of the mean [points, seeds]."""
    ks = _common.ks_of(points)
    sampled = _moments(
        seeds,
        ks,
        np.int32(run.num_actions),
        np.float32(run.noise),
        estimators=_common.estimators_of(points),
        family=run.reward_family,
        logits=run.logits,
        size=_bandits.padded_size(run.num_actions),
        group_size=run.group_size,
        num_draws=run.num_draws,
        noisy=run.noise > 0,
    )
    variance, mean, logits, rewards = (np.asarray(x) for x in sampled)
    errors = np.full(variance.shape, np.nan)
    if not run.noise:
        n = run.num_actions
        for (point, seed), k in np.ndenumerate(np.repeat(ks[:, None], len(seeds), axis=1)):
            truth = _gradient(logits[seed, :n].tobytes(), rewards[seed, :n].tobytes(), int(k))
            errors[point, seed] = np.linalg.norm(mean[point, seed, :n] - truth) / np.linalg.norm(
                truth
            )
    return {"variance": variance, "mean_error": errors}


@functools.partial(jax.jit, static_argnames=STATIC)
def _moments(
    seeds: jax.Array,
    ks: jax.Array,
    num_actions: jax.Array,
    noise: jax.Array,
    *,
    estimators: tuple[Estimator, ...],
    family: str,
    logits: str,
    size: int,
    group_size: int,
    num_draws: int,
    noisy: bool,
) -> tuple[jax.Array, ...]:
    """Variances [points, seeds] and means [points, seeds, size], and the bandits [seeds, size]."""

    def one(seed: jax.Array) -> tuple[jax.Array, ...]:
        theta, rewards = _bandits.draw_problem(seed, family, logits, num_actions, size)
        moments = gradients.bandit_moments(
            key_for(seed, "bandit_gradients", family),
            theta,
            Bandit(rewards, noise=noise if noisy else None),
            ks,
            estimators=estimators,
            group_size=group_size,
            num_draws=num_draws,
        )
        return moments.total_variance, moments.mean, theta, rewards

    # One seed after the other: a block of draws of one fills the memory that a core has near.
    variance, mean, theta, rewards = jax.lax.map(one, seeds)
    return variance.T, jnp.swapaxes(mean, 0, 1), theta, rewards


@functools.lru_cache(maxsize=10_000)
def _gradient(logits: bytes, rewards: bytes, k: int) -> np.ndarray:
    """The exact gradient of J_K, which the estimators of a K share."""
    return exact.gradient(np.frombuffer(logits, np.float32), np.frombuffer(rewards, np.float32), k)


def refuse(run: FrozenConfigDict) -> str:
    """Why a run makes no sense."""
    binary = run.reward_family == "bernoulli" and not run.noise
    return _common.first(
        _bandits.refuse_problem(run),
        _common.refuse_below(run, 2, "num_draws"),
        "" if run.noise >= 0 else f"noise is {run.noise}; it must not be negative",
        _common.refuse_estimator(run, binary=binary),
    )


MEASUREMENT = Measurement(
    fields={
        "seed": 0,
        "reward_family": "gaussian",
        "num_actions": 8,
        "logits": "uniform",
        "noise": 0.0,
        "group_size": 16,
        "estimator": "maxpo",
        "k": 4,
        "num_draws": 20_000,
    },
    outputs={
        "variance": Output(
            "trace of the covariance of the gradient estimate", larger_is_better=False
        ),
        "mean_error": Output(
            "distance of the mean estimate from the exact gradient of $J_K$, relative to its norm",
            larger_is_better=False,
        ),
    },
    compute=compute,
    refuse=refuse,
    traced=("num_actions", "k"),
    together=("estimator", "k"),
    smoke={"num_draws": 1000},
)
