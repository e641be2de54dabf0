"""One look for every figure: colors, markers and labels of the estimators, and paper settings."""

import contextlib
import dataclasses
import hashlib
import io
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

INCHES_PER_LEGEND_ROW = 0.16

PAPER: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.formatter.use_mathtext": True,
    "axes.grid": True,
    "axes.labelsize": 8,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
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
    "xtick.major.width": 0.6,
    "ytick.labelsize": 7.5,
    "ytick.major.width": 0.6,
}


@dataclasses.dataclass(frozen=True)
class EstimatorStyle:
    """How one estimator looks in every figure."""

    label: str
    color: str
    marker: str
    linestyle: str = "-"


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
    "zscore_ei": EstimatorStyle("z-scored EI", BLUE, "*", ":"),
    "pass_at_k_training_analytic": EstimatorStyle("Pass@k Training (analytic)", SKY, "X"),
    "maxrl": EstimatorStyle("MaxRL", YELLOW, "H"),
    "bon_mean": EstimatorStyle("BoN mean", ORANGE, "8", "--"),
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
    panel_width: float = 2.3,
    panel_height: float = 1.9,
    **subplots: Any,
) -> tuple[Figure, np.ndarray]:
    """A figure and its [num_rows, num_columns] array of axes; sizes are in inches."""
    figure = Figure(figsize=(panel_width * num_columns, panel_height * num_rows))
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

    Args:
      ax: the axes to draw on.
      x: abscissae, [points].
      median: the curve, [points].
      low: lower ends of the interval, [points].
      high: upper ends of the interval, [points].
      estimator: name of the estimator: fixes color, marker, line style and label.
      **line: further properties of the line, such as `markevery` or `label`.
    """
    look = estimator_style(estimator)
    properties = dataclasses.asdict(look) | line
    (curve,) = ax.plot(x, median, **properties)
    ax.fill_between(x, low, high, color=properties["color"], alpha=0.2, linewidth=0)
    return curve


def shared_legend(
    figure: Figure, axes: Any = None, *, num_columns: int | None = None, **legend: Any
) -> Legend:
    """One legend below all panels, outside the data, each label once.

    The figure grows by the height of the legend, so that the panels keep theirs.

    Args:
      figure: the figure.
      axes: axes whose labels are collected; None means all of the figure.
      num_columns: columns of the legend; None means as many as fit the figure's width.
      **legend: further properties of the legend.
    """
    entries: dict[str, Any] = {}
    for ax in figure.axes if axes is None else np.ravel(axes):
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    num_columns = num_columns or _columns_that_fit(figure, list(entries))
    num_rows = math.ceil(len(entries) / num_columns)
    figure.set_figheight(figure.get_figheight() + INCHES_PER_LEGEND_ROW * num_rows)
    properties: dict[str, Any] = {"loc": "outside lower center", "ncols": num_columns} | legend
    return figure.legend(list(entries.values()), list(entries), **properties)


def _columns_that_fit(figure: Figure, labels: Sequence[str]) -> int:
    inches_per_letter, inches_per_handle = 0.062, 0.55
    longest = max((len(label) for label in labels), default=1)
    width = inches_per_handle + inches_per_letter * longest
    return int(np.clip(figure.get_figwidth() / width, 1, max(len(labels), 1)))


def panel_title(ax: Axes, text: str, letter: str = "") -> None:
    """Title of one panel, flush left, after its letter in bold where one is given."""
    ax.set_title(rf"$\bf{{({letter})}}$ {text}" if letter else text, loc="left")


def log_axis(ax: Axes, axis: str, base: int = 10) -> None:
    """Make the "x" or "y" axis logarithmic, with clean ticks.

    Base 2 labels powers of two as plain numbers; base 10 keeps powers of ten.
    """
    {"x": ax.set_xscale, "y": ax.set_yscale}[axis]("log", base=base)
    if base != 10:
        target = {"x": ax.xaxis, "y": ax.yaxis}[axis]
        target.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
        target.set_minor_locator(ticker.NullLocator())


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
