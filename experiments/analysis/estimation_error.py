"""Error of the mean of N gradient estimates against N: the paper's Figure 1, left."""

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

NAME = "estimation_error"
FAMILY_LABELS = {
    "gaussian": "Gaussian rewards",
    "bernoulli": "Bernoulli rewards",
    "exponential": "exponential rewards",
    "student_t": "Student $t_3$ rewards",
}
ASYMPTOTIC = 100  # the slope is fitted from this number of draws on
DIVIDED = ("grpo", "zscore_maxpo", "pass_at_k_training_analytic")
SLOPE_MARGIN = 0.05  # around -1/2: a slope has to be shown to lie within it
PLATEAU_MARGIN = 0.02  # around the exact mean square error, relative
EXACTLY_ZERO = 1e-5  # relative bias that single precision cannot tell from none

RELATIVE = "relative to the norm of the exact gradient of J_K"
LONG_NAMES = {
    "error": f"distance of the mean estimate from the exact gradient of J_K, {RELATIVE}",
    "exact_bias": f"norm of the exact bias of the estimate, {RELATIVE}",
    "exact_cosine": "cosine between the exact mean estimate and the exact gradient of J_K",
    "exact_deviation": f"root of the exact total variance of the estimate, {RELATIVE}",
}


def summarize(config: ConfigDict, grids: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Errors [reward_family, num_draws, seed, estimator], and what they must be exactly."""
    exact = grids["exact"].isel(seed=0, drop=True)
    error = grids["sampled"].error.transpose("reward_family", "num_draws", "seed", "estimator")
    variables = {
        "error": error,
        "exact_bias": exact.bias,
        "exact_cosine": exact.cosine,
        "exact_deviation": np.sqrt(exact.variance) / exact.gradient_norm,
    }
    return labels.label(xr.Dataset(variables), LONG_NAMES)


def draw(dataset: xr.Dataset) -> Drawing:
    """One panel per reward family."""
    figure, axes = style.grid_of_panels(
        1, dataset.sizes["reward_family"], panel_height=2.5, sharey=True
    )
    for ax, family in zip(axes[0], dataset.reward_family.values, strict=True):
        _draw_family(ax, dataset.sel(reward_family=family))
        style.panel_title(ax, FAMILY_LABELS[str(family)])
        ax.set_xlabel("number of gradient estimates $N$")
    axes[0, 0].set_ylabel(r"$\|\bar g_N - \nabla J_K\| \, / \, \|\nabla J_K\|$")
    style.shared_legend(figure)
    return figure


def _draw_family(ax: Axes, of_family: xr.Dataset) -> None:
    x, is_biased = of_family.num_draws.values, False
    for name in of_family.estimator.values:
        of_name = of_family.sel(estimator=name)
        if bool(of_name.error.isnull().any()):
            continue
        errors = of_name.error.transpose("seed", ...).values
        interval = bootstrap_interval(errors, axis=0, statistic=np.mean)
        curve = style.curve_with_interval(
            ax, x, errors.mean(axis=0), interval.low, interval.high, str(name)
        )
        if of_name.exact_bias >= EXACTLY_ZERO:
            ax.axhline(float(of_name.exact_bias), color=curve.get_color(), ls="--", lw=0.8)
            is_biased = True
    if is_biased:
        ax.plot([], [], color=style.GRAY, ls="--", lw=0.8, label="exact bias of each")
    style.log_axis(ax, "x")
    style.log_axis(ax, "y")


def findings(dataset: xr.Dataset) -> list[Finding]:
    """Slope or plateau of every estimator, predicted against measured, in every family."""
    curves = _curves(dataset)
    unbiased = [curve for curve in curves if curve.exact_bias < EXACTLY_ZERO]
    biased = [curve for curve in curves if curve.exact_bias >= EXACTLY_ZERO]
    ours = [curve for curve in unbiased if curve.estimator == "maxpo"]
    others = [curve for curve in unbiased if curve.estimator != "maxpo"]
    found = []
    if ours:
        found.append(
            _falls(
                dataset,
                "maxpo_unbiased",
                "MaxPO is unbiased: the error of the mean of N estimates falls as N^(-1/2)",
                ours,
                statement=paper.UNBIASED,
            )
        )
    if others:
        named = _named(others)
        found.append(
            _falls(
                dataset,
                "others_unbiased",
                f"{_listed(named)} {'is' if len(named) == 1 else 'are'} unbiased, too",
                others,
                statement=paper.EI_UNBIASED if "ei" in named else "",
            )
        )
    if biased:
        found.append(_levels_off(biased))
    centered = [curve for curve in biased if curve.estimator == "center_ei"]
    if centered:
        effects = [comparisons.exact(_family(c), float(c.exact_bias), holds=True) for c in centered]
        found.append(
            Finding(
                NAME,
                "centering_ei_is_biased",
                "Centering EI by the mean of its group, instead of by L2O, biases it",
                effects,
                "exact bias over the norm of the gradient",
            )
        )
    return found


def _curves(dataset: xr.Dataset) -> list[xr.Dataset]:
    """The curves that there are, one an estimator and family."""
    every = (
        dataset.sel(estimator=name, reward_family=family)
        for name in dataset.estimator.values
        for family in dataset.reward_family.values
    )
    return [curve for curve in every if bool(curve.error.notnull().all())]


def _family(curve: xr.Dataset) -> str:
    return f"on {curve.reward_family.item()} rewards"


def _named(curves: Sequence[xr.Dataset]) -> list[str]:
    return list(dict.fromkeys(str(c.estimator.item()) for c in curves))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(style.plain_label(name) for name in names)


def _setting(dataset: xr.Dataset) -> str:
    run = stored_config(dataset).run
    return f"bandits, n = {run.num_actions}, B = {run.group_size}, K = {run.k}"


def _falls(
    dataset: xr.Dataset, name: str, sentence: str, curves: Sequence[xr.Dataset], statement: str
) -> Finding:
    effects = []
    for curve in curves:
        slope, low, high = _slope(curve, len(curves))
        label = style.plain_label(str(curve.estimator.item()))
        where = _family(curve) if len(_named(curves)) == 1 else f"for {label} {_family(curve)}"
        outcome = comparisons.within(low, high, -0.5, SLOPE_MARGIN)
        effects.append(Effect(where, slope, low, high, outcome))
    measured = "" if len(effects) <= 2 else _span("slope", effects)
    quantity = f"slope in log N from N = {ASYMPTOTIC} on, to be -0.5 within {SLOPE_MARGIN}"
    return Finding(
        NAME, name, sentence, effects, quantity, measured, paper=statement, tested=_setting(dataset)
    )


def _slope(curve: xr.Dataset, num_effects: int) -> tuple[float, float, float]:
    """Slope of the root mean square error over seeds, with the ends of its interval.

    The mean square is known exactly at every N. A line through the logs of each seed would be too
    flat: few draws of a heavy tail have a typical error that is smaller than its root mean square.
    """
    late = curve.sel(num_draws=curve.num_draws >= ASYMPTOTIC)
    logs = np.log(late.num_draws.values)
    squares = late.error.transpose("seed", "num_draws").values.astype(np.float64) ** 2
    centered = (logs - logs.mean()) / np.sum((logs - logs.mean()) ** 2)

    def slope(seeds: np.ndarray) -> np.ndarray:
        return 0.5 * np.log(squares[seeds].mean(axis=-2)) @ centered

    (value,) = slope(np.arange(len(squares))[None])
    low, high = comparisons.interval_of(slope, len(squares), num_effects)
    return float(value), float(low), float(high)


def _levels_off(curves: Sequence[xr.Dataset]) -> Finding:
    """The mean square error is exactly bias^2 + variance / N at every N."""
    effects = []
    for curve in curves:
        last = curve.isel(num_draws=-1)
        predicted = float(last.exact_bias**2 + last.exact_deviation**2 / last.num_draws)
        squares = last.error.values.astype(np.float64) ** 2 / predicted
        label = style.plain_label(str(curve.estimator.item()))
        where = f"for {label} {_family(curve)}"
        effects.append(
            comparisons.near(where, squares, 1.0, PLATEAU_MARGIN, num_effects=len(curves))
        )
    biases = [float(curve.exact_bias) for curve in curves]
    return Finding(
        NAME,
        "biased",
        f"{_listed(_named(curves))}: the error levels off at the exact bias",
        effects,
        "mean square error over the exact one, bias^2 + variance/N, at the largest N",
        f"{min(biases):.2g} to {max(biases):.2g} of the gradient's norm; {_span('ratio', effects)}",
    )


def _span(word: str, effects: Sequence[Effect]) -> str:
    """Smallest and largest of many numbers, with the ends of all intervals."""
    estimates = [effect.estimate for effect in effects]
    low, high = min(e.low for e in effects), max(e.high for e in effects)
    return f"{word} {min(estimates):.3f} to {max(estimates):.3f}, all in [{low:.3f}, {high:.3f}]"


def caption(dataset: xr.Dataset) -> str:
    """Caption generated from the configuration that produced the data."""
    run, names = stored_config(dataset).run, labels.estimators(dataset)
    notes = [
        "RLOO is unbiased for J_1 and is measured here against J_K, like all others."
        if "rloo" in names
        else "",
        f"Divided by a deviation, and so of another length than the gradient: {_listed(scaled)}."
        if (scaled := [name for name in DIVIDED if name in names])
        else "",
    ]
    return " ".join(
        [
            "Relative distance of the mean of N gradient estimates from the exact gradient of "
            f"J_K, on softmax bandits with n = {run.num_actions} arms and random logits, "
            f"B = {run.group_size}, K = {run.k}. Curves: mean over {dataset.sizes['seed']} "
            "independent sequences of draws, which the estimators share; bands: 95% bootstrap "
            "intervals. Dashed: the exact bias of each biased estimator, by enumeration.",
            *filter(None, notes),
        ]
    )


def check(config: ConfigDict) -> None:
    """Refuse an exact value of another bandit than the sampled one."""
    if tuple(config.grid.exact.seed) != (config.run.bandit_seed,):
        raise ValueError(
            f"grid.exact.seed is {config.grid.exact.seed}; it must be bandit_seed, "
            f"{config.run.bandit_seed}"
        )


FIGURE = Figure(
    name="estimation_error",
    question="Does the mean of many gradient estimates approach the gradient of J_K?",
    grids={"sampled": "estimation_error", "exact": "exact_bandit_gradients"},
    summarize=summarize,
    draw=draw,
    findings=findings,
    caption=caption,
    check=check,
)
