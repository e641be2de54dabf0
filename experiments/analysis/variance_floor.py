"""Variances over the least variance that any unbiased estimator of rewards alone can have."""

from collections.abc import Mapping

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from ml_collections import ConfigDict

from experiments.analysis import effects as comparisons
from experiments.analysis import labels
from experiments.common import style
from experiments.common.configuration import stored_config
from experiments.common.findings import Finding
from experiments.engine.figure import Figure

NAME = "variance_floor"
NUM_COLUMNS = 3  # panels of a row
FARTHEST = 30.0  # times the floor, where the axes end
ROUNDING = 1e-9  # relative, of what is exact
FAMILY_LABELS = {
    "gaussian": "Gaussian rewards",
    "student_t": "Student $t_3$ rewards",
    "uniform": "uniform rewards",
    "exponential": "exponential rewards",
}
COLORS = "viridis"  # of the K of the floor itself
LONG_NAMES = {
    "ratio_by_prob": "variance over its floor, 0/1 rewards and orthogonal scores",
    "floor": "least variance, 0/1 rewards and orthogonal scores",
    "ratio_by_k": "variance over its floor, continuous rewards and orthogonal scores",
    "ratio_by_size": "variance over its floor, 0/1 rewards on many arms",
}


def summarize(config: ConfigDict, grids: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Ratios against success probability, K and number of actions, and the floor itself."""
    of_prob, of_k, of_size = (grids[name] for name in ("by_prob", "by_k", "by_size"))
    of_size = of_size.rename(arms_per_outcome="num_actions", success_prob="prob_of_size")
    of_size = of_size.assign_coords(num_actions=2 * of_size.num_actions)
    ratios = {
        "ratio_by_prob": of_prob.variance / of_prob.floor,
        "floor": of_prob.floor.max("estimator"),
        "ratio_by_k": (of_k.variance / of_k.floor).rename(k="k_of_continuous"),
        "ratio_by_size": (of_size.variance / of_size.floor).rename(k="k_of_size"),
    }
    return labels.label(xr.Dataset(ratios), LONG_NAMES)


def draw(dataset: xr.Dataset) -> Drawing:
    """Rows: against p for several K; continuous rewards; the floor itself and many arms."""
    ks = _shown_ks(dataset)
    families = [str(name) for name in dataset.reward_family.values]
    probs = dataset.prob_of_size.values[::-1]
    places = [(int(k), float(p)) for p in probs for k in dataset.k_of_size.values]
    places = places[: NUM_COLUMNS - 1]
    rows = [len(ks), len(families), 1 + len(places)]
    figure, axes = style.grid_of_panels(len(rows), max(rows), panel_height=1.55)
    for row, count in enumerate(rows):
        for ax in axes[row, count:]:
            ax.set_visible(False)
    for ax, k in zip(axes[0], ks, strict=False):
        _draw_by_prob(ax, dataset, k)
    for ax, family in zip(axes[1], families, strict=False):
        _draw_by_k(ax, dataset.ratio_by_k.sel(reward_family=family))
        style.panel_title(ax, FAMILY_LABELS[family])
    _draw_floor(axes[2, 0], dataset.floor)
    for ax, (k, p) in zip(axes[2, 1:], places, strict=False):
        of_size = dataset.ratio_by_size.sel(k_of_size=k, prob_of_size=p)
        _draw_ratios(ax, of_size.num_actions.values, of_size)
        style.log_axis(ax, "x", base=2)
        ax.set_xlabel("number of actions $n$")
        style.panel_title(ax, f"$K = {k}$, $p = {p:g}$")
    for ax in (*axes[:2, 0], axes[2, 1]):
        ax.set_ylabel("variance / floor")
    style.shared_legend(figure)
    return figure


def _shown_ks(dataset: xr.Dataset) -> list[int]:
    """As many K as fit, the smallest and the largest among them."""
    ks = [int(k) for k in dataset.k.values if k > 1]
    chosen = np.linspace(0, len(ks) - 1, min(NUM_COLUMNS, len(ks))).round().astype(int)
    return [ks[place] for place in dict.fromkeys(chosen)]


def _draw_by_prob(ax: Axes, dataset: xr.Dataset, k: int) -> None:
    group_size, p = stored_config(dataset).run.group_size, dataset.success_prob.values
    _draw_ratios(ax, p, dataset.ratio_by_prob.sel(k=k))
    ax.plot(p, 1 / (1 - p), color=style.BLACK, ls=":", lw=0.9, label="$1/(1-p)$", zorder=1)
    if k < group_size:
        level = group_size / (group_size - k)
        ax.axhline(level, color=style.GRAY, ls="--", lw=0.9, label="$B/(B-K)$", zorder=1)
    ax.set_xlabel("success probability $p$")
    style.panel_title(ax, f"0/1 rewards, $K = {k}$")


def _draw_by_k(ax: Axes, ratios: xr.DataArray) -> None:
    _draw_ratios(ax, ratios.k_of_continuous.values, ratios)
    ax.set_xlabel("$K$")


def _draw_ratios(ax: Axes, x: np.ndarray, ratios: xr.DataArray) -> None:
    for name in labels.estimators(ratios):
        values = ratios.sel(estimator=name).values
        if np.isnan(values).all():
            continue
        style.curve_with_interval(
            ax, x, values, values, values, name, markevery=max(1, len(x) // 6)
        )
    style.log_axis(ax, "y")
    ax.set_ylim(0.9, min(FARTHEST, 1.1 * max(2.0, float(np.nanmax(ratios.values)))))


def _draw_floor(ax: Axes, floor: xr.DataArray) -> None:
    ks = floor.k.values
    colors = mpl.colormaps[COLORS](np.linspace(0.05, 0.9, len(ks)))
    for k, color in zip(ks, colors, strict=True):
        values = floor.sel(k=k).values
        ax.plot(floor.success_prob.values, values, color=color)
        place = int(np.argmax(values))
        ax.annotate(
            f"$K = {k}$" if k == ks[0] else f"${k}$",
            (float(floor.success_prob[place]), values[place]),
            (2, 1),
            textcoords="offset points",
            color=color,
            fontsize=7,
        )
    style.log_axis(ax, "y")
    ax.set_ylim(bottom=float(floor.max()) * 1e-4)
    ax.set_xlabel("success probability $p$")
    ax.set_ylabel("floor")
    style.panel_title(ax, "the floor itself")


def findings(dataset: xr.Dataset) -> list[Finding]:
    """How close MaxPO comes, two theorems, where the two cross, and where variance lives."""
    names = labels.estimators(dataset)
    known = dataset.ratio_by_k.notnull().any(["reward_family", "k_of_continuous"])
    found = [
        _continuous(dataset, name)
        for name in ("maxpo", *labels.added(names))
        if name in names and known.sel(estimator=name)
    ]
    if "ei" in names:
        found.append(_ei_pays(dataset))
    if "maxpo" in names:
        found.append(_maxpo_pays(dataset))
        if "ei" in names:
            found.append(_crossing(dataset))
    return [*found, _where_variance_lives(dataset)]


def _setting(dataset: xr.Dataset) -> str:
    return f"B = {stored_config(dataset).run.group_size}"


def _continuous(dataset: xr.Dataset, name: str) -> Finding:
    """The worst K of each family of continuous rewards."""
    ratios = dataset.ratio_by_k.sel(estimator=name)
    worst = ratios.max("k_of_continuous")
    text = f"{float(ratios.min()):.2f} to {float(ratios.max()):.2f} times the floor"
    if "ei" in dataset.estimator and name != "ei":
        ei = dataset.ratio_by_k.sel(estimator="ei", k_of_continuous=dataset.k_of_continuous > 1)
        text += f"; EI {float(ei.min()):.2f} to {float(ei.max()):.2f} times"
    return Finding(
        NAME,
        f"{labels.short(name)}_over_floor",
        f"With many actions and continuous rewards {style.plain_label(name)} is near the least "
        "variance of all unbiased estimators",
        [
            comparisons.exact(f"on {family} rewards", float(worst.sel(reward_family=family)))
            for family in worst.reward_family.values
        ],
        f"largest ratio of variance and floor over K, {_setting(dataset)}",
        text,
    )


def _ei_pays(dataset: xr.Dataset) -> Finding:
    ratios = dataset.ratio_by_prob.sel(estimator="ei", k=dataset.k > 1)
    off = np.abs(ratios * (1 - dataset.success_prob) - 1).max()
    return Finding(
        NAME,
        "ei_pays",
        "For 0/1 rewards EI pays 1/(1-p) times the floor: without bound as success becomes likely",
        [comparisons.exact("", float(off), holds=bool(off < ROUNDING))],
        f"largest relative deviation from 1/(1-p), {_setting(dataset)}, to be below {ROUNDING:g}",
        f"{float(ratios.max()):.3g} times at p = {float(dataset.success_prob.max()):g}",
    )


def _maxpo_pays(dataset: xr.Dataset) -> Finding:
    group_size = stored_config(dataset).run.group_size
    ratios = dataset.ratio_by_prob.sel(estimator="maxpo").dropna("k", how="all")
    bounds = group_size / (group_size - ratios.k)
    shares = (ratios / bounds).max("success_prob")
    return Finding(
        NAME,
        "maxpo_pays",
        "For 0/1 rewards MaxPO never pays more than B/(B-K) times the floor",
        [
            comparisons.exact(f"at K = {int(k)}", x, holds=bool(x <= 1 + ROUNDING))
            for k, x in zip(shares.k.values, shares.values, strict=True)
        ],
        f"largest ratio over p, as a share of B/(B-K), {_setting(dataset)}",
        "; ".join(
            f"at most {float(ratios.sel(k=k).max()):.3g} of {float(bounds.sel(k=k)):.3g} at "
            f"K = {int(k)}"
            for k in shares.k.values
        ),
    )


def _crossing(dataset: xr.Dataset) -> Finding:
    """The success probability from which on MaxPO has the lower variance, between grid points."""
    logs = np.log(dataset.ratio_by_prob.sel(estimator="maxpo", drop=True))
    logs = xr.DataArray(logs - np.log(dataset.ratio_by_prob.sel(estimator="ei", drop=True)))
    effects = []
    for k in (int(k) for k in dataset.k.values if k > 1):
        values, p = logs.sel(k=k).values, dataset.success_prob.values
        below = np.flatnonzero((values[:-1] >= 0) & (values[1:] < 0))
        if below.size:
            i = int(below[-1])
            share = values[i] / (values[i] - values[i + 1])
            effects.append(comparisons.exact(f"at K = {k}", p[i] + share * (p[i + 1] - p[i])))
    return Finding(
        NAME,
        "crossing",
        "For 0/1 rewards MaxPO varies less than EI from a success probability near 1/B on",
        effects or [comparisons.exact("", np.nan)],
        f"success probability at which the variances are equal, {_setting(dataset)}",
        "; ".join(f"p = {effect.estimate:.2g} {effect.where}" for effect in effects) or "nowhere",
    )


def _where_variance_lives(dataset: xr.Dataset) -> Finding:
    """The floor at p = 0.7 over the floor at p = 0.05, or what is nearest."""
    rare, likely = (dataset.floor.sel(success_prob=p, method="nearest") for p in (0.05, 0.7))
    shares = likely / rare
    return Finding(
        NAME,
        "where_variance_lives",
        "At large K hardly any variance is left where EI wastes it, so that both learn alike there",
        [comparisons.exact(f"at K = {int(k)}", float(shares.sel(k=k))) for k in shares.k.values],
        f"floor at p = {float(likely.success_prob):g} over floor at "
        f"p = {float(rare.success_prob):g}, {_setting(dataset)}",
        "; ".join(
            f"floor ratio {float(shares.sel(k=k)):.1g} at K = {int(k)}"
            for k in (shares.k.values[0], shares.k.values[-1])
        ),
    )


def caption(dataset: xr.Dataset) -> str:
    """Caption generated from the configuration that produced the data."""
    run = stored_config(dataset).run
    return (
        "Variance of the gradient estimate over the least variance that any estimator can have "
        "which is unbiased for the gradient of J_K under every policy and sees rewards alone, for "
        f"groups of B = {run.group_size}. Top: 0/1 rewards and orthogonal scores (an infinite "
        "number of actions, or the samples of a language model), against the success probability. "
        f"Middle: continuous rewards, at {run.num_levels} quantiles. Bottom: the floor itself for "
        "0/1 rewards, and the ratio on Bernoulli bandits with n arms of which half succeed, "
        f"together with probability p. Axes end at {FARTHEST:g} times the floor. Every value is "
        "exact."
    )


FIGURE = Figure(
    name=NAME,
    question="How close does each estimator come to the least possible variance?",
    grids={
        "by_prob": "orthogonal_gradients",
        "by_k": "orthogonal_gradients",
        "by_size": "bernoulli_gradients",
    },
    summarize=summarize,
    draw=draw,
    findings=findings,
    caption=caption,
)
