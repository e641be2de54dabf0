"""Learning curves in the maze: what is stored, what is claimed, what is refused."""

import jax.numpy as jnp
import numpy as np
import pytest

from experiments import maze_learning
from experiments.common.configuration import resolve_config
from experiments.experiment import load, run


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    changes = {"path": "110", "num_updates": 200, "ks": (1, 2), "group_size": 8}
    config = resolve_config("maze_learning", "smoke", changes)
    return run(maze_learning.EXPERIMENT, config, tmp_path_factory.mktemp("results"))


def test_smoke_run_stores_draws_and_claims(result):
    assert (result.directory / "maze_learning.png").stat().st_size > 10_000
    names = {claim.name for claim in result.claims}
    assert {"rloo_collapses", "maxpo_keeps_optimum", "maxpo_variance_below_ei"} <= names
    manifest = (result.directory / "manifest.json").read_text()
    assert "environment_steps_per_second" in manifest


def test_stored_curves_start_alike_and_end_at_their_optima(result):
    dataset = load(maze_learning.EXPERIMENT, result.directory.parent).dataset
    prob = dataset.prob.sel(learning_rate=0.05)
    assert float(abs(prob.isel(update=0) - 0.5).max()) < 0.15
    # Path "110": J_1 is largest at p = 1, which RLOO approaches; J_2 inside, where MaxPO stays.
    assert float(prob.sel(estimator="rloo", k=1).isel(update=-1)) > 0.85
    best = float(dataset.optimal_prob.sel(k=2))
    assert abs(float(prob.sel(estimator="maxpo", k=2).isel(update=-1)) - best) < 0.05
    assert bool(dataset.prob.sel(estimator="rloo", k=2).isnull().all())


def test_optimum_is_the_largest_value_and_its_own_facts():
    """Path "1": every policy does best at p = 1."""
    config = resolve_config("maze_learning", "smoke", {"path": "1"})
    best = maze_learning.optimum(config, 3)
    np.testing.assert_allclose(best, (1.0, 1.0, 1.0, 1.0, 0.0), atol=1e-12)


def test_values_follow_from_distributions_by_hand():
    distribution = jnp.array([[[0.5, 0.25, 0.25]]])
    value = maze_learning.values_of(distribution, jnp.array([2]))
    np.testing.assert_allclose(value, [[1 - 0.25 + 1 - 0.5625]], rtol=1e-6)


def test_a_seed_gives_the_same_curves_in_any_batch():
    config = resolve_config("maze_learning", "smoke", {"path": "10", "num_updates": 20})

    def curves(seeds):
        number = len(seeds)
        settings = maze_learning.Settings(
            k=jnp.full(number, 1),
            learning_rate=jnp.full(number, 0.1),
            initial_logit=jnp.zeros(number),
            seed=jnp.asarray(seeds, jnp.int32),
        )
        return maze_learning.train(config, "rloo", settings).curves.prob

    np.testing.assert_array_equal(curves([3, 4, 5])[1], curves([4])[0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"path": "13"}, "character '3' at index 1"),
        ({"num_updates": 15}, "must be a multiple of 10"),
        ({"policy": "deep"}, "choose one of stateless"),
        ({"shown_learning_rate": 0.3}, "shown_learning_rate is 0.3"),
        ({"ks": (99,)}, "maxpo allows 1 <= k <= B - 1"),
        ({"num_seeds": 1}, "at least 2"),
    ],
)
def test_configs_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        maze_learning.parts(resolve_config("maze_learning", "smoke", changes))
