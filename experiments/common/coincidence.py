"""Curves that lie on each other, and how a figure says so: their markers, with "=" between them."""

import itertools
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.legend_handler import HandlerTuple
from matplotlib.lines import Line2D

Curves = dict[str, Line2D]
TITLE_ABOVE_NOTE = 11  # points from the panel to its title
EQUALS = Line2D(
    [], [], linestyle="none", marker="$=$", color="black", markersize=4.5, markeredgewidth=0
)


def curves_of(ax: Axes, labels: Sequence[str]) -> Curves:
    """The curves of a panel with these labels, in their order, without lines across it."""
    lines = {
        str(line.get_label()): line
        for line in ax.get_lines()
        if line.get_transform() == ax.transData and line.get_linestyle() != "None"
    }
    return {label: lines[label] for label in labels if label in lines}


def coincide(first: Line2D, second: Line2D) -> bool:
    """Whether two curves over the same abscissae are nowhere farther apart than a line is wide.

    That depends on the size of the panel and on its scales, so it is asked once they are final.
    """
    figure = first.figure
    if figure is None or not np.array_equal(first.get_xdata(), second.get_xdata()):
        return False
    here, there = (line.get_transform().transform(line.get_xydata()) for line in (first, second))
    width = first.get_linewidth() * figure.dpi / 72
    return bool(np.allclose(here, there, rtol=0, atol=width, equal_nan=True))


def in_every_panel(panels: Sequence[Curves], labels: Sequence[str]) -> list[list[str]]:
    """The labels in groups: any two curves of one coincide wherever either of them is drawn."""

    def same(first: str, second: str) -> bool:
        pairs = [(panel.get(first), panel.get(second)) for panel in panels]
        drawn = [pair for pair in pairs if pair != (None, None)]
        return bool(drawn) and all(a and b and coincide(a, b) for a, b in drawn)

    groups: list[list[str]] = []
    for label in labels:
        own = next((g for g in groups if all(same(label, other) for other in g)), None)
        if own is None:
            groups.append([label])
        else:
            own.append(label)
    return groups


def note(axes: Sequence[Axes], panels: Sequence[Curves]) -> bool:
    """Set the markers of curves that coincide above their panel; whether there are any.

    The titles of a row with such a note move up, to one height.

    Args:
      axes: the panels.
      panels: the curves of each, in the order in which they are to be named; those without a
        marker cannot be.
    """
    noted = []
    for ax, curves in zip(axes, panels, strict=True):
        named = [label for label, curve in curves.items() if curve.get_marker() != "None"]
        groups = in_every_panel([curves], named)
        equations = [_equation([curves[one] for one in group]) for group in groups if group[1:]]
        if equations:
            _set_above(ax, equations)
            noted.append(_row(ax))
    for ax in axes[0].figure.axes if noted else []:
        if _row(ax) in noted:
            ax.set_title(ax.get_title("left"), loc="left", pad=TITLE_ABOVE_NOTE)
    return bool(noted)


def _row(ax: Axes) -> int:
    place = ax.get_subplotspec()
    return 0 if place is None else place.rowspan.start


def _equation(curves: Sequence[Line2D]) -> tuple[Line2D, ...]:
    """The marker of each curve, with "=" between them."""
    markers = [
        Line2D(
            [],
            [],
            linestyle="none",
            marker=curve.get_marker(),
            color=curve.get_color(),
            markerfacecolor=curve.get_markerfacecolor(),
            markersize=curve.get_markersize(),
            markeredgewidth=curve.get_markeredgewidth(),
        )
        for curve in curves
    ]
    signs = [EQUALS] * len(markers)
    return tuple(itertools.chain(*zip(markers, signs, strict=True)))[:-1]


def _set_above(ax: Axes, equations: Sequence[tuple[Line2D, ...]]) -> None:
    """Right above the panel, at its right end."""
    longest = max(len(equation) for equation in equations)
    ax.legend(
        equations,
        [""] * len(equations),
        handler_map={tuple: HandlerTuple(ndivide=None, pad=0)},
        loc="lower right",
        bbox_to_anchor=(1, 1),
        ncols=len(equations),
        handlelength=0.75 * longest,
        handletextpad=0,
        columnspacing=0.6,
        borderpad=0,
        borderaxespad=0.25,
    )
