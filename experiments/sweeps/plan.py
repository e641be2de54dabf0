"""The plan of a sweep: its runs, each with the key of its result, grouped by compiled program."""

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from experiments.code_hash import computing_code_hash
from experiments.common.errors import UserError, did_you_mean
from experiments.sweeps import sweepable as sweepable_module
from experiments.sweeps.axes import Axis, product
from experiments.sweeps.store import run_key
from experiments.sweeps.sweepable import Sweepable


class Run(NamedTuple):
    """One run of a sweep.

    Attributes:
      key: key of its result in the store.
      setting: the fields that the axes set.
      config: all fields.
      group: number of the compiled program that computes it.
    """

    key: str
    setting: dict[str, Any]
    config: dict[str, Any]
    group: int


@dataclasses.dataclass(frozen=True)
class Plan:
    """All runs of a sweep, in the order of its axes, the last axis fastest.

    Attributes:
      experiment: name or module of the experiment.
      code: hash of the code that computes.
      axes: the axes.
      runs: the runs.
      chunk_sizes: for each group, how many runs go through its program together on each device.
        Programs of other sizes may round differently, so the number of runs does not change it.
    """

    experiment: str
    code: str
    axes: tuple[Axis, ...]
    runs: tuple[Run, ...]
    chunk_sizes: tuple[int, ...]

    def num_chunks(self, runs: Iterable[Run]) -> int:
        """Calls of compiled programs that some of the runs take."""
        groups = [run.group for run in runs]
        return sum(-(-groups.count(group) // self.chunk_sizes[group]) for group in set(groups))


def make_plan(
    experiment: str,
    sweepable: Sweepable,
    config: ConfigDict,
    axes: Sequence[Axis],
    chunk_size: int,
) -> Plan:
    """The plan of a sweep, every run of it checked.

    Args:
      experiment: name or module of the experiment.
      sweepable: what it offers.
      config: the config of one run; the axes set fields of it.
      axes: the axes.
      chunk_size: at most how many runs go through a compiled program together.

    Raises:
      UserError: if a run makes no sense.
    """
    if chunk_size < 1:
        raise UserError(f"--chunk_size is {chunk_size}; it must be 1 or more")
    code = code_of(experiment)
    fields = config.to_dict()
    group_of: dict[str, int] = {}
    runs = []
    for setting in product(axes):
        of_run = fields | setting
        _check(sweepable, setting, of_run)
        static = {name: v for name, v in of_run.items() if name not in sweepable.traced}
        group = group_of.setdefault(json.dumps(static, sort_keys=True), len(group_of))
        runs.append(Run(run_key(experiment, code, of_run), setting, of_run, group))
    chunk_sizes = (chunk_size,) * len(group_of)
    return Plan(experiment, code, tuple(axes), tuple(runs), chunk_sizes)


def code_of(experiment: str) -> str:
    """Hash of the code that computes an experiment, as it is in the files now."""
    module = sweepable_module.module_file(experiment)
    return computing_code_hash([Path(module)])


def check_metric(sweepable: Sweepable, metric: str | None) -> str:
    """The metric by which settings are compared, the first one by default.

    Raises:
      UserError: if the experiment does not produce it.
    """
    if metric is None:
        return next(iter(sweepable.metrics))
    if metric not in sweepable.metrics:
        raise UserError(
            f"the experiment produces no metric {metric!r}; "
            f"{did_you_mean(metric, sweepable.metrics)}"
        )
    return metric


def describe(setting: Mapping[str, Any]) -> str:
    """A setting in words.

    Example:
      >>> describe({"k": 4, "learning_rate": 0.1})
      'k=4 learning_rate=0.1'
    """
    return " ".join(f"{name}={value}" for name, value in setting.items()) or "the config as it is"


def _check(sweepable: Sweepable, setting: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    try:
        sweepable.check(ConfigDict(config))
    except ValueError as error:
        raise UserError(f"the run {describe(setting)} makes no sense: {error}") from error
