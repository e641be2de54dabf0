"""One look for every figure: colors, markers and labels of the estimators, and paper settings."""

import contextlib
import dataclasses
import hashlib
import io
import itertools
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from PIL import Image

from experiments.common import coincidence

matplotlib.use("Agg")

# Okabe and Ito, Color Universal Design, 2008, with gray, and yellow darkened for white paper.
BLACK = "#000000"
GRAY = "#7F7F7F"
ORANGE = "#E69F00"
SKY = "#56B4E9"
GREEN = "#009E73"
YELLOW = "#B5A400"
BLUE = "#0072B2"
VERMILLION = "#D55E00"
PURPLE = "#CC79A7"

PAGE = 6.8  # width in inches of the text of a paper, over both columns
COLUMN = 3.3  # and of one of its columns
SMALLEST_TEXT = 7  # points
MOST_TICKS = 6  # of an axis in log
MARKERS_PER_CURVE = 6
SIZE_OF_SIGNS = 6  # points, of markers that are glyphs and fill less than their size

PAPER: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.formatter.use_mathtext": True,
    "axes.grid": True,
    "axes.labelsize": 8,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlepad": 4,
    "axes.titlesize": 8.5,
    "figure.constrained_layout.use": True,
    "figure.dpi": 100,
    "font.size": 8,
    "grid.color": "#D9D9D9",
    "grid.linewidth": 0.4,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "lines.linewidth": 1.3,
    "lines.markersize": 3.8,
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    "savefig.dpi": 200,
    "svg.hashsalt": "maxpo_jax",
    "xtick.labelsize": 7.5,
    "xtick.major.size": 2.5,
    "xtick.major.width": 0.6,
    "xtick.minor.size": 1.3,
    "xtick.minor.width": 0.4,
    "ytick.labelsize": 7.5,
    "ytick.major.size": 2.5,
    "ytick.major.width": 0.6,
    "ytick.minor.size": 1.3,
    "ytick.minor.width": 0.4,
}


@dataclasses.dataclass(frozen=True)
class EstimatorStyle:
    """How one estimator looks in every figure."""

    label: str
    color: str
    marker: str
    linestyle: str = "-"

    def of_line(self) -> dict[str, Any]:
        """Properties of a line; the marker of a variation, whose line is dashed, is hollow."""
        look = dataclasses.asdict(self)
        look["markerfacecolor"] = "white" if self.linestyle == "--" else self.color
        is_sign = self.marker.startswith("$")
        return look | ({"markersize": SIZE_OF_SIGNS, "markeredgewidth": 0} if is_sign else {})


ESTIMATORS = {
    "maxpo": EstimatorStyle("MaxPO", VERMILLION, "o"),
    "canonical": EstimatorStyle("canonical $u-v$", BLACK, "x", ":"),
    "ei": EstimatorStyle("EI", BLUE, "s"),
    "pkpo_sloo_minus_one": EstimatorStyle(r"PKPO $s^{\mathrm{(loo-1)}}$ (= EI)", BLUE, "2"),
    "pkpo_s": EstimatorStyle("PKPO $s$", ORANGE, "^"),
    "pkpo_sloo": EstimatorStyle(r"PKPO $s^{\mathrm{(loo)}}$", GREEN, "v"),
    "reinforce": EstimatorStyle("REINFORCE", GRAY, "D"),
    "rloo": EstimatorStyle("RLOO", BLACK, "P"),
    "dr_grpo": EstimatorStyle("Dr. GRPO", PURPLE, "<", "--"),
    "grpo": EstimatorStyle("GRPO", PURPLE, ">"),
    "center_u": EstimatorStyle("center($u$)", GRAY, "d", "--"),
    "center_ei": EstimatorStyle("center(EI)", BLUE, "p", "--"),
    "zscore_maxpo": EstimatorStyle("z-scored MaxPO", VERMILLION, "h", "--"),
    "zscore_ei": EstimatorStyle("z-scored EI", BLUE, "*", "--"),
    "pass_at_k_training_analytic": EstimatorStyle("Pass@k Training (analytic)", SKY, "X"),
    "maxrl": EstimatorStyle("MaxRL", YELLOW, "H"),
    "bon_mean": EstimatorStyle("BoN mean", ORANGE, "8", "--"),
    "min_at_k": EstimatorStyle("min@$K$", SKY, "3", "--"),
    "median_at_k": EstimatorStyle("median@$K$", GREEN, "4", "--"),
    "top_two_at_k": EstimatorStyle("top-2@$K$", ORANGE, "+", "--"),
    "tang_leave_one_out": EstimatorStyle("Tang LOO", GREEN, "1", "--"),
}

