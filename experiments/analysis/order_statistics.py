"""Learners that are trained for the worst, the middle or the best of K tries: where they end."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure as Drawing
from ml_collections import ConfigDict

from experiments.analysis import effects as comparisons
from experiments.analysis import labels
from experiments.analysis.learning_curves import INSTANCES, check_tuning, how_tuned, tune
from experiments.common import style
from experiments.common.configuration import stored_config
from experiments.common.findings import Finding
from experiments.common.statistics import bootstrap_interval
from experiments.engine.figure import Figure

NAME = "order_statistics"
STATISTICS = {
    "min_at_k": "min",
    "median_at_k": "median",
    "rloo": "mean",
    "top_two_at_k": "top 2",
    "maxpo": "max",
}
"""The statistic of K tries that a learner is trained for, by its estimator."""
WORLDS = {"ladder": ("reward", "reward_distribution"), "maze": ("return", "return_distribution")}
PLACES = {"ladder": "On the ladder", "maze": "In the maze"}
COLORS = "cividis"
RAREST = 1e-4  # chance at which the axis of a distribution ends
LONG_NAMES = {
    "ladder_distribution": "exact probability of each reward of the trained policy",
    "maze_distribution": "exact probability of each return of the trained policy",
    "ladder_value": "exact expectation of a statistic of K rewards of the trained policy",
    "maze_value": "exact expectation of a statistic of K returns of the trained policy",
    "ladder_learning_rate": "learning rate, tuned for the learner's own statistic",
    "maze_learning_rate": "learning rate, tuned for the learner's own statistic",
}


def summarize(config: ConfigDict, grids: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Where each learner ends, [estimator, seed, ...], at the rate tuned for its own statistic."""
    variables: dict[str, xr.DataArray] = {}
    for world, (outcome, name) in WORLDS.items():
        runs = grids[world]
        fixed = [dim for dim in ("num_updates", "updates_per_record") if dim in runs.dims]
        runs = runs[[name]].squeeze(fixed, drop=True)
        values = _values(runs[name], outcome, int(config.run.k))
        own = [STATISTICS.get(one, "max") for one in labels.estimators(runs)]
        objective = values.sel(statistic=xr.DataArray(own, dims="estimator"))
        runs["value"] = values
        tuned = tune(runs, objective.drop_vars("statistic"), config.num_tuning_seeds)
        renamed = {"learning_rate": "learning_rate", name: "distribution", "value": "value"}
        variables |= {f"{world}_{new}": tuned[old] for old, new in renamed.items()}
    dataset = xr.Dataset(variables).drop_vars("learning_rate", errors="ignore")
    return labels.label(dataset.astype(np.float32), LONG_NAMES)


def _values(distribution: xr.DataArray, outcome: str, k: int) -> xr.DataArray:
    """Exact value [..., statistic] of each statistic of K outcomes of a distribution."""
    import jax

    from maxpo_jax import coefficients, objectives

    vectors = {
        "min": coefficients.min_at_k(k),
        "median": coefficients.median_at_k(k),
        "mean": coefficients.top_m_at_k(k, k),
        "top 2": coefficients.top_m_at_k(k, 2),
        "max": coefficients.max_at_k(k),
    }
    outcomes = distribution[outcome].values.astype(np.float32)
    probs = distribution.transpose(..., outcome)
    values = []
    for vector in vectors.values():
        of_policies = jax.vmap(lambda p, c=vector: objectives.order_statistic(outcomes, p, c))
        found = of_policies(probs.values.reshape(-1, len(outcomes)))
        values.append(
            probs.isel({outcome: 0}, drop=True).copy(
                data=np.asarray(found).reshape(probs.shape[:-1])
            )
        )
    return xr.concat(values, dim="statistic").assign_coords(statistic=list(vectors))


def draw(dataset: xr.Dataset) -> Drawing:
    """A row a world: the distribution that each learner ends at, and what each statistic is."""
    figure, axes = style.grid_of_panels(len(WORLDS), 2, panel_height=2.0, width_ratios=(1.5, 1.0))
    k = stored_config(dataset).run.k
    for (left, right), (world, (outcome, _)) in zip(axes, WORLDS.items(), strict=True):
        names = labels.defined(dataset[f"{world}_value"])
        _draw_distributions(left, dataset[f"{world}_distribution"].sel(estimator=names), outcome)
        _draw_values(right, dataset[f"{world}_value"].sel(estimator=names))
        style.panel_title(left, f"{world}: {outcome}s of the trained policy")
        style.panel_title(right, f"{world}: values of {k} tries")
    style.shared_legend(figure, axes[:, :1])
    return figure


def _draw_distributions(ax: Axes, distribution: xr.DataArray, outcome: str) -> None:
    x = distribution[outcome].values
    for name in labels.estimators(distribution):
        points = distribution.sel(estimator=name).transpose("seed", outcome).values
        above = np.flip(np.cumsum(np.flip(points, axis=1), axis=1), axis=1)
        interval = bootstrap_interval(above, axis=0, statistic=np.mean)
        style.curve_with_interval(ax, x, above.mean(axis=0), interval.low, interval.high, name)
    if np.ptp(x) > 20:
        ax.set_xscale("symlog", linthresh=1)
    style.log_axis(ax, "y")
    ax.set_ylim(bottom=RAREST)
    likely = distribution.mean("seed").max("estimator").values > RAREST
    ax.set_xlim(right=x[min(np.flatnonzero(likely).max() + 1, len(x) - 1)])
    ax.set_xlabel(outcome)
    ax.set_ylabel(f"chance of at least this {outcome}")


