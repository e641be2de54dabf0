"""pass@k of many prompts after training with each estimator: the paper's Figures 2, 8 and 9."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from ml_collections import ConfigDict

from experiments.analysis import effects as comparisons
from experiments.analysis import labels, paper
from experiments.analysis.learning_curves import (
    check_tuning,
    how_tuned,
    tune,
)
from experiments.common import style
from experiments.common.configuration import stored_config
from experiments.common.findings import Finding
from experiments.common.statistics import bootstrap_interval
from experiments.engine.figure import Figure

NAME = "pass_at_k"
KS = np.array([1, 2, 4, 8, 16, 32, 64, 128, 256])
MOST_TRIES = int(KS[-1])
POLICY_LABELS = {"table": "table for each prompt", "shared": "shared low-rank policy"}
CLASSES = {
    "all prompts": (0.0, 1.0),
    "hard": (0.0, 1e-3),
    "medium": (1e-3, 3e-2),
    "easy": (3e-2, 1.0),
}
TITLES = {
    "all prompts": "all prompts",
    "hard": f"hard: $p \\leq {CLASSES['hard'][1]:g}$",
    "medium": f"medium: $p \\leq {CLASSES['medium'][1]:g}$",
    "easy": f"easy: $p > {CLASSES['easy'][0]:g}$",
}
SOLVABLE = 0.5  # pass@256 from which a prompt counts as solvable


LONG_NAMES = {
    "success_prob": "exact success probability of one try after training",
    "base_success_prob": "success probability of one try of the base policy",
    "learning_rate": "learning rate, tuned for pass@K after training",
}


def summarize(config: ConfigDict, grids: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Success probabilities [policy, estimator, seed, prompt] at the tuned learning rates."""
    of_policies = []
    for runs in grids.values():
        objective = pass_at(runs.success_prob, np.array([config.run.k])).isel(k=0, drop=True)
        tuned = tune(runs[["success_prob"]], objective.mean("prompt"), config.num_tuning_seeds)
        of_policies.append(tuned)
    dataset = xr.concat(of_policies, dim="policy", coords="minimal")
    dataset = dataset.transpose("policy", "estimator", "seed", "prompt").astype(np.float32)
    # All runs have the same prompts, so the first that is defined knows their base policy.
    base = next(iter(grids.values())).base_success_prob
    dataset["base_success_prob"] = base.max([dim for dim in base.dims if dim != "prompt"])
    return labels.label(dataset, LONG_NAMES)


def pass_at(success_prob: xr.DataArray, k: np.ndarray) -> xr.DataArray:
    """Exact pass@k [..., k] of success probabilities."""
    tries = xr.DataArray(k, dims="k", coords={"k": k})
    return 1 - (1 - success_prob.astype(np.float64)) ** tries


def of_class(dataset: xr.Dataset, name: str) -> xr.Dataset:
    """The prompts of one class of difficulty, by the success of the base policy."""
    low, high = CLASSES[name]
    base = dataset.base_success_prob
    return dataset.isel(prompt=np.flatnonzero((base > low) & (base <= high)))


def support_changes(dataset: xr.Dataset) -> tuple[xr.DataArray, xr.DataArray]:
    """Numbers of prompts that became solvable, and unsolvable, within 256 tries."""
    before = pass_at(dataset.base_success_prob, KS[-1:]).isel(k=0) >= SOLVABLE
    after = pass_at(dataset.success_prob, KS[-1:]).isel(k=0) >= SOLVABLE
    return (after & ~before).sum("prompt"), (before & ~after).sum("prompt")


def draw(dataset: xr.Dataset) -> Drawing:
    """One row per policy: pass@k over all prompts and by class, and the change of support."""
    policies = dataset.policy.values
    figure, axes = style.grid_of_panels(
        len(policies), len(CLASSES) + 1, panel_height=1.75, sharex="col"
    )
    for row, policy in enumerate(policies):
        of_policy = dataset.sel(policy=policy)
        for column, name in enumerate(CLASSES):
            _draw_class(axes[row, column], of_class(of_policy, name))
            if row == 0:
                style.panel_title(axes[row, column], TITLES[name])
        _draw_support(axes[row, -1], of_policy)
        axes[row, 0].set_ylabel(f"{POLICY_LABELS[str(policy)]}\npass@$k$")
    style.panel_title(axes[0, -1], f"solvable in {MOST_TRIES}")
    for ax in axes[-1, :-1]:
        ax.set_xlabel("$k$")
    axes[-1, -1].set_xlabel("prompts lost\nand gained")
    style.shared_legend(figure, axes[:, :-1])
    return figure


def _draw_class(ax: Axes, of_prompts: xr.Dataset) -> None:
    for name in labels.defined(of_prompts.success_prob):
        values = pass_at(of_prompts.success_prob.sel(estimator=name), KS).mean("prompt")
        points = values.transpose("seed", "k").values
        interval = bootstrap_interval(points, axis=0, statistic=np.mean)
        style.curve_with_interval(
            ax,
            KS,
            points.mean(axis=0),
            interval.low,
            interval.high,
            str(name),
        )
    base = pass_at(of_prompts.base_success_prob, KS).mean("prompt")
    ax.plot(KS, base.values, color="black", ls=":", lw=1.6, label="base policy", zorder=1.9)
    style.log_axis(ax, "x", base=2)
    ax.set_xticks([1, 4, 16, 64, 256])


