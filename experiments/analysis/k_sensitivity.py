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

from experiments.analysis import effects as comparisons
from experiments.analysis import labels, paper
from experiments.analysis.learning_curves import (
    INSTANCE_LABELS,
    INSTANCES,
    OPTIMIZER_LABELS,
    check_tuning,
    how_tuned,
    tune,
)
from experiments.common import style
from experiments.common.configuration import stored_config
from experiments.common.findings import Finding
from experiments.engine.figure import Figure

NAME = "k_sensitivity"
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
    for ax in axes.flat[max(0, share.sizes["estimator"] - num_columns) :]:
        ax.set_xlabel("training $K$")
        ax.tick_params(labelbottom=True)
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
    """Whether it is best to train for the k of evaluation, and what MaxPO gains over others."""
    share = share_of_optimum(dataset)
    share = share.sel(estimator=labels.defined(share))
    names = labels.estimators(share)
    if "maxpo" not in names:
        return []
    run = stored_config(dataset).run
    tested = f"{INSTANCE_LABELS[run.instance]} bandit, n = {run.num_actions}, B = {run.group_size}"
    found = [_own_k_is_best(share, tested)] if share.sizes["training_k"] > 1 else []
    rivals = ("rloo", "ei", "pkpo_s", *labels.added(names))
    return found + [_above(share, rival) for rival in rivals if rival in names]


def _own_k_is_best(share: xr.DataArray, tested: str) -> Finding:
    """MaxPO trained with K = k against the best of its other training K, paired by seed."""
    of_maxpo = share.sel(estimator="maxpo")
    own = [int(k) for k in share.evaluation_k.values if k in share.training_k]
    effects = []
    for k in own:
        at_k = of_maxpo.sel(evaluation_k=k)
        others = at_k.drop_sel(training_k=k)
        effects.append(
            comparisons.difference(
                f"at k = {k}", at_k.sel(training_k=k), _at_best_k(others), num_effects=len(own)
            )
        )
    return Finding(
        NAME,
        "own k is best",
        "MaxPO reaches its largest J_k when it is trained with K = k",
        effects,
        "J_k over its optimum, K = k minus the best other training K",
        "; ".join(f"{effect.estimate:+z.3f} {effect.where}" for effect in effects),
        paper=paper.OWN_K,
        tested=tested,
    )


def _above(share: xr.DataArray, rival: str) -> Finding:
    """Each at its best training K, as an oracle would choose it."""
    ks, label = [int(k) for k in share.evaluation_k.values], style.plain_label(rival)
    effects = [
        comparisons.difference(
            f"at k = {k}",
            *(_at_best_k(share.sel(evaluation_k=k, estimator=name)) for name in ("maxpo", rival)),
            num_effects=len(ks),
        )
        for k in ks
    ]
    shown = dict.fromkeys((0, len(ks) // 2, len(ks) - 1))
    return Finding(
        NAME,
        f"maxpo above {labels.short(rival)}",
        f"MaxPO reaches a larger J_k than {label}, each at its best training K",
        effects,
        f"J_k over its optimum, MaxPO minus {label}",
        "; ".join(f"{effects[i].estimate:+z.3f} {effects[i].where}" for i in shown),
    )


def _at_best_k(share: xr.DataArray) -> np.ndarray:
    return share.isel(training_k=int(np.argmax(share.mean("seed").values))).values


def caption(dataset: xr.Dataset) -> str:
    """Caption generated from the configuration that produced the data."""
    config = stored_config(dataset)
    run, rates = config.run, config.grid.training.learning_rate
    tuned = how_tuned(dataset.learning_rate.values, rates, config.num_tuning_seeds, "J_K")
    return (
        f"Exact J_k after training with K, for k tries at evaluation, on the "
        f"{INSTANCE_LABELS[run.instance]} bandit with n = {run.num_actions} arms "
        f"({INSTANCES[run.instance]}), B = {run.group_size}, by "
        f"{OPTIMIZER_LABELS[run.optimizer]}, {run.num_updates} updates. "
        f"Color: mean over {dataset.sizes['seed']} seeds of J_k, as a share of the largest J_k "
        "that any policy reaches. Dots: the best training K of each "
        f"evaluation k. Learning rate of each cell: {tuned}, with K that of training. Intervals "
        "stand with the findings."
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
