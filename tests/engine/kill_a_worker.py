"""One chunk of the toy measurement on two workers: `STORE [again]`, again with what failed."""

import sys
from pathlib import Path

from experiments.common import command_line
from experiments.engine import cluster, execution, grid, measurement
from experiments.engine.plan import make_plan
from experiments.engine.store import Store

NAME = "tests.engine.toy_measurement"


def main() -> int:
    folder, *again = sys.argv[1:]
    toy = measurement.load(NAME)
    plan = make_plan(NAME, toy, {}, grid.parse_axes(toy.fields, grid={"seed": "0:4"}))
    store = Store(Path(folder))
    if again:
        execution.forget(plan, store, failures_only=True)
    outcome = cluster.executor(2)(plan, store, lambda num_runs: None)
    print(outcome.summary(), outcome.troubles)
    for run, failed in outcome.failed:
        print(run.setting, failed.error)
    return 0


if __name__ == "__main__":
    command_line.leave(lambda: command_line.run_guarded(main, lambda: "the store keeps it"))
