"""A driver of a toy sweep in a process of its own, to be killed: `STORE NUM_SEEDS NUM_WORKERS`."""

import sys
from pathlib import Path

from experiments.sweeps import axes, driver, local, plan, store
from tests import toy_sweep

CHUNK_SIZE = 8


def make_plan(num_seeds: int) -> plan.Plan:
    config = toy_sweep.make_config()
    grid = ["estimator=maxpo,ei", "k=2,4"]
    chosen = axes.parse_axes(config, grid=grid, seeds=f"0:{num_seeds}")
    return plan.make_plan("tests.toy_sweep", toy_sweep.SWEEP, config, chosen, CHUNK_SIZE)


def main() -> None:
    folder, num_seeds, num_workers = sys.argv[1:]
    outcome = driver.bring_up_to_date(
        make_plan(int(num_seeds)), store.Store(Path(folder)), local.launch, int(num_workers)
    )
    print(outcome.summary(), outcome.troubles, flush=True)


if __name__ == "__main__":
    main()
