"""Updates until the goal is reached with probability one half, as mazes grow deeper."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from ml_collections import ConfigDict

from experiments.analysis import effects as comparisons
from experiments.analysis import labels
from experiments.analysis.learning_curves import first_update
from experiments.common import style
from experiments.common.configuration import stored_config
from experiments.common.findings import Finding
from experiments.engine.figure import Figure

NAME = "maze_scaling"
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
        len(biases), len(ks), panel_height=1.6, sharex=True, sharey=True
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
    axes[0, 0].set_ylim(top=1.6 * config.run.num_updates)
    style.shared_legend(figure)
    return figure


def _draw_panel(ax: Axes, of_bias: xr.Dataset, k: int, num_updates: int) -> None:
    """Medians over seeds with the range of seeds; open markers at the top where most never do."""
    never: dict[float, list[str]] = {}
    for name in labels.estimators(of_bias):
        updates = _updates(of_bias, name, k)
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
            name,
        )
        for depth in depths[~learned]:
            never.setdefault(float(depth), []).append(name)
    ax.axhline(
        num_updates,
        color=style.GRAY,
        linestyle=":",
        linewidth=0.8,
        label=f"not within {num_updates:,} updates",
    )
    apart = 0.035 * float(np.ptp(of_bias.depth.values))
    for depth, names in never.items():
        for position, name in enumerate(names):
            look = style.estimator_style(name).of_line() | {"label": "", "linestyle": "none"}
            place = depth + apart * (position - (len(names) - 1) / 2)
            ax.plot(place, num_updates, **look | {"markerfacecolor": "white"})


def _updates(dataset: xr.Dataset, name: str, k: int) -> xr.DataArray | None:
    """Updates of an estimator at K, or at 1 where it runs at 1 alone; None where at neither."""
    of_name = dataset.final_goal_probability.sel(estimator=name)
    for own_k in (k, 1):
        if own_k in dataset.k.values and bool(of_name.sel(k=own_k).notnull().all()):
            return dataset.updates_to_goal.sel(estimator=name, k=own_k)
    return None


def findings(dataset: xr.Dataset) -> list[Finding]:
    """Who needs fewer updates, and who learns more of the mazes."""
    known = dataset.final_goal_probability.notnull().any(["k", "depth", "bias", "seed"])
    names = labels.estimators(dataset.isel(estimator=known.values))
    if "maxpo" not in names:
        return []
    rivals = ("rloo", "ei", "pkpo_sloo", "zscore_maxpo", *labels.added(names))
    found = [_faster_than(dataset, rival) for rival in rivals if rival in names]
    if "rloo" in names:
        found.insert(1, _learns_more(dataset, "rloo"))
    return found


def _faster_than(dataset: xr.Dataset, rival: str) -> Finding:
    """Updates in the mazes that both learn, MaxPO over the rival, at each K.

    The mazes of one seed are averaged first: their depths and biases share its random numbers.
    """
    config, label = stored_config(dataset), style.plain_label(rival)
    effects = []
    for k in config.grid.by_k.k:
        ours, theirs = _updates(dataset, "maxpo", k), _updates(dataset, rival, k)
        if ours is None or theirs is None:
            continue
        logs = xr.DataArray(np.log(ours) - np.log(theirs))
        of_seeds = logs.mean([dim for dim in logs.dims if dim != "seed"]).dropna("seed")
        if of_seeds.size == 0:
            effects.append(comparisons.exact(f"at K = {k}", np.nan))
            continue
        ratios = np.exp(of_seeds.values)
        effects.append(
            comparisons.ratio_below_one(
                f"at K = {k}", ratios, np.ones_like(ratios), num_effects=len(config.grid.by_k.k)
            )
        )
    return Finding(
        NAME,
        f"maxpo_faster_than_{labels.short(rival)}",
        f"MaxPO needs fewer updates than {label} in mazes that both learn",
        effects,
        f"updates to the goal, MaxPO over {label}, geometric mean",
    )


def _learns_more(dataset: xr.Dataset, rival: str) -> Finding:
    """The share of the mazes of a seed that are learned at all."""
    config, label = stored_config(dataset), style.plain_label(rival)
    effects = []
    for k in config.grid.by_k.k:
        shares = []
        for name in ("maxpo", rival):
            updates = _updates(dataset, name, k)
            if updates is not None:
                learned = updates.notnull()
                shares.append(learned.mean([dim for dim in learned.dims if dim != "seed"]))
        if len(shares) == 2:
            effects.append(
                comparisons.difference(f"at K = {k}", *shares, num_effects=len(config.grid.by_k.k))
            )
    return Finding(
        NAME,
        f"maxpo_learns_more_than_{labels.short(rival)}",
        f"MaxPO learns more of the mazes than {label} within {config.run.num_updates} updates",
        effects,
        f"share of the mazes that are learned, MaxPO minus {label}",
    )


def caption(dataset: xr.Dataset) -> str:
    """Caption generated from the configuration that produced the data."""
    run = stored_config(dataset).run
    prob = 1 / (1 + np.exp(-run.initial_logit))
    at_one = dataset.final_goal_probability.sel(k=dataset.k == 1).notnull().any()
    same = "Estimators of J_1 are the same in every column. " if at_one else ""
    return (
        f"Updates until the exact probability to reach the goal is one half, in random mazes of "
        f"growing depth whose correct path takes action 1 in a share (the bias) of its steps. "
        f"{run.policy.capitalize()} policy that begins with probability {prob:.2g} "
        f"of action 1 in every state, groups of B = {run.group_size}, learning rate "
        f"{run.learning_rate:g}. Lines: medians over {dataset.sizes['seed']} seeds, each with a "
        f"maze of its own; shaded: from the fastest to the slowest. Open markers on the dotted "
        f"line: most seeds have not got there in {run.num_updates} updates. {same}"
        f"A policy with one logit is left out: where the path turns, it "
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
