"""The gradient variance experiment: its data by an independent route, and its frame."""

import numpy as np
import pytest
import xarray as xr

from experiments import gradient_variance
from experiments.common.configuration import resolve_config
from experiments.drawings import gradient_variance as drawing
from experiments.experiment import run
from maxpo_jax import estimators
from maxpo_jax.bandits import exact

TINY = {
    "reward_families": ("gaussian",),
    "estimators": ("maxpo", "canonical", "ei", "pkpo_s"),
    "num_actions": (2, 3),
    "exact_num_actions": (2, 3),
    "num_actions_of_k_sweep": (3,),
    "ks": (1, 3),
    "k": 3,
    "group_size": 5,
    "num_instances": 3,
    "num_draws": 4000,
}


@pytest.fixture(scope="module")
def config():
    return resolve_config("gradient_variance", "smoke", TINY)


@pytest.fixture(scope="module")
def result(config, tmp_path_factory):
    return run(gradient_variance.EXPERIMENT, config, tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def dataset(result):
    with xr.open_dataset(result.directory / "data.nc", engine="h5netcdf") as stored:
        return stored.load()


def test_leaves_a_whole_run_directory(result):
    names = {path.name for path in result.directory.iterdir()}
    figures = {"gradient_variance.png", "gradient_variance.pdf"}
    assert names == figures | {"data.nc", "manifest.json", "config.json"}


def test_sampled_variances_agree_with_enumeration(config, dataset):
    # The deviation of a variance from N draws is sqrt((kurtosis - 1) / N); g may be heavy-tailed.
    tolerance = 5 * np.sqrt(10 / config.num_draws)
    for n in config.num_actions:
        _, logits, rewards = gradient_variance.instances(config, "gaussian", n)
        for instance in range(config.num_instances):
            for name in config.estimators:
                truth = exact.variance(
                    estimators.get(name), logits[instance], rewards[instance], 5, config.k
                )
                point = dataset.sel(reward_family="gaussian", estimator=name).isel(
                    instance=instance
                )
                sampled = float(point.variance_by_size.sel(num_actions=n))
                assert sampled == pytest.approx(truth, rel=tolerance)
                enumerated = float(point.exact_variance.sel(exact_num_actions=n))
                assert enumerated == pytest.approx(truth, rel=1e-9)


def test_both_panels_agree_where_they_meet(dataset):
    by_size = dataset.variance_by_size.sel(num_actions=3)
    by_k = dataset.variance_by_k.sel(num_actions_of_k_sweep=3, k=3)
    np.testing.assert_allclose(by_size, by_k.transpose(*by_size.dims), rtol=1e-4)


def test_the_same_command_gives_the_same_numbers_bit_for_bit(config, dataset, tmp_path):
    again = run(gradient_variance.EXPERIMENT, config, tmp_path)
    with xr.open_dataset(again.directory / "data.nc", engine="h5netcdf") as stored:
        xr.testing.assert_identical(stored.load(), dataset)


def test_claims_follow_from_the_data(dataset):
    verdicts = {claim.name: claim.holds for claim in drawing.claims(dataset)}
    assert verdicts["canonical_is_maxpo"]
    assert verdicts["agrees_with_enumeration"]
    wrong = dataset.copy(deep=True)
    wrong.variance_by_size.loc[{"estimator": "canonical"}] *= 1.01
    wrong.variance_by_size.loc[{"num_actions": 2}] *= 1.5
    verdicts = {claim.name: claim.holds for claim in drawing.claims(wrong)}
    assert not verdicts["canonical_is_maxpo"]
    assert not verdicts["agrees_with_enumeration"]


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ({"logits": "random"}, "choose one of uniform, gaussian"),
        ({"ks": (16,)}, "k = 16 does not fit estimator maxpo"),
        ({"estimators": ("maxp0",)}, "did you mean 'maxpo'"),
        ({"reward_families": ("cauchy",)}, "unknown reward family 'cauchy'"),
        ({"noise": 0.1}, "noise"),
    ],
)
def test_a_config_that_makes_no_sense_is_refused_before_computing(field, message):
    with pytest.raises(ValueError, match=message):
        gradient_variance.parts(resolve_config("gradient_variance", "smoke", field))
