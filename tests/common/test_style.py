"""Figure style: one look per estimator, clean files, legends off the data."""

import itertools

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from experiments.common import style


def drawn_figure() -> Figure:
    figure, axes = style.grid_of_panels(1, 2)
    x = np.array([2, 8, 32, 128, 1024])
    for ax, estimator in itertools.product(axes[0], ["maxpo", "ei", "pkpo_s"]):
        style.curve_with_interval(ax, x, 1 / x, 0.8 / x, 1.3 / x, estimator)
        style.log_axis(ax, "x", base=2)
        style.log_axis(ax, "y")
        style.panel_title(ax, "variance", "a")
    style.shared_legend(figure)
    return figure


def test_no_two_estimators_look_the_same() -> None:
    looks = [(s.color, s.marker, s.linestyle) for s in style.ESTIMATORS.values()]
    assert len(set(looks)) == len(looks)
    markers = [s.marker for s in style.ESTIMATORS.values()]
    assert len(set(markers)) == len(markers)
    labels = [s.label for s in style.ESTIMATORS.values()]
    assert len(set(labels)) == len(labels)


def test_an_estimator_without_an_entry_looks_the_same_every_time() -> None:
    first = style.estimator_style("somebody_elses")
    assert first == style.estimator_style("somebody_elses")
    assert first.linestyle not in {s.linestyle for s in style.ESTIMATORS.values()}


@pytest.mark.parametrize("name", ["png", "pdf"])
def test_a_figure_is_saved_to_the_same_bytes(name: str) -> None:
    save = {"png": style.png_bytes, "pdf": style.pdf_bytes}[name]
    with style.paper():
        first, second = save(drawn_figure()), save(drawn_figure())
    assert first == second
    assert b"CreationDate" not in first
    assert b"Software" not in first


def test_the_pdf_embeds_truetype_fonts_and_its_subject() -> None:
    with style.paper():
        document = style.pdf_bytes(drawn_figure(), subject="data 1234")
    assert b"/Subtype /Type3" not in document
    assert b"(data 1234)" in document


def test_the_settings_end_with_the_context_and_ignore_the_users_own() -> None:
    before = dict(matplotlib.rcParams)
    with matplotlib.rc_context({"font.size": 33}), style.paper():
        assert matplotlib.rcParams["font.size"] == style.PAPER["font.size"]
        assert not matplotlib.rcParams["axes.spines.top"]
    assert dict(matplotlib.rcParams) == before


def test_the_legend_names_each_estimator_once_and_covers_no_panel() -> None:
    with style.paper():
        figure = drawn_figure()
        figure.draw_without_rendering()
        (legend,) = figure.legends
        box = legend.get_window_extent()
        assert [text.get_text() for text in legend.get_texts()] == ["MaxPO", "EI", "PKPO $s$"]
        for ax in figure.axes:
            assert not box.overlaps(ax.get_window_extent())
        assert figure.bbox.x0 <= box.x0
        assert box.x1 <= figure.bbox.x1


def test_a_curve_takes_the_look_of_its_estimator_and_shades_its_interval() -> None:
    figure, axes = style.grid_of_panels(1, 1)
    line = style.curve_with_interval(axes[0, 0], [1, 2], [3, 4], [2, 3], [5, 6], "ei")
    look = style.ESTIMATORS["ei"]
    assert (line.get_color(), line.get_marker()) == (look.color, look.marker)
    (band,) = axes[0, 0].collections
    vertices = band.get_paths()[0].vertices
    assert (vertices[:, 1].min(), vertices[:, 1].max()) == (2, 6)
    assert len(figure.axes) == 1


def test_powers_of_two_are_labeled_as_plain_numbers() -> None:
    figure, axes = style.grid_of_panels(1, 1)
    axes[0, 0].plot([2, 1024], [1, 1])
    style.log_axis(axes[0, 0], "x", base=2)
    figure.draw_without_rendering()
    labels = {text.get_text() for text in axes[0, 0].get_xticklabels()}
    assert {"2", "16", "128", "1024"} <= labels
    assert not any("$" in label for label in labels)
