"""The finished runs of a sweep as one labeled dataset, and as tables for people without xarray."""

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from ml_collections import ConfigDict

from experiments.sweeps.axes import SAMPLE, ZIPPED, Axis
from experiments.sweeps.plan import Plan
from experiments.sweeps.store import Store
from experiments.sweeps.sweepable import Metric, Sweepable


def merge(plan: Plan, sweepable: Sweepable, base: ConfigDict, store: Store) -> xr.Dataset:
    """All results of a sweep, with the axes of the sweep as dimensions.

    Args:
      plan: the plan.
      sweepable: what the experiment offers.
      base: the config of one run, before the axes set any field.
      store: the store.

    Returns:
      For each metric a variable [*axes, *dims]. Runs without a result are NaN, and so are the ends
      of curves that are shorter than others. It depends on the results alone: a sweep that was
      interrupted gives the same dataset.
    """
    results = [store.load(run.key) for run in plan.runs]
    shape = tuple(len(axis.settings) for axis in plan.axes)
    names = tuple(axis.name for axis in plan.axes)
    dataset = xr.Dataset(coords=_axis_coordinates(plan.axes))
    for name, metric in sweepable.metrics.items():
        rows = [None if result is None else result.arrays[name] for result in results]
        values = _stacked(rows, len(metric.dims))
        dataset[name] = xr.DataArray(
            values.reshape(*shape, *values.shape[1:]),
            dims=(*names, *metric.dims),
            attrs={"long_name": metric.long_name, "units": metric.units},
        )
    dataset = dataset.assign_coords(_metric_coordinates(plan, sweepable, dataset))
    return dataset.assign_attrs(
        experiment=plan.experiment,
        config=json.dumps(base.to_dict(), indent=2, sort_keys=True),
        code_hash=plan.code,
    )


def score(dataset: xr.Dataset, name: str, metric: Metric) -> xr.DataArray:
    """The score of each run: a metric at the last entry of its own dimensions that is not NaN."""
    values = dataset[name].astype(float)
    for dim in metric.dims:
        missing_from_the_end = values.isnull().isel({dim: slice(None, None, -1)})
        last_present = values.sizes[dim] - 1 - missing_from_the_end.argmin(dim)
        values = values.isel({dim: last_present}).drop_vars(dim, errors="ignore")
    return values.assign_attrs(dataset[name].attrs)


def runs_table(dataset: xr.Dataset, metrics: Mapping[str, Metric]) -> bytes:
    """A CSV table with one row per run: the swept fields, and the score of each metric."""
    scores = {name: score(dataset, name, metric) for name, metric in metrics.items()}
    return _csv(xr.Dataset(scores))


def curves_table(dataset: xr.Dataset, metrics: Mapping[str, Metric]) -> bytes | None:
    """A CSV table with one row per run and step; None where no metric is a curve."""
    curves = [name for name, metric in metrics.items() if metric.dims]
    return _csv(dataset[curves]) if curves else None


def _csv(dataset: xr.Dataset) -> bytes:
    buffer = io.BytesIO()
    frame = dataset.to_dataframe(dim_order=list(dataset.sizes)).reset_index()
    frame.to_csv(buffer, index=False, float_format="%.9g", lineterminator="\n")
    return buffer.getvalue()


def _axis_coordinates(axes: Sequence[Axis]) -> dict[str, tuple[str, np.ndarray]]:
    coordinates = {}
    for axis in axes:
        if axis.name in (ZIPPED, SAMPLE):
            coordinates[axis.name] = (axis.name, np.arange(len(axis.settings)))
        for field in axis.fields:
            values = np.array([setting[field] for setting in axis.settings])
            coordinates[field] = (axis.name, values)
    return coordinates


def _stacked(rows: Sequence[np.ndarray | None], num_dims: int) -> np.ndarray:
    """Rows of possibly different lengths as one array, NaN where there is nothing."""
    present = [row for row in rows if row is not None]
    shapes = {row.shape for row in present}
    if len(present) == len(rows) and len(shapes) == 1:
        return np.stack(present)
    dtype = np.result_type(*present, np.float32) if present else np.dtype(np.float32)
    longest = [max((row.shape[dim] for row in present), default=0) for dim in range(num_dims)]
    values = np.full((len(rows), *longest), np.nan, dtype)
    for index, row in enumerate(rows):
        if row is not None:
            place: Any = (index, *(slice(size) for size in row.shape))
            values[place] = row
    return values


def _metric_coordinates(
    plan: Plan, sweepable: Sweepable, dataset: xr.Dataset
) -> dict[str, np.ndarray]:
    """Coordinates of the dimensions of the metrics: of the group that fills each dimension."""
    coordinates = {}
    first_of_group = {run.group: run for run in reversed(plan.runs)}
    for run in first_of_group.values():
        for dim, values in sweepable.coordinates(ConfigDict(run.config)).items():
            if dataset.sizes.get(dim) == len(values):
                coordinates[dim] = np.asarray(values)
    return coordinates
