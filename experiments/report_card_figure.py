"""The report card as one figure: its lines, and the exact bias and variance on each bandit."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.common import style
from maxpo_jax.report_card import Card

_COLUMNS, _WIDTH, _LINE, _PANELS, _MARGIN = 110, style.PAGE, 0.12, 3.1, 0.1  # letters, then inches


def draw(card: Card) -> Figure:
    """The lines of the card above two panels; without panels where nothing could be enumerated.

    Args:
      card: the card.

    Returns:
      The figure.
    """
    text = card.text(_COLUMNS)
    bias, variance = (
        card.verdicts[name].details.get("bandits", []) if name in card.verdicts else []
        for name in ("unbiased", "variance")
    )
    panels = [(panel, rows) for panel, rows in ((_bias, bias), (_variance, variance)) if rows]
    below = _PANELS if panels else 0.0
    height = 2 * _MARGIN + _LINE * len(text.splitlines()) + below
    own = style.estimator_style(card.name).of_line()
    own |= {"linestyle": "none", "label": "this function"}
    with style.paper():
        figure = Figure(figsize=(_WIDTH, height))
        figure.set_layout_engine("none")
        # As it stands: a dollar sign of the user's starts no formula.
        figure.text(
            _MARGIN / _WIDTH,
            1.0 - _MARGIN / height,
            text,
            va="top",
            fontsize=style.SMALLEST_TEXT,
            family="monospace",
            linespacing=1.2,
            parse_math=False,
        )
        for column, (panel, rows) in enumerate(panels):
            left = (0.9 + column * _WIDTH / 2) / _WIDTH
            size = (_WIDTH / 2 - 1.1) / _WIDTH, (below - 0.9) / height
            panel(figure.add_axes((left, 0.6 / height, *size)), rows, own)
    return figure


def _bias(ax: Axes, bandits: list[dict[str, Any]], own: dict[str, Any]) -> None:
    """On each bandit, c of E g = c grad J_K and how well that fits; (1, 1) is unbiased."""
    color = own["color"]
    for binary, face, label in ((False, color, "real rewards"), (True, "white", "0/1 rewards")):
        chosen = [row for row in bandits if (set(row["rewards"]) <= {0.0, 1.0}) == binary]
        if chosen:
            scales, cosines = ([row[key] for row in chosen] for key in ("scale", "cosine"))
            ax.plot(scales, cosines, "o", color=color, markerfacecolor=face, label=label)
    ax.axvline(1.0, color=style.GRAY, linewidth=0.8, zorder=0)
    ax.axhline(1.0, color=style.GRAY, linewidth=0.8, zorder=0)
    scales, cosines = ([row[key] for row in bandits] for key in ("scale", "cosine"))
    ax.set_xlim(min(0.0, *scales) - 0.1, max(2.0, *scales) * 1.05)
    ax.set_ylim(min(0.9, *cosines) - 0.02, 1.02)
    ax.set_xlabel(r"best scale $c$ in $\mathrm{E}\,g \approx c\,\nabla J_K$")
    ax.set_ylabel(r"cosine of $\mathrm{E}\,g$ and $\nabla J_K$")
    _legend_above(ax)


def _variance(ax: Axes, bandits: list[dict[str, Any]], own: dict[str, Any]) -> None:
    """On each bandit, the exact variance beside that of others; left of 1 is better."""
    unit = "maxpo" if "maxpo" in bandits[0] else "ei"
    looks = {
        name: style.estimator_style(name).of_line() | {"linestyle": "none"}
        for name in ("maxpo", "ei", "rloo")
    }
    for name, look in (looks | {"own": own}).items():
        if name in bandits[0]:
            ratios = [row[name] / row[unit] for row in bandits]
            ax.plot(ratios, range(len(bandits)), **look)
    above_zero = [(i, row) for i, row in enumerate(bandits) if row["floor"] > 1e-12 * row[unit]]
    floors = [row["floor"] / row[unit] for _, row in above_zero]
    ax.plot(floors, [i for i, _ in above_zero], "|", color=style.GRAY, label="floor", markersize=9)
    ax.axvline(1.0, color=style.GRAY, linewidth=0.8, zorder=0)
    style.log_axis(ax, "x", base=2)
    ax.set_yticks(range(len(bandits)), [row["name"] for row in bandits])
    ax.invert_yaxis()
    ax.set_xlabel(f"exact variance over that of {looks[unit]['label']}")
    _legend_above(ax)


def _legend_above(ax: Axes) -> None:
    ax.legend(
        loc="lower right",
        bbox_to_anchor=(1.0, 1.0),
        ncols=5,
        columnspacing=0.8,
        handlelength=0.8,
        borderaxespad=0.1,
    )
