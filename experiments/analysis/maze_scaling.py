"""Updates until the goal is reached with probability one half, as mazes grow deeper."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from ml_collections import ConfigDict

from experiments.analysis import labels
from experiments.analysis.learning_curves import first_update
from experiments.common import style
from experiments.common.configuration import stored_config
from experiments.common.findings import Finding
from experiments.common.statistics import bootstrap_interval
from experiments.engine.figure import Figure

NAME = "maze_scaling"
RIVALS = ("rloo", "grpo", "ei", "pkpo_sloo", "zscore_maxpo")
GOAL_PROBABILITY = 0.5
LONG_NAMES = {
    "updates_to_goal": "updates until the exact probability to reach the goal is one half; "
    "missing where never",
    "final_goal_probability": "exact probability to reach the goal after the last update",
}


def summarize(config: ConfigDict, grids: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Updates and final probabilities [estimator, k, depth, bias, seed]."""
    of_grids = []
    for name in ("first_moment", "by_k"):
        goal = grids[name].goal_probability
        reached = first_update(goal >= GOAL_PROBABILITY)
        final = goal.isel(update=-1, drop=True).astype(np.float32)
        values = {"updates_to_goal": reached, "final_goal_probability": final}
        of_grids.append(xr.Dataset(values))
    names = dict.fromkeys(name for of_grid in of_grids for name in labels.estimators(of_grid))
    dataset = of_grids[1].combine_first(of_grids[0]).sel(estimator=list(names))
    dataset = dataset.transpose("estimator", "k", "depth", "bias", "seed")
    return labels.label(dataset, LONG_NAMES)


def draw(dataset: xr.Dataset) -> Drawing:
    """One row per bias, one column per K; the estimators of J_1 stand in every column."""
    config = stored_config(dataset)
    biases, ks = dataset.bias.values, config.grid.by_k.k
    figure, axes = style.grid_of_panels(
        len(biases), len(ks), panel_width=2.1, panel_height=1.5, sharex=True, sharey=True
    )
    for row, bias in enumerate(biases):
        for column, k in enumerate(ks):
            ax = axes[row, column]
            _draw_panel(ax, dataset.sel(bias=bias), int(k), config.run.num_updates)
            style.panel_title(ax, f"bias {bias:g}, $K = {k}$")
        axes[row, 0].set_ylabel("updates to the goal")
    for ax in axes[-1]:
        ax.set_xlabel("depth of the maze")
        ax.set_xticks(dataset.depth.values)
    style.log_axis(axes[0, 0], "y")
    style.shared_legend(figure)
    return figure


def _draw_panel(ax: Axes, of_bias: xr.Dataset, k: int, num_updates: int) -> None:
    """Medians over seeds with the range of seeds; crosses at the top where most never arrive."""
    ax.axhline(num_updates, color=style.GRAY, linestyle=":", linewidth=0.8, label="never (top)")
    names = sorted(of_bias.estimator.values, key=lambda name: name == "maxpo")  # MaxPO on top
    for position, name in enumerate(names):
        updates = _updates(of_bias, str(name), k)
        if updates is None:
            continue
        learned = (updates.notnull().mean("seed") > 0.5).values
        depths = updates.depth.values
        filled = updates.fillna(num_updates)
        median = np.where(learned, filled.median("seed").values, np.nan)
        style.curve_with_interval(
            ax,
            depths,
            median,
            np.where(learned, filled.min("seed").values, np.nan),
            np.where(learned, filled.max("seed").values, np.nan),
            str(name),
        )
        look = style.estimator_style(str(name))
        offset = (position - (len(names) - 1) / 2) * 0.02 * float(of_bias.depth.max())
        never = depths[~learned] + offset
        ax.plot(
            never,
            np.full(never.size, num_updates),
            linestyle="none",
            marker=look.marker,
            color=look.color,
            fillstyle="none",
        )


def _updates(dataset: xr.Dataset, name: str, k: int) -> xr.DataArray | None:
    """Updates of an estimator at K, or at 1 where it runs at 1 alone; None where at neither."""
    of_name = dataset.final_goal_probability.sel(estimator=name)
    for own_k in (k, 1):
        if own_k in dataset.k.values and bool(of_name.sel(k=own_k).notnull().all()):
            return dataset.updates_to_goal.sel(estimator=name, k=own_k)
    return None


