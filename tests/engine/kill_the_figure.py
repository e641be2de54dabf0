"""Kill the update of a figure at each of its steps on disk, and check what each kill leaves.

Run as a program by `test_update.py`: a process that has not started JAX may fork, so one start-up
serves all kills. Every child updates the toy figure over an older result and is killed by SIGKILL,
the first at its first step on disk, the next at its second, until one survives. Prints the number
of kills.
"""

import os
import shutil
import signal
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import xarray as xr

from experiments.common import provenance, style
from experiments.engine import update
from tests.engine import toy_figure as toy

OLD, NEW = (toy.make_config(scale=scale) for scale in (1.0, 2.0))


def main(folder):
    results = {}
    for name, config in (("old", OLD), ("new", NEW)):
        run(folder / name, config)
        results[name] = contents(folder / name)
    assert results["old"]["data.nc"] != results["new"]["data.nc"]
    seen = []
    for out_dir in killed_runs(folder):
        seen.append(state_left_by(out_dir, results))
        run(out_dir, NEW)
        assert contents(out_dir) == results["new"], "the next run does not give the new result"
        shutil.rmtree(out_dir)
    # The old result, then a mixture that is noticed, then the new one.
    assert seen == sorted(seen, key=["old", "damaged", "new"].index), seen
    assert set(seen) == {"old", "damaged", "new"}, seen
    print(len(seen))


def compute(figure, config):
    value = xr.DataArray(np.ones((2, 2, 4)), dims=("estimator", "k", "seed"))
    axes = config.grid.runs
    return {
        "runs": value.assign_coords({name: list(axis) for name, axis in axes.items()})
        .rename("value")
        .to_dataset()
    }


def run(out_dir, config):
    """Update without starting JAX, so that this process may fork, and with quick figures."""
    quick = {"device": dict, "git_state": dict, "versions": dict}
    with (
        mock.patch.multiple(provenance, **quick),
        mock.patch.multiple(style, png_bytes=plotted, pdf_bytes=plotted),
    ):
        update.bring_up_to_date(toy.FIGURE, config, out_dir, compute=compute)


def plotted(figure, subject=""):
    return b"".join(line.get_ydata().tobytes() for line in figure.axes[0].lines) + subject.encode()


def killed_runs(folder):
    """A copy of the old result, over which a run of the new one was killed, for each step."""
    step = 0
    while True:
        step += 1
        out_dir = folder / f"killed_{step}"
        shutil.copytree(folder / "old", out_dir)
        child = os.fork()
        if child == 0:
            kill_self_at_step(step)
            run(out_dir, NEW)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            assert os.WEXITSTATUS(status) == 0, "the run failed by itself"
            return
        yield out_dir


def kill_self_at_step(step):
    """Count the calls that change files, and die just before the one with this number."""
    left = [step]

    def count(event, arguments):
        is_change = event in {"os.rename", "os.remove", "os.rmdir", "os.mkdir"} or (
            event == "open" and isinstance(arguments[2], int) and arguments[2] & os.O_WRONLY
        )
        if is_change:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    fsync = os.fsync

    def counted_fsync(descriptor):
        count("os.rename", ())
        fsync(descriptor)

    os.fsync = counted_fsync
    sys.addaudithook(count)


def state_left_by(out_dir, results):
    """What a reader sees after a kill: one of the two results, whole, or that it is damaged."""
    try:
        stored = update.load("toy", out_dir)
    except update.DamagedError:
        return "damaged"
    found = contents(out_dir)
    (name,) = [n for n, one in results.items() if one["data.nc"] == found["data.nc"]]
    current = {"old": OLD, "new": NEW}[name]
    assert stored.manifest["config_hash"] == update.keys_of(toy.FIGURE, current)["config_hash"]
    if not update.is_up_to_date(toy.FIGURE, current, out_dir):
        return "damaged"  # data of one result with pictures of the other
    return name


def contents(out_dir):
    """The files, without what the manifest says about time."""
    files = {path.name: path.read_bytes() for path in (out_dir / "toy").iterdir()}
    del files["manifest.json"]
    return files


if __name__ == "__main__":
    main(Path(sys.argv[1]))