# Colors (Tol, Colour Schemes, 2021) and markers that no registered estimator has.
_COLORS_OF_OTHERS = ("#117733", "#882255", "#332288", "#AA4499", "#999933", "#661100")
_MARKERS_OF_OTHERS = (
    r"$\clubsuit$",
    r"$\heartsuit$",
    r"$\spadesuit$",
    r"$\diamondsuit$",
    r"$\bowtie$",
)


def estimator_style(name: str) -> EstimatorStyle:
    """Style of an estimator; one without an entry gets a dash-dotted style fixed by its name.

    A function of the user, `path/to/file.py:function`, has the name of the function as its label.

    Example:
      >>> estimator_style("maxpo").label
      'MaxPO'
      >>> estimator_style("path/to/mine.py:my_estimator").label
      'my_estimator'
    """
    if name in ESTIMATORS:
        return ESTIMATORS[name]
    label = name.rpartition(":")[2].lstrip("_")  # matplotlib hides labels that begin so
    number = int.from_bytes(hashlib.sha256(label.encode()).digest()[:4], "big")
    color = _COLORS_OF_OTHERS[number % len(_COLORS_OF_OTHERS)]
    marker = _MARKERS_OF_OTHERS[number // len(_COLORS_OF_OTHERS) % len(_MARKERS_OF_OTHERS)]
    return EstimatorStyle(label, color, marker, "-.")


def plain_label(name: str) -> str:
    """Label of an estimator without mathematical markup, for claims and captions.

    Example:
      >>> plain_label("pkpo_sloo")
      'PKPO s^(loo)'
    """
    label = estimator_style(name).label
    return re.sub(r"\\mathrm\{([^}]*)\}|[${}]", r"\1", label) if name in ESTIMATORS else label


@contextlib.contextmanager
def paper() -> Iterator[None]:
    """Context in which figures are drawn and saved with the settings of the paper."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # a user's own matplotlibrc must not change the figures
        matplotlib.rcParams.update(PAPER)
        yield


def grid_of_panels(
    num_rows: int,
    num_columns: int,
    *,
    panel_width: float = PAGE,
    panel_height: float = 1.9,
    **subplots: Any,
) -> tuple[Figure, np.ndarray]:
    """A figure and its [num_rows, num_columns] array of axes; sizes are in inches.

    It is never wider than a page, where it would be scaled down and its text with it.
    """
    width = min(panel_width * num_columns, PAGE)
    figure = Figure(figsize=(width, panel_height * num_rows))
    axes = figure.subplots(num_rows, num_columns, squeeze=False, **subplots)
    return figure, axes


def curve_with_interval(
    ax: Axes,
    x: Any,
    median: Any,
    low: Any,
    high: Any,
    estimator: str,
    **line: Any,
) -> Line2D:
    """Draw one estimator's curve with its interval shaded, and return the line.

    MaxPO lies on top.

    Args:
      ax: the axes to draw on.
      x: abscissae, [points].
      median: the curve, [points].
      low: lower ends of the interval, [points].
      high: upper ends of the interval, [points].
      estimator: name of the estimator: fixes color, marker, line style and label.
      **line: further properties of the line, such as `markevery` or `label`.
    """
    on_top = {"zorder": 2.1} if estimator == "maxpo" else {}
    places = {"markevery": marker_places(ax, len(x))}
    properties = estimator_style(estimator).of_line() | places | on_top | line
    (curve,) = ax.plot(x, median, **properties)
    ax.fill_between(x, low, high, color=properties["color"], alpha=0.2, linewidth=0)
    return curve


def marker_places(ax: Axes, num_points: int) -> tuple[int, int]:
    """First and step of the few points of a next curve that get a marker.

    Curves begin at different points, so that those that coincide show the markers of all.
    """
    step = math.ceil(num_points / MARKERS_PER_CURVE)
    return len(ax.lines) * max(1, step // 4) % step, step


def shared_legend(figure: Figure, axes: Any = None, **legend: Any) -> Legend:
    """One legend below all panels, outside the data, each label once, estimators in their order.

    The figure grows by the height of the legend, so that the panels keep theirs. Curves that are
    nowhere farther apart than a line is wide share an entry where that is so in every panel; where
    it is so in one, their markers stand above it, with "=" between them. So this comes last.

    Args:
      figure: the figure.
      axes: axes whose labels are collected; None means all of the figure.
      **legend: further properties of the legend.
    """
    panels = list(figure.axes if axes is None else np.ravel(axes))
    handles: dict[str, Any] = {}
    for ax in panels:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    order = {look.label: place for place, look in enumerate(ESTIMATORS.values())}
    labels = sorted(handles, key=lambda label: order.get(label, len(order)))
    figure.draw_without_rendering()  # places the curves
    curves = [coincidence.curves_of(ax, labels) for ax in panels]
    entries: dict[str, Any] = {}
    for first, *others in coincidence.in_every_panel(curves, labels):
        label = ", ".join([first, *others]) + (" (coincide)" if others else "")
        entries[label] = tuple(handles[one] for one in (first, *others))
        for of_panel, other in itertools.product(curves, others):
            of_panel.pop(other, None)
    if coincidence.note(panels, curves):
        entries["coincide in the panel below"] = coincidence.EQUALS
    return _legend_that_fits(figure, entries, legend)


def _legend_that_fits(
    figure: Figure, entries: dict[str, Any], properties: dict[str, Any]
) -> Legend:
    """Below the panels, with as few rows as the width of the figure allows, about equally long."""
    properties = {"loc": "outside lower center"} | properties
    for num_rows in range(1, len(entries) + 1):
        columns = math.ceil(len(entries) / num_rows)
        legend = figure.legend(list(entries.values()), list(entries), ncols=columns, **properties)
        box = legend.get_window_extent()
        if box.width <= 0.98 * figure.bbox.width:
            break
        legend.remove()
    figure.set_figheight(figure.get_figheight() + box.height / figure.dpi)
    return legend


def panel_title(ax: Axes, text: str, letter: str = "") -> None:
    """Title of one panel, flush left, after its letter in bold where one is given."""
    ax.set_title(rf"$\bf{{({letter})}}$ {text}" if letter else text, loc="left")


def log_axis(ax: Axes, axis: str, base: int = 10) -> None:
    """Make the "x" or "y" axis logarithmic, with few and clean ticks.

    Powers of the base as plain numbers, in base 10 as powers where these are long, and also a few
    numbers between them where there would be fewer than three.
    """
    {"x": ax.set_xscale, "y": ax.set_yscale}[axis]("log", base=base)
    target = {"x": ax.xaxis, "y": ax.yaxis}[axis]
    if base == 10:
        target.set_major_locator(_LogTicks())
        target.set_major_formatter(_LogLabels())
        target.set_minor_formatter(ticker.NullFormatter())
    else:
        target.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
        target.set_minor_locator(ticker.NullLocator())


class _LogTicks(ticker.LogLocator):
    """At most a few powers of ten, every other if need be; parts of them on a short axis."""

    def tick_values(self, vmin: float, vmax: float) -> Sequence[float]:
        """The ticks between two ends."""
        low, high = min(vmin, vmax) * (1 - 1e-9), max(vmin, vmax) * (1 + 1e-9)
        exponents = np.arange(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        decades = exponents[(10.0**exponents >= low) & (10.0**exponents <= high)]
        if len(decades) >= 3:
            stride = math.ceil(len(decades) / MOST_TICKS)
            return (10.0 ** decades[decades % stride == 0]).tolist()
        for digits in ((1, 3), (1, 2, 5)):
            ticks = np.multiply.outer(10.0**exponents, digits).ravel()
            ticks = ticks[(ticks >= low) & (ticks <= high)]
            if len(ticks) >= 3:
                return ticks.tolist()
        return ticker.MaxNLocator(3).tick_values(low, high)


class _LogLabels(ticker.Formatter):
    """1, 10, 100 or powers of ten, the same for all ticks of an axis."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        """The label of a tick alone."""
        return self.format_ticks([x])[0]

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        """The labels of all ticks."""
        if all(1e-3 <= value <= 1e3 for value in values):
            return [f"{value:g}" for value in values]
        return [self._power(value) for value in values]

    @staticmethod
    def _power(value: float) -> str:
        exponent = math.floor(math.log10(value) + 1e-9)
        digit = value / 10.0**exponent
        factor = "" if math.isclose(digit, 1) else rf"{digit:g}\times "
        return f"${factor}10^{{{exponent}}}$"


def png_bytes(figure: Figure) -> bytes:
    """The figure as PNG of 256 colors, a third of the size of all colors; the same each time."""
    image = Image.open(io.BytesIO(_saved(figure, "png", {"Software": None}))).convert("RGB")
    buffer = io.BytesIO()
    few_colors = image.quantize(256, dither=Image.Dither.NONE)
    few_colors.save(buffer, format="png", optimize=True, dpi=image.info.get("dpi"))
    return buffer.getvalue()


def pdf_bytes(figure: Figure, subject: str = "") -> bytes:
    """The figure as PDF, the same bytes each time, with `subject` in its metadata."""
    return _saved(figure, "pdf", {"CreationDate": None, "Subject": subject or None})


def _saved(figure: Figure, file_format: str, metadata: dict[str, str | None]) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=file_format, metadata=metadata)
    return buffer.getvalue()
