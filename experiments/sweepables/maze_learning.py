"""Training in the maze as a sweep: K, learning rate, first logit and seed are traced.

Every other field of the config, the estimator among them, makes a compiled program of its own.
"""

import functools
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from ml_collections import ConfigDict, FrozenConfigDict

from experiments import old_maze_training as maze_training
from experiments.sweeps.sweepable import Metric, Sweepable
from maxpo_jax import estimators, objectives
from maxpo_jax.mazes import builders as maze_builders
from maxpo_jax.mazes import policy as maze_policies
from maxpo_jax.mazes.maze import Maze

DIMS = ("update",)
METRICS = {  # returns are averages over 10 updates
    "value": Metric("exact $J_K$ of the policy", dims=DIMS),
    "best_return": Metric("best return of a group", dims=DIMS),
    "mean_return": Metric("mean return", dims=DIMS),
    "prob": Metric("probability of action 1", dims=DIMS),
    "entropy": Metric("entropy of the policy", "nat", DIMS),
}
OF_MANY_RUNS = ("estimators", "ks", "learning_rates", "shown_learning_rate", "num_seeds")


def run_config(config: ConfigDict) -> ConfigDict:
    """The config of one run, from that of the figure, which trains many at once."""
    fields = {name: value for name, value in config.items() if name not in OF_MANY_RUNS}
    one = {"estimator": "maxpo", "k": max(config.ks), "seed": 0}
    return ConfigDict(fields | one | {"learning_rate": config.shown_learning_rate})


def check(config: ConfigDict) -> None:
    """Raises ValueError for a config that makes no sense."""
    _maze(config)
    maze_policies.feature_table(config.policy, 1)
    k_range = estimators.get(config.estimator).k_range
    if not k_range.contains(config.k, config.group_size):
        raise ValueError(
            f"k = {config.k} does not fit estimator {config.estimator} at group_size "
            f"{config.group_size}; allowed are {k_range.text}"
        )
    if config.num_updates < 1 or config.num_updates % maze_training.WINDOW:
        raise ValueError(f"num_updates is {config.num_updates}; it must be a multiple of 10")
    if config.learning_rate < 0:
        raise ValueError(f"learning_rate is {config.learning_rate}; it must not be negative")


def compute(config: ConfigDict, traced: Mapping[str, Array]) -> Mapping[str, Array]:
    """Curves [runs, updates / 10] of every metric."""
    static = {name: value for name, value in config.items() if name not in SWEEP.traced}
    maze = _maze(config)
    return _train(FrozenConfigDict(static), int(maze.max_steps), maze, dict(traced))


def coordinates(config: ConfigDict) -> dict[str, np.ndarray]:
    """The updates that the entries of a curve belong to."""
    return {"update": np.arange(1, config.num_updates // 10 + 1) * maze_training.WINDOW}


@functools.partial(jax.jit, static_argnames=("config", "num_steps"))
def _train(
    config: FrozenConfigDict, num_steps: int, maze: Maze, traced: dict[str, Array]
) -> dict[str, Array]:
    num_states = maze.terminal.shape[0]
    features = maze_policies.feature_table(config.policy, num_states)
    returns = jnp.arange(num_steps + 1, dtype=jnp.float32)

    def one(run: dict[str, Array]) -> dict[str, Array]:
        curves = maze_training.train(
            jax.random.key(run["seed"]),
            maze,
            features,
            maze_policies.constant_weights(config.policy, num_states, run["initial_logit"]),
            run["k"],
            run["learning_rate"],
            estimator=estimators.get(config.estimator),
            group_size=config.group_size,
            num_updates=config.num_updates,
            num_steps=num_steps,
            variance_groups=config.variance_groups,
        )
        value = jax.vmap(lambda probs: objectives.max_at_k(returns, probs, run["k"]))
        measured = {name: getattr(curves, name) for name in METRICS if name != "value"}
        return measured | {"value": value(curves.distribution)}

    return jax.vmap(one)(traced)


def _maze(config: ConfigDict) -> Maze:
    return maze_builders.from_path(config.path, config.dead_end_length)


SWEEP = Sweepable(
    traced=("k", "learning_rate", "initial_logit", "seed"),
    metrics=METRICS,
    compute=compute,
    coordinates=coordinates,
    run_config=run_config,
    check=check,
)
