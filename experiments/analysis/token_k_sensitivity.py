"""pass@k of token policies against the K of training, constant and annealed: Figure 10."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from ml_collections import ConfigDict

from experiments.analysis import effects as comparisons
from experiments.analysis import labels, paper, token_runs
from experiments.analysis.token_runs import KS, MANY_TRIES
from experiments.common import style
from experiments.common.configuration import stored_config
from experiments.common.findings import Finding
from experiments.common.statistics import bootstrap_interval
from experiments.engine.figure import Figure

NAME = "token_k_sensitivity"
COLORS = "viridis"
SHOWN_KS = (1, 8, 64, MANY_TRIES)  # against the K of training
LONG_NAMES = {
    "pass_at_k": "exact pass@k, mean over held-out prompts, at constant K",
    "annealed": "exact pass@k, mean over held-out prompts, with annealed K",
    "base": "exact pass@k of the base policy, mean over held-out prompts",
}


def summarize(config: ConfigDict, grids: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """pass@k [estimator, training_k, base_seed, seed, k], annealed, and of the base policies."""
    constant, annealed = grids["constant"].rename(k="training_k"), grids["annealed"]
    ks = np.unique([*KS, *constant.training_k.values])
    at_end = _mean(constant.success_prob.isel(update=-1, drop=True), ks)
    start = constant.success_prob.isel(update=0, drop=True)
    others = [dim for dim in start.dims if dim not in ("base_seed", "family", "prompt")]
    of_annealed = annealed.success_prob.isel(k=0, final_k=0, update=-1, drop=True)
    dataset = xr.Dataset(
        {
            "pass_at_k": at_end.transpose("estimator", "training_k", *token_runs.REPLICATE, "k"),
            "annealed": _mean(of_annealed, ks).transpose("estimator", *token_runs.REPLICATE, "k"),
            "base": _mean(start.max(others), ks).transpose("base_seed", "k"),
        }
    )
    return labels.label(dataset.astype(np.float32), LONG_NAMES)


def _mean(success_prob: xr.DataArray, ks: np.ndarray) -> xr.DataArray:
    return token_runs.pass_at(success_prob, ks).mean(["family", "prompt"], skipna=False)


def draw(dataset: xr.Dataset) -> Drawing:
    """One row an estimator: pass@k less that of the base, and against the K of training."""
    names = labels.defined(dataset.pass_at_k)
    figure, axes = style.grid_of_panels(
        len(names), 2, panel_width=3.2, panel_height=2.3, sharex="col"
    )
    for row, name in zip(axes, names, strict=True):
        of_name = dataset.sel(estimator=name)
        _draw_gains(row[0], of_name)
        _draw_by_training_k(row[1], of_name, name)
        style.panel_title(row[0], f"{style.estimator_style(name).label}: change of pass@$k$")
        style.panel_title(row[1], "against the $K$ of training")
        row[0].set_ylabel("pass@$k$ minus base")
        row[1].set_ylabel("pass@$k$")
    axes[-1, 0].set_xlabel("$k$")
    axes[-1, 1].set_xlabel("training $K$")
    style.shared_legend(figure, axes[0])
    return figure


def _draw_gains(ax: Axes, of_name: xr.Dataset) -> None:
    training_ks = of_name.training_k.values
    run = stored_config(of_name)
    start, end = (run.grid.annealed[axis][0] for axis in ("k", "final_k"))
    curves: list[tuple[xr.DataArray, dict[str, Any]]] = [
        (of_name.pass_at_k.sel(training_k=k), {"label": f"$K$ = {k}", "color": color})
        for k, color in zip(training_ks, _colors(len(training_ks)), strict=True)
    ]
    dotted = {"label": f"$K$: {start} to {end}", "color": style.ORANGE, "linestyle": ":"}
    for values, line in [*curves, (of_name.annealed, dotted)]:
        gains = token_runs.replicates(values - of_name.base)
        interval = bootstrap_interval(gains, axis=0, statistic=np.mean)
        ax.plot(of_name.k, gains.mean(axis=0), **line)
        ax.fill_between(of_name.k, *interval, color=line["color"], alpha=0.2, linewidth=0)
    ax.axhline(0, color="black", ls=":", lw=1)
    token_runs.tries_axis(ax)


def _colors(number: int) -> list[tuple[float, ...]]:
    return [colormaps[COLORS](x) for x in np.linspace(0, 0.85, number)]


def _draw_by_training_k(ax: Axes, of_name: xr.Dataset, name: str) -> None:
    for k, line in zip(SHOWN_KS, ("-", "--", "-.", ":"), strict=True):
        values = of_name.pass_at_k.sel(k=k).transpose(*token_runs.REPLICATE, "training_k")
        x = of_name.training_k.values
        token_runs.draw_mean(ax, x, values, name, linestyle=line, label=None)
        end = float(x[-1]), float(token_runs.replicates(values).mean(axis=0)[-1])
        ax.annotate(f"$k$ = {k}", end, xytext=(4, 0), textcoords="offset points", va="center")
    style.log_axis(ax, "x", base=2)
    ax.set_xticks(of_name.training_k.values)
    ax.margins(x=0.15)


def findings(dataset: xr.Dataset) -> list[Finding]:
    """Where a larger K pays, whether K = k is best, and what annealing does."""
    names = labels.defined(dataset.pass_at_k)
    if "maxpo" not in names:
        return []
    of_maxpo = dataset.sel(estimator="maxpo")
    found = [_moves_to_many_tries(of_maxpo)] if dataset.sizes["training_k"] > 1 else []
    found += [_own_k_is_best(of_maxpo)] if dataset.sizes["training_k"] > 1 else []
    found.append(_annealed(of_maxpo))
    return found + [_above(dataset, other) for other in labels.added(names)]


def _at(values: xr.DataArray, k: int) -> np.ndarray:
    """[replicates] pass@k."""
    return token_runs.replicates(values.sel(k=k))


def _tested(dataset: xr.Dataset) -> str:
    return f"tasks with verifiable answers, B = {stored_config(dataset).run.group_size}"


def _moves_to_many_tries(of_maxpo: xr.Dataset) -> Finding:
    low, high = (int(of_maxpo.training_k.values[i]) for i in (0, -1))
    small, large = (of_maxpo.pass_at_k.sel(training_k=k) for k in (low, high))
    effects = [
        comparisons.difference(f"at k = {k}", _at(large, k), _at(small, k), num_effects=2)
        for k in (MANY_TRIES, 1)
    ]
    return Finding(
        NAME,
        "larger K for more tries",
        f"Training with K = {high} gives a larger pass@k than with K = {low}",
        effects,
        f"pass@k on held-out prompts, K = {high} minus K = {low}",
    )


def _own_k_is_best(of_maxpo: xr.Dataset) -> Finding:
    """K = k against the best of the other K of training, paired by run."""
    own = [int(k) for k in of_maxpo.training_k.values]
    effects = []
    for k in own:
        at_k = of_maxpo.pass_at_k.sel(k=k)
        others = [token_runs.replicates(at_k.sel(training_k=other)) for other in own if other != k]
        best = max(others, key=np.mean)
        ours = token_runs.replicates(at_k.sel(training_k=k))
        effects.append(comparisons.difference(f"at k = {k}", ours, best, num_effects=len(own)))
    return Finding(
        NAME,
        "own k is best",
        "MaxPO reaches its largest pass@k when it is trained with K = k",
        effects,
        "pass@k on held-out prompts, K = k minus the best other training K",
        paper=paper.OWN_K,
        tested=_tested(of_maxpo),
    )


def _annealed(of_maxpo: xr.Dataset) -> Finding:
    axes = stored_config(of_maxpo).grid.annealed
    start, end = axes.k[0], axes.final_k[0]
    nearest = int(np.abs(of_maxpo.training_k.values - start).argmin())
    constant = of_maxpo.pass_at_k.isel(training_k=nearest)
    k = int(of_maxpo.training_k.values[nearest])
    effects = [
        comparisons.difference(
            f"at k = {tries}", _at(of_maxpo.annealed, tries), _at(constant, tries), num_effects=2
        )
        for tries in (1, MANY_TRIES)
    ]
    return Finding(
        NAME,
        "annealed K",
        f"Annealing K from {start} to {end} gives a larger pass@k than K = {k}",
        effects,
        f"pass@k on held-out prompts, annealed minus K = {k}",
    )


def _above(dataset: xr.Dataset, other: str) -> Finding:
    """At the largest K of training."""
    label, k = style.plain_label(other), int(dataset.training_k.values[-1])
    at_k = dataset.pass_at_k.sel(training_k=k)
    effects = [
        comparisons.difference(
            f"at k = {tries}",
            *(_at(at_k.sel(estimator=name), tries) for name in ("maxpo", other)),
            num_effects=2,
        )
        for tries in (1, MANY_TRIES)
    ]
    return Finding(
        NAME,
        f"maxpo above {labels.short(other)}",
        f"MaxPO ends with a larger pass@k than {label}, both trained with K = {k}",
        effects,
        f"pass@k on held-out prompts, MaxPO minus {label}",
    )


def caption(dataset: xr.Dataset) -> str:
    """Caption generated from the configuration that produced the data."""
    config = stored_config(dataset)
    run, annealed = config.run, config.grid.annealed
    return (
        f"pass@k on {run.num_test} held-out prompts of each family of tasks ({run.families}), "
        "exact, after training with each K. Left: less that of the base policy, which is the "
        f"dotted line; K annealed from {annealed.k[0]} to {annealed.final_k[0]} in a line is "
        f"dotted, too. Right: pass@k for some k against the K of training. "
        f"{token_runs.told_tasks(run)}. Curves: mean over {token_runs.num_replicates(dataset)}; "
        "bands: 95% bootstrap intervals over these runs."
    )


def check(config: ConfigDict) -> None:
    """Refuse annealing that has no single course."""
    token_runs.check_run(config)
    for axis in ("k", "final_k"):
        if len(config.grid.annealed.get(axis, ())) != 1:
            raise ValueError(f"the grid annealed takes one {axis}")


FIGURE = Figure(
    name=NAME,
    question="Which K of training is best for which number of tries?",
    grids={"constant": "token_training", "annealed": "token_training"},
    summarize=summarize,
    draw=draw,
    findings=findings,
    caption=caption,
    check=check,
)
