"""Total variance of the gradient estimate on softmax bandits: the paper's Figures 1, 4 and 5."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from ml_collections import ConfigDict
from scipy import stats

from experiments.analysis import labels
from experiments.common import style
from experiments.common.configuration import stored_config
from experiments.common.findings import Finding
from experiments.common.statistics import bootstrap_interval
from experiments.engine.figure import Figure

FAMILY_LABELS = {
    "gaussian": "Gaussian",
    "bernoulli": "Bernoulli",
    "exponential": "exponential",
    "student_t": "Student $t_3$",
}
VARIANCE = r"$\mathrm{tr}\,\mathrm{Cov}(g)$"


def summarize(config: ConfigDict, grids: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """The three sets of variances, each over sizes of its own; a seed is a bandit."""
    variances = {
        "variance_by_size": grids["by_size"].variance,
        "variance_by_k": grids["by_k"].variance.rename(num_actions="num_actions_of_k_sweep"),
        "exact_variance": grids["exact"].variance.rename(num_actions="exact_num_actions"),
    }
    dataset = xr.Dataset({name: v.astype(np.float32) for name, v in variances.items()})
    return labels.label(
        dataset, dict.fromkeys(variances, "trace of the covariance of the gradient estimate")
    )


def draw(dataset: xr.Dataset) -> Drawing:
    """One row per reward family: variance against n, then against K for several n."""
    run, sizes = stored_config(dataset).run, dataset.num_actions_of_k_sweep.values
    num_rows, num_columns = (
        dataset.sizes["reward_family"],
        1 + dataset.sizes["num_actions_of_k_sweep"],
    )
    figure, axes = style.grid_of_panels(
        num_rows, num_columns, panel_width=2.1, panel_height=1.65, sharex="col"
    )
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
    for values in of_family.exact_variance.median("seed").transpose("estimator", ...).values:
        ax.plot(
            of_family.exact_num_actions.values,
            values,
            linestyle="none",
            marker="_",
            markersize=9,
            color="black",
            label="exact (enumeration)",
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
    """What the variances say about MaxPO, EI and PKPO's s, whichever way it comes out."""
    found = []
    names = set(labels.defined(dataset.variance_by_size))
    if "maxpo" in names and (dataset.num_actions >= 8).any():
        rivals = [name for name in ("ei", *labels.added(sorted(names))) if name in names]
        found += [_maxpo_below(dataset, rival) for rival in rivals]
    if {"maxpo", "ei"} <= names:
        if 2 in dataset.num_actions:
            found.append(_ei_lower_at_two(dataset))
        found.append(_ei_lower_near_b(dataset))
    if {"maxpo", "canonical"} <= names:
        found.append(_canonical_is_maxpo(dataset))
    if "pkpo_s" in names:
        found.append(_s_is_highest(dataset))
    return [*found, _agrees_with_enumeration(dataset)]


def _finding(name: str, sentence: str, measured: str, holds: bool) -> Finding:
    return Finding("gradient_variance", name, sentence, measured, holds)


class _Ratios:
    """Median over instances of a ratio of variances, with its interval, for every setting."""

    def __init__(self, variances: xr.DataArray, over: str, under: str) -> None:
        ratio = variances.sel(estimator=over, drop=True) / variances.sel(estimator=under, drop=True)
        ratio = ratio.transpose("seed", ...)
        interval = bootstrap_interval(ratio.values, axis=0)
        self.median = ratio.median("seed")
        self.low = self.median.copy(data=interval.low)
        self.high = self.median.copy(data=interval.high)

    def span(self) -> str:
        """Smallest and largest median, and the ends of all intervals."""
        return (
            f"median ratio {float(self.median.min()):.3f} to {float(self.median.max()):.3f}, "
            f"95% intervals within [{float(self.low.min()):.3f}, {float(self.high.max()):.3f}]"
        )


def _setting(dataset: xr.Dataset) -> str:
    run = stored_config(dataset).run
    return f"B = {run.group_size}, K = {run.k}"


def _maxpo_below(dataset: xr.Dataset, rival: str) -> Finding:
    large = dataset.variance_by_size.sel(num_actions=dataset.num_actions >= 8)
    ratios = _Ratios(large, "maxpo", rival)
    label = style.plain_label(rival)
    return _finding(
        f"maxpo_below_{labels.short(rival)}",
        f"MaxPO has a lower variance than {label} for n >= 8 at {_setting(dataset)}, every family",
        f"MaxPO / {label}: {ratios.span()}",
        bool((ratios.high < 1).all()),
    )