def _deepest(dataset: xr.Dataset, name: str, k: int, bias: float) -> int:
    """The deepest maze that more than half of the seeds learn; 0 for none."""
    updates = _updates(dataset, name, k)
    if updates is None:
        return 0
    learned = updates.sel(bias=bias).notnull().mean("seed") > 0.5
    depths = updates.depth.values[learned.values]
    return int(depths.max()) if depths.size else 0


def findings(dataset: xr.Dataset) -> list[Finding]:
    """Where learning stops, and how MaxPO compares with RLOO and with its rivals at each K."""
    known = dataset.final_goal_probability.notnull().any(["k", "depth", "bias", "seed"])
    names = labels.estimators(dataset.isel(estimator=known.values))
    if "maxpo" not in names:
        return []
    found = [_deeper_than(dataset, rival) for rival in names if rival != "maxpo"]
    rivals = [rival for rival in (*RIVALS, *labels.added(names)) if rival in names]
    return found + [_faster_than(dataset, rival) for rival in rivals]


def _deeper_than(dataset: xr.Dataset, rival: str) -> Finding:
    config, label = stored_config(dataset), style.plain_label(rival)
    depths = {
        (int(k), float(bias)): (
            _deepest(dataset, "maxpo", k, bias),
            _deepest(dataset, rival, k, bias),
        )
        for k in config.grid.by_k.k
        for bias in dataset.bias.values
    }
    text = "; ".join(
        f"K = {k}, bias {bias:g}: {ours} against {theirs}"
        for (k, bias), (ours, theirs) in depths.items()
    )
    return Finding(
        NAME,
        f"maxpo_as_deep_as_{labels.short(rival)}",
        f"MaxPO learns mazes at least as deep as {label} does within "
        f"{config.run.num_updates} updates, at every K and bias",
        f"deepest learned, {text}",
        all(ours >= theirs for ours, theirs in depths.values()),
    )


def _faster_than(dataset: xr.Dataset, rival: str) -> Finding:
    """The updates in the mazes that are learned by both, MaxPO over the rival, at each K."""
    texts, faster, label = [], [], style.plain_label(rival)
    for k in stored_config(dataset).grid.by_k.k:
        ours, theirs = _updates(dataset, "maxpo", k), _updates(dataset, rival, k)
        if ours is None or theirs is None:
            continue
        logs = np.log(ours.values / theirs.values).ravel()
        logs = logs[np.isfinite(logs)]
        if logs.size == 0:
            texts.append(f"K = {k}: no maze learned by both")
            faster.append(False)
            continue
        low, high = bootstrap_interval(logs, statistic=np.mean)
        interval = f"[{np.exp(low):.2f}, {np.exp(high):.2f}]"
        texts.append(f"K = {k}: {np.exp(logs.mean()):.2f} {interval} in {logs.size} mazes")
        faster.append(bool(high < 0))
    return Finding(
        NAME,
        f"maxpo_faster_than_{labels.short(rival)}",
        f"MaxPO needs fewer updates than {label} in the mazes that both learn, at every K",
        f"geometric mean of the ratio, {'; '.join(texts)}",
        all(faster),
    )


def caption(dataset: xr.Dataset) -> str:
    """Caption generated from the configuration that produced the data."""
    run = stored_config(dataset).run
    prob = 1 / (1 + np.exp(-run.initial_logit))
    return (
        f"Updates until the exact probability to reach the goal is one half, in random mazes of "
        f"growing depth whose correct path takes action 1 in a share (the bias) of its steps. "
        f"{run.policy.capitalize()} policy that begins with probability {prob:.2g} "
        f"of action 1 in every state, groups of B = {run.group_size}, learning rate "
        f"{run.learning_rate:g}. Lines: medians over {dataset.sizes['seed']} seeds, each with a "
        f"maze of its own; shaded: from the fastest to the slowest. Open markers on the dotted "
        f"line: most seeds have not got there in {run.num_updates} updates. Estimators of J_1 are "
        f"the same in every column. A policy with one logit is left out: where the path turns, it "
        f"reaches the goal with probability 1/4 at most."
    )


def check(config: ConfigDict) -> None:
    """Refuse a maze that is not random, whose depth would not grow."""
    if config.run.path != "random":
        raise ValueError(f"path is {config.run.path!r}; depths grow in random mazes: path='random'")


FIGURE = Figure(
    name="maze_scaling",
    question="How many updates does it take to find the goal of a deeper maze?",
    grids={"first_moment": "maze_training", "by_k": "maze_training"},
    summarize=summarize,
    draw=draw,
    findings=findings,
    caption=caption,
    check=check,
)
