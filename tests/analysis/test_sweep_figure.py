"""The general figure of a sweep: what stands on its axes, and what its lines are."""

from collections.abc import Iterable

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

from experiments.analysis import sweep
from experiments.analysis.seed_means import best_setting, means_over_seeds, ranking
from experiments.analysis.sweep import Choice
from experiments.common import style
from experiments.common.errors import UserError
from experiments.engine.measurement import Measurement, Output
from tests.analysis.test_looks import assert_fit_to_print

OUTPUTS = {
    "value": Output("a value", units="nat"),
    "cost": Output("a cost", larger_is_better=False),
    "curve": Output("a curve", dims=("update",)),
    "J": Output("exact $J_k$", dims=("evaluation_k", "update")),
}
MEASUREMENT = Measurement(fields={}, outputs=OUTPUTS, compute=lambda run, seeds: {})


def dataset_of(**axes: Iterable) -> xr.Dataset:
    """Each value is the sum of the positions along the axes, and 10 times that of the seed."""
    axes = {name: list(values) for name, values in axes.items()}
    shape = [len(values) for values in axes.values()]
    weights = [10 if name == "seed" else 1 for name in axes]
    value = sum((w * i for w, i in zip(weights, np.indices(shape), strict=True)), np.zeros(shape))
    steps = np.array([0.5, 1.0, 2.0])
    curve = value[..., None] * steps
    variables = {
        "value": (list(axes), value),
        "cost": (list(axes), value),
        "curve": ([*axes, "update"], curve),
        "J": ([*axes, "evaluation_k", "update"], np.stack([curve, curve + 100], axis=-2)),
    }
    coordinates = axes | {"update": [10, 20, 30], "evaluation_k": [1, 8]}
    return xr.Dataset(variables, coords=coordinates)


def drawn(dataset: xr.Dataset, metric: str = "value", **choice: object) -> Figure:
    return sweep.draw(dataset, MEASUREMENT, Choice(metric, **choice))


def lines_of(figure: Figure, panel: int = 0) -> dict[str, tuple[list, list]]:
    lines = figure.axes[panel].get_lines()
    return {
        line.get_label(): (line.get_xdata().tolist(), line.get_ydata().tolist()) for line in lines
    }


def test_means_are_drawn_against_the_longest_axis_with_a_line_an_estimator() -> None:
    figure = drawn(dataset_of(estimator=["maxpo", "ei"], k=[2, 4, 8], seed=range(3)))
    ax = figure.axes[0]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("$K$", "a value (nat)")
    assert lines_of(figure) == {
        "MaxPO": ([2, 4, 8], [10, 11, 12]),
        "EI": ([2, 4, 8], [11, 12, 13]),
    }
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["2", "4", "8"]


def test_an_estimator_looks_as_in_every_other_figure() -> None:
    mine = "path/to/mine.py:mine"
    with style.paper():
        figure = drawn(dataset_of(estimator=["maxpo", mine], k=[2, 4, 8], seed=[0, 1]), "curve")
        figure.draw_without_rendering()
        assert_fit_to_print(figure)
    look = style.estimator_style(mine)
    lines = [line for ax in figure.axes for line in ax.get_lines() if line.get_label() == "mine"]
    assert [(line.get_color(), line.get_marker()) for line in lines] == [
        (look.color, look.marker)
    ] * 2


def test_every_point_is_the_best_of_what_is_not_drawn_and_the_label_says_so() -> None:
    dataset = dataset_of(k=[2, 4, 8], estimator=["maxpo", "ei"], group_size=[16, 32], seed=[0, 1])
    assert lines_of(drawn(dataset))["MaxPO"] == ([2, 4, 8], [6, 7, 8])
    assert lines_of(drawn(dataset, "cost"))["MaxPO"] == ([2, 4, 8], [5, 6, 7])
    assert drawn(dataset).axes[0].get_ylabel() == "a value (nat)\nat the best group size $B$"


def test_the_user_chooses_axes_and_scales() -> None:
    dataset = dataset_of(k=[2, 4, 8], learning_rate=[0.1, 0.2], seed=[0])
    figure = drawn(dataset, x="learning_rate", hue="k", log_x=True, log_y=True)
    ax = figure.axes[0]
    assert (ax.get_xlabel(), ax.get_xscale(), ax.get_yscale()) == ("learning rate", "log", "log")
    assert list(lines_of(figure)) == ["$K$ = 2", "$K$ = 4", "$K$ = 8"]
    assert drawn(dataset, x="learning_rate").axes[0].get_xscale() == "linear"


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"x": "kk"}, "--x=kk: no axis has this field; did you mean k?"),
        ({"hue": "kk"}, "--hue=kk"),
        ({"x": "k", "hue": "k"}, "both k"),
        ({"x": "shift", "log_x": True}, "not above 0"),
        ({"metric": "valu"}, "no output 'valu'"),
    ],
)
def test_a_choice_that_cannot_be_drawn_is_refused(choice: dict, words: str) -> None:
    with pytest.raises(UserError) as error:
        drawn(dataset_of(k=[2, 4], shift=[-1, 0, 1]), **choice)
    assert words in str(error.value)


