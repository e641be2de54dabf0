"""Kill the toy experiment at each of its steps on disk, and check what each kill leaves.

Run as a program by `test_run_directory.py`: a process that has not started JAX may fork, so one
start-up serves all kills. Every child runs the toy experiment over an older result and is killed
by SIGKILL, the first at its first step on disk, the next at its second, until one survives.
Prints the number of kills.
"""

import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import toy_experiment as toy
from matplotlib.figure import Figure

from experiments import experiment
from experiments.common import provenance, style
from experiments.run_directory import sha256

OLD, NEW = (toy.make_config(scale=scale, num_parts=1) for scale in (1.0, 2.0))
FILES = ("config.json", "data.nc", "toy.png", "toy.pdf")


def main(folder: Path) -> None:
    results = {}
    for name, config in (("old", OLD), ("new", NEW)):
        run(folder / name, config)
        results[name] = contents(folder / name)
    seen = []
    for out_dir in killed_runs(folder):
        seen.append(state_left_by(out_dir, results))
        run(out_dir, NEW)
        assert contents(out_dir) == results["new"], "the next run does not give the new result"
        assert not leftovers(out_dir), leftovers(out_dir)
        shutil.rmtree(out_dir)
    assert seen == sorted(seen, reverse=True), seen  # "old" until the commit, "new" from then on
    assert set(seen) == {"old", "new"}, seen
    print(len(seen))


def run(out_dir: Path, config: object) -> None:
    """Run the toy without starting JAX, so that this process may fork, and with quick figures."""
    quick = {"device": dict, "git_state": dict, "versions": dict}
    with (
        mock.patch.multiple(provenance, **quick),
        mock.patch.multiple(style, png_bytes=plotted, pdf_bytes=plotted),
    ):
        experiment.run(toy.EXPERIMENT, config, out_dir)


def plotted(figure: Figure, subject: str = "") -> bytes:
    return b"".join(line.get_ydata().tobytes() for line in figure.axes[0].lines) + subject.encode()


def killed_runs(folder: Path) -> Iterator[Path]:
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
            assert step > 20, "hardly any step on disk was seen"
            return
        yield out_dir


def kill_self_at_step(step: int) -> None:
    """Count the calls that change files, and die just before the one with this number."""
    left = [step]

    def count(event: str, arguments: tuple) -> None:
        is_change = event in {"os.rename", "os.remove", "os.rmdir", "os.mkdir"} or (
            event == "open" and isinstance(arguments[2], int) and arguments[2] & os.O_WRONLY
        )
        if is_change:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    fsync = os.fsync

    def counted_fsync(descriptor: int) -> None:
        count("os.rename", ())
        fsync(descriptor)

    os.fsync = counted_fsync
    sys.addaudithook(count)


def state_left_by(out_dir: Path, results: dict[str, dict]) -> str:
    """Which result a reader sees after a kill; it must be one of the two, whole."""
    stored = experiment.load(toy.EXPERIMENT, out_dir)
    assert stored is not None
    found = contents(out_dir)
    (name,) = [name for name, result in results.items() if result == found]
    assert stored.manifest["config_hash"] == found["config_hash"]
    return name


def contents(out_dir: Path) -> dict[str, bytes]:
    directory = out_dir / "toy"
    manifest = json.loads((directory / "manifest.json").read_text())
    assert manifest["data_sha256"] == sha256((directory / "data.nc").read_bytes())
    files = {name: (directory / name).read_bytes() for name in FILES}
    return files | {"config_hash": manifest["config_hash"]}


def leftovers(out_dir: Path) -> set[str]:
    return {path.name for path in (out_dir / "toy").iterdir()} - {*FILES, "manifest.json"}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
