"""Final J_k for many evaluation k against the K of training: the paper's Figure 10."""

import itertools
from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure as Drawing
from ml_collections import ConfigDict

from experiments.analysis import labels
from experiments.analysis.learning_curves import INSTANCE_LABELS, at_the_edge, check_tuning, tune
from experiments.common import style
from experiments.common.configuration import stored_config
from experiments.common.findings import Finding
from experiments.common.statistics import bootstrap_interval
from experiments.engine.figure import Figure

COLORS = "cividis"
LONG_NAMES = {
    "max_at_k": "exact J_k of the trained policy",
    "optimum": "largest J_k of any policy",
    "learning_rate": "learning rate, tuned for J_K at the training K",
}


def summarize(config: ConfigDict, grids: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Values [estimator, training_k, seed, evaluation_k] at the tuned learning rates."""
    runs = grids["training"].isel(update=-1, drop=True).rename(k="training_k")
    tuned = tune(runs[["J"]], runs.max_at_k, config.num_tuning_seeds).rename(J="max_at_k")
    tuned = tuned.transpose("estimator", "training_k", "seed", "evaluation_k").astype(np.float32)
    tuned["optimum"] = grids["optimum"].J
    return labels.label(tuned, LONG_NAMES)


def share_of_optimum(dataset: xr.Dataset) -> xr.DataArray:
    """J_k of the trained policies over the largest J_k of any policy."""
    share = dataset.max_at_k / dataset.optimum
    return share.transpose("estimator", "seed", "evaluation_k", "training_k")


def draw(dataset: xr.Dataset) -> Drawing:
    """One heat map per estimator; a dot marks the best training K of each evaluation k."""
    share = share_of_optimum(dataset).mean("seed", skipna=False)
    share = share.isel(estimator=share.notnull().any(["evaluation_k", "training_k"]).values)
    num_columns = min(3, share.sizes["estimator"])
    num_rows = -(-share.sizes["estimator"] // num_columns)
    figure, axes = style.grid_of_panels(
        num_rows, num_columns, panel_height=2.0, sharex=True, sharey=True
    )
    norm = Normalize(float(share.min()), 1)
    for ax, name in itertools.zip_longest(axes.flat, share.estimator.values):
        if name is None:
            ax.set_visible(False)
            continue
        _draw_map(ax, share.sel(estimator=name), norm)
        style.panel_title(ax, style.estimator_style(str(name)).label)
    for ax in axes[-1]:
        ax.set_xlabel("training $K$")
    for ax in axes[:, 0]:
        ax.set_ylabel("evaluation $k$")
    bar = figure.colorbar(ScalarMappable(norm, COLORS), ax=list(axes.flat))
    bar.set_label("$J_k$ / largest $J_k$ of any policy")
    return figure


def _draw_map(ax: Axes, share: xr.DataArray, norm: Normalize) -> None:
    ax.pcolormesh(share.values, norm=norm, cmap=COLORS, rasterized=True)
    num_rows, num_columns = share.shape
    best = share.fillna(-np.inf).values.argmax(axis=1)
    ax.plot(
        best + 0.5,
        np.arange(num_rows) + 0.5,
        ls="none",
        marker="o",
        color="white",
        markeredgecolor="black",
        markeredgewidth=0.6,
    )
    ax.set_xticks(np.arange(num_columns) + 0.5, [str(k) for k in share.training_k.values])
    ax.set_yticks(np.arange(num_rows) + 0.5, [str(k) for k in share.evaluation_k.values])
    ax.grid(visible=False)


def findings(dataset: xr.Dataset) -> list[Finding]:
    """Whether it is best to train for the k of evaluation, and what MaxPO gains over RLOO."""
    share = share_of_optimum(dataset)
    share = share.sel(estimator=labels.defined(share))
    names = labels.estimators(share)
    found = [_own_k_is_best(share, name) for name in names]
    rivals = [name for name in ("rloo", *labels.added(names)) if name in names]
    return found + [_above(share, rival) for rival in rivals if "maxpo" in names]


def _own_k_is_best(share: xr.DataArray, name: str) -> Finding:
    mean = share.sel(estimator=name).mean("seed")
    best = mean.training_k.values[mean.values.argmax(axis=1)]
    pairs = list(zip(mean.evaluation_k.values, best, strict=True))
    own = [(k, b) for k, b in pairs if k in mean.training_k]
    return Finding(
        "k_sensitivity",
        f"{labels.short(name)}: own k is best",
        f"{style.plain_label(name)}: J_k is largest after training with K = k, for every k that "
        "was trained for",
        "best K " + ", ".join(f"{b} for k = {k}" for k, b in pairs),
        all(k == b for k, b in own),
    )


def _above(share: xr.DataArray, rival: str) -> Finding:
    """Each at its best training K, as an oracle would choose it."""
    wins, measured = [], []
    for k in share.evaluation_k.values:
        maxpo, other = (
            _at_best_k(share.sel(evaluation_k=k, estimator=e)) for e in ("maxpo", rival)
        )
        low = bootstrap_interval(maxpo - other, statistic=np.mean).low
        wins += [int(k)] if low > 0 else []
        measured.append(f"{maxpo.mean():.3f} against {other.mean():.3f} at k = {k}")
    return Finding(
        "k_sensitivity",
        f"maxpo above {labels.short(rival)}",
        f"MaxPO reaches a larger J_k than {style.plain_label(rival)} at every k, each at its best "
        "training K",
        f"larger at k in {wins}; shares of the optimum {', '.join(measured)}",
        len(wins) == share.sizes["evaluation_k"],
    )


def _at_best_k(share: xr.DataArray) -> np.ndarray:
    return share.isel(training_k=int(np.argmax(share.mean("seed").values))).values


def caption(dataset: xr.Dataset) -> str:
    """Caption generated from the configuration that produced the data."""
    config = stored_config(dataset)
    run, rates = config.run, config.grid.training.learning_rate
    optimizer = {"sgd": "plain gradient ascent", "adam": "Adam"}[run.optimizer]
    grid = ", ".join(f"{rate:g}" for rate in rates)
    num_edge = at_the_edge(dataset.learning_rate.values, rates)
    return (
        f"Exact J_k after training with K, for k tries at evaluation, on the "
        f"{INSTANCE_LABELS[run.instance]} bandit with n = {run.num_actions} arms (rung j "
        f"pays 2^(j/2) with chance 2^-j), B = {run.group_size}, by {optimizer}, "
        f"{run.num_updates} updates. Color: mean over {dataset.sizes['seed']} seeds of J_k, as a "
        "share of the largest J_k that any policy reaches. Dots: the best training K of each "
        f"evaluation k. The learning rate of every cell is chosen by the same grid ({grid}) for "
        f"the largest J_K at its training K on {config.num_tuning_seeds} other seeds; {num_edge} "
        f"of {dataset.learning_rate.size} choices lie on the edge of the grid. Intervals are "
        "given with the findings."
    )


FIGURE = Figure(
    name="k_sensitivity",
    question="For which K should one train, when k tries count in the end?",
    grids={"training": "bandit_training", "optimum": "bandit_optimum"},
    summarize=summarize,
    draw=draw,
    findings=findings,
    caption=caption,
    check=check_tuning,
)
