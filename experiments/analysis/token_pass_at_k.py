"""pass@k of token policies before and after training: the paper's Figures 2 and 8."""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from ml_collections import ConfigDict

from experiments.analysis import effects as comparisons
from experiments.analysis import labels, paper, token_runs
from experiments.analysis.token_runs import KS, MANY_TRIES
from experiments.common import style
from experiments.common.configuration import stored_config
from experiments.common.findings import Finding
from experiments.engine.figure import Figure

NAME = "token_pass_at_k"
COURSE_KS = (1, MANY_TRIES)  # shown against the updates, too
LONG_NAMES = {"pass_at_k": "exact pass@k, mean over held-out prompts of a family"}


def summarize(config: ConfigDict, grids: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """pass@k [estimator, base_seed, seed, update, family, k] on prompts that are held out."""
    values = token_runs.pass_at(grids["training"].success_prob, KS).mean("prompt", skipna=False)
    dims = ("estimator", *token_runs.REPLICATE, "update", "family", "k")
    dataset = xr.Dataset({"pass_at_k": values.transpose(*dims).astype(np.float32)})
    return labels.label(dataset, LONG_NAMES)


def draw(dataset: xr.Dataset) -> Drawing:
    """pass@k over all tasks and by family, and its course while training."""
    families = dataset.family.values
    num_panels = 1 + len(families) + len(COURSE_KS)
    num_columns = min(4, num_panels)
    figure, axes = style.grid_of_panels(
        -(-num_panels // num_columns), num_columns, panel_width=1.95, panel_height=1.75
    )
    panels = iter(axes.flat)
    over_families = dataset.pass_at_k.mean("family")
    _draw_tries(next(panels), "all tasks", over_families)
    for family in families:
        title = token_runs.TITLES.get(str(family), str(family))
        _draw_tries(next(panels), title, dataset.pass_at_k.sel(family=family))
    for k in COURSE_KS:
        _draw_course(next(panels), over_families.sel(k=k), k)
    for ax in panels:
        ax.set_visible(False)
    for ax in axes[:, 0]:
        ax.set_ylabel("pass@$k$")
    style.shared_legend(figure)
    return figure


def _draw_tries(ax: Axes, title: str, values: xr.DataArray) -> None:
    token_runs.draw_pass_at_k(ax, values)
    style.panel_title(ax, title)
    ax.set_xlabel("$k$")


def _draw_course(ax: Axes, values: xr.DataArray, k: int) -> None:
    for name in labels.defined(values):
        token_runs.draw_mean(ax, values["update"].values, values.sel(estimator=name), name)
    ax.axhline(float(values.isel(update=0).mean()), color="black", ls=":", lw=1)
    style.panel_title(ax, f"all tasks, pass@{k}")
    ax.set_xlabel("updates")


def findings(dataset: xr.Dataset) -> list[Finding]:
    """What training for many tries keeps, what training for one loses, and who is ahead of whom."""
    names = labels.defined(dataset.pass_at_k)
    if "maxpo" not in names:
        return []
    found = [_above(dataset, "rloo", paper.PASS_AT_K)] if "rloo" in names else []
    found.append(_keeps_the_base(dataset, "maxpo"))
    narrow = [name for name in ("rloo", "grpo") if name in names]
    found += [_loses_the_base(dataset, narrow)] if narrow else []
    rivals = {"ei": paper.BETTER, "pass_at_k_training_analytic": ""}
    rivals |= dict.fromkeys(labels.added(names), "")
    return found + [_above(dataset, one, rivals[one]) for one in rivals if one in names]


def _final(dataset: xr.Dataset, name: str, k: int, update: int = -1) -> np.ndarray:
    """[replicates] pass@k over all tasks."""
    of_name = dataset.pass_at_k.sel(estimator=name, k=k).isel(update=update)
    return token_runs.replicates(of_name.mean("family"))


def _tested(dataset: xr.Dataset) -> str:
    run = stored_config(dataset).run
    return f"{dataset.sizes['family']} families of tasks, B = {run.group_size}, K = {run.k}"


def _above(dataset: xr.Dataset, other: str, statement: str = "") -> Finding:
    """At the end of training, at one try, at K, and at many."""
    label, k = style.plain_label(other), stored_config(dataset).run.k
    nearest = int(KS[np.abs(KS - k).argmin()])
    ks = tuple(dict.fromkeys((MANY_TRIES, nearest, 1)))
    effects = [
        comparisons.difference(
            f"at k = {tries}",
            *(_final(dataset, name, tries) for name in ("maxpo", other)),
            num_effects=len(ks),
        )
        for tries in ks
    ]
    return Finding(
        NAME,
        f"maxpo above {labels.short(other)}",
        f"MaxPO ends with a larger pass@k than {label}",
        effects,
        f"pass@k on held-out prompts, MaxPO minus {label}",
        paper=statement,
        tested=_tested(dataset) if statement else "",
    )


def _keeps_the_base(dataset: xr.Dataset, name: str) -> Finding:
    ks = (MANY_TRIES, int(KS[-1]))
    effects = [
        comparisons.difference(
            f"at k = {k}",
            _final(dataset, name, k),
            _final(dataset, name, k, update=0),
            num_effects=len(ks),
        )
        for k in ks
    ]
    return Finding(
        NAME,
        f"{name} above the base policy",
        f"{style.plain_label(name)} solves more within many tries than the base policy did",
        effects,
        f"pass@k on held-out prompts, {style.plain_label(name)} minus base policy",
    )


def _loses_the_base(dataset: xr.Dataset, names: Sequence[str]) -> Finding:
    effects = [
        comparisons.difference(
            f"by {style.plain_label(name)}",
            _final(dataset, name, MANY_TRIES, update=0),
            _final(dataset, name, MANY_TRIES),
            num_effects=len(names),
        )
        for name in names
    ]
    return Finding(
        NAME,
        "training for one try loses the base policy",
        f"Training for one try loses some of what the base policy solved within {MANY_TRIES} tries",
        effects,
        f"pass@{MANY_TRIES} on held-out prompts, base policy minus trained policy",
    )


def caption(dataset: xr.Dataset) -> str:
    """Caption generated from the configuration that produced the data."""
    run = stored_config(dataset).run
    return (
        f"pass@k on {run.num_test} held-out prompts of each of {dataset.sizes['family']} families "
        "of tasks, exact: all right answers are listed, and 1 - (1 - p)^k follows from their "
        f"probability p. {token_runs.told_tasks(run)}, K = {run.k}. Last panels: the course of "
        f"pass@{COURSE_KS[0]} and pass@{COURSE_KS[1]}. Curves: mean over "
        f"{token_runs.num_replicates(dataset)}; bands: 95% bootstrap intervals over these runs; "
        "dotted: the base policies. All estimators train at one learning rate, since Adam takes "
        "the scale out of their gradients."
    )


FIGURE = Figure(
    name=NAME,
    question="What does a token policy solve within k tries, before and after training?",
    grids={"training": "token_training"},
    summarize=summarize,
    draw=draw,
    findings=findings,
    caption=caption,
    check=token_runs.check_run,
)
