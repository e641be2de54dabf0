"""Curves that lie on each other are found, whatever the panel's scale, and are named above it."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from experiments.common import coincidence, style

X = np.array([1.0, 2.0, 3.0, 4.0])


def panels_of(*curves: dict[str, np.ndarray]) -> tuple[Figure, list, list]:
    figure, axes = style.grid_of_panels(1, len(curves))
    for ax, of_panel in zip(axes[0], curves, strict=True):
        for (label, y), marker in zip(of_panel.items(), "os^", strict=False):
            ax.plot(X[: len(y)], y, marker=marker, label=label)
        ax.set_ylim(0, 10)
        ax.axhline(5, label="across")
    figure.draw_without_rendering()
    labels = sorted({label for of_panel in curves for label in of_panel})
    panels = [coincidence.curves_of(ax, [*labels, "across"]) for ax in axes[0]]
    return figure, list(axes[0]), panels


@pytest.mark.parametrize(
    ("widths", "expected"), [(0.0, True), (0.9, True), (1.1, False), (-1.1, False)]
)
def test_curves_coincide_up_to_the_width_of_a_line(widths: float, expected: bool) -> None:
    with style.paper():
        figure, (ax,), _ = panels_of({"a": X})
        height = ax.get_window_extent().height / figure.dpi * 72
        apart = widths * style.PAPER["lines.linewidth"] * 10 / height
        _, _, (curves,) = panels_of({"a": X, "b": X + np.array([0, apart, 0, 0])})
    assert coincidence.coincide(curves["a"], curves["b"]) is expected


def test_curves_over_other_points_or_missing_elsewhere_do_not_coincide() -> None:
    missing = np.array([1, 2, np.nan, 4])
    _, _, (curves,) = panels_of({"a": X, "b": X[:3], "c": missing})
    assert not coincidence.coincide(curves["a"], curves["b"])
    assert not coincidence.coincide(curves["a"], curves["c"])
    _, _, (curves,) = panels_of({"a": missing, "b": missing})
    assert coincidence.coincide(curves["a"], curves["b"])


def test_curves_are_joined_if_they_coincide_in_every_panel_that_has_one() -> None:
    _, _, panels = panels_of({"a": X, "b": X, "c": X}, {"a": X, "b": X, "c": 2 * X})
    assert coincidence.in_every_panel(panels, ["a", "b", "c"]) == [["a", "b"], ["c"]]
    _, _, panels = panels_of({"a": X, "b": X}, {"a": X})
    assert coincidence.in_every_panel(panels, ["a", "b"]) == [["a"], ["b"]]


def test_their_markers_stand_above_the_panel() -> None:
    figure, axes, panels = panels_of({"a": X, "b": X, "c": 2 * X}, {"a": X, "b": 2 * X})
    style.panel_title(axes[0], "a title")
    assert coincidence.note(axes, panels)
    figure.draw_without_rendering()
    note = axes[0].get_legend()
    assert [line.get_marker() for line in note.findobj(Line2D)] == ["o", "$=$", "s"]
    assert note.get_window_extent().y0 >= axes[0].get_window_extent().y1
    assert axes[1].get_legend() is None
    assert axes[0].get_title("left") == "a title"


def test_no_line_across_a_panel_and_no_curve_alone_is_noted() -> None:
    _, axes, panels = panels_of({"a": X, "b": X + 3})
    assert list(panels[0]) == ["a", "b"]
    assert not coincidence.note(axes, panels)
