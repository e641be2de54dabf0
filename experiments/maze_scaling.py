"""Updates until the goal is reached with probability one half, as mazes grow deeper."""

import functools
import itertools
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax import Array
from ml_collections import ConfigDict

from experiments import experiment
from experiments import old_maze_training as maze_training
from experiments.drawings import maze_scaling as drawing
from experiments.old_maze_training import WINDOW
from maxpo_jax import estimators
from maxpo_jax.mazes import builders as maze_builders
from maxpo_jax.mazes import policy as maze_policies
from maxpo_jax.mazes.maze import Maze

VARIANCE_GROUPS = 2
GOAL_PROBABILITY = 0.5


def random_mazes(config: ConfigDict, depths: tuple[int, ...], padded_depth: int) -> Maze:
    """Draws one maze for each depth, bias and seed, all padded to one size.

    Args:
        config: biases, num_seeds and dead_end_length are read.
        depths: depths, none above `padded_depth`.
        padded_depth: decides the number of states.

    Returns:
        A maze with a leading axis [depths * biases * seeds], in this order.
    """
    num_states = maze_builders.from_path("0" * padded_depth, config.dead_end_length).terminal.size
    biases = jnp.asarray(config.biases, jnp.float32)
    batches = []
    for depth in depths:
        keys = jax.random.split(jax.random.key(depth), (biases.size, config.num_seeds))

        def draw(key: Array, bias: Array, depth: int = depth) -> Maze:
            maze = maze_builders.random_maze(key, depth, bias, config.dead_end_length)
            return maze_builders.pad(maze, num_states)

        over_seeds = jax.vmap(draw, in_axes=(0, None))
        batches.append(jax.vmap(over_seeds)(keys, biases))
    return jax.tree.map(
        lambda *leaves: jnp.concatenate([leaf.reshape(-1, *leaf.shape[2:]) for leaf in leaves]),
        *batches,
    )


def allowed_ks(config: ConfigDict, name: str) -> tuple[int, ...]:
    """The K at which an estimator runs: 1 where it estimates J_1, else those of the config."""
    estimator = estimators.get(name)
    if estimator.target == "J_1":
        return (1,)
    return tuple(k for k in config.ks if estimator.k_range.contains(k, config.group_size))


def _of_estimator(config: ConfigDict, name: str, padded_depth: int) -> xr.Dataset:
    """Trains one estimator in all mazes of one padded depth, in one compiled program."""
    depths, ks = _depths_of(config, padded_depth), allowed_ks(config, name)
    mazes = random_mazes(config, depths, padded_depth)
    num_states = mazes.terminal.shape[1]
    features = maze_policies.feature_table(config.policy, num_states)
    logit = float(np.log(config.initial_prob) - np.log1p(-config.initial_prob))
    weights = maze_policies.constant_weights(config.policy, num_states, logit)

    def one(seed: Array, maze: Maze, k: Array) -> Array:
        curves = maze_training.train(
            jax.random.key(seed),
            maze,
            features,
            weights,
            k,
            config.learning_rate,
            estimator=estimators.get(name),
            group_size=config.group_size,
            num_updates=config.num_updates,
            num_steps=padded_depth,
            variance_groups=VARIANCE_GROUPS,
        )
        # Nowhere but at the goal, which is as far away as the time limit, is the return as large.
        return curves.distribution[:, maze.max_steps]

    over_mazes = jax.vmap(one, in_axes=(0, 0, None))
    over_ks = jax.jit(jax.vmap(over_mazes, in_axes=(None, None, 0)))
    seeds = jnp.arange(mazes.terminal.shape[0], dtype=jnp.int32)
    program = over_ks.lower(seeds, mazes, jnp.asarray(ks, jnp.int32)).compile()
    start = time.perf_counter()
    goal = np.asarray(program(seeds, mazes, jnp.asarray(ks, jnp.int32)))
    seconds = time.perf_counter() - start

    goal = goal.reshape(len(ks), len(depths), len(config.biases), config.num_seeds, -1)
    reached = goal >= GOAL_PROBABILITY
    first = np.where(reached.any(axis=-1), (np.argmax(reached, axis=-1) + 1.0) * WINDOW, np.nan)
    axes = ("k", "depth", "bias", "seed")
    groups = config.num_updates // WINDOW * (WINDOW + VARIANCE_GROUPS)
    steps = len(ks) * seeds.size * groups * config.group_size * padded_depth
    return xr.Dataset(
        {"updates_to_goal": (axes, first), "final_goal_probability": (axes, goal[..., -1])},
        {"k": list(ks), "depth": list(depths)},
        {"environment_steps": steps, "run_seconds": seconds},
    )


def _depths_of(config: ConfigDict, padded_depth: int) -> tuple[int, ...]:
    """The depths that are padded to this one: it is the smallest that is not too small."""
    fitting = {
        depth: min(padded for padded in config.padded_depths if padded >= depth)
        for depth in config.depths
    }
    return tuple(depth for depth in config.depths if fitting[depth] == padded_depth)


def parts(config: ConfigDict) -> dict[str, Callable[[], xr.Dataset]]:
    """One part per estimator and padded depth."""
    maze_policies.feature_table(config.policy, 1)
    if max(config.depths) > max(config.padded_depths) or min(config.depths) < 1:
        raise ValueError(f"depths must lie in 1..{max(config.padded_depths)}: {config.depths}")
    if not 0 < config.initial_prob < 1:
        raise ValueError(f"initial_prob is {config.initial_prob}; it must lie between 0 and 1")
    if config.num_updates < WINDOW or config.num_updates % WINDOW:
        raise ValueError(f"num_updates is {config.num_updates}; it must be a multiple of {WINDOW}")
    for name in config.estimators:
        if not allowed_ks(config, name):
            allowed = estimators.get(name).k_range.text
            raise ValueError(f"{name} allows {allowed} (B = {config.group_size}), not {config.ks}")
    return {
        f"{name},depth={padded}": functools.partial(_of_estimator, config, name, padded)
        for name, padded in itertools.product(config.estimators, config.padded_depths)
        if _depths_of(config, padded)
    }


def combine(config: ConfigDict, pieces: dict[str, xr.Dataset]) -> xr.Dataset:
    """Updates and final probabilities with named axes."""
    of_estimators = []
    for name in config.estimators:
        own = [piece for part, piece in pieces.items() if part.startswith(f"{name},")]
        of_estimators.append(xr.concat(own, dim="depth", combine_attrs="drop"))
    dataset = xr.concat(
        of_estimators, dim="estimator", join="outer", combine_attrs="drop"
    ).assign_coords(
        estimator=list(config.estimators),
        bias=list(config.biases),
        seed=np.arange(config.num_seeds),
    )
    names = {
        "updates_to_goal": "updates until the exact probability to reach the goal is one half; "
        "missing where never",
        "final_goal_probability": "exact probability to reach the goal after the last update",
    }
    for variable, name in names.items():
        dataset[variable].attrs.update(long_name=name, units="1")
    return dataset.sortby("depth")


EXPERIMENT = experiment.Experiment(
    name="maze_scaling",
    parts=parts,
    combine=combine,
    draw=drawing.draw,
    claims=drawing.claims,
    caption=drawing.caption,
)

if __name__ == "__main__":
    experiment.main(EXPERIMENT)
