"""Edits of one's own code: what depends on it is computed again, and nothing else."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import xarray as xr

from experiments.engine import execution, grid, measurement
from experiments.engine.plan import make_plan
from experiments.engine.store import Store
from maxpo_jax import estimators
from tests.engine.toy_measurement import computed_runs

ROOT = Path(__file__).resolve().parents[2]
MEASUREMENT = """
from experiments.engine.measurement import Measurement, Output
from helping import offset


def compute(run, seeds):
    return {"value": seeds + offset()}


MEASUREMENT = Measurement(
    fields={"seed": 0}, outputs={"value": Output("a value")}, compute=compute
)
"""
ESTIMATOR = "import helper\n\n\ndef half(rewards, k):\n    return rewards * helper.factor\n"
REGISTERED = """
from maxpo_jax import estimators


@estimators.register(
    "outsider", citation="takashiro2026maxpo", equation="none", unbiased=False, centered=False
)
def outsider(rewards, k, *, where=None):
    return rewards


"""
TOY = "tests.engine.toy_measurement"
TOGETHER = "tests.engine.toy_together"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    log = tmp_path / "computed.log"
    log.touch()
    return log


def sweep(folder: Path, *flags: str) -> None:
    """Run the command in a process of its own, as code is imported once in a process."""
    environment = {
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(folder)]),
        "TOY_LOG": str(folder / "computed.log"),
    }
    answer = subprocess.run(
        [sys.executable, "-m", "experiments.sweep", *flags, "--name=mine"],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stderr


def test_a_helper_of_ones_own_measurement_is_followed(tmp_path: Path) -> None:
    (tmp_path / "my_project").mkdir()
    (tmp_path / "my_project/measured.py").write_text(MEASUREMENT)
    name = "my_project.measured"
    for offset in (1, 2):
        (tmp_path / "helping.py").write_text(f"def offset():\n    return {offset}\n")
        sweep(tmp_path, name, "--grid.seed=0:3")
        found = xr.load_dataset(tmp_path / "results/sweeps" / name / "mine/sweep.nc")
        assert found.value.values.tolist() == [offset, offset + 1, offset + 2]


def computed_estimators(name: str, estimators: str, log: Path) -> set[str]:
    """The estimators whose runs are computed; the rest is stored."""
    log.write_text("")
    loaded = measurement.load(name)
    axes = grid.parse_axes(loaded.fields, grid={"estimator": estimators})
    assert not execution.execute(make_plan(name, loaded, {}, axes), Store(Path("store"))).remaining
    return {row[0] for row in computed_runs(log)}


@pytest.mark.parametrize("name", [TOY, TOGETHER])
def test_an_edit_of_ones_own_estimator_makes_its_results_alone_stale(
    tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOY_LOG", str(log))
    (tmp_path / "mine.py").write_text(ESTIMATOR)
    (tmp_path / "helper.py").write_text("factor = 0.5\n")
    (tmp_path / "others").mkdir()
    (tmp_path / "others/other.py").write_text("def f(rewards, k):\n    return rewards\n")
    spec = "maxpo,mine.py:half,others/other.py:f"
    assert computed_estimators(name, spec, log) == set(spec.split(","))
    assert computed_estimators(name, spec, log) == set()
    (tmp_path / "helper.py").write_text("factor = 0.5  # one half\n")
    assert computed_estimators(name, spec, log) == set()
    (tmp_path / "helper.py").write_text("factor = 0.25\n")
    assert computed_estimators(name, spec, log) == {"mine.py:half"}
    (tmp_path / "others/other.py").write_text("def f(rewards, k):\n    return -rewards\n")
    assert computed_estimators(name, spec, log) == {"others/other.py:f"}


def test_an_estimator_registered_from_outside_counts_with_its_file(
    tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOY_LOG", str(log))
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "registers_its_own.py").write_text(REGISTERED)
    importlib.import_module("registers_its_own")
    try:
        assert computed_estimators(TOY, "maxpo,outsider", log) == {"maxpo", "outsider"}
        (tmp_path / "registers_its_own.py").write_text(REGISTERED + "x = 1\n")
        assert computed_estimators(TOY, "maxpo,outsider", log) == {"outsider"}
    finally:
        estimators.unregister("outsider")
