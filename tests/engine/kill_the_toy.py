"""Kill sweeps of the toy measurement at random moments, and check what comes out at the end.

Run as a program by `test_kills.py`: a process that has not started JAX may fork, so one start-up
serves all kills. Prints the number of kills that hit a sweep at work.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

from experiments.engine import dataset, execution, grid, measurement
from experiments.engine.plan import Plan, make_plan
from experiments.engine.store import Store

NAME = "tests.engine.toy_measurement"
NUM_KILLS = 20


def make(num_seeds: int) -> Plan:
    toy = measurement.load(NAME)
    axes = {"estimator": "maxpo,ei", "k": "2,4,16", "seed": f"0:{num_seeds}"}
    return make_plan(NAME, toy, {}, grid.parse_axes(toy.fields, grid=axes))


def write(plan: Plan, folder: Path) -> None:
    """Bring a sweep up to date, and leave its files."""
    store = Store(folder / "store")
    outcome = execution.execute(plan, store)
    assert not [*outcome.remaining, *outcome.failed], outcome.summary()
    data = dataset.merged(plan, store)
    for name, content in contents_of(plan, data).items():
        (folder / name).write_bytes(content)


def contents_of(plan: Plan, data: object) -> dict[str, bytes]:
    return {
        "sweep.nc": dataset.to_bytes(data),
        "runs.csv": dataset.runs_table(data, plan.measurement),
        "curves.csv": dataset.curves_table(data, plan.measurement),
    }


def start(plan: Plan, folder: Path) -> int:
    """Bring a sweep up to date in a child, so that this process starts no threads."""
    child = os.fork()
    if child == 0:
        write(plan, folder)
        os._exit(0)
    return child


def killed_at_work(plan: Plan, folder: Path, log: Path, chance: random.Random) -> bool:
    """Start a sweep in a child and kill it after some time; whether that hit it at work."""
    child = start(plan, folder)
    size = log.stat().st_size
    if chance.random() < 0.8:  # otherwise it may die while it starts
        while log.stat().st_size == size:
            time.sleep(0.001)
    time.sleep(chance.uniform(0.0, 0.15))
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def main(folder: Path) -> None:
    plan = make(num_seeds=402)  # 404 chunks
    for name in ("whole", "killed"):
        (folder / name).mkdir()
    undisturbed = start(plan, folder / "whole")
    assert os.waitpid(undisturbed, 0)[1] == 0
    whole = files(folder / "whole")
    log = folder / "log"
    log.touch()
    os.environ |= {"TOY_SECONDS": "0.01", "TOY_LOG": str(log)}
    chance = random.Random(0)
    num_kills, stored = 0, []
    while num_kills < NUM_KILLS:
        assert killed_at_work(plan, folder / "killed", log, chance), "make the sweep longer"
        num_kills += 1
        chunks = sorted((folder / "killed").rglob("*.npz"))
        stored.append(len(chunks))
        for file in chance.sample(chunks, len(chunks) // 20):
            damaged = file.read_bytes()[:-3] + b"bad"
            file.unlink() if chance.random() < 0.5 else file.write_bytes(damaged)
    assert 50 < stored[-1] < len(plan.chunks), stored  # the kills hit a sweep at work
    os.environ["TOY_SECONDS"] = "0"
    write(plan, folder / "killed")
    assert files(folder / "killed") == whole, "other bytes than those of an undisturbed sweep"
    assert not list((folder / "killed").rglob("*.tmp"))
    print(num_kills)


def files(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in ("sweep.nc", "runs.csv", "curves.csv")}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
