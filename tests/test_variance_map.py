"""The variance map against enumeration of all multisets of actions."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from experiments import variance_map
from experiments.common import style
from experiments.common.configuration import resolve_config
from experiments.drawings import variance_map as drawing
from experiments.experiment import run
from maxpo_jax import estimators
from maxpo_jax.bandits import exact


@pytest.mark.parametrize("name", variance_map.NAMES)
@pytest.mark.parametrize(("arms", "group_size", "k"), [(1, 6, 2), (1, 6, 5), (2, 5, 3), (3, 4, 2)])
def test_enumerating_success_counts_is_enumerating_outcomes(name, arms, group_size, k):
    probs = np.array([0.05, 0.4, 0.9])
    got = variance_map.total_variance(name, group_size, k, probs, arms)
    for p, variance in zip(probs, got, strict=True):
        policy = np.repeat([p / arms, (1 - p) / arms], arms)
        rewards = np.repeat([1.0, 0.0], arms)
        truth = exact.variance(estimators.get(name), np.log(policy), rewards, group_size, k)
        assert variance == pytest.approx(truth, rel=1e-11)


def test_runs_and_draws(tmp_path):
    config = resolve_config("variance_map", "smoke", {"ks": (2, 15), "arms_per_outcome": (1, 2)})
    result = run(variance_map.EXPERIMENT, config, tmp_path)
    assert (result.directory / "variance_map.png").stat().st_size > 10_000
    names = [claim.name for claim in result.claims]
    assert names == ["maxpo_somewhere_n2", "maxpo_somewhere_n4", "threshold_rises_with_k"]


def test_a_config_that_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match=r"ks holds 16; allowed are 2\.\.15"):
        variance_map.parts(resolve_config("variance_map", "smoke", {"ks": (2, 16)}))
    with pytest.raises(ValueError, match="between 0 and 1"):
        variance_map.parts(resolve_config("variance_map", "smoke", {"success_probs": (0.0,)}))


def test_a_map_without_a_line_of_equality_is_drawn(tmp_path):
    config = resolve_config(
        "variance_map",
        "smoke",
        {"ks": (2, 3), "success_probs": (0.8, 0.9), "arms_per_outcome": (9,)},
    )
    pieces = {name: piece() for name, piece in variance_map.parts(config).items()}
    dataset = variance_map.combine(config, pieces).assign_attrs(config=config.to_json())
    with style.paper():
        assert isinstance(drawing.draw(dataset), Figure)
