"""The grids of a figure, computed through the store: plans, progress, and what is left out."""

import collections
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr
from ml_collections import ConfigDict

from experiments.common.errors import UserError
from experiments.engine import cluster, dataset, execution
from experiments.engine.execution import Outcome
from experiments.engine.figure import Figure
from experiments.engine.figure_config import axes_of, fields_of
from experiments.engine.measurement import ESTIMATOR, SEED
from experiments.engine.plan import Plan, Run, check_estimators, make_plan
from experiments.engine.store import Store


class IncompleteError(UserError):
    """Runs of a figure failed or remain."""


class Work(NamedTuple):
    """The plans of a figure, by the name of the grid."""

    plans: Mapping[str, Plan]

    @property
    def num_runs(self) -> int:
        """Runs that make sense, over all grids."""
        return sum(sum(run.address is not None for run in p.runs) for p in self.plans.values())


def make_plans(figure: Figure, config: ConfigDict) -> Work:
    """The plans of the grids of a figure.

    Args:
      figure: the figure.
      config: its config with resolved axes.

    Raises:
      UserError: if a grid has no run that makes sense, or an estimator does not exist.
    """
    axes_of_grids = axes_of(figure, config)
    check_estimators([axis for axes in axes_of_grids.values() for axis in axes])
    return Work(
        {
            name: make_plan(
                figure.grids[name], base_fields=fields_of(figure, config, name), axes=axes
            )
            for name, axes in axes_of_grids.items()
        }
    )


class Result(NamedTuple):
    """What the store has of the grids of a figure.

    Attributes:
      datasets: the results, by the name of the grid.
      errors: by added estimator, the errors that it raised.
    """

    datasets: dict[str, xr.Dataset]
    errors: dict[str, list[str]]


def compute(
    work: Work,
    store: Store,
    execute: cluster.Executor,
    watch: Callable[[int], None],
    *,
    force: bool = False,
) -> Result:
    """The datasets of the grids; what the store has is not computed again.

    Args:
      work: the plans.
      store: the store.
      execute: how chunks are computed.
      watch: told how many runs were settled, again and again.
      force: compute even what the store has; else only runs that failed are tried again.

    Raises:
      IncompleteError: if runs failed, but for those of a function of the user.
    """
    errors: dict[str, list[str]] = {}
    for plan in work.plans.values():
        execution.forget(plan, store, failures_only=not force)
        outcome = execute(plan, store, watch)
        _check(plan, outcome)
        for run, failed in outcome.failed:
            errors.setdefault(run.fields[ESTIMATOR], []).append(failed.error)
    return Result({name: dataset.merged(plan, store) for name, plan in work.plans.items()}, errors)


def left_out(work: Work, result: Result, specs: Sequence[str]) -> list[str]:
    """One line for each added estimator that is refused, fails or is NaN somewhere."""
    lines = []
    for spec in specs:
        runs, reasons = 0, collections.Counter(result.errors.get(spec, ()))
        for name, plan in work.plans.items():
            own = [run for run in plan.runs if run.fields.get(ESTIMATOR) == spec]
            runs += len(own)
            reasons.update(run.refused for run in own if run.refused)
            known = sum(bool(run.refused) for run in own)
            reasons["it is NaN there"] += _num_nan(plan, result.datasets[name], spec) - known
        reasons["it is NaN there"] -= len(result.errors.get(spec, ()))
        texts = [f"{number} of {runs} runs: {reason}" for reason, number in (+reasons).items()]
        lines += [f"{spec} is left out of {'; '.join(texts)}"] if texts else []
    return lines


def _num_nan(plan: Plan, of_grid: xr.Dataset, spec: str) -> int:
    """Runs of an estimator whose first output is NaN somewhere."""
    if ESTIMATOR not in of_grid.dims or spec not in of_grid[ESTIMATOR].values:
        return 0
    values = of_grid[next(iter(plan.measurement.outputs))].sel({ESTIMATOR: spec})
    axes = {axis.name for axis in plan.axes}
    missing = values.isnull().any([dim for dim in values.dims if dim not in axes])
    return int(np.sum(missing.values))


def _check(plan: Plan, outcome: Outcome) -> None:
    if outcome.troubles:
        raise IncompleteError("; ".join(outcome.troubles))
    failed = [(run, why) for run, why in outcome.failed if not _is_of_user(run)]
    if failed:
        run, why = failed[0]
        fields = {name: value for name, value in run.setting.items() if name != SEED}
        raise IncompleteError(
            f"{len(failed)} runs of {plan.name} failed, the first at "
            f"{' '.join(f'{n}={v}' for n, v in fields.items())}: {why.error}"
        )
    if outcome.remaining:
        raise IncompleteError(f"{len(outcome.remaining)} runs of {plan.name} remain")


def _is_of_user(run: Run) -> bool:
    return ":" in str(run.fields.get(ESTIMATOR, ""))
