"""The page of a sweep: one self-contained HTML file, from the dataset alone."""

import html
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from experiments.sweeps.summary import Means, mean_scores, means_over_seeds, ranking, setting_at
from experiments.sweeps.sweepable import Metric

ASSETS = Path(__file__).with_name("page_assets")
MAX_SETTINGS = 1000  # of a metric, the best ones
MAX_CURVES = 8  # of a metric, of the best settings
MAX_POINTS = 200  # of a curve
DIGITS = 6


def render(
    dataset: xr.Dataset, metrics: Mapping[str, Metric], metric: str, manifest: Mapping[str, Any]
) -> str:
    """The page, with its data, its style and its program inside.

    Args:
      dataset: the merged dataset.
      metrics: the metrics of the experiment.
      metric: the metric that is shown first.
      manifest: the manifest of the sweep.
    """
    data = {
        "experiment": dataset.attrs["experiment"],
        "metric": metric,
        "metrics": {name: _metric_data(dataset, name, m) for name, m in metrics.items()},
        "manifest": manifest,
    }
    # "<" could end the script element that the text stands in.
    text = json.dumps(data, allow_nan=False).replace("<", "\\u003c")
    page = (ASSETS / "page.html").read_text(encoding="utf-8")
    parts = {
        "TITLE": html.escape(f"Sweep of {dataset.attrs['experiment']}"),
        "STYLE": (ASSETS / "page.css").read_text(encoding="utf-8"),
        "PROGRAM": (ASSETS / "page.js").read_text(encoding="utf-8"),
        "DATA": text,
    }
    for name, part in parts.items():
        page = page.replace(f"[[{name}]]", part)
    return page


def _metric_data(dataset: xr.Dataset, name: str, metric: Metric) -> dict[str, Any]:
    means = mean_scores(dataset, name, metric)
    order = ranking(means, metric)
    settings = [_setting_data(means, position) for position in order[:MAX_SETTINGS]]
    curves = [_curve_data(dataset[name], p, metric) for p in order[:MAX_CURVES]]
    return {
        "long_name": metric.long_name,
        "units": metric.units,
        "larger_is_better": metric.larger_is_better,
        "num_seeds": dataset.sizes.get("seed", 1),
        "num_settings": len(order),
        "settings": settings,
        "step_name": metric.dims[0] if len(metric.dims) == 1 else "",
        "curves": curves if len(metric.dims) == 1 else [],
    }


def _setting_data(means: Means, position: dict[str, int]) -> dict[str, Any]:
    mean, low, high = (_plain(part.isel(position).item()) for part in means)
    return {"fields": setting_at(means, position), "mean": mean, "low": low, "high": high}


def _curve_data(
    values: xr.DataArray, position: dict[str, int], metric: Metric
) -> dict[str, Any] | None:
    if len(metric.dims) != 1:
        return None
    (dim,) = metric.dims
    size = values.sizes[dim]
    kept = np.unique(np.linspace(0, size - 1, min(size, MAX_POINTS)).round().astype(int))
    curve = means_over_seeds(values.isel({**position, dim: kept}).astype(float))
    return {
        "x": [_plain(x) for x in values[dim].values[kept].tolist()],
        "mean": [_plain(y) for y in curve.mean.values.tolist()],
        "low": [_plain(y) for y in curve.low.values.tolist()],
        "high": [_plain(y) for y in curve.high.values.tolist()],
    }


def _plain(value: float) -> float | None:
    """A number as JSON takes it, short."""
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