def _ei_lower_at_two(dataset: xr.Dataset) -> Finding:
    ratios = _Ratios(dataset.variance_by_size, "maxpo", "ei")
    lower = ratios.low > 1
    sizes = [int(n) for n in dataset.num_actions.values if bool(lower.sel(num_actions=n).all())]
    some = [int(n) for n in dataset.num_actions.values if bool(lower.sel(num_actions=n).any())]
    two = dataset.variance_by_size.sel(num_actions=dataset.num_actions == 2)
    return _finding(
        "ei_lower_at_two",
        f"EI has the lower variance for n = 2 at {_setting(dataset)}, every family",
        f"EI is lower in every family at n in {sizes}, in some at n in {some}; at n = 2, MaxPO / "
        f"EI: {_Ratios(two, 'maxpo', 'ei').span()}",
        2 in sizes,
    )


def _ei_lower_near_b(dataset: xr.Dataset) -> Finding:
    ratios = _Ratios(dataset.variance_by_k, "maxpo", "ei")
    lower = (ratios.low > 1).sel(k=dataset.k > 1)
    everywhere = [int(k) for k in lower.k.values if bool(lower.sel(k=k).all())]
    somewhere = [int(k) for k in lower.k.values if bool(lower.sel(k=k).any())]
    last = int(dataset.k.max())
    at_last = dataset.variance_by_k.sel(k=dataset.k == last)
    return _finding(
        "ei_lower_near_b",
        f"EI has the lower variance at K = {last} of B = {stored_config(dataset).run.group_size}, "
        "every family and n",
        f"EI is lower everywhere at K in {everywhere}, somewhere at K in {somewhere}; at "
        f"K = {last}, MaxPO / EI: {_Ratios(at_last, 'maxpo', 'ei').span()}",
        last in everywhere,
    )


def _s_is_highest(dataset: xr.Dataset) -> Finding:
    medians = dataset.variance_by_size.median("seed")
    others = medians.drop_sel(estimator="pkpo_s")
    ratio = medians.sel(estimator="pkpo_s", drop=True) / others.max("estimator")
    exceptions = [
        f"{family} n = {n}"
        for family in ratio.reward_family.values
        for n in ratio.num_actions.values
        if not ratio.sel(reward_family=family, num_actions=n) > 1
    ]
    return _finding(
        "pkpo_s_highest",
        f"PKPO's s has the highest median variance of all at {_setting(dataset)}",
        f"s / next highest: {float(ratio.min()):.3f} to {float(ratio.max()):.3f}; "
        f"exceptions: {', '.join(exceptions) or 'none'}",
        not exceptions,
    )


def _canonical_is_maxpo(dataset: xr.Dataset) -> Finding:
    """Two routes to one advantage; single precision is all that may tell them apart."""
    differences = [
        np.abs(v.sel(estimator="canonical").values / v.sel(estimator="maxpo").values - 1).max()
        for v in (dataset.variance_by_size, dataset.variance_by_k)
    ]
    return _finding(
        "canonical_is_maxpo",
        "the canonical advantage u - v has the variance of MaxPO, on every instance",
        f"largest relative difference {max(differences):.1e}",
        max(differences) < 1e-4,
    )


def _agrees_with_enumeration(dataset: xr.Dataset) -> Finding:
    """One t test per curve point over its instances, corrected for their number."""
    truth = dataset.exact_variance.rename(exact_num_actions="num_actions")
    truth = truth.sel(estimator=labels.defined(truth))
    ratio = (dataset.variance_by_size / truth).transpose("seed", ...)
    p_values = stats.ttest_1samp(ratio.values, 1.0, axis=0).pvalue
    corrected = min(1.0, float(p_values.min()) * p_values.size)
    # The median: where a variance is next to nothing, rounding can make its ratio anything.
    deviation = float(np.abs(ratio.median("seed") - 1).max())
    return _finding(
        "agrees_with_enumeration",
        "the sampled variances are those of exact enumeration (1% level, Bonferroni-corrected)",
        f"n in {truth.num_actions.values.tolist()}: median ratio off by at most {deviation:.2%}, "
        f"smallest corrected p = {corrected:.2f}",
        corrected > 0.01,
    )


def caption(dataset: xr.Dataset) -> str:
    """Caption generated from the configuration that produced the data."""
    run = stored_config(dataset).run
    policy = "uniform" if run.logits == "uniform" else "random (standard normal logits)"
    first_moment = {"rloo", "reinforce"} & set(labels.estimators(dataset))
    other_target = (
        " RLOO and REINFORCE estimate K times the gradient of J_1 in the common convention "
        "g = (K/B) sum_i A_i grad log pi(a_i)."
        if first_moment
        else ""
    )
    return (
        f"Total variance of the gradient estimate, the trace of its covariance with respect to the "
        f"logits of a softmax bandit, for groups of B = {run.group_size}: against the number of "
        f"actions n at K = {run.k} (left), and against K for fixed n (others). Rows: families "
        f"of arm rewards. Curves: median over {dataset.sizes['seed']} random bandits under a "
        f"{policy} policy, {run.num_draws:,} gradient draws each; bands: 95% bootstrap intervals "
        f"of the median. Black ticks: exact variance by enumeration of all outcomes (median). "
        f"MaxPO and the canonical advantage are the same function computed by two routes."
        f"{other_target}"
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
