"""Total variance of the gradient estimate on softmax bandits: the paper's Figures 1, 4 and 5."""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from ml_collections import ConfigDict

from experiments.analysis import effects as comparisons
from experiments.analysis import labels, paper
from experiments.common import style
from experiments.common.configuration import stored_config
from experiments.common.findings import Effect, Finding
from experiments.common.statistics import bootstrap_interval
from experiments.engine.figure import Figure

NAME = "gradient_variance"
FAMILY_LABELS = {
    "gaussian": "Gaussian",
    "bernoulli": "Bernoulli",
    "exponential": "exponential",
    "student_t": "Student $t_3$",
}
ROUNDING = 1e-4  # relative: what single precision may do to a variance
SAMPLING_MARGIN = 0.01  # relative: what a sampled variance may be off
NO_VARIANCE = 1e-9  # of an exact variance: below it, rounding can make a ratio anything
VARIANCE = r"$\mathrm{tr}\,\mathrm{Cov}(g)$"


def summarize(config: ConfigDict, grids: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """The three sets of variances, each over sizes of its own; a seed is a bandit."""
    variances = {
        "variance_by_size": grids["by_size"].variance,
        "variance_by_k": grids["by_k"].variance.rename(num_actions="num_actions_of_k_sweep"),
        "exact_variance": grids["exact"].variance.rename(num_actions="exact_num_actions"),
        # The same for every estimator, and NaN for one that is not defined.
        "floor": grids["exact"].floor.max("estimator").rename(num_actions="exact_num_actions"),
    }
    dataset = xr.Dataset({name: v.astype(np.float32) for name, v in variances.items()})
    names = dict.fromkeys(variances, "trace of the covariance of the gradient estimate")
    names["floor"] = "least trace of the covariance of any unbiased estimator"
    return labels.label(dataset, names)


def draw(dataset: xr.Dataset) -> Drawing:
    """One row per reward family: variance against n, then against K for several n."""
    run, sizes = stored_config(dataset).run, dataset.num_actions_of_k_sweep.values
    num_rows, num_columns = (
        dataset.sizes["reward_family"],
        1 + dataset.sizes["num_actions_of_k_sweep"],
    )
    figure, axes = style.grid_of_panels(num_rows, num_columns, panel_height=1.5, sharex="col")
    for row, family in enumerate(dataset.reward_family.values):
        of_family = dataset.sel(reward_family=family)
        _draw_sizes(axes[row, 0], of_family, FAMILY_LABELS[str(family)])
        for column, n in enumerate(sizes, start=1):
            _draw_ks(axes[row, column], of_family.variance_by_k.sel(num_actions_of_k_sweep=n))
    style.panel_title(axes[0, 0], f"$B = {run.group_size}$, $K = {run.k}$")
    for column, n in enumerate(sizes, start=1):
        style.panel_title(axes[0, column], f"$B = {run.group_size}$, $n = {n}$")
        axes[-1, column].set_xlabel("$K$")
    axes[-1, 0].set_xlabel("number of actions $n$")
    style.shared_legend(figure)
    return figure


def _draw_sizes(ax: Axes, of_family: xr.Dataset, label: str) -> None:
    _draw_curves(ax, of_family.num_actions.values, of_family.variance_by_size)
    sizes = np.intersect1d(of_family.exact_num_actions, of_family.num_actions)
    exact = of_family.exact_variance.sel(exact_num_actions=sizes).median("seed")
    for values in exact.transpose("estimator", ...).values:
        ax.plot(
            sizes,
            values,
            linestyle="none",
            marker="_",
            markersize=7,
            markeredgewidth=0.8,
            color="black",
            label="exact (enumeration)",
            zorder=1,
        )
    floor = of_family.floor.median("seed")
    ax.plot(
        floor.exact_num_actions.values,
        floor.where(floor > NO_VARIANCE).values,
        color=style.GRAY,
        ls="--",
        lw=1.0,
        label="least possible (exact)",
        zorder=1,
    )
    style.log_axis(ax, "x", base=2)
    style.log_axis(ax, "y")
    ax.set_ylabel(f"{label}\n{VARIANCE}")


def _draw_ks(ax: Axes, variances: xr.DataArray) -> None:
    _draw_curves(ax, variances.k.values, variances)
    style.log_axis(ax, "y")


def _draw_curves(ax: Axes, x: np.ndarray, variances: xr.DataArray) -> None:
    for estimator in variances.estimator.values:
        values = variances.sel(estimator=estimator).transpose("seed", ...).values
        if np.isnan(values).all():
            continue
        interval = bootstrap_interval(values, axis=0)
        style.curve_with_interval(
            ax, x, np.median(values, axis=0), interval.low, interval.high, str(estimator)
        )


def findings(dataset: xr.Dataset) -> list[Finding]:
    """How MaxPO compares with EI at many actions, at few, and near K = B; and two checks."""
    names = set(labels.defined(dataset.variance_by_size))
    found = []
    if "maxpo" in names:
        sizes = dataset.num_actions.values
        rivals = [name for name in ("ei", *labels.added(sorted(names))) if name in names]
        for rival in rivals:
            found.append(_at_size(dataset, rival, int(sizes[-1])))
        if "ei" in names:
            found.insert(1, _at_size(dataset, "ei", int(sizes[0])))
            found.insert(2, _near_group_size(dataset))
        if "canonical" in names:
            found.append(_canonical_is_maxpo(dataset))
    return [*found, _agrees_with_enumeration(dataset)]


def _setting(dataset: xr.Dataset, n: int, k: int) -> str:
    return f"bandits, n = {n}, B = {stored_config(dataset).run.group_size}, K = {k}"


def _at_size(dataset: xr.Dataset, rival: str, n: int) -> Finding:
    """MaxPO over a rival, paired by bandit."""
    of_size = dataset.variance_by_size.sel(num_actions=n)
    families = dataset.reward_family.values
    effects = [
        comparisons.ratio_below_one(
            f"on {family} rewards",
            *(of_size.sel(reward_family=family, estimator=name) for name in ("maxpo", rival)),
            num_effects=len(families),
        )
        for family in families
    ]
    k, label = stored_config(dataset).run.k, style.plain_label(rival)
    return Finding(
        NAME,
        f"maxpo_below_{labels.short(rival)}_n{n}",
        f"With {n} actions the variance of MaxPO is below that of {label}",
        effects,
        f"variance, MaxPO over {label}",
        _span("ratio", effects),
        paper=paper.LOWER_VARIANCE if rival == "ei" else "",
        tested=f"{_setting(dataset, n, k)}, against {label}",
    )


def _span(word: str, effects: Sequence[Effect]) -> str:
    """Smallest and largest ratio, if there are several."""
    if len(effects) == 1:
        return ""
    estimates = [effect.estimate for effect in effects]
    return (
        f"{word} {min(estimates):.3f} to {max(estimates):.3f} over {len(effects)} reward families"
    )


def _near_group_size(dataset: xr.Dataset) -> Finding:
    """The largest K, at each size; a bandit of a seed counts with its mean over families."""
    k = int(dataset.k.max())
    variances = np.log(dataset.variance_by_k.sel(k=k)).mean("reward_family")
    sizes = dataset.num_actions_of_k_sweep.values
    effects = [
        comparisons.ratio_below_one(
            f"on {n} actions",
            *(
                np.exp(variances.sel(num_actions_of_k_sweep=n, estimator=name))
                for name in ("maxpo", "ei")
            ),
            num_effects=len(sizes),
        )
        for n in sizes
    ]
    return Finding(
        NAME,
        "near_group_size",
        f"At K = {k} of B = {stored_config(dataset).run.group_size} the variance of MaxPO is below "
        "that of EI",
        effects,
        "variance, MaxPO over EI, geometric mean over reward families",
    )


def _canonical_is_maxpo(dataset: xr.Dataset) -> Finding:
    """Two routes to one advantage; single precision is all that may tell them apart."""
    differences = [
        np.abs(v.sel(estimator="canonical").values / v.sel(estimator="maxpo").values - 1).max()
        for v in (dataset.variance_by_size, dataset.variance_by_k)
    ]
    largest = float(max(differences))
    return Finding(
        NAME,
        "canonical_is_maxpo",
        "The canonical advantage u - v is MaxPO: their variances are equal on every bandit",
        [comparisons.exact("", largest, holds=largest < ROUNDING)],
        f"largest relative difference, to be below {ROUNDING:g}",
        f"largest relative difference {largest:.0e}",
        paper=paper.CANONICAL,
        tested=f"all {dataset.variance_by_size.isel(estimator=0).size} bandits of the figure",
    )


def _agrees_with_enumeration(dataset: xr.Dataset) -> Finding:
    """Each estimator's sampled variance over the exact one, its mean over families and sizes."""
    truth = dataset.exact_variance.rename(exact_num_actions="num_actions")
    truth = truth.sel(estimator=labels.defined(truth))
    logs_by_size = np.log(dataset.variance_by_size / truth)
    logs = logs_by_size.where(truth > NO_VARIANCE).mean(["reward_family", "num_actions"])
    names = labels.estimators(truth)
    effects = [
        comparisons.near(
            f"for {style.plain_label(name)}",
            np.exp(logs.sel(estimator=name)),
            1.0,
            SAMPLING_MARGIN,
            num_effects=len(names),
        )
        for name in names
    ]
    sizes = ", ".join(str(int(n)) for n in logs_by_size.num_actions.values)
    estimates = [effect.estimate for effect in effects]
    return Finding(
        NAME,
        "agrees_with_enumeration",
        "The sampled variances are those of exact enumeration",
        effects,
        f"sampled variance over the exact one, to be 1 within {SAMPLING_MARGIN}",
        f"ratio {min(estimates):.4f} to {max(estimates):.4f} for n = {sizes}",
    )


def caption(dataset: xr.Dataset) -> str:
    """Caption generated from the configuration that produced the data."""
    run = stored_config(dataset).run
    policy = "uniform" if run.logits == "uniform" else "random (standard normal logits)"
    names = labels.estimators(dataset)
    first_moment = [style.plain_label(name) for name in ("rloo", "reinforce") if name in names]
    notes = ""
    if {"maxpo", "canonical"} <= set(names):
        notes += " MaxPO and the canonical advantage are one function computed by two routes."
    if first_moment:
        notes += (
            f" {' and '.join(first_moment)}: K times the gradient of J_1, in the common convention "
            "g = (K/B) sum_i A_i grad log pi(a_i)."
        )
    return (
        f"Total variance of the gradient estimate, the trace of its covariance with respect to the "
        f"logits of a softmax bandit, for groups of B = {run.group_size}: against the number of "
        f"actions n at K = {run.k} (left), and against K for fixed n (others). Rows: families "
        f"of arm rewards. Curves: median over {dataset.sizes['seed']} random bandits under a "
        f"{policy} policy, {run.num_draws:,} gradient draws each; bands: 95% bootstrap intervals "
        f"of the median. Black ticks: exact variance by enumeration of all outcomes (median). "
        "Dashed: the least variance that an estimator can have which is unbiased under every "
        "policy and sees rewards alone; 0 for two actions."
        f"{notes}"
    )


def check(config: ConfigDict) -> None:
    """Refuse noise, which the enumeration beside the samples does not know."""
    if config.run.noise:
        raise ValueError("enumeration knows no noise on the pulls: use noise=0")


FIGURE = Figure(
    name="gradient_variance",
    question="How noisy is one gradient estimate, against the number of actions and against K?",
    grids={
        "by_size": "bandit_gradients",
        "by_k": "bandit_gradients",
        "exact": "exact_bandit_gradients",
    },
    summarize=summarize,
    draw=draw,
    findings=findings,
    caption=caption,
    check=check,
)
