"""The sweeps of the experiments: what they promise, and the numbers of training itself."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from experiments import old_maze_training as maze_training
from experiments.common.configuration import resolve_config
from experiments.common.errors import UserError
from experiments.sweepables import maze_learning
from experiments.sweeps import axes, plan, sweepable
from maxpo_jax import estimators
from maxpo_jax.mazes import builders as maze_builders
from maxpo_jax.mazes import policy as maze_policies

NAMES = sorted(file.stem for file in Path(sweepable.FOLDER).glob("[!_]*.py"))


@pytest.mark.parametrize("mode", ["smoke", "full"])
@pytest.mark.parametrize("name", NAMES)
def test_every_sweep_fits_its_config(name: str, mode: str) -> None:
    offered = sweepable.load(name)
    config = offered.run_config(resolve_config(name, mode))
    assert set(offered.traced) <= set(config)
    assert "seed" in offered.traced
    offered.check(config)
    dims = {dim for metric in offered.metrics.values() for dim in metric.dims}
    assert dims == set(offered.coordinates(config))


def small_maze() -> ConfigDict:
    config = maze_learning.run_config(resolve_config("maze_learning", "smoke"))
    config.update(path="110", num_updates=20, group_size=8, k=2)
    return config.lock()


def test_the_maze_is_trained_as_by_the_library_in_one_program() -> None:
    config = small_maze()
    ks, rates, seeds = np.array([2, 4]), np.array([0.1, 0.3]), np.array([0, 5])
    offered = sweepable.load("maze_learning")
    traced = {
        "k": jnp.asarray(ks, jnp.int32),
        "learning_rate": jnp.asarray(rates, jnp.float32),
        "initial_logit": jnp.zeros(2),
        "seed": jnp.asarray(seeds, jnp.int32),
    }
    # Under vmap the checker takes every scan over keys for a reuse, that of one split among them.
    with jax.debug_key_reuse(False):
        results = offered.compute(config, traced)
        offered.compute(config, traced | {"k": jnp.asarray(ks[::-1].copy(), jnp.int32)})
    assert maze_learning._train._cache_size() == 1
    maze = maze_builders.from_path("110", config.dead_end_length)
    num_states, num_steps = maze.terminal.shape[0], int(maze.max_steps)
    curves = maze_training.train(
        jax.random.key(5),
        maze,
        maze_policies.feature_table(config.policy, num_states),
        maze_policies.constant_weights(config.policy, num_states, 0.0),
        4,
        0.3,
        estimator=estimators.get("maxpo"),
        group_size=8,
        num_updates=20,
        num_steps=num_steps,
        variance_groups=config.variance_groups,
    )
    for name in ("best_return", "mean_return", "prob", "entropy"):
        np.testing.assert_allclose(results[name][1], getattr(curves, name), rtol=1e-5)
    # J_K by its definition: sum over r of the probability that some of K returns is r or more.
    below = np.cumsum(np.asarray(curves.distribution, np.float64), axis=1)[:, :-1]
    np.testing.assert_allclose(results["value"][1], (1 - below**4).sum(axis=1), rtol=1e-5)


def test_a_k_that_the_estimator_does_not_allow_is_refused() -> None:
    config = small_maze()
    offered = sweepable.load("maze_learning")
    chosen = axes.parse_axes(config, grid=["k=2,9"])
    with pytest.raises(UserError, match="the run k=9 makes no sense"):
        plan.make_plan("maze_learning", offered, config, chosen, 32)
    chosen = axes.parse_axes(config, grid=["estimator=maxpo,maxpoo"])
    with pytest.raises(UserError, match="estimator=maxpoo makes no sense"):
        plan.make_plan("maze_learning", offered, config, chosen, 32)
