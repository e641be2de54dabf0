"""Labels of stored variables, and which of the estimators of a figure were added to it."""

from collections.abc import Mapping
from typing import TypeVar

import xarray as xr

Data = TypeVar("Data", xr.Dataset, xr.DataArray)


def label(dataset: xr.Dataset, long_names: Mapping[str, str]) -> xr.Dataset:
    """The dataset with the long name and the unit, a pure number, of each variable alone."""
    labeled = dataset.drop_attrs(deep=False)
    for name, variable in labeled.data_vars.items():
        variable.attrs = {"long_name": long_names[str(name)], "units": "1"}
    return labeled


def estimators(dataset: xr.Dataset | xr.DataArray) -> list[str]:
    """The names of the estimators of a dataset."""
    return [str(name) for name in dataset.estimator.values]


def added(names: list[str]) -> list[str]:
    """Those that are functions of the user, `module:function` or `path/to/file.py:function`.

    Example:
      >>> added(["maxpo", "mine.py:half_baseline"])
      ['mine.py:half_baseline']
    """
    return [name for name in names if ":" in name]


def short(name: str) -> str:
    """The name of an estimator, of a function its own name alone.

    Example:
      >>> short("maxpo"), short("mine.py:half_baseline")
      ('maxpo', 'half_baseline')
    """
    return name.rpartition(":")[2]


def defined(values: xr.DataArray) -> list[str]:
    """The estimators with a value everywhere."""
    others = [dim for dim in values.dims if dim != "estimator"]
    return [str(name) for name in values.estimator.values[values.notnull().all(others).values]]
