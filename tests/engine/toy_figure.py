"""A figure over the toy measurement, which needs no JAX."""

import xarray as xr
from ml_collections import ConfigDict

from experiments.common import style
from experiments.common.configuration import stored_config
from experiments.common.findings import Effect, Finding
from experiments.engine.figure import Figure

MEASUREMENT = "tests.engine.toy_measurement"


def make_config(**fields):
    config = ConfigDict({"run": {"num_steps": 3, "group_size": 16}, "grid": {}, "scale": 1.0})
    config.grid.runs = ConfigDict({"estimator": ("maxpo", "ei"), "k": (2, 4), "seed": "0:4"})
    config.update(fields)
    return config.lock()


def summarize(config, grids):
    value = config.scale * grids["runs"].value
    return xr.Dataset({"value": value.assign_attrs(long_name="a value", units="1")})


def draw(dataset):
    figure, axes = style.grid_of_panels(1, 1)
    for name in dataset.estimator.values:
        values = dataset.value.sel(estimator=name)
        mean = values.mean("seed")
        interval = values.min("seed"), values.max("seed")
        style.curve_with_interval(axes[0, 0], dataset.k, mean, *interval, str(name))
    return figure


def findings(dataset):
    mean = float(dataset.value.mean())
    effect = Effect("", mean, mean, mean, "holds" if mean < 10 else "does not hold")
    return [Finding("toy", "mean", "The mean is below ten", [effect], "mean")]


def caption(dataset):
    return f"Toy values of {stored_config(dataset).run.num_steps} steps."


def check(config):
    if config.scale <= 0:
        raise ValueError(f"scale is {config.scale}; it must be positive")


FIGURE = Figure(
    name="toy",
    question="How large is a toy?",
    grids={"runs": MEASUREMENT},
    summarize=summarize,
    draw=draw,
    findings=findings,
    caption=caption,
    check=check,
)
