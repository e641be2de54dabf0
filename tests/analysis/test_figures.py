"""Every figure summarizes, draws and judges whatever numbers its grids hold."""

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

from experiments.analysis import learning_curves, pass_at_k
from experiments.common import configuration, findings, style
from experiments.common.errors import UserError
from experiments.engine import figure_config, update
from experiments.reproduce import FIGURES
from tests.analysis.synthetic import grids_of, summary_of

MINE = "path/to/mine.py:half_baseline"


def with_another(grids, value):
    """The grids with one more estimator: a copy of the first, or NaN."""
    found = {}
    for name, grid in grids.items():
        if "estimator" in grid.dims:
            other = grid.isel(estimator=[0]).assign_coords(estimator=[MINE])
            grid = xr.concat([grid, value * other], dim="estimator")
        found[name] = grid
    return found


@pytest.mark.parametrize("name", FIGURES)
def test_summarizes_draws_and_judges(name):
    figure, config, grids = grids_of(name)
    summary = summary_of(figure, config, grids)
    for variable in summary.data_vars.values():
        assert {"long_name", "units"} <= set(variable.attrs)
    content = update.dataset_to_bytes(summary)
    assert len(content) < 300_000
    read = update.dataset_from_bytes(content)
    with style.paper():
        assert isinstance(figure.draw(read), Figure)
    assert figure.findings(read)
    assert len(figure.findings(read)) <= 5
    for found in figure.findings(read):
        assert "nan" not in found.line
        assert all(np.isfinite([one.estimate, one.low, one.high]).all() for one in found.effects)
    assert len(figure.caption(read)) > 100


@pytest.mark.parametrize("name", [name for name in FIGURES if name != "maze_map"])
def test_one_more_estimator_gets_a_curve_of_its_own(name):
    figure, config, grids = grids_of(name)
    few = {found.name for found in figure.findings(summary_of(figure, config, grids))}
    summary = summary_of(figure, config, with_another(grids, 1.01))
    found = figure.findings(summary)
    assert few <= {finding.name for finding in found}
    assert "half_baseline" in findings.to_json(found)
    with style.paper():
        drawn = figure.draw(summary)
        titles = [ax.get_title(loc="left") for ax in drawn.axes]
        titles += [ax.get_ylabel() for ax in drawn.axes]
        labels = [text.get_text() for legend in drawn.legends for text in legend.get_texts()]
    assert any("half_baseline" in text for text in labels + titles)


@pytest.mark.parametrize("name", [name for name in FIGURES if name != "maze_map"])
def test_an_estimator_that_is_nan_is_left_out(name):
    figure, config, grids = grids_of(name)
    few = [found.name for found in figure.findings(summary_of(figure, config, grids))]
    summary = summary_of(figure, config, with_another(grids, np.nan))
    assert [found.name for found in figure.findings(summary)] == few
    with style.paper():
        drawn = figure.draw(summary)
        drawn.draw_without_rendering()
        labels = [text.get_text() for legend in drawn.legends for text in legend.get_texts()]
    assert not any("half_baseline" in label for label in labels)


def test_the_best_learning_rate_of_other_seeds_is_kept():
    rates, seeds = [0.1, 0.3, 1.0], np.arange(6)
    values = np.zeros((2, 3, 6))
    values[0, 1, :2] = 1  # the first estimator: best at 0.3 on the tuning seeds,
    values[0, 2, 2:] = 5  # and at 1.0 on the others, which do not choose
    values[1, 0, :2] = 1
    values[1, 2, 1] = np.nan  # a run that diverged is not chosen
    values[1, 2, 0] = 99
    dataset = xr.Dataset(
        {"J": (("estimator", "learning_rate", "seed"), values)},
        coords={"estimator": ["maxpo", "ei"], "learning_rate": rates, "seed": seeds},
    )
    tuned = learning_curves.tune(dataset, dataset.J, 2)
    assert tuned.learning_rate.values.tolist() == [0.3, 0.1]
    assert tuned.seed.values.tolist() == [2, 3, 4, 5]
    np.testing.assert_array_equal(tuned.J, values[[0, 1], [1, 0], 2:])


