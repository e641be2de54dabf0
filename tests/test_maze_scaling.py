"""Scaling with depth: the mazes, the padding, what is stored, what is refused."""

import jax
import pytest

from experiments import maze_scaling
from experiments.common.configuration import resolve_config
from experiments.experiment import load, run
from maxpo_jax.mazes import builders as maze_builders


def test_mazes_have_their_depth_and_bias_whatever_the_padding():
    config = resolve_config("maze_scaling", "smoke", {"biases": (0.4, 0.8), "num_seeds": 3})
    mazes = maze_scaling.random_mazes(config, (5, 10), padded_depth=12)
    assert mazes.terminal.shape == (2 * 2 * 3, 14)
    paths = [
        maze_builders.correct_path(jax.tree.map(lambda leaf, index=index: leaf[index], mazes))
        for index in range(12)
    ]
    expected = [(depth, share) for depth in (5, 10) for share in (0.4, 0.8) for _ in range(3)]
    assert [(len(path), path.count("1") / len(path)) for path in paths] == expected


def test_smoke_run_stores_draws_and_claims(tmp_path):
    config = resolve_config("maze_scaling", "smoke", {"depths": (2, 5), "learning_rate": 1.0})
    result = run(maze_scaling.EXPERIMENT, config, tmp_path)
    dataset = load(maze_scaling.EXPERIMENT, tmp_path).dataset
    assert dataset.updates_to_goal.dims == ("estimator", "k", "depth", "bias", "seed")
    learned = dataset.updates_to_goal.sel(estimator="maxpo", k=2, depth=2)
    assert bool(learned.notnull().all())
    assert float(dataset.final_goal_probability.sel(estimator="maxpo", k=2, depth=2).min()) > 0.5
    assert {claim.name for claim in result.claims} == {
        "maxpo_as_deep_as_rloo",
        "maxpo_faster_than_rloo",
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"depths": (3, 9)}, r"depths must lie in 1\.\.5"),
        ({"initial_prob": 1.0}, "must lie between 0 and 1"),
        ({"num_updates": 5}, "multiple of 10"),
        ({"ks": (16,)}, "maxpo allows 1 <= k <= B - 1"),
    ],
)
def test_configs_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        maze_scaling.parts(resolve_config("maze_scaling", "smoke", changes))