def _draw_support(ax: Axes, of_policy: xr.Dataset) -> None:
    of_policy = of_policy.sel(estimator=labels.defined(of_policy.success_prob))
    gained, lost = support_changes(of_policy)
    for place, name in enumerate(of_policy.estimator.values):
        look = style.estimator_style(str(name))
        for counts, sign in ((gained, 1), (lost, -1)):
            values = sign * counts.sel(estimator=name).values.astype(np.float64)
            interval = bootstrap_interval(values, statistic=np.mean)
            ax.barh(place, values.mean(), color=look.color, height=0.7, alpha=0.6)
            ax.plot([interval.low, interval.high], [place, place], color="black", lw=1)
        ax.plot(  # the marker stands for the name
            -0.08,
            place,
            transform=ax.get_yaxis_transform(),
            clip_on=False,
            **look.of_line() | {"label": "", "linestyle": "none"},
        )
    ax.axvline(0, color="black", lw=0.6)
    ax.set_yticks([])
    ax.invert_yaxis()


def findings(dataset: xr.Dataset) -> list[Finding]:
    """What MaxPO gains at many tries and pays at one, and what becomes of the support."""
    names = labels.defined(dataset.success_prob)
    if "maxpo" not in names:
        return []
    found = []
    if "rloo" in names:
        found += [_above(dataset, "rloo", MOST_TRIES, paper.PASS_AT_K), _above(dataset, "rloo", 1)]
    rivals = {"pkpo_sloo_minus_one": paper.BETTER} | dict.fromkeys(labels.added(names), "")
    found += [_above(dataset, one, MOST_TRIES, rivals[one]) for one in rivals if one in names]
    widening = {"maxpo": paper.SUPPORT, "rloo": ""}
    return found + [_widens(dataset, one, widening[one]) for one in widening if one in names]


def _tested(dataset: xr.Dataset) -> str:
    run = stored_config(dataset).run
    size = f"{run.num_prompts} prompts of {run.num_answers} answers"
    return f"{size}, B = {run.group_size}, K = {run.k}"


def _above(dataset: xr.Dataset, other: str, k: int, statement: str = "") -> Finding:
    """Paired by seed, over all prompts."""
    values = pass_at(dataset.success_prob, np.array([k])).isel(k=0).mean("prompt")
    policies, label = [str(policy) for policy in dataset.policy.values], style.plain_label(other)
    effects = [
        comparisons.difference(
            _with(policy),
            *(values.sel(policy=policy, estimator=name) for name in ("maxpo", other)),
            num_effects=len(policies),
        )
        for policy in policies
    ]
    return Finding(
        NAME,
        f"maxpo above {labels.short(other)} at k = {k}",
        f"MaxPO ends with a larger pass@{k} than {label}",
        effects,
        f"pass@{k} over all prompts, MaxPO minus {label}",
        paper=statement,
        tested=f"{_tested(dataset)}, against {label}" if statement else "",
    )


def _with(policy: str) -> str:
    return "with one shared policy" if policy == "shared" else "with a table a prompt"


def _widens(dataset: xr.Dataset, name: str, statement: str) -> Finding:
    """Prompts won minus prompts lost."""
    gained, lost = (
        counts.sel(estimator=name).astype(np.float64) for counts in support_changes(dataset)
    )
    policies = [str(policy) for policy in dataset.policy.values]
    effects = [
        comparisons.difference(
            _with(policy),
            gained.sel(policy=policy),
            lost.sel(policy=policy),
            num_effects=len(policies),
        )
        for policy in policies
    ]
    counts = "; ".join(
        f"{float(gained.sel(policy=p).mean()):.1f} won, {float(lost.sel(policy=p).mean()):.1f} "
        f"lost {_with(p)}"
        for p in policies
    )
    return Finding(
        NAME,
        f"{labels.short(name)} widens support",
        f"{style.plain_label(name)} makes more prompts solvable within {MOST_TRIES} tries than it "
        "loses",
        effects,
        f"prompts won minus prompts lost, of {dataset.sizes['prompt']}",
        counts,
        paper=statement,
        tested=_tested(dataset) if statement else "",
    )


def caption(dataset: xr.Dataset) -> str:
    """Caption generated from the configuration that produced the data."""
    config = stored_config(dataset)
    run = config.run
    grids = {name: axes.learning_rate for name, axes in config.grid.items()}
    objective = f"pass@{run.k}"
    tuned = "; ".join(
        f"{POLICY_LABELS[policy]}: "
        + how_tuned(
            dataset.learning_rate.sel(policy=policy).values,
            grids[policy],
            config.num_tuning_seeds,
            objective,
        )
        for policy in map(str, dataset.policy.values)
    )
    rows = {"table": "a softmax table for each prompt", "shared": "one policy for all prompts, "}
    rows["shared"] += f"of rank {run.rank}"
    said = "; ".join(rows[str(policy)] for policy in dataset.policy.values)
    return (
        f"pass@k on {run.num_prompts} prompts with {run.num_answers} answers of which one "
        f"is right, whose base success probability p runs from {run.hardest:g} to "
        f"{run.easiest:g}, after {run.num_updates} updates of plain gradient ascent with "
        f"B = {run.group_size} tries of every prompt and K = {run.k}. pass@k is exact, 1 - "
        f"(1-p)^k, from the policy's parameters. Rows: {said}. Curves: mean over "
        f"{dataset.sizes['seed']} seeds; bands: 95% bootstrap intervals; dotted: base policy. "
        "Last column: prompts that became "
        f"solvable (right) and unsolvable (left) within {MOST_TRIES} tries, that is, whose "
        f"pass@{MOST_TRIES} rose above or fell below {SOLVABLE:g}; lines: 95% intervals. "
        f"Learning rate of each estimator: {tuned}."
    )


FIGURE = Figure(
    name="pass_at_k",
    question="Does training for K tries widen what a policy can solve at all?",
    grids={"table": "contextual_training", "shared": "contextual_training"},
    summarize=summarize,
    draw=draw,
    findings=findings,
    caption=caption,
    check=check_tuning,
)
