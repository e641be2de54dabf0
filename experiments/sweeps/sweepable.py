"""What an experiment offers so that it can be swept: which fields, which metrics, one function.

The module `experiments/sweepables/<name>.py` defines `SWEEP = Sweepable(...)`:

    def _compute(config, traced):
        return {"final_return": _train(traced["k"], traced["learning_rate"], traced["seed"])}

    SWEEP = Sweepable(
        traced=("k", "learning_rate", "seed"),
        metrics={"final_return": Metric("mean return after training")},
        compute=_compute,
    )

A *run* is one setting of every field of the config. Runs that differ in `traced` fields alone go
through `compute` together, as arrays with one entry per run, in one compiled program; every other
field is static and read from the config. Entry i of every result may depend on entry i of the
traced arrays alone: then padding, the launcher and the number of devices change nothing, and the
size of chunks nothing but the last bits.
"""

import dataclasses
import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from experiments.common.errors import UserError, did_you_mean

PACKAGE = "experiments.sweepables"
FOLDER = Path(__file__).resolve().parents[1] / "sweepables"


class Metric(NamedTuple):
    """A result of each run.

    Attributes:
      long_name: what it is, for the axes of figures.
      units: "1" for a pure number.
      dims: names of its dimensions after the one of the runs, such as ("step",) for a curve. The
        score of a run is the last entry along all of them.
      larger_is_better: which settings the report calls the best.
    """

    long_name: str
    units: str = "1"
    dims: tuple[str, ...] = ()
    larger_is_better: bool = True


def _unchanged(config: ConfigDict) -> ConfigDict:
    return config


def _nothing(config: ConfigDict) -> dict[str, Any]:
    return {}


def _accept(config: ConfigDict) -> None:
    return None


@dataclasses.dataclass(frozen=True)
class Sweepable:
    """How an experiment is swept; the module docstring has an example.

    Attributes:
      traced: fields whose values may differ between the runs of one compiled program.
      metrics: the results of a run, by name.
      compute: a function of the config (its traced fields are to be ignored) and of the traced
        arrays, each [runs], 32 bits wide; returns an array [runs, *dims] for each metric.
      coordinates: coordinates of the dimensions of the metrics, such as {"step": [0, 10, 20]},
        from the config alone; they must not depend on traced fields.
      run_config: the config of one run, from the config of the experiment, which may ask for
        several runs at once (tuples of estimators, say).
      check: raises ValueError for the config of a run that makes no sense.
    """

    traced: tuple[str, ...]
    metrics: Mapping[str, Metric]
    compute: Callable[[ConfigDict, Mapping[str, Any]], Mapping[str, Any]]
    coordinates: Callable[[ConfigDict], Mapping[str, Any]] = _nothing
    run_config: Callable[[ConfigDict], ConfigDict] = _unchanged
    check: Callable[[ConfigDict], None] = _accept


def load(experiment: str) -> Sweepable:
    """The `SWEEP` of an experiment, or of any other module by its dotted name.

    Raises:
      UserError: if there is no such module, or it has no `SWEEP`.
    """
    name = module_name(experiment)
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise  # the module is there, and something that it imports is not
        known = did_you_mean(experiment, [file.stem for file in FOLDER.glob("[!_]*.py")])
        raise UserError(f"no sweep of {experiment!r} is defined; {known}") from error
    if not isinstance(getattr(module, "SWEEP", None), Sweepable):
        raise UserError(f"module {name} cannot be swept: it defines no SWEEP")
    return module.SWEEP


def module_name(experiment: str) -> str:
    """Dotted name of the module that defines the sweep of an experiment.

    Example:
      >>> module_name("maze_learning"), module_name("my_project.my_experiment")
      ('experiments.sweepables.maze_learning', 'my_project.my_experiment')
    """
    return experiment if "." in experiment else f"{PACKAGE}.{experiment}"


def module_file(experiment: str) -> str:
    """Source file of the module that defines the sweep of an experiment."""
    return str(importlib.import_module(module_name(experiment)).__file__)
