"""Error of the mean of N gradient estimates against N, on one random bandit.

`bandit_seed` draws the bandit, that of `exact_bandit_gradients` with this seed; the seed draws the
groups, the same for every estimator.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

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

BLOCKS = {10: 1000, 1000: None}
"""Draws that are worked off at once, and the number of draws up to which they are."""


def compute(
    run: FrozenConfigDict, seeds: np.ndarray, points: Sequence[Point]
) -> Mapping[str, np.ndarray]:
    """Errors [points, seeds, num_draws]."""
    logits, rewards = problem(run)
    points = [{**point, "k": run.k} for point in points]
    stops = num_draws(run)
    means = np.asarray(
        _running_means(
            seeds,
            logits,
            rewards,
            np.int32(run.k),
            estimators=_common.estimators_of(points),
            group_size=run.group_size,
            stops=tuple(stops.tolist()),
        ),
        np.float64,
    )
    truth = exact.gradient(logits, rewards, run.k)
    errors = np.linalg.norm(means - truth, axis=-1) / np.linalg.norm(truth)
    return {"error": np.transpose(errors, (2, 1, 0))}


def problem(run: FrozenConfigDict) -> tuple[np.ndarray, np.ndarray]:
    """Logits [n] and rewards [n] of the bandit."""
    n = run.num_actions
    drawn = _bandits.draw_problem(run.bandit_seed, run.reward_family, run.logits, n, n)
    return np.asarray(drawn[0]), np.asarray(drawn[1])


def num_draws(run: FrozenConfigDict) -> np.ndarray:
    """The numbers of draws at which the error is told: 10, 20, 50, 100, ..."""
    steps = [10**decade * step for decade in range(1, 10) for step in (1, 2, 5)]
    return np.array([draws for draws in steps if draws <= run.num_draws])


@functools.partial(jax.jit, static_argnames=("estimators", "group_size", "stops"))
def _running_means(
    seeds: jax.Array,
    logits: jax.Array,
    rewards: jax.Array,
    k: jax.Array,
    *,
    estimators: tuple[Estimator, ...],
    group_size: int,
    stops: tuple[int, ...],
) -> jax.Array:
    """Means [stops, seeds, estimators, n] of the first estimates, as many as a stop says."""
    ks = jnp.broadcast_to(k, (len(estimators),))

    def block_mean(seed: jax.Array, size: int, block: jax.Array) -> jax.Array:
        key = key_for(seed, "estimation_error", f"blocks of {size}")
        moments = gradients.bandit_moments(
            jax.random.fold_in(key, block),
            logits,
            Bandit(rewards),
            ks,
            estimators=estimators,
            group_size=group_size,
            num_draws=size,
        )
        return moments.mean

    means = jnp.zeros((seeds.shape[0], len(estimators), logits.shape[0]))
    curve, start = [], 0
    # Few draws in small blocks, so that the curve has its first points; then many in large ones.
    for size, last in BLOCKS.items():
        of_size = [stop for stop in stops if start < stop <= (last or stop)]
        if not of_size:
            break

        def add_block(block: jax.Array, means: jax.Array, size: int = size) -> jax.Array:
            fresh = jax.vmap(lambda seed: block_mean(seed, size, block))(seeds)
            return means + (fresh - means) / (block + 1).astype(means.dtype)

        def up_to(
            carry: tuple[jax.Array, jax.Array], stop: jax.Array, add_block: Any = add_block
        ) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
            block, means = carry
            means = jax.lax.fori_loop(block, stop, add_block, means)
            return (stop, means), means

        begin = jnp.asarray(start // size, jnp.int32)
        ends = jnp.asarray(of_size, jnp.int32) // size
        (_, means), part = jax.lax.scan(up_to, (begin, means), ends)
        curve.append(part)
        start = of_size[-1]
    return jnp.concatenate(curve)


def coordinates(run: FrozenConfigDict) -> dict[str, np.ndarray]:
    """The numbers of draws."""
    return {"num_draws": num_draws(run)}


def refuse(run: FrozenConfigDict) -> str:
    """Why a run makes no sense."""
    return _common.first(
        _bandits.refuse_problem(run),
        _common.refuse_below(run, 10, "num_draws"),
        _common.refuse_estimator(run, binary=run.reward_family == "bernoulli"),
    )


MEASUREMENT = Measurement(
    fields={
        "seed": 0,
        "bandit_seed": 0,
        "reward_family": "gaussian",
        "num_actions": 6,
        "logits": "gaussian",
        "group_size": 8,
        "k": 4,
        "estimator": "maxpo",
        "num_draws": 1_000_000,
    },
    outputs={
        "error": Output(
            "distance of the mean estimate from the exact gradient of $J_K$, relative to its norm",
            dims=("num_draws",),
            larger_is_better=False,
        )
    },
    compute=compute,
    coordinates=coordinates,
    refuse=refuse,
    traced=("bandit_seed", "reward_family", "logits", "k"),
    together=("estimator",),
    smoke={"num_draws": 1000},
)
