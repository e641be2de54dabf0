"""Plans and their execution: canonical chunks, nothing twice, errors with the run at fault."""

import collections
import json
import pickle
import re
import threading
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from experiments.common.errors import UserError
from experiments.engine import dataset, execution, grid, measurement, store
from experiments.engine.execution import CodeChangedError
from experiments.engine.plan import Plan, make_plan
from experiments.engine.store import StorageError, Store
from tests.engine.toy_measurement import computed_runs

TOY, TOGETHER = "tests.engine.toy_measurement", "tests.engine.toy_together"
BLOCK = 4  # seeds in a chunk of the toy


@pytest.fixture(autouse=True)
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    log = tmp_path / "computed.log"
    log.touch()
    monkeypatch.setenv("TOY_LOG", str(log))
    return log


@pytest.fixture
def results(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def plan_of(name: str = TOY, fields: dict | None = None, **axes: object) -> Plan:
    loaded = measurement.load(name)
    return make_plan(name, loaded, fields, grid.parse_axes(loaded.fields, grid=axes))


def merged(results: Store, name: str = TOY, **axes: object) -> xr.Dataset:
    plan = plan_of(name, **axes)
    outcome = execution.execute(plan, results)
    assert not outcome.remaining
    return dataset.merged(plan, results)


def num_computed(log: Path) -> int:
    runs = computed_runs(log)
    assert len(set(runs)) == len(runs), "a run was computed twice"
    log.write_text("")
    return len(runs)


def test_the_dataset_has_a_dimension_for_each_axis_and_the_numbers_of_the_measurement(
    results: Store,
) -> None:
    found = merged(results, estimator="maxpo,ei", k="2,4", seed="0:3")
    assert dict(found.sizes) == {"estimator": 2, "k": 2, "seed": 3, "evaluation_k": 3, "step": 3}
    for point in found.value.stack(run=("estimator", "k", "seed")).transpose("run"):
        estimator, k, seed = (point[name].item() for name in ("estimator", "k", "seed"))
        assert point.item() == k * 0.1 + seed + len(estimator)
    assert found["count"].dtype == np.int32
    assert found.value.attrs == {"long_name": "a value", "units": "1"}
    np.testing.assert_allclose(dataset.select(found, "J[k=4,step=3]"), found.value / 4)


def test_without_axes_there_is_one_run(results: Store) -> None:
    found = merged(results)
    assert found.value.dims == ()
    assert found.value.item() == 2 * 0.1 + 5


def test_grids_that_overlap_share_their_runs(results: Store, log: Path) -> None:
    merged(results, k="2,4", seed="0:5")
    assert num_computed(log) == 2 * 2 * BLOCK
    merged(results, k="4,8", seed="0:9")
    assert num_computed(log) == 3 * BLOCK + BLOCK  # all of k = 8, and the third block of k = 4
    merged(results, seed="8:11", k="8")
    merged(results, k="2,4", group_size="16", seed="3")
    assert num_computed(log) == 0
    merged(results, group_size="32", seed="3")
    assert num_computed(log) == BLOCK


def test_only_missing_points_of_those_evaluated_together_are_computed(
    results: Store, log: Path
) -> None:
    def points() -> list[list]:
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        log.write_text("")
        return lines

    merged(results, TOGETHER, estimator="maxpo", k="2,4", seed="0:2")
    assert points() == [[["maxpo", 2], ["maxpo", 4]]]
    found = merged(results, TOGETHER, k="8,4", estimator="ei,maxpo", seed="0:2")
    assert points() == [[["ei", 4], ["ei", 8], ["maxpo", 8]]]
    merged(results, TOGETHER, k="8,2", estimator="maxpo", seed="1")
    assert points() == []
    for k in (4, 8):
        draws = [np.random.default_rng(seed).random(5) for seed in range(2)]
        expected = (np.stack(draws) * k).sum(axis=1)
        at = found.variance.sel(k=k)
        np.testing.assert_array_equal(at.sel(estimator="maxpo"), expected + 5)
        np.testing.assert_array_equal(at.sel(estimator="ei"), expected + 2)


def test_a_point_that_makes_no_sense_stays_empty_and_costs_no_other(
    results: Store, log: Path
) -> None:
    plan = plan_of(k="2,16", seed="0:2")
    outcome = execution.execute(plan, results)
    assert outcome.summary() == "2 of 4 runs are stored, 2 make no sense"
    found = dataset.merged(plan, results)
    assert found.value.isnull().sel(k=16).all()
    assert found.value.notnull().sel(k=2).all()
    assert json.loads(found.attrs["refused"]) == {"k = 16 needs a group of 17 or more": 2}
    assert {run[1] for run in computed_runs(log)} == {2}


def test_a_grid_of_which_no_point_makes_sense_is_refused() -> None:
    with pytest.raises(UserError, match=r"^no run makes sense: k = 16 needs a group of 17"):
        plan_of(k="16", seed="0:2")


def test_an_error_is_recorded_with_the_run_at_fault_and_tried_again_on_request(
    results: Store, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = merged(Store(results.folder / "whole"), k="2,4", seed="0:6")
    monkeypatch.setenv("TOY_FAILS", "1")
    plan = plan_of(k="2,4", seed="0:6")
    outcome = execution.execute(plan, results)
    assert [run.setting for run, _ in outcome.failed] == [{"k": k, "seed": 1} for k in (2, 4)]
    _, failure = outcome.failed[0]
    assert failure.error == "RuntimeError: this seed is unlucky"
    assert "in compute" in failure.traceback
    found = dataset.merged(plan, results)
    assert found.value.isnull().sel(seed=1).all()
    others = [seed for seed in range(6) if seed != 1]
    for name in ("value", "curve", "J"):
        assert np.array_equal(found[name].sel(seed=others), whole[name].sel(seed=others))
    monkeypatch.delenv("TOY_FAILS")
    log.write_text("")
    assert len(execution.execute(plan, results).failed) == 2
    assert num_computed(log) == 0
    execution.forget(plan, results, failures_only=True)
    assert not execution.execute(plan, results).failed
    assert num_computed(log) == 2 * BLOCK
    xr.testing.assert_identical(dataset.merged(plan, results), whole)


def test_an_error_of_one_point_costs_no_other_point(
    results: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOY_FAILS_AT_K", "4")
    plan = plan_of(TOGETHER, k="2,4,8", seed="0:2")
    outcome = execution.execute(plan, results)
    assert outcome.summary() == "4 of 6 runs are stored, 2 failed"
    assert {run.fields["k"] for run, _ in outcome.failed} == {4}


def test_chunks_that_do_not_fit_memory_are_halved(
    results: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = merged(Store(results.folder / "whole"), seed="0:5")
    monkeypatch.setenv("TOY_MEMORY", "2")
    xr.testing.assert_identical(merged(results, seed="0:5"), whole)
    monkeypatch.setenv("TOY_MEMORY", "0")
    outcome = execution.execute(plan_of(k="4", seed="0:5"), results)
    assert len(outcome.failed) == 5


@pytest.mark.parametrize("damage", ["flip", "delete"])
def test_a_damaged_or_deleted_chunk_is_computed_again(
    results: Store, log: Path, damage: str
) -> None:
    whole = merged(results, k="2,4", seed="0:6")
    file = sorted(results.folder.rglob("*.npz"))[1]
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content) if damage == "flip" else file.unlink()
    log.write_text("")
    again = merged(Store(results.folder), k="2,4", seed="0:6")
    assert num_computed(log) == BLOCK
    assert dataset.to_bytes(again) == dataset.to_bytes(whole)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"K": 4}, "no field 'K': did you mean k?"),
        ({"num_steps": 0}, "num_steps is 0; it must be 1 or more"),
        ({"k": "two"}, "takes int"),
    ],
)
def test_fields_of_all_runs_are_checked(fields: dict, words: str) -> None:
    with pytest.raises(UserError, match=re.escape(words)):
        plan_of(fields=fields)