def test_values_that_are_spaced_in_log_are_drawn_in_log() -> None:
    dataset = dataset_of(learning_rate=[0.1, 0.2, 0.4], seed=[0])
    assert drawn(dataset).axes[0].get_xscale() == "linear"
    dataset.learning_rate.attrs["spacing"] = "log"
    assert drawn(dataset).axes[0].get_xscale() == "log"
    assert drawn(dataset, log_x=False).axes[0].get_xscale() == "linear"
    assert drawn(dataset_of(learning_rate=[0.1, 5.0], seed=[0])).axes[0].get_xscale() == "log"


def test_many_integers_have_integer_ticks() -> None:
    ticks = drawn(dataset_of(group_size=range(2, 18), seed=[0])).axes[0].get_xticks()
    assert (ticks == np.round(ticks)).all()


def test_samples_of_a_random_search_are_points_over_the_drawn_field() -> None:
    dataset = dataset_of(estimator=["maxpo", "ei"], sample=range(5), seed=[0, 1])
    dataset = dataset.assign_coords(learning_rate=("sample", [0.3, 0.1, 0.5, 0.2, 0.4]))
    figure = drawn(dataset)
    ax = figure.axes[0]
    assert ax.get_xlabel() == "learning rate"
    (maxpo, ei) = (container.lines[0] for container in ax.containers)
    assert maxpo.get_linestyle() == ei.get_linestyle() == "None"
    assert maxpo.get_xdata().tolist() == [0.3, 0.1, 0.5, 0.2, 0.4]


def test_a_curve_is_drawn_for_the_best_setting_of_each_line() -> None:
    dataset = dataset_of(k=[2, 4, 8], estimator=["maxpo", "ei"], seed=[0, 1])
    figure = drawn(dataset, "J[k=8]")
    assert figure.axes[0].get_ylabel() == "exact $J_k$, $k$ = 8"
    assert lines_of(figure)["MaxPO"] == ([2, 4, 8], [110, 112, 114])  # at the last update
    assert [values for _, values in lines_of(figure, 1).values()] == [
        [103.5, 107, 114],
        [104, 108, 116],
    ]
    assert figure.axes[1].get_xlabel() == "update"


@pytest.mark.parametrize(
    "axes", [{}, {"seed": range(3)}, {"estimator": ["maxpo"]}, {"estimator": ["maxpo", "ei"]}]
)
def test_any_axes_can_be_drawn(axes: dict) -> None:
    for metric in ("value", "curve", "J[k=1]"):
        figure = drawn(dataset_of(**axes), metric)
        assert figure.axes[0].has_data()


def test_a_sweep_without_a_single_mean_is_drawn_empty() -> None:
    dataset = dataset_of(k=[2, 4], seed=[0, 1])
    dataset["curve"] = dataset.curve.where(dataset.seed == 0)
    assert drawn(dataset, "curve").axes[0].get_xlabel() == "$K$"


def test_settings_are_ranked_by_their_means() -> None:
    means = means_over_seeds(dataset_of(k=[2, 4, 8], seed=[0, 1]).value)
    assert ranking(means, larger_is_better=True) == [{"k": 2}, {"k": 1}, {"k": 0}]
    assert ranking(means, larger_is_better=False)[0] == {"k": 0}
    assert best_setting(means, larger_is_better=True) == {"k": 8}
    missing = means_over_seeds(dataset_of(k=[2, 4], seed=[0, 1]).value.where(False))
    assert ranking(missing, larger_is_better=True) == []
    assert best_setting(missing, larger_is_better=True) == {}


def test_an_interval_needs_two_seeds_and_contains_the_mean() -> None:
    means = means_over_seeds(dataset_of(k=[2, 4], seed=[0, 1, 2]).value)
    assert (means.low < means.mean).all()
    assert (means.mean < means.high).all()
    assert means_over_seeds(dataset_of(k=[2, 4], seed=[0]).value).low.isnull().all()
