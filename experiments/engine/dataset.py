"""The results of a plan as one labeled dataset, and as tables for people without xarray."""

import io
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from ml_collections import FrozenConfigDict

from experiments.common.errors import UserError, did_you_mean
from experiments.engine.grid import SAMPLE, ZIPPED, Axis
from experiments.engine.measurement import SEED, Measurement
from experiments.engine.plan import Plan
from experiments.engine.store import Group, Store

EVALUATION_K = "evaluation_k"
SPACING = "spacing"  # attribute of a swept field whose values are even in log
SELECTION = re.compile(r"(?P<output>\w+)(\[(?P<at>[^\]]*)\])?")


def merged(plan: Plan, store: Store) -> xr.Dataset:
    """All results of a plan, with its axes as dimensions.

    Args:
      plan: the plan.
      store: the store.

    Returns:
      For each output a variable [*axes, *dims]. Runs without a result are NaN, and so are the ends
      of curves that are shorter than others. It depends on the results alone: a sweep that was
      interrupted gives the same dataset. Attributes: `measurement`, `fields` (of one run, JSON),
      `code_hash`, `refused` (how many runs make no sense, by the reason, JSON).
    """
    rows = _rows(plan, store)
    shape = tuple(len(axis.settings) for axis in plan.axes)
    names = tuple(axis.name for axis in plan.axes)
    dataset = xr.Dataset(coords=_axis_coordinates(plan.axes))
    for name, output in plan.measurement.outputs.items():
        found = [None if row is None else row[name] for row in rows]
        values = _stacked(found, len(output.dims))
        dataset[name] = xr.DataArray(
            values.reshape((*shape, *values.shape[1:])),
            dims=(*names, *output.dims),
            attrs={"long_name": output.long_name, "units": output.units},
        )
    dataset = dataset.assign_coords(_output_coordinates(plan, dataset))
    refused = {reason: len(runs) for reason, runs in plan.refusals().items()}
    return dataset.assign_attrs(
        measurement=plan.name,
        fields=json.dumps(plan.fields, indent=2, sort_keys=True),
        code_hash=plan.code,
        refused=json.dumps(refused, sort_keys=True),
    )


def select(dataset: xr.Dataset, metric: str) -> xr.DataArray:
    """An output, or a part of it: `J[k=8]` where J has the dimension `evaluation_k` or `k`.

    Raises:
      UserError: if there is no such output, dimension or coordinate.

    Example:
      >>> J = xr.DataArray([0.25, 0.5], dims="evaluation_k", coords={"evaluation_k": [1, 8]})
      >>> select(xr.Dataset({"J": J}), "J[k=8]").item()
      0.5
    """
    match = SELECTION.fullmatch(metric.strip())
    if match is None:
        raise UserError(f"the metric {metric} is not understood: write OUTPUT or OUTPUT[k=8]")
    output = match["output"]
    if output not in dataset.data_vars:
        raise UserError(
            f"the measurement has no output {output!r}; "
            f"{did_you_mean(output, map(str, dataset.data_vars))}"
        )
    values = dataset[output]
    for part in filter(None, (match["at"] or "").split(",")):
        values = _at(values, output, part)
    return values


def score(values: xr.DataArray, axes: Sequence[str]) -> xr.DataArray:
    """One number for each run: the last entry of each dimension of the output that is not NaN.

    Args:
      values: an output, or a part of it.
      axes: names of the axes of the grid, which are kept.
    """
    last = values.astype(float)
    for dim in [str(dim) for dim in values.dims if dim not in axes]:
        missing_from_the_end = last.isnull().isel({dim: slice(None, None, -1)})
        position = last.sizes[dim] - 1 - missing_from_the_end.argmin(dim)
        last = last.isel({dim: position}).drop_vars(dim, errors="ignore")
    return last.assign_attrs(values.attrs)


def axis_names(dataset: xr.Dataset, measurement: Measurement) -> list[str]:
    """The axes among the dimensions of a merged dataset, in order."""
    own = {dim for output in measurement.outputs.values() for dim in output.dims}
    return [str(dim) for dim in dataset.dims if dim not in own]


def blank_outputs(measurement: Measurement, fields: Mapping[str, Any]) -> xr.Dataset:
    """The outputs of one run with their dimensions and coordinates, all zero."""
    run = FrozenConfigDict({name: value for name, value in fields.items() if name != SEED})
    found = measurement.coordinates(run).items()
    coordinates = {dim: np.asarray(values) for dim, values in found}
    outputs = {
        name: (output.dims, np.zeros([len(coordinates.get(dim, [0])) for dim in output.dims]))
        for name, output in measurement.outputs.items()
    }
    return xr.Dataset(outputs, coords={dim: (dim, v) for dim, v in coordinates.items()})


