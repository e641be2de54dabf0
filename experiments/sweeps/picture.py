"""The figure of a sweep, from its dataset alone: scores against one axis, and learning curves."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.common import style
from experiments.sweeps.summary import SEED, Means, mean_scores, means_over_seeds
from experiments.sweeps.sweepable import Metric

COLORS = (style.BLUE, style.VERMILLION, style.GREEN, style.ORANGE, style.PURPLE, style.SKY)
MARKERS = ("o", "s", "^", "v", "D", "P")
LOG_RATIO = 20.0  # an axis that spans more is drawn in log
MAX_LINES = len(COLORS)


def draw(dataset: xr.Dataset, name: str, metric: Metric) -> Figure:
    """The scores of a metric against the longest numeric axis, one line per value of another.

    Every point is the best setting of the axes that are left. Where the metric is a curve, a
    second panel shows it for the best setting of each line.
    """
    means = mean_scores(dataset, name, metric)
    dims = [str(dim) for dim in means.mean.dims]
    abscissa = _abscissa(means.mean, dims)
    lines = _line_axis(means.mean, [dim for dim in dims if dim != abscissa])
    figure, panels = style.grid_of_panels(
        1, 2 if len(metric.dims) == 1 else 1, panel_width=3.3, panel_height=2.4
    )
    for number, line in enumerate(_values_along(means.mean, lines)):
        look = _look(lines, line, number)
        best = _best_along(means, metric, abscissa, lines, line)
        _draw_scores(panels[0, 0], best, abscissa, look)
        if len(metric.dims) == 1:
            _draw_curve(panels[0, 1], dataset[name], _best_position(best, metric), metric, look)
    _label(panels, means.mean, abscissa, metric)
    if lines is not None:
        style.shared_legend(figure)
    return figure


def _abscissa(mean: xr.DataArray, dims: list[str]) -> str | None:
    numeric = [dim for dim in dims if np.issubdtype(mean[dim].dtype, np.number)]
    return max(numeric, key=lambda dim: mean.sizes[dim], default=None)


def _line_axis(mean: xr.DataArray, dims: list[str]) -> str | None:
    few = [dim for dim in dims if 1 < mean.sizes[dim] <= MAX_LINES]
    return "estimator" if "estimator" in few else next(iter(few), None)


def _values_along(mean: xr.DataArray, dim: str | None) -> list[Any]:
    return [None] if dim is None else list(mean[dim].values)


def _look(dim: str | None, value: Any, number: int) -> dict[str, Any]:
    if dim == "estimator":
        look = style.estimator_style(str(value))
        return {"color": look.color, "marker": look.marker, "label": look.label}
    label = {} if dim is None else {"label": f"{_words(dim)} = {_number(value)}"}
    return {"color": COLORS[number], "marker": MARKERS[number]} | label


def _best_along(
    means: Means, metric: Metric, abscissa: str | None, lines: str | None, line: Any
) -> Means:
    """Means along the abscissa, at the best position of every axis that is not drawn."""
    chosen = means if lines is None else Means(*(part.sel({lines: line}) for part in means))
    others = [str(dim) for dim in chosen.mean.dims if dim != abscissa]
    if not others:
        return chosen
    flat = Means(*(part.stack(others=others, create_index=False) for part in chosen))
    worst = -np.inf if metric.larger_is_better else np.inf
    filled = flat.mean.fillna(worst)
    best = filled.argmax("others") if metric.larger_is_better else filled.argmin("others")
    return Means(*(part.isel(others=best) for part in flat))


def _best_position(best: Means, metric: Metric) -> Mapping[str, Any]:
    """The swept fields of the best point of a line."""
    mean = best.mean
    if mean.ndim and mean.notnull().any():
        signed = mean if metric.larger_is_better else -mean
        mean = mean.isel({mean.dims[0]: int(np.nanargmax(signed.values))})
    elif mean.ndim:
        mean = mean.isel({mean.dims[0]: 0})
    return {str(name): value.item() for name, value in mean.coords.items() if name != SEED}


def _draw_scores(ax: Axes, best: Means, abscissa: str | None, look: dict[str, Any]) -> None:
    x = best.mean[abscissa].values if abscissa is not None else np.zeros(1)
    mean, low, high = (np.atleast_1d(part.values) for part in best)
    ax.plot(x, mean, **look)
    ax.fill_between(x, low, high, color=look["color"], alpha=0.2, linewidth=0)


def _draw_curve(
    ax: Axes, values: xr.DataArray, setting: Mapping[str, Any], metric: Metric, look: dict[str, Any]
) -> None:
    for field, value in setting.items():
        if field in values.coords and values[field].ndim:
            (dim,) = values[field].dims
            values = values.isel({dim: int(np.argmax(values[field].values == value))})
    curve = means_over_seeds(values.astype(float))
    (dim,) = metric.dims
    x = values[dim].values
    properties = look | {"marker": "", "label": None}
    ax.plot(x, curve.mean.values, **properties)
    ax.fill_between(
        x, curve.low.values, curve.high.values, color=look["color"], alpha=0.2, linewidth=0
    )


def _label(panels: np.ndarray, mean: xr.DataArray, abscissa: str | None, metric: Metric) -> None:
    ax = panels[0, 0]
    unit = "" if metric.units == "1" else f" ({metric.units})"
    ax.set_ylabel(f"{metric.long_name}{unit}")
    ax.set_xlabel(_words(abscissa or ""))
    if abscissa is not None:
        x = mean[abscissa].values
        if x.min() > 0 and x.max() / x.min() >= LOG_RATIO:
            style.log_axis(ax, "x")
    if panels.shape[1] == 2:
        style.panel_title(ax, "at the end", "a")
        style.panel_title(panels[0, 1], "best setting of each", "b")
        panels[0, 1].set_xlabel(_words(metric.dims[0]))


def _words(field: str) -> str:
    return "$K$" if field == "k" else "$B$" if field == "group_size" else field.replace("_", " ")


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float | np.number) else str(value)
