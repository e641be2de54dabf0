"""Settings compared: the mean over seeds, with its interval, and which settings are best."""

from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from experiments.common.statistics import bootstrap_interval

SEED = "seed"


class Means(NamedTuple):
    """Means over seeds with the ends of their 95 % bootstrap interval, each without `seed`.

    The interval is NaN where there is one seed, and all three are NaN where a seed is missing.
    """

    mean: xr.DataArray
    low: xr.DataArray
    high: xr.DataArray


def means_over_seeds(values: xr.DataArray) -> Means:
    """Means over the dimension `seed`, or over nothing where there is none."""
    if SEED not in values.dims:
        values = values.drop_vars(SEED, errors="ignore").expand_dims(SEED, axis=-1)
    values = values.transpose(..., SEED)
    mean = values.mean(SEED, skipna=False, keep_attrs=True)
    ends = np.full((2, *mean.shape), np.nan)
    complete = np.isfinite(values.values).all(axis=-1)
    if values.sizes[SEED] > 1 and complete.any():
        ends[:, complete] = bootstrap_interval(values.values[complete], statistic=np.mean)
    return Means(mean, mean.copy(data=ends[0]), mean.copy(data=ends[1]))


def ranking(means: Means, larger_is_better: bool) -> list[dict[str, int]]:
    """Positions of the settings along their axes, the best first; those without a mean left out."""
    values = means.mean.values
    order = np.argsort(-values if larger_is_better else values, axis=None, kind="stable")
    flat = [index for index in order if np.isfinite(values.flat[index])]
    if not values.ndim:
        return [{}] if flat else []
    positions = np.stack(np.unravel_index(np.array(flat, int), values.shape), axis=-1)
    dims = [str(dim) for dim in means.mean.dims]
    return [dict(zip(dims, map(int, position), strict=True)) for position in positions]


def best_setting(means: Means, larger_is_better: bool) -> dict[str, Any]:
    """The values of the swept fields at the best setting; empty where no mean is known."""
    order = ranking(means, larger_is_better)
    if not order:
        return {}
    coordinates = means.mean.isel(order[0]).coords.items()
    return {str(name): value.item() for name, value in coordinates if name != SEED}
