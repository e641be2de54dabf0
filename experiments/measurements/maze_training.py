"""Training in a biased maze: exact J_k of the policy, sampled curves, and the returns at the end.

The seed draws the episodes, and the maze where its path is "random": runs that differ in estimator,
K or learning rate share both.
"""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import FrozenConfigDict

from experiments.common.estimator_spec import resolve
from experiments.common.keys import key_for
from experiments.engine.measurement import Measurement, Output
from experiments.measurements import _common
from experiments.measurements._common import EVALUATION_KS
from maxpo_jax import objectives, training
from maxpo_jax.estimators import Estimator
from maxpo_jax.mazes import builders, gradients, policy
from maxpo_jax.mazes.maze import Maze

WINDOW = 10  # updates over which the sampled curves are averaged
RANDOM = "random"
STATIC = (
    "estimator",
    "policy_name",
    "optimizer",
    "group_size",
    "num_updates",
    "num_steps",
    "variance_groups",
)


def compute(run: FrozenConfigDict, seeds: np.ndarray) -> Mapping[str, Any]:
    """Curves of the runs of one setting."""
    return _train(
        seeds,
        make_mazes(run, seeds),
        np.int32(run.k),
        np.float32(run.learning_rate),
        np.float32(run.initial_logit),
        estimator=resolve(run.estimator, k=run.k),
        policy_name=run.policy,
        optimizer=run.optimizer,
        group_size=run.group_size,
        num_updates=run.num_updates,
        num_steps=longest_episode(run),
        variance_groups=run.variance_groups,
    )


def longest_episode(run: FrozenConfigDict) -> int:
    """Steps of the longest episode in the mazes of a run."""
    return padded_depth(run.depth) if run.path == RANDOM else len(run.path)


def make_mazes(run: FrozenConfigDict, seeds: np.ndarray) -> Maze:
    """The mazes [seeds] of the runs, of one shape for many depths."""
    if run.path == RANDOM:
        return _draw_mazes(
            seeds, np.float32(run.bias), depth=run.depth, dead_end_length=run.dead_end_length
        )
    maze = builders.from_path(run.path, run.dead_end_length)
    return jax.tree.map(lambda leaf: np.repeat(np.asarray(leaf)[None], len(seeds), axis=0), maze)


@functools.partial(jax.jit, static_argnames=("depth", "dead_end_length"))
def _draw_mazes(seeds: jax.Array, bias: jax.Array, *, depth: int, dead_end_length: int) -> Maze:
    longest = padded_depth(depth)
    num_states = longest + 2 + longest * dead_end_length

    def draw(seed: jax.Array) -> Maze:
        key = key_for(seed, "maze", str(depth))
        return builders.pad(builders.random_maze(key, depth, bias, dead_end_length), num_states)

    return jax.vmap(draw)(seeds)


def padded_depth(depth: int) -> int:
    """The depth that random mazes are padded to, so that mazes of many depths share one program.

    Example:
      >>> padded_depth(5), padded_depth(40), padded_depth(61)
      (20, 60, 180)
    """
    padded = 20
    while padded < depth:
        padded *= 3
    return padded


@functools.partial(jax.jit, static_argnames=STATIC)
def _train(
    seeds: jax.Array,
    mazes: Maze,
    k: jax.Array,
    learning_rate: jax.Array,
    initial_logit: jax.Array,
    *,
    estimator: Estimator,
    policy_name: str,
    optimizer: str,
    group_size: int,
    num_updates: int,
    num_steps: int,
    variance_groups: int,
) -> dict[str, jax.Array]:
    """Outputs [seeds, ...]."""
    num_states = mazes.terminal.shape[1]
    features = policy.feature_table(policy_name, num_states)
    weights = policy.constant_weights(policy_name, num_states, initial_logit)
    returns = jnp.arange(num_steps + 1, dtype=jnp.float32)
    ks = jnp.append(jnp.array(EVALUATION_KS), k)
    of_ks = jax.vmap(objectives.max_at_k, in_axes=(None, None, 0))

    def one(seed: jax.Array, maze: Maze) -> dict[str, jax.Array]:
        _, records = training.train(
            key_for(seed, "maze_training"),
            weights,
            jnp.broadcast_to(k, (num_updates,)),
            learning_rate,
            world=gradients.make_world(
                maze, features, estimator=estimator, group_size=group_size, num_steps=num_steps
            ),
            optimizer=training.OPTIMIZERS[optimizer],
            record=functools.partial(
                gradients.record_window, maze=maze, features=features, num_steps=num_steps
            ),
            updates_per_record=WINDOW,
            extra_groups=variance_groups,
        )
        values = jax.vmap(lambda probs: of_ks(returns, probs, ks), out_axes=1)(records.distribution)
        curves = {name: getattr(records, name) for name in SAMPLED}
        # Nowhere but at the goal, which is as far away as the time limit, is the return as large.
        goal = records.distribution[:, maze.max_steps]
        at_end = records.distribution[-1]
        exactly = {"J": values[:-1], "max_at_k": values[-1], "goal_probability": goal}
        return curves | exactly | {"return_distribution": at_end}

    return jax.vmap(one)(seeds, mazes)


