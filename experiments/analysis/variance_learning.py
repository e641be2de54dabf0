"""Learning where theory says that MaxPO varies least: many answers, likely success, small K."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.figure import Figure as Drawing
from ml_collections import ConfigDict

from experiments.analysis import effects as comparisons
from experiments.analysis import labels, paper
from experiments.analysis.learning_curves import OPTIMIZER_LABELS, draw_curve, first_update
from experiments.common import style
from experiments.common.configuration import stored_config
from experiments.common.findings import Effect, Finding
from experiments.engine.figure import Figure

NAME = "variance_learning"
POLICIES = {"shared": "one shared policy", "table": "a table a prompt"}
LONG_NAMES = {
    "max_at_k": "exact pass@K, mean over prompts",
    "updates_to_threshold": "updates until pass@K is the threshold; missing where never",
}


def summarize(config: ConfigDict, grids: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Curves at the middle learning rate, and the updates that every run needs."""
    curves, updates = [], []
    for runs in grids.values():
        values = runs.max_at_k
        rates = [f"rate {place}" for place in range(runs.sizes["learning_rate"])]
        values = values.assign_coords(rate=("learning_rate", rates))
        values = values.swap_dims(learning_rate="rate").drop_vars("learning_rate")
        curves.append(values.isel(rate=values.sizes["rate"] // 2, drop=True))
        updates.append(first_update(values >= config.threshold))
    dataset = xr.Dataset(
        {
            "max_at_k": xr.concat(curves, dim="optimizer"),
            "updates_to_threshold": xr.concat(updates, dim="optimizer"),
        }
    )
    return labels.label(dataset.astype(np.float32), LONG_NAMES)


def draw(dataset: xr.Dataset) -> Drawing:
    """pass@K against updates: a row an optimizer, a column a policy."""
    k = stored_config(dataset).run.k
    optimizers, policies = dataset.optimizer.values, dataset.policy.values
    figure, axes = style.grid_of_panels(
        len(optimizers), len(policies), panel_width=2.6, panel_height=1.7, sharex=True, sharey=True
    )
    for row, optimizer in enumerate(optimizers):
        for column, policy in enumerate(policies):
            ax = axes[row, column]
            curves = dataset.max_at_k.sel(optimizer=optimizer, policy=policy)
            for name in labels.defined(curves):
                draw_curve(ax, curves["update"].values, curves.sel(estimator=name), name, k)
            ax.axhline(stored_config(dataset).threshold, color=style.GRAY, lw=0.8, ls="--")
            if row == 0:
                style.panel_title(ax, POLICIES[str(policy)])
        axes[row, 0].set_ylabel(f"{OPTIMIZER_LABELS[str(optimizer)]}\npass@{k}")
    for ax in axes[-1]:
        ax.set_xlabel("updates")
    style.shared_legend(figure)
    return figure


def findings(dataset: xr.Dataset) -> list[Finding]:
    """Updates to the threshold, MaxPO over others, for each optimizer and policy."""
    names = labels.defined(dataset.max_at_k)
    rivals = [name for name in ("ei", *labels.added(names)) if name in names and "maxpo" in names]
    order = sorted(map(str, dataset.optimizer.values))  # Adam first
    return [_faster(dataset, rival, optimizer) for rival in rivals for optimizer in order]


def _faster(dataset: xr.Dataset, rival: str, optimizer: str) -> Finding:
    """Paired by seed; the learning rates of a seed are averaged first, in logarithm."""
    config = stored_config(dataset)
    run, label = config.run, style.plain_label(rival)
    updates = dataset.updates_to_threshold.sel(optimizer=optimizer)
    policies = [str(policy) for policy in dataset.policy.values]
    effects = [_ratio(updates.sel(policy=one), rival, f"with {POLICIES[one]}") for one in policies]
    return Finding(
        NAME,
        f"maxpo_faster_than_{labels.short(rival)}_{optimizer}",
        f"By {OPTIMIZER_LABELS[optimizer]} MaxPO needs fewer updates than {label} to pass@{run.k} "
        f"= {config.threshold:g}",
        effects,
        f"updates, MaxPO over {label}, geometric mean over learning rates",
        paper=paper.BETTER if rival == "ei" else "",
        tested=f"{run.num_prompts} prompts, {run.num_right} of {run.num_answers} answers right, "
        f"B = {run.group_size}, K = {run.k}, {optimizer}, against {label}",
    )


def _ratio(updates: xr.DataArray, rival: str, where: str) -> Effect:
    logs = xr.DataArray(np.log(updates.sel(estimator=["maxpo", rival])))
    logs = logs.mean("rate", skipna=False).dropna("seed")
    if not logs.sizes["seed"]:
        return comparisons.exact(where, np.nan)
    return comparisons.ratio_below_one(
        where, *(np.exp(logs.sel(estimator=name)) for name in ("maxpo", rival)), num_effects=2
    )


def caption(dataset: xr.Dataset) -> str:
    """Caption generated from the configuration that produced the data."""
    config = stored_config(dataset)
    run = config.run
    rates = "; ".join(
        f"{OPTIMIZER_LABELS[str(name)]} "
        + ", ".join(f"{rate:g}" for rate in config.grid[str(name)].learning_rate)
        for name in dataset.optimizer.values
    )
    return (
        f"Exact pass@{run.k}, mean over {run.num_prompts} prompts with {run.num_answers} answers "
        f"of which {run.num_right} are right, whose base success probabilities run from "
        f"{run.hardest:g} to {run.easiest:g}: scores are nearly orthogonal and success is likely, "
        f"where theory gives MaxPO the lower variance. B = {run.group_size}, K = {run.k}. Shared "
        f"policies have rank {run.rank}. Curves: the middle of the learning rates ({rates}), mean "
        f"over {dataset.sizes['seed']} seeds; bands: 95% bootstrap intervals. Dashed: the "
        "pass@K whose update is compared, at every learning rate."
    )


FIGURE = Figure(
    name=NAME,
    question="Does the estimator of lower variance learn faster?",
    grids={"sgd": "contextual_training", "adam": "contextual_training"},
    summarize=summarize,
    draw=draw,
    findings=findings,
    caption=caption,
)
