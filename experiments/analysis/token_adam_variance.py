r"""Adam's variance proxy and the true variance with one right answer and with many: Figure 3.

Theory, for a softmax over answers of which very many are wrong, with the advantages A+ of the c
right responses of a group and A- of the others, c binomial(B, p):

- many right answers: all scores are orthogonal and of one length, so that the variance is that
  length squared times (K/B)^2 E[c A+^2 + (B - c) A-^2];
- one right answer: its c responses share a score, (1 - p) e_right, and each of the others has
  e_wrong - p e_right, so that the first term is Var(c A+ (1 - p) - (B - c) A- p) instead.
"""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from ml_collections import ConfigDict
from scipy import stats

from experiments.analysis import effects as comparisons
from experiments.analysis import labels, paper, token_runs
from experiments.common import style
from experiments.common.configuration import stored_config
from experiments.common.findings import Effect, Finding
from experiments.engine.figure import Figure
from maxpo_jax import estimators

NAME = "token_adam_variance"
FACTOR = 1.5  # between two ratios that count as near
TASKS = {"sort": "one right answer", "arrange": "many right answers"}
MEASURES = {"proxy": "Adam's proxy", "variance": "true variance", "theory": "theory"}
LONG_NAMES = {
    "proxy": "sum over parameters of v_hat - m_hat^2 of Adam's state",
    "variance": "trace of the covariance of the gradient estimate at a prompt, mean over prompts",
    "theory": "variance of the estimate that theory gives, in squared lengths of a score",
    "success_prob": "exact success probability of one try, mean over held-out prompts",
}


