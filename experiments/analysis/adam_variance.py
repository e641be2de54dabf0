"""Adam's own variance proxy during training, and the true variance: the paper's Figure 3."""

import itertools
import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import xarray as xr
from matplotlib.figure import Figure as Drawing
from ml_collections import ConfigDict

from experiments.analysis import effects as comparisons
from experiments.analysis import labels, paper
from experiments.analysis.learning_curves import INSTANCE_LABELS, check_tuning, how_tuned, tune
from experiments.common import style
from experiments.common.configuration import stored_config
from experiments.common.findings import Effect, Finding
from experiments.common.statistics import bootstrap_interval
from experiments.engine.figure import Figure

NAME = "adam_variance"
FACTOR = 1.5  # between the proxy and the true variance, that counts as near
LONG_NAMES = {
    "proxy": "sum over parameters of v_hat - m_hat^2 of Adam's state",
    "true_variance": "trace of the covariance of the gradient estimate at the same parameters",
    "learning_rate": "learning rate, tuned for J_K after training",
}


def summarize(config: ConfigDict, grids: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Proxy and true variance [estimator, seed, update] at the tuned learning rates."""
    runs = grids["training"]
    curves = runs[["adam_proxy", "gradient_variance"]].isel(update=slice(1, None))
    tuned = tune(curves, runs.max_at_k.isel(update=-1), config.num_tuning_seeds)
    tuned = tuned.rename(adam_proxy="proxy", gradient_variance="true_variance")
    tuned = tuned.transpose("estimator", "seed", "update").astype(np.float32)
    return labels.label(tuned, LONG_NAMES)


class _Ratio(NamedTuple):
    """A ratio with the ends of its interval."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


def ratio_of_means(first: xr.DataArray, second: xr.DataArray, num_effects: int = 1) -> _Ratio:
    """Ratio of two means over seeds; the mean of sampled variances is unbiased, no median is.

    Seeds are resampled, so that what belongs to one run, or to the same seed, stays paired.
    """
    above, below = (
        values.transpose("seed", ...).values.astype(np.float64) for values in (first, second)
    )

    def ratio(seeds: np.ndarray) -> np.ndarray:
        return above[seeds].mean(axis=1) / below[seeds].mean(axis=1)

    (value,) = ratio(np.arange(len(above))[None])
    return _Ratio(value, *comparisons.interval_of(ratio, len(above), num_effects))


def draw(dataset: xr.Dataset) -> Drawing:
    """Proxy, true variance, and their ratio, against updates."""
    figure, axes = style.grid_of_panels(1, 3, panel_height=2.0, sharex=True)
    axes[0, 1].sharey(axes[0, 0])
    updates = dataset["update"].values
    for name in labels.defined(dataset.proxy):
        of_estimator = dataset.sel(estimator=name)
        for ax, measure in zip(axes[0], ("proxy", "true_variance"), strict=False):
            values = of_estimator[measure].transpose("seed", "update").values
            interval = bootstrap_interval(values, axis=0, statistic=np.mean)
            mean = values.mean(axis=0)
            style.curve_with_interval(ax, updates, mean, interval.low, interval.high, name)
        ratio = ratio_of_means(of_estimator.proxy, of_estimator.true_variance)
        style.curve_with_interval(axes[0, 2], updates, *ratio, name)
    titles = (
        r"proxy $\Sigma_j\, (\hat v_j - \hat m_j^2)$",
        r"true $\mathrm{tr}\,\mathrm{Cov}(g)$",
        "proxy / true",
    )
    for ax, title in zip(axes[0], titles, strict=True):
        style.panel_title(ax, title)
        ax.set_xlabel("updates")
    for ax in axes[0, :2]:
        style.log_axis(ax, "y")
    axes[0, 2].axhline(1, color=style.GRAY, lw=0.8, ls="--", zorder=1)
    axes[0, 2].set_ylim(bottom=0)
    style.shared_legend(figure)
    return figure


def findings(dataset: xr.Dataset) -> list[Finding]:
    """What the proxy says of MaxPO and EI, how far it is off, and how it ranks the estimators."""
    dataset = dataset.sel(estimator=labels.defined(dataset.proxy))
    names, last = labels.estimators(dataset), dataset.isel(update=-1)
    rivals = [name for name in ("ei", *labels.added(names)) if name in names]
    found = [_maxpo_below(last, rival) for rival in rivals if "maxpo" in names]
    found.append(_tells_the_variance(last))
    if len(names) > 1:
        found.append(_ranks(dataset))
    return found


def _maxpo_below(last: xr.Dataset, rival: str) -> Finding:
    """After training, each at the policy that it has come to."""
    run, label = stored_config(last).run, style.plain_label(rival)
    effects = []
    for where, measure in (("in Adam's proxy", "proxy"), ("in truth", "true_variance")):
        values = last[measure]
        ours, theirs = (values.sel(estimator=name) for name in ("maxpo", rival))
        value, low, high = map(float, ratio_of_means(ours, theirs, num_effects=2))
        outcome = comparisons.is_positive(1 - high, 1 - low, comparisons.TIE)
        effects.append(Effect(where, value, low, high, outcome))
    return Finding(
        NAME,
        f"maxpo below {labels.short(rival)}",
        f"After training MaxPO has the lower variance, against {label}",
        effects,
        f"mean variance, MaxPO over {label}",
        paper=paper.ADAM if rival == "ei" else "",
        tested=f"{INSTANCE_LABELS[run.instance]} bandit, n = {run.num_actions}, "
        f"B = {run.group_size}, K = {run.k}",
    )


def _tells_the_variance(last: xr.Dataset) -> Finding:
    names = labels.estimators(last)
    effects = []
    for name in names:
        of_name = last.sel(estimator=name)
        ratio = ratio_of_means(of_name.proxy, of_name.true_variance, len(names))
        value, low, high = map(float, ratio)
        outcome = comparisons.within(math.log(low), math.log(high), 0.0, math.log(FACTOR))
        effects.append(Effect(f"for {style.plain_label(name)}", value, low, high, outcome))
    return Finding(
        NAME,
        "proxy within a factor",
        f"The proxy is within a factor of {FACTOR} of the true variance after training",
        effects,
        "mean proxy over mean true variance",
        "; ".join(f"{effect.estimate:.2f} {effect.where}" for effect in effects),
    )


def _ranks(dataset: xr.Dataset) -> Finding:
    """Pairs of estimators whose means the proxy puts in the true order, at every record."""
    proxy, true = dataset.proxy.mean("seed"), dataset.true_variance.mean("seed")
    agree = [
        (proxy.sel(estimator=a) > proxy.sel(estimator=b))
        == (true.sel(estimator=a) > true.sel(estimator=b))
        for a, b in itertools.combinations(dataset.estimator.values, 2)
    ]
    share = np.array(agree).mean(axis=0)
    return Finding(
        NAME,
        "ranks_estimators",
        "The proxy puts most pairs of estimators into their true order",
        [
            comparisons.exact("after training", share[-1]),
            comparisons.exact("at the worst record", share.min()),
        ],
        "share of the pairs whose means over seeds the proxy ranks as the true variance does",
        f"{share[-1]:.0%} of the pairs after training, at least {share.min():.0%} along the way",
    )


def caption(dataset: xr.Dataset) -> str:
    """Caption generated from the configuration that produced the data."""
    config = stored_config(dataset)
    run, rates = config.run, config.grid.training.learning_rate
    tuned = how_tuned(dataset.learning_rate.values, rates, config.num_tuning_seeds, f"J_{run.k}")
    return (
        "Adam's own moments as a measure of the variance of the gradient, while each estimator "
        f"trains on the {INSTANCE_LABELS[run.instance]} bandit with n = {run.num_actions} "
        f"arms, B = {run.group_size}, K = {run.k}. Left: sum over the logits of v_hat - "
        "m_hat^2, bias-corrected, from the state of the optimizer (decays 0.9 and 0.999). Middle: "
        f"trace of the covariance from {run.variance_groups} further gradient draws at the same "
        "parameters. Right: their ratio; at constant moments its expectation would be 18/19. "
        f"Curves: mean over {dataset.sizes['seed']} seeds; bands: 95% bootstrap intervals. "
        f"Learning rate of each estimator: {tuned}. Every estimator is measured along its own path."
    )


def check(config: ConfigDict) -> None:
    """Refuse another optimizer than Adam, and what cannot be tuned."""
    check_tuning(config)
    if config.run.optimizer != "adam":
        raise ValueError(f"optimizer is {config.run.optimizer!r}; the proxy is Adam's: use 'adam'")
    if config.run.variance_groups < 2:
        raise ValueError("a true variance takes variance_groups of 2 or more")


FIGURE = Figure(
    name="adam_variance",
    question="Does Adam's state tell the variance of the gradient?",
    grids={"training": "bandit_training"},
    summarize=summarize,
    draw=draw,
    findings=findings,
    caption=caption,
    check=check,
)
