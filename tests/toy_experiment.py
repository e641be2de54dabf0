"""A toy experiment without JAX compilation, for the tests of the frame."""

import os
import time
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from ml_collections import ConfigDict

from experiments.common import style
from experiments.common.configuration import stored_config
from experiments.common.findings import Finding
from experiments.experiment import Experiment


def make_config(**fields: object) -> ConfigDict:
    defaults = {"seed": 0, "num_parts": 3, "scale": 1.0, "sizes": (1, 2), "names": ("maxpo",)}
    return ConfigDict(defaults | fields).lock()


def parts(config: ConfigDict) -> dict:
    if config.num_parts < 1:
        raise ValueError(f"num_parts is {config.num_parts}; it must be at least 1")

    def piece(index: int) -> xr.Dataset:
        with Path(os.environ.get("TOY_LOG", os.devnull)).open("a") as log:
            log.write(f"{index}\n")
        time.sleep(float(os.environ.get("TOY_SECONDS", "0")))
        rng = np.random.default_rng([config.seed, index])
        values = xr.DataArray(config.scale * rng.normal(size=5), dims="draw")
        return xr.Dataset({"value": values}, attrs={"gradient_draws": 5})

    return {f"piece={i}": (lambda i=i: piece(i)) for i in range(config.num_parts)}


def combine(config: ConfigDict, pieces: dict[str, xr.Dataset]) -> xr.Dataset:
    dataset = xr.concat(list(pieces.values()), dim="piece", combine_attrs="drop")
    dataset = dataset.assign_coords(piece=list(pieces))
    dataset.value.attrs.update(long_name="a value", units="1")
    return dataset


def draw(dataset: xr.Dataset) -> Figure:
    figure, axes = style.grid_of_panels(1, 1)
    axes[0, 0].plot(dataset.value.values.T)
    return figure


def claims(dataset: xr.Dataset) -> list[Finding]:
    mean = float(dataset.value.mean())
    return [Finding("toy", "mean", "the mean is below one", f"{mean:.2f}", mean < 1)]


def caption(dataset: xr.Dataset) -> str:
    return f"Toy values, seed {stored_config(dataset).seed}."


EXPERIMENT = Experiment("toy", parts, combine, draw, claims, caption)
