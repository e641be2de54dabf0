"""Error of the mean of N gradient estimates against N: the paper's Figure 1, left."""

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
    "gaussian": "Gaussian rewards",
    "bernoulli": "Bernoulli rewards",
    "exponential": "exponential rewards",
    "student_t": "Student $t_3$ rewards",
}
ASYMPTOTIC = 100  # the slope is fitted from this number of draws on
CONFIDENCE = 0.99
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


def is_unbiased(of_estimator: xr.Dataset) -> bool:
    """Whether the exact bias is zero in every reward family."""
    return bool((of_estimator.exact_bias.fillna(0) < EXACTLY_ZERO).all())


def draw(dataset: xr.Dataset) -> Drawing:
    """One panel per reward family."""
    figure, axes = style.grid_of_panels(
        1, dataset.sizes["reward_family"], panel_width=3.3, panel_height=2.5, sharey=True
    )
    for ax, family in zip(axes[0], dataset.reward_family.values, strict=True):
        _draw_family(ax, dataset.sel(reward_family=family))
        style.panel_title(ax, FAMILY_LABELS[str(family)])
        ax.set_xlabel("number of gradient estimates $N$")
    axes[0, 0].set_ylabel(r"$\|\bar g_N - \nabla J_K\| \, / \, \|\nabla J_K\|$")
    style.shared_legend(figure)
    return figure


def _draw_family(ax: Axes, of_family: xr.Dataset) -> None:
    x = of_family.num_draws.values
    for name in of_family.estimator.values:
        of_name = of_family.sel(estimator=name)
        if bool(of_name.error.isnull().any()):
            continue
        errors = of_name.error.transpose("seed", ...).values
        interval = bootstrap_interval(errors, axis=0, statistic=np.mean)
        curve = style.curve_with_interval(
            ax, x, errors.mean(axis=0), interval.low, interval.high, str(name), markevery=3
        )
        if of_name.exact_bias >= EXACTLY_ZERO:
            ax.axhline(float(of_name.exact_bias), color=curve.get_color(), ls="--", lw=0.8)
    style.log_axis(ax, "x")
    style.log_axis(ax, "y")


def findings(dataset: xr.Dataset) -> list[Finding]:
    """Slope or plateau of every estimator, predicted against measured, in every family."""
    found = []
    for name in dataset.estimator.values:
        of_name = dataset.sel(estimator=name)
        unbiased = is_unbiased(of_name)
        verdict = _slope if unbiased else _plateau
        curves = {
            str(family): of_name.sel(reward_family=family)
            for family in dataset.reward_family.values
            if bool(of_name.sel(reward_family=family).error.notnull().all())
        }
        verdicts = {family: verdict(curve) for family, curve in curves.items()}
        if verdicts:
            found.append(
                Finding(
                    "estimation_error",
                    labels.short(str(name)),
                    f"{style.plain_label(str(name))} is unbiased: its error falls as N^(-1/2)"
                    if unbiased
                    else f"{style.plain_label(str(name))} is biased: its error levels off at its "
                    "exact bias",
                    "; ".join(f"{family}: {text}" for family, (text, _) in verdicts.items()),
                    all(holds for _, holds in verdicts.values()),
                )
            )
    return found


def _slope(curve: xr.Dataset) -> tuple[str, bool]:
    """A line through each seed's errors; seeds are independent, points are not."""
    late = curve.sel(num_draws=curve.num_draws >= ASYMPTOTIC)
    logs = np.log(late.error.transpose("num_draws", "seed").values)
    slopes = np.polyfit(np.log(late.num_draws.values), logs, 1)[0]
    low, high = _interval(slopes)
    text = f"slope {slopes.mean():.3f}, 99% interval [{low:.3f}, {high:.3f}], predicted -0.5"
    return text, low <= -0.5 <= high


def _plateau(curve: xr.Dataset) -> tuple[str, bool]:
    """The mean square error is exactly bias^2 + variance / N at every N."""
    last = curve.isel(num_draws=-1)
    squares = last.error.values**2
    predicted = float(np.hypot(last.exact_bias, last.exact_deviation / last.num_draws**0.5))
    low, high = np.sqrt(np.maximum(_interval(squares), 0))
    text = (
        f"error {np.sqrt(squares.mean()):.4f} at N = {int(last.num_draws):,}, 99% interval "
        f"[{low:.4f}, {high:.4f}], predicted {predicted:.4f} (bias {float(last.exact_bias):.4f}, "
        f"cosine with the gradient {float(last.exact_cosine):.4f})"
    )
    return text, bool(low <= predicted <= high and last.exact_bias > 0)


def _interval(values: np.ndarray) -> tuple[float, float]:
    """Student's interval of a mean; two dozen claims at 95% would miss one by chance."""
    return stats.t.interval(CONFIDENCE, len(values) - 1, np.mean(values), stats.sem(values))


def caption(dataset: xr.Dataset) -> str:
    """Caption generated from the configuration that produced the data."""
    run = stored_config(dataset).run
    return (
        "Relative distance of the mean of N gradient estimates from the exact gradient of J_K, on "
        f"softmax bandits with n = {run.num_actions} arms and random logits, B = "
        f"{run.group_size}, K = {run.k}. Curves: mean over {dataset.sizes['seed']} "
        "independent sequences of draws, which the estimators share; bands: 95% bootstrap "
        "intervals. Dashed: the exact bias of each biased estimator, by enumeration of all "
        "outcomes. RLOO is unbiased for J_1 and is measured here against J_K, like all others. "
        "GRPO, z-scored MaxPO and Pass@k Training divide by a deviation, so that their estimates "
        "are also of another length than the gradient."
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
