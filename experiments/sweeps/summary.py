"""Settings compared: the mean over seeds of each metric, with its interval, and which are best."""

from typing import NamedTuple

import numpy as np
import xarray as xr

from experiments.common.statistics import bootstrap_interval
from experiments.sweeps.merge import score
from experiments.sweeps.sweepable import Metric

SEED = "seed"


class Means(NamedTuple):
    """Means over seeds with the ends of their 95 % bootstrap interval, each without `seed`.

    The interval is NaN where there is one seed, and all three are NaN where a seed is missing.
    """

    mean: xr.DataArray
    low: xr.DataArray
    high: xr.DataArray


def mean_scores(dataset: xr.Dataset, name: str, metric: Metric) -> Means:
    """Means over seeds of the scores of a metric, for every setting of the other axes."""
    return means_over_seeds(score(dataset, name, metric))


def means_over_seeds(values: xr.DataArray) -> Means:
    """Means over the dimension `seed`, or over nothing where there is none."""
    if SEED not in values.dims:
        values = values.expand_dims(SEED, axis=-1)
    values = values.transpose(..., SEED)
    mean = values.mean(SEED, skipna=False, keep_attrs=True)
    low, high = np.full((2, *mean.shape), np.nan)
    complete = np.isfinite(values.values).all(axis=-1)
    if values.sizes[SEED] > 1 and complete.any():
        low[complete], high[complete] = bootstrap_interval(
            values.values[complete], statistic=np.mean
        )
    return Means(mean, mean.copy(data=low), mean.copy(data=high))


def ranking(means: Means, metric: Metric) -> list[dict[str, int]]:
    """Positions of the settings along their axes, the best first; those without a mean left out."""
    values = means.mean.values
    order = np.argsort(-values if metric.larger_is_better else values, axis=None, kind="stable")
    flat = [index for index in order if np.isfinite(values.flat[index])]
    positions = np.stack(np.unravel_index(np.array(flat, int), values.shape), axis=-1)
    dims = [str(dim) for dim in means.mean.dims]
    return [dict(zip(dims, map(int, position), strict=True)) for position in positions]


def setting_at(means: Means, position: dict[str, int]) -> dict[str, int | float | str | bool]:
    """The values of the swept fields at a position."""
    at = means.mean.isel(position)
    values = {str(name): coordinate.item() for name, coordinate in at.coords.items()}
    return {name: value for name, value in values.items() if name != SEED}
