"""What a figure is: grids over measurements, a summary of their runs, and what is shown of it."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import xarray as xr
from matplotlib.figure import Figure as Drawing
from ml_collections import ConfigDict

from experiments.common.findings import Finding


@dataclasses.dataclass(frozen=True)
class Figure:
    """How a figure is made; `experiments/analysis/<name>.py` defines `FIGURE = Figure(...)`.

    Attributes:
      name: of the module in `experiments/analysis`, of the config file and of the output folder.
      question: what it answers, in one line.
      grids: the measurement behind each grid, by the grid's name in `config.grid`.
      summarize: `(config, {grid: dataset}) -> dataset`, small, with `long_name` and `units` on each
        variable: what is committed. A dataset of a grid has a dimension for each axis.
      draw: makes the drawing from the summary alone; its config is in the summary's attributes.
      findings: what the summary says, from it alone.
      caption: text under the figure, from the summary alone.
      check: raises ValueError for a config that makes no sense, before anything is computed.
    """

    name: str
    question: str
    grids: Mapping[str, str]
    summarize: Callable[[ConfigDict, Mapping[str, xr.Dataset]], xr.Dataset]
    draw: Callable[[xr.Dataset], Drawing]
    findings: Callable[[xr.Dataset], list[Finding]]
    caption: Callable[[xr.Dataset], str]
    check: Callable[[ConfigDict], Any] = lambda config: None
