"""The general figure of a sweep, from its dataset alone: scores against one field, and curves."""

import dataclasses
import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
import xarray as xr
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.analysis.seed_means import SEED, Means, best_setting, means_over_seeds
from experiments.common import style
from experiments.common.errors import UserError, did_you_mean
from experiments.engine import dataset as datasets
from experiments.engine.grid import SAMPLE, ZIPPED
from experiments.engine.measurement import ESTIMATOR, Measurement, Output

COLORS = (style.BLUE, style.VERMILLION, style.GREEN, style.ORANGE, style.PURPLE, style.SKY)
MARKERS = ("o", "s", "^", "v", "D", "P")
LOG_RATIO = 20.0  # an axis that spans more is drawn in log
MAX_LINES = 12
MAX_TICKS = 10
LABEL_WIDTH = 34  # letters of a line beside the ordinate
WORDS = {"k": "$K$", "group_size": "group size $B$", "evaluation_k": "$k$"}


@dataclasses.dataclass(frozen=True)
class Choice:
    """What a figure shows; None leaves the choice to it.

    Attributes:
      metric: an output, or a part of it such as `J[k=8]`.
      x: the field on the abscissa.
      hue: the field with one line for each of its values.
      log_x: whether the abscissa is in log.
      log_y: whether the ordinate is in log.
    """

    metric: str
    x: str | None = None
    hue: str | None = None
    log_x: bool | None = None
    log_y: bool | None = None


def draw(dataset: xr.Dataset, measurement: Measurement, choice: Choice) -> Figure:
    """The scores of a metric against one field, one line for each value of another.

    Every point is the best setting of the axes that are left. Where the metric is a curve, a
    second panel shows it for the best setting of each line. Samples of a random search are points.

    Raises:
      UserError: if the chosen metric or fields are not there.
    """
    values = datasets.select(dataset, choice.metric).astype(float)
    output = measurement.outputs[choice.metric.partition("[")[0]]
    axes = [dim for dim in datasets.axis_names(dataset, measurement) if dim != SEED]
    of_curve = [str(dim) for dim in values.dims if dim not in (*axes, SEED)]
    means = means_over_seeds(datasets.score(values, [*axes, SEED]))
    x, hue = _chosen_fields(means.mean, axes, choice)
    has_curve = len(of_curve) == 1 and values.sizes[of_curve[0]] > 1
    figure, panels = style.grid_of_panels(
        1, 2 if has_curve else 1, panel_width=style.COLUMN, panel_height=2.4
    )
    lines = _lines(means, hue)
    for number, (value, line) in enumerate(lines):
        look = _look(hue, value, number, len(lines))
        _draw_scores(panels[0, 0], line, x, output, look)
        if has_curve:
            setting = best_setting(line, output.larger_is_better is not False)
            if setting or not line.mean.ndim:  # no setting is best where none has a mean
                _draw_curve(panels[0, 1], _at_setting(values, setting), of_curve[0], look)
    _label_scores(panels[0, 0], means.mean, x, hue, axes, _metric_label(output, choice), choice)
    if has_curve:
        _label_curves(panels, of_curve[0], bool(axes), choice)
    if hue is not None:
        style.shared_legend(figure)
    return figure


def _chosen_fields(
    mean: xr.DataArray, axes: Sequence[str], choice: Choice
) -> tuple[str | None, str | None]:
    """The fields of the abscissa and of the lines."""
    fields = [str(name) for name in mean.coords if mean[name].ndim and name not in (ZIPPED, SAMPLE)]
    for flag, given in (("--x", choice.x), ("--hue", choice.hue)):
        if given is not None and given not in fields:
            raise UserError(
                f"{flag}={given}: no axis has this field; {did_you_mean(given, fields)}"
            )
    if choice.x is not None and choice.x == choice.hue:
        raise UserError(f"--x and --hue are both {choice.x}: choose two fields")
    numeric = [field for field in fields if mean[field].dtype.kind in "if"]
    free = [field for field in numeric if field != choice.hue]
    x = choice.x or max(free, key=lambda field: _preference(mean, field), default=None)
    others = [
        field
        for field in fields
        if x is None or mean[field].dims != mean[x].dims or mean[field].dtype.kind == "U"
    ]
    few = [f for f in others if f != x and 1 < len(np.unique(mean[f])) <= MAX_LINES]
    hue = choice.hue or (ESTIMATOR if ESTIMATOR in few else next(iter(few), None))
    if x is None:
        x = next((field for field in fields if field != hue), None)
    if x is None and hue is not None:
        x, hue = hue, None if hue != ESTIMATOR else hue
    return x, hue


def _preference(mean: xr.DataArray, field: str) -> tuple[int, int]:
    return len(np.unique(mean[field])), datasets.SPACING in mean[field].attrs


def _lines(means: Means, hue: str | None) -> list[tuple[Any, Means]]:
    """The means of each value of a field."""
    if hue is None:
        return [(None, means)]
    (dim,) = means.mean[hue].dims
    of_points = means.mean[hue].values
    lines = []
    for value in dict.fromkeys(of_points.tolist()):
        positions = np.flatnonzero(of_points == value)
        lines.append((value, Means(*(part.isel({dim: positions}) for part in means))))
    return lines