def runs_table(dataset: xr.Dataset, measurement: Measurement) -> bytes:
    """A CSV table with one row a run: the swept fields, and the score of each output."""
    axes = axis_names(dataset, measurement)
    columns = _columns(dataset, measurement)
    scores = {name: score(values, axes) for name, values in columns.items()}
    return _csv([_frame(xr.Dataset(scores), axes)])


def curves_table(dataset: xr.Dataset, measurement: Measurement) -> bytes | None:
    """A CSV table with one row a run and step; None where no output is a curve.

    Outputs along other dimensions follow below one another, with their own column of steps.
    """
    axes = axis_names(dataset, measurement)
    by_dims: dict[tuple[str, ...], dict[str, xr.DataArray]] = {}
    for name, values in _columns(dataset, measurement).items():
        if dims := tuple(str(dim) for dim in values.dims if dim not in axes):
            by_dims.setdefault(dims, {})[name] = values
    if not by_dims:
        return None
    frames = [_frame(xr.Dataset(some), [*axes, *dims]) for dims, some in by_dims.items()]
    return _csv(frames)


def to_bytes(dataset: xr.Dataset) -> bytes:
    """The dataset as netCDF; equal datasets give equal bytes."""
    return bytes(dataset.to_netcdf(engine="h5netcdf"))


def _rows(plan: Plan, store: Store) -> list[dict[str, np.ndarray] | None]:
    groups: dict[str, Group] = {}
    rows: list[dict[str, np.ndarray] | None] = []
    for run in plan.runs:
        if run.address is None:
            rows.append(None)
            continue
        group, member, seed = run.address
        if group not in groups:
            groups[group] = store.load(plan.name, group)
        rows.append(groups[group].result(member, seed))
    return rows


def _axis_coordinates(axes: Sequence[Axis]) -> dict[str, tuple[str, np.ndarray, dict[str, str]]]:
    coordinates: dict[str, tuple[str, np.ndarray, dict[str, str]]] = {}
    for axis in axes:
        if axis.name in (ZIPPED, SAMPLE):
            coordinates[axis.name] = (axis.name, np.arange(len(axis.settings)), {})
        for field in axis.fields:
            attributes = {SPACING: "log"} if field in axis.log else {}
            coordinates[field] = (axis.name, np.array(axis.values(field)), attributes)
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


def _output_coordinates(plan: Plan, dataset: xr.Dataset) -> dict[str, np.ndarray]:
    """Coordinates of the dimensions of the outputs: of the setting that fills each dimension."""
    found: dict[str, np.ndarray] = {}
    settings = {}
    for run in plan.runs:
        if not run.refused:
            fields = {name: value for name, value in run.fields.items() if name != SEED}
            settings[json.dumps(fields, sort_keys=True)] = fields
    for fields in settings.values():
        for dim, values in plan.measurement.coordinates(FrozenConfigDict(fields)).items():
            if dim not in found and dataset.sizes.get(dim) == len(values):
                found[dim] = np.asarray(values)
        if all(dim in found for output in plan.measurement.outputs.values() for dim in output.dims):
            break
    return found


def _at(values: xr.DataArray, output: str, part: str) -> xr.DataArray:
    given, _, number = part.partition("=")
    dims = [str(dim) for dim in values.dims]
    dim = EVALUATION_K if given == "k" and EVALUATION_K in dims else given
    if dim not in values.coords or dim not in dims:
        raise UserError(f"{output} has no dimension {given!r}; {did_you_mean(given, dims)}")
    known = values[dim].values
    try:
        wanted = type(known[0].item())(number)
    except ValueError as error:
        raise UserError(f"{part} is not understood: {given} takes a number") from error
    if wanted not in known:
        raise UserError(f"{output} has no {given} = {number}; known: {', '.join(map(str, known))}")
    return values.sel({dim: wanted})


def _columns(dataset: xr.Dataset, measurement: Measurement) -> dict[str, xr.DataArray]:
    """The outputs, those with several evaluated K apart."""
    columns: dict[str, xr.DataArray] = {}
    for name in measurement.outputs:
        values = dataset[name]
        if EVALUATION_K in values.dims:
            for k in values[EVALUATION_K].values:
                columns[f"{name}[k={k}]"] = values.sel({EVALUATION_K: k}, drop=True)
        else:
            columns[name] = values
    return columns


def _frame(dataset: xr.Dataset, dims: Sequence[str]) -> pd.DataFrame:
    if not dims:
        return pd.DataFrame({str(name): [v.item()] for name, v in dataset.data_vars.items()})
    return dataset.to_dataframe(dim_order=list(dims)).reset_index()


def _csv(frames: Sequence[pd.DataFrame]) -> bytes:
    buffer = io.BytesIO()
    frame = pd.concat(frames, ignore_index=True) if len(frames) > 1 else frames[0]
    frame.to_csv(buffer, index=False, float_format="%.9g", lineterminator="\n")
    return buffer.getvalue()
