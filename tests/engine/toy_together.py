"""A measurement of several estimators and K on the same draws, without JAX."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import FrozenConfigDict

from experiments.engine.measurement import Measurement, Output


def compute(
    run: FrozenConfigDict, seeds: np.ndarray, points: tuple[dict[str, Any], ...]
) -> dict[str, np.ndarray]:
    with Path(os.environ.get("TOY_LOG", os.devnull)).open("a") as log:
        rows = [[point["estimator"], point["k"]] for point in points]
        log.write(f"{json.dumps(rows)}\n")
    unlucky = os.environ.get("TOY_FAILS_AT_K")
    if unlucky and any(point["k"] == int(unlucky) for point in points):
        raise RuntimeError("this K is unlucky")
    draws = np.stack([np.random.default_rng(seed).random(5) for seed in seeds])
    values = [(draws * point["k"]).sum(axis=1) + len(point["estimator"]) for point in points]
    return {"variance": np.stack(values)}


MEASUREMENT = Measurement(
    fields={"seed": 0, "estimator": "maxpo", "k": 4, "num_draws": 10},
    outputs={"variance": Output("variance of the gradient", larger_is_better=False)},
    compute=compute,
    together=("estimator", "k"),
    seeds_per_chunk=2,
)
