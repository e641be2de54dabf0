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
    for ax, (times, estimator) in itertools.product(
        axes[0], enumerate(["maxpo", "ei", "pkpo_s"], start=1)
    ):
        style.curve_with_interval(ax, x, times / x, 0.8 * times / x, 1.3 * times / x, estimator)
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


def test_a_figure_is_never_wider_than_a_page() -> None:
    assert style.grid_of_panels(1, 7, panel_width=2.0)[0].get_figwidth() == style.PAGE
    assert style.grid_of_panels(1, 1, panel_width=2.0)[0].get_figwidth() == 2.0


def test_the_legend_has_the_order_of_the_estimators_then_of_the_drawing() -> None:
    with style.paper():
        figure, axes = style.grid_of_panels(1, 1)
        axes[0, 0].axhline(0.5, label="a line")
        for height, name in enumerate(["mine.py:mine", "rloo", "ei", "maxpo"]):
            style.curve_with_interval(axes[0, 0], [1, 2], [height] * 2, [0, 0], [4, 4], name)
        legend = style.shared_legend(figure)
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels == ["MaxPO", "EI", "RLOO", "a line", "mine"]


def test_curves_that_coincide_share_an_entry_or_are_noted() -> None:
    with style.paper():
        figure, axes = style.grid_of_panels(1, 2)
        for ax, height in zip(axes[0], [1, 2], strict=True):
            for name, y in (("maxpo", 1), ("canonical", 1), ("ei", height), ("rloo", 4)):
                style.curve_with_interval(ax, [1, 2, 3], [y] * 3, [y] * 3, [y] * 3, name)
        legend = style.shared_legend(figure)
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels == [
        "MaxPO, canonical $u-v$ (coincide)",
        "EI",
        "RLOO",
        "coincide in the panel below",
    ]
    assert [ax.get_legend() is not None for ax in axes[0]] == [True, False]


def test_long_curves_show_their_markers_at_different_points() -> None:
    _, axes = style.grid_of_panels(1, 1)
    x = np.arange(1, 31)
    marked = [
        set(x[start::step].tolist())
        for name in ("maxpo", "ei", "rloo")
        for start, step in [style.curve_with_interval(axes[0, 0], x, x, x, x, name).get_markevery()]
    ]
    assert all(2 <= len(points) <= style.MARKERS_PER_CURVE for points in marked)
    assert not set.intersection(*marked)
    assert not marked[0] & marked[1]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.002, 700, ["0.01", "0.1", "1", "10", "100"]),
        (2, 2e6, [f"$10^{{{exponent}}}$" for exponent in range(1, 7)]),
        (1e-12, 20, [f"$10^{{{exponent}}}$" for exponent in (-12, -9, -6, -3, 0)]),
        (0.4, 25, ["1", "3", "10"]),
        (1.5, 12, ["2", "5", "10"]),
        (3e-5, 4e-4, [r"$3\times 10^{-5}$", "$10^{-4}$", r"$3\times 10^{-4}$"]),
    ],
)
def test_an_axis_in_log_has_few_readable_ticks(low: float, high: float, expected: list) -> None:
    with style.paper():
        figure, axes = style.grid_of_panels(1, 1)
        axes[0, 0].plot([1, 1], [low, high])
        style.log_axis(axes[0, 0], "y")
        axes[0, 0].set_ylim(low, high)
        figure.draw_without_rendering()
    assert [text.get_text() for text in axes[0, 0].get_yticklabels()] == expected
    assert not any(text.get_text() for text in axes[0, 0].get_yticklabels(minor=True))


def test_a_short_axis_in_log_has_ticks_too() -> None:
    figure, axes = style.grid_of_panels(1, 1)
    axes[0, 0].plot([1, 2], [0.71, 0.73])
    style.log_axis(axes[0, 0], "y")
    figure.draw_without_rendering()
    low, high = axes[0, 0].get_ylim()
    assert sum(low <= tick <= high for tick in axes[0, 0].get_yticks()) >= 2


def test_powers_of_two_are_labeled_as_plain_numbers() -> None:
    figure, axes = style.grid_of_panels(1, 1, panel_width=2.3)
    axes[0, 0].plot([2, 1024], [1, 1])
    style.log_axis(axes[0, 0], "x", base=2)
    figure.draw_without_rendering()
    labels = {text.get_text() for text in axes[0, 0].get_xticklabels()}
    assert {"2", "16", "128", "1024"} <= labels
    assert not any("$" in label for label in labels)