def summarize(config: ConfigDict, grids: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Proxy, true variance and theory [task, estimator, base_seed, seed, window]."""
    of_tasks = [_of_task(config, task, grids[task]) for task in TASKS]
    dataset = xr.concat(of_tasks, dim="task").assign_coords(task=list(TASKS))
    dims = ("task", "estimator", *token_runs.REPLICATE, "window")
    return labels.label(dataset.transpose(*dims).astype(np.float32), LONG_NAMES)


def _of_task(config: ConfigDict, task: str, runs: xr.Dataset) -> xr.Dataset:
    runs = runs.isel(families=0, family=0, drop=True)
    after = runs.success_prob.isel(update=slice(1, None))  # of the same moments as the variances
    probs = after.rename(update="window").assign_coords(window=runs.window)
    theory = [
        _theory(task, str(name), probs.sel(estimator=name), config.run.group_size, config.run.k)
        for name in runs.estimator.values
    ]
    return xr.Dataset(
        {
            "proxy": runs.adam_variance,
            "variance": runs.gradient_variance,
            "theory": xr.concat(theory, dim="estimator").assign_coords(
                estimator=runs.estimator.values
            ),
            "success_prob": probs.mean("prompt", skipna=False),
        }
    )


def _theory(task: str, name: str, probs: xr.DataArray, group_size: int, k: int) -> xr.DataArray:
    """The variance that theory gives, mean over prompts; NaN for a function of the user."""
    if name not in estimators.names():
        return xr.full_like(probs.mean("prompt"), np.nan)
    variance = variance_in_theory(probs.values, name, group_size, k, is_one=task == "sort")
    return probs.copy(data=variance).mean("prompt")


def variance_in_theory(
    probs: np.ndarray, name: str, group_size: int, k: int, *, is_one: bool
) -> np.ndarray:
    """Variance of a group's estimate in squared lengths of a score; see the head of this file.

    Args:
      probs: success probabilities of one try, any shape.
      name: a registered estimator, of no random draws.
      group_size: B.
      k: K.
      is_one: whether one answer is right, or many are.
    """
    count = np.arange(group_size + 1)
    right = np.arange(group_size) < count[:, None]
    rewards = jnp.asarray(right.astype(np.float32))
    advantages = np.asarray(estimators.get(name)(rewards, k), np.float64)
    of_right = np.where(count > 0, advantages[:, 0], 0)
    of_wrong = np.where(count < group_size, advantages[:, -1], 0)
    p = np.asarray(probs, np.float64)[..., None]
    weight = stats.binom.pmf(count, group_size, p)
    wrong = np.sum(weight * (group_size - count) * of_wrong**2, axis=-1)
    if is_one:
        shared = count * of_right * (1 - p) - (group_size - count) * of_wrong * p
        mean = np.sum(weight * shared, axis=-1)
        along = np.sum(weight * shared**2, axis=-1) - mean**2
    else:
        along = np.sum(weight * count * of_right**2, axis=-1)
    return (k / group_size) ** 2 * (along + wrong)


def draw(dataset: xr.Dataset) -> Drawing:
    """One row a task: proxy, true variance, and MaxPO over EI by proxy, truth and theory."""
    figure, axes = style.grid_of_panels(
        len(TASKS), 3, panel_width=2.4, panel_height=1.9, sharex=True
    )
    for row, (task, about) in zip(axes, TASKS.items(), strict=True):
        of_task = dataset.sel(task=task)
        for ax, measure in zip(row, ("proxy", "variance"), strict=False):
            for name in labels.defined(of_task[measure]):
                values = of_task[measure].sel(estimator=name)
                token_runs.draw_mean(ax, dataset.window.values, values, name)
            if float(of_task[measure].max()) > 0:
                style.log_axis(ax, "y")
        _draw_ratios(row[2], of_task)
        row[0].set_ylabel(f"{task}\n{about}")
    titles = (
        r"proxy $\Sigma_j\, \hat v_j - \hat m_j^2$",
        r"true $\mathrm{tr}\,\mathrm{Cov}(g\,|\,$prompt$)$",
        "MaxPO / EI",
    )
    for ax, title in zip(axes[0], titles, strict=True):
        style.panel_title(ax, title)
    for ax in axes[-1]:
        ax.set_xlabel("updates")
    style.shared_legend(figure)
    return figure


def _draw_ratios(ax: Axes, of_task: xr.Dataset) -> None:
    if not {"maxpo", "ei"} <= set(labels.defined(of_task.proxy)):
        return
    colors = {"proxy": style.GRAY, "variance": style.BLACK, "theory": style.GREEN}
    for measure, color in colors.items():
        value, low, high = _ratio(of_task[measure])
        x, line = of_task.window.values, ":" if measure == "theory" else "-"
        ax.plot(x, value, color=color, ls=line, label=f"MaxPO / EI: {MEASURES[measure]}")
        ax.fill_between(x, low, high, color=color, alpha=0.2, linewidth=0)
    ax.axhline(1, color=style.GRAY, lw=0.8, ls="--", zorder=1)
    if ax.dataLim.y1 > 0:
        style.log_axis(ax, "y", base=2)


def _ratio(
    values: xr.DataArray, other: str = "ei", num_effects: int = 1
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """MaxPO's mean over another's, with the ends of its interval; runs stay paired."""
    above, below = (token_runs.replicates(values.sel(estimator=n)) for n in ("maxpo", other))

    def ratio(runs: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore", invalid="ignore"):  # where no response is ever right
            return above[runs].mean(axis=1) / below[runs].mean(axis=1)

    (value,) = ratio(np.arange(len(above))[None])
    return value, *comparisons.interval_of(ratio, len(above), num_effects)


def findings(dataset: xr.Dataset) -> list[Finding]:
    """Whose gradient varies less, by Adam's proxy and in truth, and whether theory says so."""
    names = labels.defined(dataset.proxy)
    if "maxpo" not in names:
        return []
    last = dataset.isel(window=-1)
    found: list[Finding | None] = []
    for rival in [name for name in ("ei", *labels.added(names)) if name in names]:
        statement = paper.ADAM if rival == "ei" else ""
        found += [
            _below(last, rival, "proxy", statement),
            _below(last, rival, "variance", paper.LOWER_VARIANCE if rival == "ei" else ""),
        ]
    found += [_as_theory_says(last)] if "ei" in names else []
    return [finding for finding in found if finding is not None]


def _tested(dataset: xr.Dataset) -> str:
    run = stored_config(dataset).run
    return f"token policies on sort and arrange, B = {run.group_size}, K = {run.k}"


def _below(last: xr.Dataset, rival: str, measure: str, statement: str) -> Finding | None:
    """None where no response was ever right, so that nothing varied."""
    effects = []
    for task, about in TASKS.items():
        of_task = last[measure].sel(task=task)
        value, low, high = map(float, _ratio(of_task, rival, num_effects=len(TASKS)))
        if not np.isfinite([value, low, high]).all():
            continue
        outcome = comparisons.is_positive(1 - high, 1 - low, comparisons.TIE)
        effects.append(Effect(f"on {task} ({about})", value, low, high, outcome))
    if not effects:
        return None
    label = style.plain_label(rival)
    what = {"proxy": "Adam's proxy is", "variance": "The true variance is"}[measure]
    return Finding(
        NAME,
        f"{measure} below {labels.short(rival)}",
        f"{what} lower for MaxPO than for {label} after training",
        effects,
        f"{MEASURES[measure]}, MaxPO over {label}",
        paper=statement,
        tested=_tested(last) if statement else "",
    )


def _as_theory_says(last: xr.Dataset) -> Finding | None:
    """None where nothing varied."""
    effects, told = [], []
    for task in TASKS:
        of_task = last.sel(task=task)
        value, low, high = map(float, _ratio(of_task.variance, num_effects=len(TASKS)))
        theory = float(_ratio(of_task.theory)[0])
        if not np.isfinite([value, low, high, theory]).all() or low <= 0:
            continue
        outcome = comparisons.within(
            np.log(low / theory), np.log(high / theory), 0.0, np.log(FACTOR)
        )
        effects.append(Effect(f"on {task}", value / theory, low / theory, high / theory, outcome))
        p = float(of_task.success_prob.mean())
        told.append(f"{value:.2f} against {theory:.2f} on {task}, at p = {p:.2f}")
    if not effects:
        return None
    return Finding(
        NAME,
        "as theory says",
        f"The ratio of true variances is within a factor of {FACTOR:g} of theory",
        effects,
        "ratio of true variances, MaxPO over EI, over that of theory",
        "; ".join(told),
    )


def caption(dataset: xr.Dataset) -> str:
    """Caption generated from the configuration that produced the data."""
    run = stored_config(dataset).run
    return (
        "Variance of the gradient while a token policy trains on sort, where one of 720 orders is "
        "right, and on arrange, where 360 are. Left: the sum over parameters of v_hat - m_hat^2 of "
        "Adam's state, which holds the variance between prompts, too. Middle: trace of the "
        f"covariance at a prompt, mean over prompts, from {run.variance_groups} further groups "
        "for the same prompts. Right: MaxPO over EI, by both and by the theory of a softmax over "
        "many answers at the exact success probabilities, with one right answer and with many. "
        f"{token_runs.told_tasks(run)}, K = {run.k}. Curves: mean over "
        f"{token_runs.num_replicates(dataset)}; bands: 95% bootstrap intervals over these runs."
    )


def check(config: ConfigDict) -> None:
    """Refuse another optimizer than Adam, and a variance of one group."""
    token_runs.check_run(config)
    if config.run.get("optimizer", "adam") != "adam":
        raise ValueError(f"optimizer is {config.run.optimizer!r}; the proxy is Adam's: use 'adam'")
    if config.run.variance_groups < 2:
        raise ValueError("a true variance takes variance_groups of 2 or more")


FIGURE = Figure(
    name=NAME,
    question="Does Adam's state show a lower variance for MaxPO, and when?",
    grids={"sort": "token_training", "arrange": "token_training"},
    summarize=summarize,
    draw=draw,
    findings=findings,
    caption=caption,
    check=check,
)