def test_numbers_of_another_kind_are_the_same_run(results: Store, log: Path) -> None:
    loaded = measurement.load(TOY)
    for rate in (1, 1.0, np.float64(1.0)):
        plan = make_plan(TOY, loaded, {"learning_rate": rate}, ())
        assert not execution.execute(plan, results).failed
    assert num_computed(log) == BLOCK


def test_force_computes_again_the_runs_of_the_grid_alone(results: Store, log: Path) -> None:
    merged(results, k="2,4", seed="0:3")
    execution.forget(plan_of(k="2", seed="0:3"), results, failures_only=False)
    log.write_text("")
    merged(results, k="2,4", seed="0:3")
    assert num_computed(log) == BLOCK


def test_a_chunk_goes_to_another_process_and_refuses_other_code(results: Store) -> None:
    (chunk,) = pickle.loads(pickle.dumps(plan_of(seed="0:3"))).chunks
    assert execution.compute_chunk(chunk, results) == (True, True)
    assert execution.compute_chunk(chunk, results) == (True, False)
    stale = pickle.loads(pickle.dumps(chunk))
    object.__setattr__(stale, "code", "other")
    with pytest.raises(CodeChangedError, match="edited"):
        execution.compute_chunk(stale, results)


def test_a_chunk_that_another_process_computes_is_left_to_it(
    results: Store, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(k="2,4", seed="0:3")
    held = plan.chunks[0].group
    attempts = collections.Counter()
    try_lock = Store.try_lock

    def contended(self: Store, group: str) -> bool:
        attempts[group] += 1
        return (group != held or attempts[group] > 2) and try_lock(self, group)

    monkeypatch.setattr(Store, "try_lock", contended)
    assert not execution.execute(plan, results).remaining
    assert attempts[held] == 3
    assert num_computed(log) == 2 * BLOCK


def test_the_first_chunk_of_a_program_goes_alone_and_threads_share_the_rest(
    results: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(estimator="maxpo,ei", k="2,4", seed="0:12")
    running: collections.Counter = collections.Counter()
    compiled: set[str] = set()
    most: list[int] = [0]
    guard = threading.Lock()
    compute = execution.compute_chunk

    def watched(chunk: object, folder: Store) -> object:
        with guard:
            assert chunk.program in compiled or not running[chunk.program]
            running[chunk.program] += 1
            most[0] = max(most[0], running.total())
        report = compute(chunk, folder)
        with guard:
            running[chunk.program] -= 1
            compiled.add(chunk.program)
        return report

    monkeypatch.setenv("TOY_SECONDS", "0.01")
    monkeypatch.setattr(execution, "compute_chunk", watched)
    settled: list[int] = []
    outcome = execution.execute(plan, results, watch=settled.append, threads=3)
    assert (len(outcome.finished), sum(settled)) == (48, 48)
    assert most[0] == 3
    assert plan.num_programs == 2


def test_a_full_disk_is_told_once(results: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise StorageError("cannot write to store: No space left on device")

    monkeypatch.setattr(store.Store, "save", full)
    outcome = execution.execute(plan_of(k="2,4", seed="0:9"), results)
    assert outcome.troubles == ["cannot write to store: No space left on device"]
    assert len(outcome.remaining) == 18


def test_results_of_the_wrong_shape_are_an_error_of_the_run(
    results: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy = measurement.load(TOY)
    compute = toy.compute

    def wrong(run: object, seeds: np.ndarray) -> dict:
        return {**compute(run, seeds), "value": seeds[:, None]}

    monkeypatch.setitem(toy.__dict__, "compute", wrong)
    outcome = execution.execute(plan_of(seed="0:2"), results)
    assert "output value has the shape (1, 4, 1); expected is [1, 4]" in outcome.failed[0][1].error
