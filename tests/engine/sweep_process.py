"""A sweep of the toy measurement in a process of its own: `STORE NUM_SEEDS`."""

import sys
from pathlib import Path

from experiments.engine import execution
from experiments.engine.store import Store
from tests.engine.kill_the_toy import make


def main() -> None:
    folder, num_seeds = sys.argv[1:]
    outcome = execution.execute(make(int(num_seeds)), Store(Path(folder)))
    print(outcome.summary(), outcome.troubles, flush=True)


if __name__ == "__main__":
    main()