def coordinates(run: FrozenConfigDict) -> dict[str, np.ndarray]:
    """The k of evaluation, the updates that the entries of a curve belong to, and the returns."""
    return {
        "evaluation_k": _common.evaluation_ks(),
        "update": np.arange(WINDOW, run.num_updates + 1, WINDOW),
        "return": np.arange(longest_episode(run) + 1),
    }


def refuse(run: FrozenConfigDict) -> str:
    """Why a run makes no sense."""
    return _common.first(
        refuse_maze(run),
        _common.refuse_training(run, updates_per_record=WINDOW),
        _common.refuse_below(run, 0, "variance_groups"),
        _common.refuse_estimator(run, binary=False),
    )


def refuse_maze(run: FrozenConfigDict) -> str:
    """Why the fields of the maze and of its policy are refused."""
    return _common.first(
        _common.refuse_unknown("policy", run.policy, policy.POLICIES),
        _common.refuse_below(run, 0, "dead_end_length"),
        _refuse_random(run) if run.path == RANDOM else _refuse_path(run.path),
    )


def _refuse_random(run: FrozenConfigDict) -> str:
    bias = "" if 0 <= run.bias <= 1 else f"bias is {run.bias}; it is a share, in [0, 1]"
    return _common.first(_common.refuse_below(run, 1, "depth"), bias)


def _refuse_path(path: str) -> str:
    if path and not set(path) - set("01"):
        return ""
    return f"path is {path!r}; write one action, 0 or 1, for each step, or {RANDOM!r}"


CURVE = ("update",)
SAMPLED = {
    "mean_return": Output("mean return, moving average over 10 updates", dims=CURVE),
    "best_return": Output("best return of a group, moving average over 10 updates", dims=CURVE),
    "prob": Output("probability of action 1, mean over states", "1", CURVE, None),
    "entropy": Output("entropy of the policy, mean over states", "nat", CURVE, None),
    "gradient_variance": Output(
        "trace of the covariance of the gradient estimate", dims=CURVE, larger_is_better=False
    ),
}

MEASUREMENT = Measurement(
    fields={
        "seed": 0,
        "path": "1110111011",
        "depth": 10,
        "bias": 0.7,
        "dead_end_length": 0,
        "policy": "stateless",
        "initial_logit": 0.0,
        "group_size": 16,
        "estimator": "maxpo",
        "k": 4,
        "optimizer": "sgd",
        "learning_rate": 0.05,
        "num_updates": 2000,
        "variance_groups": 4,
    },
    outputs={
        "max_at_k": Output("exact $J_K$ of the policy", dims=CURVE),
        "J": Output("exact $J_k$ of the policy", dims=("evaluation_k", "update")),
        **SAMPLED,
        "goal_probability": Output("exact probability to reach the goal", dims=CURVE),
        "return_distribution": Output(
            "exact probability of each return of the last policy",
            dims=("return",),
            larger_is_better=None,
        ),
    },
    compute=compute,
    coordinates=coordinates,
    refuse=refuse,
    traced=("k", "learning_rate", "initial_logit", "bias"),
    smoke={"num_updates": 100},
)
