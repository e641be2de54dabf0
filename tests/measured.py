"""How tests of measurements compute runs: as the engine does, whole chunks, in NumPy."""

import numpy as np
from ml_collections import FrozenConfigDict

from experiments.engine.measurement import Measurement

SEEDS = np.arange(8, dtype=np.int32)


def run_of(measurement: Measurement, **fields: object) -> FrozenConfigDict:
    """A run without its seed."""
    assert not set(fields) - set(measurement.fields)
    together = {name for name in measurement.together if name not in fields}
    names = {name for name in measurement.fields if name != "seed"} - together
    return FrozenConfigDict({name: fields.get(name, measurement.fields[name]) for name in names})


def whole_run(measurement: Measurement, **fields: object) -> FrozenConfigDict:
    """A run with every field but its seed, as `refuse` gets it."""
    fields = {**measurement.fields, **fields}
    return FrozenConfigDict({name: v for name, v in fields.items() if name != "seed"})


def compute(measurement: Measurement, points: list | None = None, **fields: object) -> dict:
    """Outputs of a chunk of runs; every output and coordinate has the shape that is promised."""
    run = run_of(measurement, **fields)
    seeds = SEEDS if "seed" in measurement.fields else np.array([0])
    arguments = (run, seeds) if points is None else (run, seeds, points)
    found = {name: np.asarray(v) for name, v in measurement.compute(*arguments).items()}
    assert set(found) == set(measurement.outputs)
    sizes = {dim: len(values) for dim, values in measurement.coordinates(run).items()}
    leading = (len(seeds),) if points is None else (len(points), len(seeds))
    for name, values in found.items():
        shape = tuple(sizes[dim] for dim in measurement.outputs[name].dims)
        assert values.shape == leading + shape, name
    return found


def refused(measurement: Measurement, **fields: object) -> str:
    """Why a run is refused."""
    return measurement.refuse(whole_run(measurement, **fields))
