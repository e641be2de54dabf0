"""A sweep of the toy measurement in a process of its own: `STORE NUM_SEEDS [NUM_WORKERS]`."""

import sys
from pathlib import Path

from experiments.common import command_line
from experiments.engine import cluster
from experiments.engine.store import Store
from tests.engine.kill_the_toy import make


def main() -> int:
    folder, num_seeds, *workers = sys.argv[1:]
    compute = cluster.executor(int(workers[0]) if workers else 0)
    outcome = compute(make(int(num_seeds)), Store(Path(folder)), lambda num_runs: None)
    print(outcome.summary(), outcome.troubles, flush=True)
    for run, failed in outcome.failed:
        print("failed:", run.setting, failed.error)
    return 0


if __name__ == "__main__":
    command_line.leave(lambda: command_line.run_guarded(main, lambda: "the store keeps it"))
