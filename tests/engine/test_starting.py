"""Runs that start from a stored run of another measurement: computed once, found by all."""

from pathlib import Path

import numpy as np
import pytest

from experiments.engine import code, dataset, execution, grid, measurement
from experiments.engine.execution import Outcome
from experiments.engine.plan import Plan, make_plan
from experiments.engine.store import Store
from tests.engine import toy_measurement, toy_starting
from tests.engine.toy_measurement import computed_runs


@pytest.fixture(autouse=True)
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    log = tmp_path / "computed.log"
    log.touch()
    monkeypatch.setenv("TOY_LOG", str(log))
    return log


@pytest.fixture
def results(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def plan_of(**axes: object) -> Plan:
    loaded = measurement.load(toy_starting.__name__)
    parsed = grid.parse_axes(loaded.fields, grid=axes)
    return make_plan(toy_starting.__name__, loaded, axes=parsed)


def execute(results: Store, **axes: object) -> tuple[Plan, Outcome]:
    plan = plan_of(**axes)
    return plan, execution.execute(plan, results)


def test_runs_are_given_the_outputs_of_the_run_that_they_start_from(
    results: Store, log: Path
) -> None:
    plan, outcome = execute(results, base_seed="0,6", step="1,10", seed="0:4")
    assert len(outcome.finished) == 16
    found = dataset.merged(plan, results)
    base = 2 * toy_measurement.MEASUREMENT.fields["learning_rate"] + len("maxpo")
    truth = base + np.array([0, 6])[:, None, None] + np.outer([1, 10], np.arange(4))
    np.testing.assert_allclose(found.value, truth)
    # Two blocks of seeds of the toy, each once, though eight chunks of two threads start there.
    runs = computed_runs(log)
    assert len(runs) == len(set(runs)) == 8


def test_what_is_stored_is_found_by_later_runs(results: Store, log: Path) -> None:
    name = toy_measurement.__name__
    loaded = measurement.load(name)
    alone = make_plan(name, loaded, {"k": 2}, grid.parse_axes(loaded.fields, grid={"seed": "0:4"}))
    execution.execute(alone, results)
    log.write_text("")
    execute(results, base_seed="0,3", seed="0:2")
    assert not computed_runs(log)


def test_a_start_that_failed_is_tried_again(
    results: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOY_FAILS", "1")
    plan, outcome = execute(results, base_seed="1", seed="0:2")
    assert [failed.error for _, failed in outcome.failed] == [
        "RuntimeError: a run of tests.engine.toy_measurement to start from failed: "
        "RuntimeError: this seed is unlucky"
    ] * 2
    monkeypatch.delenv("TOY_FAILS")
    execution.forget(plan, results, failures_only=True)
    assert len(execution.execute(plan, results).finished) == 2


def test_the_code_of_the_start_is_part_of_the_key() -> None:
    reached = code.reached_modules(Path(toy_starting.__file__))
    assert toy_measurement.__name__ in reached
