"""Datasets of grids with made-up numbers, of the dimensions that the engine gives them."""

import importlib

import numpy as np
import xarray as xr

from experiments.common import configuration
from experiments.engine import figure_config, measurement

LENGTHS = {
    "update": 5,
    "window": 4,
    "family": 2,
    "prompt": 12,
    "num_draws": 7,
    "evaluation_k": 9,
    "reward": 4,
    "return": 6,
}
KS = 2 ** np.arange(9)


def grids_of(name, mode="smoke"):
    """Figure, resolved config, and for each grid random positive numbers in its dimensions."""
    figure = importlib.import_module(f"experiments.analysis.{name}").FIGURE
    config = figure_config.resolve(figure, configuration.resolve_config(name, mode))
    rng = np.random.default_rng(0)
    grids = {}
    for grid, axes in config.get("grid", {}).items():
        sizes = {field: list(values) for field, values in axes.items()}
        outputs = measurement.load(figure.grids[grid]).outputs
        variables = {}
        for output, about in outputs.items():
            dims = (*sizes, *about.dims)
            shape = [len(sizes[d]) if d in sizes else LENGTHS[d] for d in dims]
            values = rng.uniform(0.5, 1.0, shape).astype(np.float32)
            if output.endswith("_distribution"):
                values /= values.sum(axis=-1, keepdims=True)
            variables[output] = (dims, values)
        dims = {d for about in outputs.values() for d in about.dims}
        own = {d: KS if d == "evaluation_k" else 10 * np.arange(1, LENGTHS[d] + 1) for d in dims}
        grids[grid] = xr.Dataset(variables, coords=sizes | own)
        if "base_success_prob" in variables:  # prompts of every difficulty, the same in every run
            grids[grid]["base_success_prob"][:] = np.geomspace(1e-4, 0.5, LENGTHS["prompt"])
    return figure, config, grids


def summary_of(figure, config, grids):
    """The summary as it is stored."""
    dataset = figure.summarize(config, grids)
    return dataset.assign_attrs(config=configuration.to_json(config))
