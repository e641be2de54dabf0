"""Learning curves of every estimator in the biased maze, beside the exact optima."""

import functools
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax import Array
from ml_collections import ConfigDict
from scipy import stats

from experiments import experiment
from experiments import old_maze_training as maze_training
from experiments.drawings import maze_learning as drawing
from experiments.old_maze_training import WINDOW, Curves
from maxpo_jax import estimators, objectives
from maxpo_jax.mazes import builders as maze_builders
from maxpo_jax.mazes import exact as maze_exact
from maxpo_jax.mazes import policy as maze_policies
from maxpo_jax.mazes.maze import Maze

CURVES = {
    "mean_return": "mean return, moving average over 10 updates",
    "best_return": "best return of a group, moving average over 10 updates",
    "prob": "probability of action 1, mean over states",
    "entropy": "entropy of the policy in nats, mean over states",
    "gradient_variance": "trace of the covariance of the gradient estimate",
}
THRESHOLDS = (0.9, 0.99)  # of the exact optimum
LAST_SHARE = 0.1  # of the updates, over which final values are averaged


class Settings(NamedTuple):
    """Traced hyperparameters; arrays [num_settings], for which training is one compiled program.

    Attributes:
        k: int32.
        learning_rate: float32.
        initial_logit: float32, of action 1 in every state.
        seed: int32; equal seeds draw equal uniform numbers, whatever the other settings.
    """

    k: Array
    learning_rate: Array
    initial_logit: Array
    seed: Array


class Training(NamedTuple):
    """Curves [num_settings, ...] of a batch of settings, and what they cost.

    Attributes:
        curves: as of `maze_training.train`.
        run_seconds: without compilation.
        environment_steps: calls of `step`; those after the end of an episode are counted, too.
    """

    curves: Curves
    run_seconds: float
    environment_steps: int


def build_maze(config: ConfigDict) -> Maze:
    """The maze of a configuration."""
    return maze_builders.from_path(config.path, config.dead_end_length)


def train(config: ConfigDict, name: str, settings: Settings) -> Training:
    """Trains one estimator under many settings, in one compiled program.

    Args:
        config: path, dead_end_length, policy, group_size, num_updates and variance_groups decide
            shapes; the fields that have an entry in `settings` are not read.
        name: the estimator.
        settings: what is traced.

    Returns:
        The curves and their cost.
    """
    maze = build_maze(config)
    num_states, num_steps = maze.terminal.shape[0], int(maze.max_steps)
    features = maze_policies.feature_table(config.policy, num_states)

    def one(setting: Settings) -> Curves:
        weights = maze_policies.constant_weights(config.policy, num_states, setting.initial_logit)
        return maze_training.train(
            jax.random.key(setting.seed),
            maze,
            features,
            weights,
            setting.k,
            setting.learning_rate,
            estimator=estimators.get(name),
            group_size=config.group_size,
            num_updates=config.num_updates,
            num_steps=num_steps,
            variance_groups=config.variance_groups,
        )

    program = jax.jit(jax.vmap(one)).lower(settings).compile()
    start = time.perf_counter()
    curves = jax.block_until_ready(program(settings))
    seconds = time.perf_counter() - start
    groups = config.num_updates // WINDOW * (WINDOW + config.variance_groups)
    steps = settings.k.size * groups * config.group_size * num_steps
    return Training(curves, seconds, steps)


def values_of(distribution: Array, k: Array) -> Array:
    """Exact J_K from distributions of the return.

    Args:
        distribution: [num_settings, num_windows, num_steps + 1].
        k: [num_settings].

    Returns:
        [num_settings, num_windows] J_K.
    """
    returns = jnp.arange(distribution.shape[-1], dtype=distribution.dtype)
    along_curve = jax.vmap(objectives.max_at_k, in_axes=(None, 0, None))
    return jax.jit(jax.vmap(along_curve, in_axes=(None, 0, 0)))(returns, distribution, k)


class Optimum(NamedTuple):
    """The policy with the largest J_K, and what it gives, all exact.

    Attributes:
        value: J_K.
        prob: probability of action 1; of a policy that tells states apart, the mean on the path.
        mean_return: J_1.
        best_return: expected largest return of a group.
        entropy: in nats.
    """

    value: float
    prob: float
    mean_return: float
    best_return: float
    entropy: float


def optimum(config: ConfigDict, k: int) -> Optimum:
    """The optimum of J_K over the policy class of the config."""
    maze = build_maze(config)
    if config.policy != "stateless":
        value = maze_exact.tabular_optimum(maze)
        share = config.path.count("1") / len(config.path)
        return Optimum(value, share, value, value, 0.0)
    best = maze_exact.stateless_optimum(maze, k)
    num_steps = int(maze.max_steps)
    with jax.enable_x64(True):
        probs = jnp.full(maze.terminal.shape[0], best.prob, jnp.float64)
        mean_return, best_return = (
            float(maze_exact.max_at_k(maze, probs, size, num_steps))
            for size in (1, config.group_size)
        )
    entropy = float(stats.entropy([best.prob, 1 - best.prob]))
    return Optimum(best.value, best.prob, mean_return, best_return, entropy)


def allowed_ks(config: ConfigDict, name: str) -> tuple[int, ...]:
    """The K at which an estimator runs: 1 where it estimates J_1, else those of the config."""
    estimator = estimators.get(name)
    if estimator.target == "J_1":
        return (1,)
    return tuple(k for k in config.ks if estimator.k_range.contains(k, config.group_size))


