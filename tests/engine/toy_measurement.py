"""A measurement that needs no JAX, for tests that start and kill many processes.

Its behavior is steered by the environment, so that its fields stay the same.
"""

import json
import os
import signal
import time
from pathlib import Path

import numpy as np
from ml_collections import FrozenConfigDict

from experiments.engine.measurement import Measurement, Output


def compute(run: FrozenConfigDict, seeds: np.ndarray) -> dict[str, np.ndarray]:
    place = [run.estimator, run.k, run.learning_rate]
    with Path(os.environ.get("TOY_LOG", os.devnull)).open("a") as log:
        log.write(f"{json.dumps([[*place, seed] for seed in sorted(set(seeds.tolist()))])}\n")
    time.sleep(float(os.environ.get("TOY_SECONDS", "0")))
    if os.environ.get("TOY_FAILS") and np.isin(seeds, int(os.environ["TOY_FAILS"])).any():
        raise RuntimeError("this seed is unlucky")
    if os.environ.get("TOY_KILLS") and np.isin(seeds, int(os.environ["TOY_KILLS"])).any():
        os.kill(os.getpid(), signal.SIGKILL)
    if os.environ.get("TOY_MEMORY") and len(seeds) > int(os.environ["TOY_MEMORY"]):
        raise MemoryError(f"{len(seeds)} runs do not fit")
    final = run.k * run.learning_rate + seeds + len(run.estimator)
    steps = np.arange(1, run.num_steps + 1) / run.num_steps
    ks = np.array([1, 2, 4])
    return {
        "J": final[:, None, None] * steps / ks[:, None],
        "curve": final[:, None] * steps,
        "value": final,
        "count": seeds,
    }


def coordinates(run: FrozenConfigDict) -> dict[str, np.ndarray]:
    return {"step": np.arange(1, run.num_steps + 1), "evaluation_k": np.array([1, 2, 4])}


def refuse(run: FrozenConfigDict) -> str:
    if run.k == run.group_size:
        return f"k = {run.k} needs a group of {run.k + 1} or more"
    return ""


MEASUREMENT = Measurement(
    fields={
        "seed": 0,
        "estimator": "maxpo",
        "k": 2,
        "group_size": 16,
        "learning_rate": 0.1,
        "num_steps": 3,
        "flag": False,
    },
    outputs={
        "J": Output("exact $J_k$", dims=("evaluation_k", "step")),
        "curve": Output("a value while it grows", dims=("step",)),
        "value": Output("a value"),
        "count": Output("a count", larger_is_better=False),
    },
    compute=compute,
    coordinates=coordinates,
    refuse=refuse,
    traced=("k", "learning_rate"),
    seeds_per_chunk=4,
    smoke={"num_steps": 2},
)


def computed_runs(log: Path) -> list[tuple]:
    """Every run that was computed, as often as it was."""
    return [tuple(run) for line in log.read_text().splitlines() for run in json.loads(line)]
