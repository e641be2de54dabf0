"""Every figure is fit to print: its text legible, nothing cut off, one look per estimator."""

import importlib
import itertools
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from experiments.analysis import bandit_learning, benchmark_estimators
from experiments.common import style
from experiments.engine import update
from experiments.reproduce import FIGURES
from tests.analysis.synthetic import grids_of, summary_of
from tests.analysis.test_figures import MINE, with_another

FOLDER = Path(__file__).parents[2] / "figures"
STORED = [*FIGURES, benchmark_estimators.NAME]
# Bars, maps, and rows of their own for each estimator.
WITHOUT_CURVES = (
    "k_sensitivity",
    "variance_map",
    "maze_map",
    "token_support",
    "token_k_sensitivity",
)
LARGEST_PNG = 300_000


def of_stored_data(name: str) -> Figure:
    dataset = update.dataset_from_bytes((FOLDER / name / "data.nc").read_bytes())
    module = importlib.import_module(f"experiments.analysis.{name}")
    return getattr(module, "FIGURE", module).draw(dataset)


def with_mine(name: str) -> Figure:
    figure, config, grids = grids_of(name)
    return figure.draw(summary_of(figure, config, with_another(grids, 1.3)))


def assert_fit_to_print(figure: Figure) -> None:
    assert figure.get_figwidth() <= style.PAGE
    texts = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
    assert min(text.get_fontsize() for text in texts) >= style.SMALLEST_TEXT

    axes = [ax for ax in figure.axes if ax.get_visible()]
    legends = [*figure.legends, *(ax.get_legend() for ax in axes if ax.get_legend())]
    boxes = [legend.get_window_extent().padded(-1) for legend in legends]
    for box, ax in itertools.product(boxes, axes):
        assert not box.overlaps(ax.get_window_extent())
    boxes += [box for ax in axes for box in boxes_of_labels(ax)]
    for first, second in itertools.combinations(boxes, 2):
        assert not first.overlaps(second)
    page = figure.bbox.padded(1)
    for box in [*boxes, *(ax.get_tightbbox() for ax in axes)]:
        assert page.contains(box.x0, box.y0)
        assert page.contains(box.x1, box.y1)


def boxes_of_labels(ax: Axes) -> list[Bbox]:
    """Where the title and the labels of the axes are."""
    title = ax.get_title("left")
    texts = [text for text in ax.findobj(Text) if title and text.get_text() == title]
    texts += [axis.label for axis in (ax.xaxis, ax.yaxis) if axis.label.get_text()]
    return [text.get_window_extent().padded(-1) for text in texts]


@pytest.mark.parametrize(
    ("draw", "name"),
    [*((of_stored_data, name) for name in STORED), *((with_mine, name) for name in FIGURES)],
)
def test_a_figure_is_fit_to_print(draw, name) -> None:
    with style.paper():
        figure = draw(name)
        assert len(style.png_bytes(figure)) < LARGEST_PNG
        figure.draw_without_rendering()
        assert_fit_to_print(figure)


@pytest.mark.parametrize("name", [name for name in FIGURES if name not in WITHOUT_CURVES])
def test_an_estimator_of_the_reader_looks_the_same_in_every_figure(name) -> None:
    look = style.estimator_style(MINE)
    with style.paper():
        figure = with_mine(name)
    curves = [
        line for ax in figure.axes for line in ax.get_lines() if line.get_label() == look.label
    ]
    assert curves
    assert {(line.get_color(), line.get_marker(), line.get_linestyle()) for line in curves} == {
        (look.color, look.marker, look.linestyle)
    }


def test_a_point_of_a_gradient_norm_is_a_mean_over_records() -> None:
    norms = xr.DataArray(np.arange(8.0), dims="update", coords={"update": 20 * np.arange(1, 9)})
    means = bandit_learning._means_of_records(norms)
    assert means.values.tolist() == [2, 6]
    assert means["update"].values.tolist() == [60, 140]
