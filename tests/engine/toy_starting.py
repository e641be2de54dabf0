"""A measurement whose runs start from a run of the toy, and know its final value."""

import numpy as np
from ml_collections import FrozenConfigDict

from experiments.engine.measurement import Measurement, Output, StoredRun
from tests.engine import toy_measurement


def starts_from(run: FrozenConfigDict) -> StoredRun:
    return StoredRun(toy_measurement.__name__, {"seed": run.base_seed, "k": 2})


def compute(
    run: FrozenConfigDict, seeds: np.ndarray, began_with: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    return {"value": began_with["value"] + run.step * seeds}


MEASUREMENT = Measurement(
    fields={"seed": 0, "base_seed": 0, "step": 1.0},
    outputs={"value": Output("value")},
    compute=compute,
    starts_from=starts_from,
    traced=("base_seed", "step"),
    seeds_per_chunk=2,
)