def _grid(config: ConfigDict, ks: tuple[int, ...]) -> Settings:
    """All K, learning rates and seeds, in this order."""
    k, learning_rate, seed = np.meshgrid(
        ks, config.learning_rates, np.arange(config.num_seeds), indexing="ij"
    )
    return Settings(
        k=jnp.asarray(k.ravel(), jnp.int32),
        learning_rate=jnp.asarray(learning_rate.ravel(), jnp.float32),
        initial_logit=jnp.full(k.size, config.initial_logit, jnp.float32),
        seed=jnp.asarray(seed.ravel(), jnp.int32),
    )


def _of_estimator(config: ConfigDict, name: str) -> xr.Dataset:
    """Trains one estimator and reduces its curves over seeds."""
    ks = allowed_ks(config, name)
    settings = _grid(config, ks)
    training = train(config, name, settings)
    shape = (len(ks), len(config.learning_rates), config.num_seeds, -1)
    values = np.asarray(values_of(training.curves.distribution, settings.k)).reshape(shape)
    goals = np.array([optimum(config, k).value for k in ks])[:, None, None, None]

    variables: dict[str, Any] = {}
    axes = ("k", "learning_rate", "update")
    last = max(1, round(LAST_SHARE * values.shape[-1]))
    per_seed = ("k", "learning_rate", "seed")
    for metric in CURVES:
        curve = np.asarray(getattr(training.curves, metric), np.float64).reshape(shape)
        margin = stats.t.ppf(0.975, config.num_seeds - 1) * stats.sem(curve, axis=2)
        variables[metric] = (axes, curve.mean(axis=2).astype(np.float32))
        variables[f"{metric}_margin"] = (axes, margin.astype(np.float32))
        variables[f"final_{metric}"] = (per_seed, curve[..., -last:].mean(axis=-1))
    variables["final_value"] = (per_seed, values[..., -last:].mean(axis=-1))
    reached = values >= np.multiply.outer(np.array(THRESHOLDS), goals)
    first = np.where(reached.any(axis=-1), (np.argmax(reached, axis=-1) + 1.0) * WINDOW, np.nan)
    variables["updates_to_threshold"] = (("threshold", *per_seed), first)
    dataset = xr.Dataset(variables, {"k": list(ks)})
    return dataset.assign_attrs(
        environment_steps=training.environment_steps, run_seconds=training.run_seconds
    )


def parts(config: ConfigDict) -> dict[str, Callable[[], xr.Dataset]]:
    """One part per estimator."""
    build_maze(config)
    maze_policies.feature_table(config.policy, 1)
    if config.shown_learning_rate not in config.learning_rates:
        raise ValueError(
            f"shown_learning_rate is {config.shown_learning_rate}; it must be one of "
            f"{config.learning_rates}"
        )
    if config.num_updates < WINDOW or config.num_updates % WINDOW:
        raise ValueError(f"num_updates is {config.num_updates}; it must be a multiple of {WINDOW}")
    if config.num_seeds < 2 or config.variance_groups < 2:
        raise ValueError("num_seeds and variance_groups must be at least 2")
    for name in config.estimators:
        if not allowed_ks(config, name):
            allowed = estimators.get(name).k_range.text
            raise ValueError(f"{name} allows {allowed} (B = {config.group_size}), not {config.ks}")
    return {name: functools.partial(_of_estimator, config, name) for name in config.estimators}


def combine(config: ConfigDict, pieces: dict[str, xr.Dataset]) -> xr.Dataset:
    """Curves and final values with named axes, and the exact optima."""
    dataset = xr.concat(
        list(pieces.values()), dim="estimator", join="outer", combine_attrs="drop"
    ).assign_coords(
        estimator=list(config.estimators),
        learning_rate=list(config.learning_rates),
        seed=np.arange(config.num_seeds),
        threshold=list(THRESHOLDS),
        update=np.arange(WINDOW, config.num_updates + 1, WINDOW),
    )
    optima = [optimum(config, int(k)) for k in dataset.k.values]
    for field in Optimum._fields:
        dataset[f"optimal_{field}"] = ("k", [getattr(best, field) for best in optima])
    names = {
        **CURVES,
        **{f"{metric}_margin": f"half of the 95% interval: {CURVES[metric]}" for metric in CURVES},
        **{f"final_{metric}": f"last tenth of training: {CURVES[metric]}" for metric in CURVES},
        "final_value": "exact J_K of the policy, mean over the last tenth of training",
        "updates_to_threshold": "updates until the exact J_K is this share of its largest value; "
        "missing where never",
        "optimal_value": "exact largest J_K of the policy class",
        "optimal_prob": "probability of action 1 of the policy with the largest J_K",
        "optimal_mean_return": "exact J_1 of the policy with the largest J_K",
        "optimal_best_return": "exact expected best return of a group at the largest J_K",
        "optimal_entropy": "entropy in nats of the policy with the largest J_K",
    }
    for variable, name in names.items():
        dataset[variable].attrs.update(long_name=name, units="1")
    return dataset


EXPERIMENT = experiment.Experiment(
    name="maze_learning",
    parts=parts,
    combine=combine,
    draw=drawing.draw,
    claims=drawing.claims,
    caption=drawing.caption,
)

if __name__ == "__main__":
    experiment.main(EXPERIMENT)