def test_a_wrong_prediction_of_the_error_does_not_hold():
    figure, config, grids = grids_of("estimation_error")
    grids["sampled"]["error"] *= 0
    grids["sampled"]["error"] += grids["exact"].bias.isel(seed=0, drop=True) * 1.5
    noise = 1 + 1e-4 * np.random.default_rng(0).normal(size=grids["sampled"].sizes["seed"])
    grids["sampled"]["error"] *= xr.DataArray(noise.astype(np.float32), dims="seed")
    found = {f.name: f.verdict for f in figure.findings(summary_of(figure, config, grids))}
    assert found["biased"] == "does not hold"


@pytest.mark.parametrize(("factor", "verdict"), [(1.0, "holds"), (1.5, "does not hold")])
def test_variances_that_enumeration_does_not_confirm_do_not_hold(factor, verdict):
    figure, config, grids = grids_of("gradient_variance")
    sampled, exact = grids["by_size"].variance, grids["exact"].variance
    noise = 1 + 0.002 * np.random.default_rng(0).normal(size=exact.shape)
    known = {"num_actions": np.intersect1d(sampled.num_actions, exact.num_actions)}
    sampled.loc[known] = (factor * noise * exact).sel(known).transpose(*sampled.dims).values
    found = {f.name: f for f in figure.findings(summary_of(figure, config, grids))}
    assert found["agrees_with_enumeration"].verdict == verdict


@pytest.mark.parametrize(("factor", "verdict"), [(1.0, "holds"), (1.01, "does not hold")])
def test_the_canonical_advantage_has_the_variance_of_maxpo_or_that_does_not_hold(factor, verdict):
    figure, config, grids = grids_of("gradient_variance")
    for name in ("by_size", "by_k"):
        variance = grids[name].variance
        variance.loc[{"estimator": "canonical"}] = factor * variance.sel(estimator="maxpo")
    found = {f.name: f for f in figure.findings(summary_of(figure, config, grids))}
    assert found["canonical_is_maxpo"].verdict == verdict


def test_pass_at_k_is_one_minus_all_failures():
    p = xr.DataArray(np.array([0.0, 1e-6, 0.3, 1.0], np.float32), dims="prompt")
    values = pass_at_k.pass_at(p, np.array([1, 256]))
    truth = [1 - (1 - p.values.astype(np.float64)) ** k for k in (1, 256)]
    np.testing.assert_allclose(values.transpose("k", "prompt"), truth, rtol=1e-8, atol=1e-11)


def test_support_counts_what_crossed_the_line():
    summary = summary_of(*grids_of("pass_at_k")).isel(prompt=slice(0, 3)).copy(deep=True)
    summary["base_success_prob"] = ("prompt", [1e-5, 0.1, 0.1])
    summary.success_prob[:] = np.array([0.1, 0.1, 1e-5])
    gained, lost = pass_at_k.support_changes(summary)
    assert bool((gained == 1).all())
    assert bool((lost == 1).all())


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("bandit_learning", {"num_tuning_seeds": 8}, "num_tuning_seeds is 8; of the 8 seeds"),
        ("bandit_learning", {"num_tuning_seeds": 0}, "num_tuning_seeds is 0"),
        ("adam_variance", {"run.optimizer": "sgd"}, "the proxy is Adam's"),
        ("adam_variance", {"run.variance_groups": 1}, "variance_groups of 2 or more"),
        ("maze_learning", {"shown_learning_rate": 0.3}, "shown_learning_rate is 0.3"),
        ("maze_learning", {"run.variance_groups": 1}, "at least 2"),
        ("maze_scaling", {"run.path": "110"}, "path='random'"),
        ("maze_map", {"path": "121"}, "write one action, 0 or 1"),
        ("estimation_error", {"run.bandit_seed": 3}, "it must be bandit_seed, 3"),
        ("gradient_variance", {"run.noise": 0.1}, "enumeration knows no noise"),
    ],
)
def test_a_config_that_makes_no_sense_is_refused(name, changes, message):
    figure = grids_of(name)[0]
    config = configuration.resolve_config(name, "smoke")
    for field, value in changes.items():
        place, _, last = field.rpartition(".")
        (config[place] if place else config)[last] = value
    with pytest.raises(UserError, match=f"makes no sense: .*{message}"):
        figure_config.resolve(figure, config)
