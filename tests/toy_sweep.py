"""A sweepable experiment that needs no JAX, for tests that start and kill many processes."""

import json
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from experiments.sweeps.sweepable import Metric, Sweepable


def make_config() -> ConfigDict:
    """The config of one run."""
    return ConfigDict(
        {
            "seed": 0,
            "k": 2,
            "learning_rate": 0.1,
            "estimator": "maxpo",
            "num_steps": 3,
            "flag": False,
            "sizes": (1, 2),
        }
    ).lock()


def compute(config: ConfigDict, traced: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The toy's behavior is steered by the environment, so that its config stays the same."""
    with Path(os.environ.get("TOY_LOG", os.devnull)).open("a") as log:
        rows = zip(*(values.tolist() for values in traced.values()), strict=True)
        log.write(f"{json.dumps(sorted({(config.estimator, *row) for row in rows}))}\n")
    with Path(os.environ.get("TOY_PIDS", os.devnull)).open("a") as pids:
        pids.write(f"{os.getpid()}\n")
    time.sleep(float(os.environ.get("TOY_SECONDS", "0")))
    seeds = traced["seed"]
    if os.environ.get("TOY_FAILS") and np.isin(seeds, int(os.environ["TOY_FAILS"])).any():
        raise RuntimeError("this seed is unlucky")
    if os.environ.get("TOY_KILLS") and np.isin(seeds, int(os.environ["TOY_KILLS"])).any():
        os.kill(os.getpid(), signal.SIGKILL)
    if os.environ.get("TOY_KILLS_ONCE"):
        mark = Path(os.environ["TOY_KILLS_ONCE"])
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    if os.environ.get("TOY_MEMORY") and len(seeds) > int(os.environ["TOY_MEMORY"]):
        raise MemoryError(f"{len(seeds)} runs do not fit")
    final = traced["k"] * traced["learning_rate"] + seeds + len(config.estimator)
    steps = np.arange(1, config.num_steps + 1, dtype=np.float32) / config.num_steps
    return {"value": final, "curve": final[:, None] * steps, "count": seeds}


def computed_runs(log: Path) -> list[tuple]:
    """Every run that was computed, as often as it was, padding not counted."""
    return [tuple(run) for line in log.read_text().splitlines() for run in json.loads(line)]


def coordinates(config: ConfigDict) -> dict[str, np.ndarray]:
    return {"step": np.arange(1, config.num_steps + 1)}


def check(config: ConfigDict) -> None:
    if config.k < 1:
        raise ValueError(f"k is {config.k}; it must be at least 1")


SWEEP = Sweepable(
    traced=("k", "learning_rate", "seed"),
    metrics={
        "curve": Metric("a value while it grows", dims=("step",)),
        "value": Metric("a value"),
        "count": Metric("a count", larger_is_better=False),
    },
    compute=compute,
    coordinates=coordinates,
    check=check,
)