def _draw_scores(
    ax: Axes, means: Means, x: str | None, output: Output, look: dict[str, Any]
) -> None:
    best = _best_along(means, x, output.larger_is_better is not False)
    mean, low, high = (np.atleast_1d(part.values) for part in best)
    at: Any = [""] if x is None else np.atleast_1d(best.mean[x].values)
    is_line = x is not None and best.mean[x].dtype.kind in "if" and SAMPLE not in best.mean.dims
    if is_line:
        order = np.argsort(at)
        at, mean, low, high = at[order], mean[order], low[order], high[order]
        ax.plot(at, mean, **look)
        ax.fill_between(at, low, high, color=look["color"], alpha=0.2, linewidth=0)
        return
    errors = np.nan_to_num(np.stack([mean - low, high - mean]))
    ax.errorbar(at, mean, errors, **(look | {"linestyle": "none"}), elinewidth=0.8, capsize=2)


def _best_along(means: Means, x: str | None, larger_is_better: bool) -> Means:
    """Means along the abscissa, at the best position of every axis that is not drawn."""
    kept = means.mean[x].dims if x is not None else ()
    others = [str(dim) for dim in means.mean.dims if dim not in kept]
    if not others:
        return means
    flat = Means(*(part.stack(others=others, create_index=False) for part in means))
    filled = flat.mean.fillna(-np.inf if larger_is_better else np.inf)
    best = filled.argmax("others") if larger_is_better else filled.argmin("others")
    return Means(*(part.isel(others=best) for part in flat))


def _at_setting(values: xr.DataArray, setting: Mapping[str, Any]) -> xr.DataArray:
    """The part of the values at a setting of the swept fields."""
    for field, value in setting.items():
        if field in values.coords and values[field].ndim:
            (dim,) = values[field].dims
            found = np.flatnonzero(values[field].values == value)
            values = values.isel({dim: found if dim == SAMPLE else found[:1]})
    extra = [dim for dim in values.dims if dim in (ZIPPED, SAMPLE) or values.sizes[dim] == 1]
    return values.isel({dim: 0 for dim in extra if dim != SEED})


def _draw_curve(ax: Axes, values: xr.DataArray, dim: str, look: dict[str, Any]) -> None:
    curve = means_over_seeds(values)
    x = values[dim].values
    ax.plot(x, curve.mean.values, **look, markevery=style.marker_places(ax, len(x)))
    low, high = curve.low.values, curve.high.values
    ax.fill_between(x, low, high, color=look["color"], alpha=0.2, linewidth=0)


def _look(hue: str | None, value: Any, number: int, num_lines: int) -> dict[str, Any]:
    if hue == ESTIMATOR:
        return style.estimator_style(str(value)).of_line()
    label = {} if hue is None else {"label": f"{_words(hue)} = {_number(value)}"}
    color: Any = COLORS[number % len(COLORS)]
    if num_lines > len(COLORS) or isinstance(value, int | float):  # in order; yellow is too light
        color = matplotlib.colormaps["viridis"](0.85 * number / max(1, num_lines - 1))
    return {"color": color, "marker": MARKERS[number % len(MARKERS)]} | label


def _metric_label(output: Output, choice: Choice) -> str:
    at = choice.metric.partition("[")[2].rstrip("]")
    pairs = [part.partition("=")[::2] for part in filter(None, at.split(","))]
    at = ", ".join(f"{'$k$' if dim == 'k' else _words(dim)} = {value}" for dim, value in pairs)
    unit = "" if output.units == "1" else f" ({output.units})"
    return f"{output.long_name}{unit}" + (f", {at}" if at else "")


def _label_scores(
    ax: Axes,
    mean: xr.DataArray,
    x: str | None,
    hue: str | None,
    axes: Sequence[str],
    label: str,
    choice: Choice,
) -> None:
    drawn = {dim for field in (x, hue) if field is not None for dim in mean[field].dims}
    tuned = [_words(dim) for dim in axes if dim not in drawn and mean.sizes[dim] > 1]
    label = textwrap.fill(label, LABEL_WIDTH)
    ax.set_ylabel(f"{label}\nat the best {', '.join(tuned)}" if tuned else label)
    if choice.log_y:
        style.log_axis(ax, "y")
    if x is None:
        return
    ax.set_xlabel(_words(x))
    values = mean[x].values
    if values.dtype.kind not in "if":
        ax.margins(x=0.3)
        return
    is_spaced_in_log = mean[x].attrs.get(datasets.SPACING) == "log"
    spans = values.min() > 0 and values.max() / values.min() >= LOG_RATIO
    if choice.log_x if choice.log_x is not None else is_spaced_in_log or spans:
        if values.min() <= 0:
            raise UserError(f"--log_x: {x} has values that are not above 0")
        style.log_axis(ax, "x", base=2 if values.dtype.kind == "i" else 10)
    if values.dtype.kind == "i":
        _integer_ticks(ax, np.unique(values))


def _integer_ticks(ax: Axes, values: np.ndarray) -> None:
    if len(values) <= MAX_TICKS:
        ax.set_xticks(values, [str(value) for value in values])
        ax.xaxis.set_minor_locator(ticker.NullLocator())
    elif ax.get_xscale() != "log":
        ax.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))


def _label_curves(panels: np.ndarray, dim: str, has_axes: bool, choice: Choice) -> None:
    style.panel_title(panels[0, 0], "at the end", "a")
    style.panel_title(panels[0, 1], "best setting of each" if has_axes else "all of it", "b")
    panels[0, 1].set_xlabel(_words(dim))
    panels[0, 1].xaxis.set_major_locator(ticker.MaxNLocator(5, integer=True))
    if choice.log_y:
        style.log_axis(panels[0, 1], "y")


def _words(field: str) -> str:
    return WORDS.get(field, field.replace("_", " "))


def _number(value: Any) -> str:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return f"{value:g}" if is_number and math.isfinite(value) else str(value)
