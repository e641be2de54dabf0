"""What a measurement is: the fields of a run, the outputs that it yields, one function.

The module `experiments/measurements/<name>.py` defines `MEASUREMENT = Measurement(...)`:

    def compute(run, seeds):
        return {"final_return": _train(run.group_size, seeds, run.k, run.learning_rate)}

    MEASUREMENT = Measurement(
        fields={"seed": 0, "group_size": 16, "k": 4, "learning_rate": 0.1},
        outputs={"final_return": Output("mean return after training")},
        compute=compute,
        traced=("k", "learning_rate"),
    )

A *run* is one setting of every field. Runs are computed in *chunks*: one setting of all fields but
`seed`, and an aligned block of seeds, all of them, whoever asked for how many. So a run's numbers
depend on the run alone, never on the grid that asked for it. Chunks that differ in `traced` fields
alone go through one compiled program.
"""

import dataclasses
import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import FrozenConfigDict

from experiments.common.errors import UserError, did_you_mean

PACKAGE = "experiments.measurements"
FOLDER = Path(__file__).resolve().parents[1] / "measurements"

SEED = "seed"
ESTIMATOR = "estimator"


class Output(NamedTuple):
    """A result of each run.

    Attributes:
      long_name: what it is, for the axes of figures.
      units: "1" for a pure number.
      dims: names of its dimensions after the one of the seeds, such as ("update",) for a curve.
      larger_is_better: which settings a sweep calls the best; None where neither end is.
    """

    long_name: str
    units: str = "1"
    dims: tuple[str, ...] = ()
    larger_is_better: bool | None = True


class StoredRun(NamedTuple):
    """A run of another measurement, with whose outputs a run begins.

    Attributes:
      measurement: its name.
      fields: fields of the run, its seed among them, beside the defaults.
    """

    measurement: str
    fields: Mapping[str, Any]


def _nothing(run: FrozenConfigDict) -> dict[str, Any]:
    return {}


def _accept(run: FrozenConfigDict) -> str:
    return ""


@dataclasses.dataclass(frozen=True)
class Measurement:
    """How runs are measured; the module docstring has an example.

    Attributes:
      fields: the fields of a run, each with its default: int, float, bool or str. Without `seed`
        the measurement is deterministic.
      outputs: the results of a run, by name; the first is the one that a sweep shows by default.
      compute: `(run, seeds [S]) -> {output: [S, *dims]}`, where `run` holds every field but the
        seed; with fields `together`, `(run, seeds, points) -> {output: [P, S, *dims]}`, where
        `points` are P settings of these fields and `run` holds the others.
      coordinates: `run -> {dim: values}` of the dimensions of the outputs.
      refuse: `run -> reason` why a run makes no sense, "" where it does. It costs next to nothing.
      starts_from: `run -> StoredRun`, whose outputs `compute` is given as its last argument. It is
        computed once, and found in the store by whoever starts from it. The module must import that
        of the other measurement, whose code is then part of the key.
      traced: fields whose values share one compiled program, besides the seed.
      together: fields that are evaluated at once, on the same draws.
      seeds_per_chunk: seeds in a chunk.
      smoke: fields of a quick trial of a sweep.
    """

    fields: Mapping[str, Any]
    outputs: Mapping[str, Output]
    compute: Callable[..., Mapping[str, Any]]
    coordinates: Callable[[FrozenConfigDict], Mapping[str, Any]] = _nothing
    refuse: Callable[[FrozenConfigDict], str] = _accept
    starts_from: Callable[[FrozenConfigDict], StoredRun] | None = None
    traced: tuple[str, ...] = ()
    together: tuple[str, ...] = ()
    seeds_per_chunk: int = 8
    smoke: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def load(name: str) -> Measurement:
    """The `MEASUREMENT` of this name, or of any other module by its dotted name.

    Raises:
      UserError: if there is no such module, or it has no `MEASUREMENT`.
    """
    module_name = dotted_name(name)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # the module is there, and something that it imports is not
        raise UserError(f"no measurement {name!r} exists; {did_you_mean(name, names())}") from error
    if not isinstance(getattr(module, "MEASUREMENT", None), Measurement):
        raise UserError(f"module {module_name} measures nothing: it defines no MEASUREMENT")
    return module.MEASUREMENT


def names() -> list[str]:
    """The measurements of this project."""
    return sorted(file.stem for file in FOLDER.glob("[!_]*.py"))


def dotted_name(name: str) -> str:
    """Dotted name of the module that defines a measurement.

    Example:
      >>> dotted_name("maze_training"), dotted_name("my_project.my_measurement")
      ('experiments.measurements.maze_training', 'my_project.my_measurement')
    """
    return name if "." in name else f"{PACKAGE}.{name}"
