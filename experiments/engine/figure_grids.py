"""The grids of a figure, computed through the store: plans, progress, and what is left out."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import xarray as xr
from ml_collections import ConfigDict

from experiments.common.errors import UserError
from experiments.engine import dataset, execution
from experiments.engine.execution import Outcome
from experiments.engine.figure import Figure
from experiments.engine.figure_config import axes_of, fields_of
from experiments.engine.measurement import ESTIMATOR, SEED
from experiments.engine.plan import Plan, Run, make_plan
from experiments.engine.store import Store

Execute = Callable[..., Outcome]


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
    return Work(
        {
            name: make_plan(
                figure.grids[name], base_fields=fields_of(figure, config, name), axes=axes
            )
            for name, axes in axes_of(figure, config).items()
        }
    )


def compute(
    work: Work, store: Store, execute: Execute, watch: Callable[[int], None]
) -> dict[str, xr.Dataset]:
    """The datasets of the grids; what the store has is not computed again.

    Args:
      work: the plans.
      store: the store.
      execute: `(plan, store, watch=...) -> Outcome`.
      watch: told how many runs were settled, again and again.

    Raises:
      IncompleteError: if runs failed for another reason than an estimator of the user.
    """
    for plan in work.plans.values():
        outcome = execute(plan, store, watch=watch)
        _check(plan, outcome)
    return {name: dataset.merged(plan, store) for name, plan in work.plans.items()}


def left_out(work: Work, datasets: Mapping[str, xr.Dataset], specs: list[str]) -> list[str]:
    """One line for each added estimator that is refused, fails or is NaN somewhere."""
    lines = []
    for spec in specs:
        reasons: dict[str, int] = {}
        total = 0
        for name, plan in work.plans.items():
            own = [run for run in plan.runs if run.fields.get(ESTIMATOR) == spec]
            total += len(own)
            for run in own:
                if run.refused:
                    reasons[run.refused] = reasons.get(run.refused, 0) + 1
            num_nan = _num_nan(plan, datasets[name], spec) - sum(bool(r.refused) for r in own)
            if num_nan > 0:
                reasons["it is NaN there"] = reasons.get("it is NaN there", 0) + num_nan
        if reasons:
            text = "; ".join(f"{number} of {total} runs: {r}" for r, number in reasons.items())
            lines.append(f"{spec} is left out of {text}")
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