def _draw_values(ax: Axes, values: xr.DataArray) -> None:
    """Rows: learners; columns: statistics; color: the share of the best learner."""
    mean = values.mean("seed").transpose("estimator", "statistic")
    share = (mean / mean.max("estimator")).values
    ax.pcolormesh(share, norm=Normalize(0, 1), cmap=COLORS, rasterized=True)
    for (row, column), value in np.ndenumerate(mean.values):
        own = STATISTICS.get(str(mean.estimator.values[row])) == mean.statistic.values[column]
        ax.text(
            column + 0.5,
            row + 0.5,
            f"{value:.3g}",
            ha="center",
            va="center",
            fontsize=7,
            fontweight="bold" if own else "normal",
            color="black" if share[row, column] > 0.5 else "white",
        )
    looks = [style.estimator_style(str(name)).label for name in mean.estimator.values]
    ax.set_xticks(np.arange(mean.sizes["statistic"]) + 0.5, mean.statistic.values)
    ax.set_yticks(np.arange(len(looks)) + 0.5, looks)
    ax.invert_yaxis()
    ax.grid(visible=False)


def findings(dataset: xr.Dataset) -> list[Finding]:
    """Whether each learner is the best at its own statistic, and how much risk it takes."""
    found = []
    for world in WORLDS:
        values = dataset[f"{world}_value"]
        values = values.sel(estimator=labels.defined(values))
        learners = [name for name in labels.estimators(values) if name in STATISTICS]
        if len(learners) > 1:
            found.append(_own_is_best(values, learners, world, stored_config(dataset).run.k))
        found += [_at_max(values, name, world) for name in labels.added(labels.estimators(values))]
    return found + [_risk(dataset, world) for world in WORLDS]


def _own_is_best(values: xr.DataArray, learners: list[str], world: str, k: int) -> Finding:
    """Against the best of the others, paired by seed."""
    effects = []
    for name in learners:
        of_own = values.sel(statistic=STATISTICS[name])
        others = of_own.sel(estimator=[one for one in learners if one != name])
        best = others.isel(estimator=int(others.mean("seed").argmax("estimator")))
        effects.append(
            comparisons.difference(
                f"in {STATISTICS[name]}@{k}",
                of_own.sel(estimator=name),
                best,
                num_effects=len(learners),
            )
        )
    return Finding(
        NAME,
        f"own_is_best_{world}",
        f"{PLACES[world]} each learner is best at its own statistic",
        effects,
        "value of the own statistic, minus that of the best other learner",
    )


def _at_max(values: xr.DataArray, name: str, world: str) -> Finding:
    label = style.plain_label(name)
    value = values.sel(estimator=name, statistic="max")
    return Finding(
        NAME,
        f"{labels.short(name)}_{world}",
        f"{label} in the {world}",
        [comparisons.mean("", value)],
        "max of K tries after training",
    )


def _risk(dataset: xr.Dataset, world: str) -> Finding:
    """The standard deviation of one outcome of the trained policy."""
    outcome, _ = WORLDS[world]
    distribution = dataset[f"{world}_distribution"].astype(np.float64)
    names = labels.defined(dataset[f"{world}_value"])
    x = distribution[outcome].astype(np.float64)
    mean = (distribution * x).sum(outcome)
    deviation = np.sqrt(np.maximum((distribution * x**2).sum(outcome) - mean**2, 0))
    effects = [
        comparisons.mean(
            f"for {STATISTICS.get(name, style.plain_label(name))}",
            xr.DataArray(deviation).sel(estimator=name),
            num_effects=len(names),
        )
        for name in names
    ]
    return Finding(
        NAME,
        f"risk_{world}",
        f"{PLACES[world]} the better the tries that count, the more risk a learner takes",
        effects,
        f"standard deviation of one {outcome} of the trained policy",
        "; ".join(f"{effect.estimate:.2g} {effect.where}" for effect in effects),
    )


def caption(dataset: xr.Dataset) -> str:
    """Caption generated from the configuration that produced the data."""
    config = stored_config(dataset)
    run = config.run
    tuned = "; ".join(
        f"{world}: "
        + how_tuned(
            dataset[f"{world}_learning_rate"].values,
            config.grid[world].learning_rate,
            config.num_tuning_seeds,
            "value of its own statistic",
        )
        for world in WORLDS
    )
    return (
        f"Policies that were trained for a statistic of K = {run.k} sorted tries, with groups of "
        f"B = {run.group_size}, by the canonical advantage of that order statistic. Top: the "
        f"ladder bandit with {run.num_actions} arms ({INSTANCES['ladder']}). Bottom: the biased "
        f"maze {run.path} with one logit. Left: exact chance of an outcome at least this large, "
        f"mean over {dataset.sizes['seed']} seeds. Right: exact value of each statistic (columns) "
        "for each learner (rows), as a share of the best learner in color; bold: what the learner "
        f"was trained for. Learning rate of each learner: {tuned}."
    )


def check(config: ConfigDict) -> None:
    """Refuse another bandit than the ladder, and what cannot be tuned."""
    check_tuning(config)
    if config.run.instance != "ladder":
        raise ValueError(f"instance is {config.run.instance!r}; the figure is about 'ladder'")


FIGURE = Figure(
    name=NAME,
    question="What does a learner become that is trained for another order statistic?",
    grids={"ladder": "bandit_training", "maze": "maze_training"},
    summarize=summarize,
    draw=draw,
    findings=findings,
    caption=caption,
    check=check,
)
