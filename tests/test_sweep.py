"""The command: one dataset, tables and a manifest; resumed, refused, retried and estimated."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from experiments import sweep
from experiments.sweeps import local
from tests.toy_sweep import computed_runs

TOY = ("--experiment=tests.toy_sweep", "--config=tests/toy_sweep_config.py")
SMALL = (*TOY, "--grid=k=2,4", "--seeds=0:3", "--workers=1")


@pytest.fixture(autouse=True)
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    log = tmp_path / "computed.log"
    log.touch()
    monkeypatch.setenv("TOY_LOG", str(log))
    return log


def main(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit status, standard output, and standard error without the progress bar."""
    with pytest.raises(SystemExit) as exit_info:
        sweep.main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    errors = [line for line in re.split(r"[\r\n]", captured.err) if "run/s" not in line]
    return exit_info.value.code, captured.out, "\n".join(errors).strip()


def rows_of(table: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(table.read_text().splitlines()))


def expected_value(k: int, learning_rate: float, seed: int, estimator: str) -> float:
    return k * float(np.float32(learning_rate)) + seed + len(estimator)


def test_a_sweep_leaves_one_dataset_with_named_axes_and_tables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], log: Path
) -> None:
    status, output, errors = main(
        capsys,
        *TOY,
        "--grid=estimator=maxpo,ei",
        "--zip=k=2,4",
        "--zip=learning_rate=0.1,0.2",
        "--seeds=0:3",
        "--config.num_steps=2",
        f"--out_dir={tmp_path}",
    )
    assert (status, errors) == (0, "")
    assert output.endswith(f"12 of 12 runs are stored, in {tmp_path}\n")
    dataset = xr.load_dataset(tmp_path / "sweep.nc")
    assert dict(dataset.sizes) == {"estimator": 2, "zipped": 2, "seed": 3, "step": 2}
    for estimator in ("maxpo", "ei"):
        for index, (k, rate) in enumerate([(2, 0.1), (4, 0.2)]):
            point = dataset.sel(estimator=estimator, zipped=index, seed=2)
            assert (point.k, point.learning_rate) == (k, rate)
            expected = expected_value(k, rate, 2, estimator)
            assert point.value == expected
            np.testing.assert_array_equal(point.curve, [expected / 2, expected])
    assert dataset["count"].dtype == np.int32
    assert dataset.value.attrs == {"long_name": "a value", "units": "1"}
    rows = rows_of(tmp_path / "runs.csv")
    assert len(rows) == 12
    for row in rows:
        expected = expected_value(
            int(row["k"]), float(row["learning_rate"]), int(row["seed"]), row["estimator"]
        )
        assert float(row["value"]) == pytest.approx(expected, rel=1e-8)
        assert float(row["curve"]) == pytest.approx(expected, rel=1e-8)
    assert len(rows_of(tmp_path / "curves.csv")) == 24
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["runs"] == {"total": 12, "finished": 12, "failed": 0, "remaining": 0}
    assert str(tmp_path) not in (tmp_path / "manifest.json").read_text()
    assert (tmp_path / "sweep.png").read_bytes().startswith(b"\x89PNG")
    assert len(computed_runs(log)) == 12


def test_an_interrupted_sweep_resumes_to_the_identical_files(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    log: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert main(capsys, *SMALL, f"--out_dir={tmp_path / 'whole'}")[0] == 0
    log.write_text("")

    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    first = [*SMALL[:2], "--grid=k=2", *SMALL[3:]]  # part of the runs, stored by another sweep
    assert main(capsys, *first, f"--out_dir={tmp_path / 'resumed'}")[0] == 0
    with monkeypatch.context() as patch:
        patch.setattr(local, "launch", interrupted)
        status, _, errors = main(capsys, *SMALL, f"--out_dir={tmp_path / 'resumed'}")
    assert status == 130
    assert "3 of 6 runs are stored, 3 remain" in errors
    assert "go on by: python -m experiments.sweep --experiment=tests.toy_sweep" in errors
    assert main(capsys, *SMALL, f"--out_dir={tmp_path / 'resumed'}")[0] == 0
    for name in ("sweep.nc", "runs.csv", "curves.csv", "sweep.png"):
        resumed, whole = ((tmp_path / folder / name) for folder in ("resumed", "whole"))
        assert resumed.read_bytes() == whole.read_bytes(), name
    assert len(computed_runs(log)) == 6


def test_a_damaged_result_is_computed_again_and_force_computes_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], log: Path
) -> None:
    assert main(capsys, *SMALL, f"--out_dir={tmp_path}")[0] == 0
    next((tmp_path / "runs").rglob("*.npz")).write_bytes(b"PK")
    assert main(capsys, *SMALL, f"--out_dir={tmp_path}")[0] == 0
    assert len(computed_runs(log)) == 7
    assert main(capsys, *SMALL, f"--out_dir={tmp_path}", "--force")[0] == 0
    assert len(computed_runs(log)) == 13


def test_failed_runs_are_listed_and_tried_again_on_request_only(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    log: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TOY_FAILS", "1")
    status, output, _ = main(capsys, *SMALL, f"--out_dir={tmp_path}")
    assert status == 1
    assert "failed: RuntimeError: this seed is unlucky: k=2 seed=1; k=4 seed=1" in output
    assert "4 of 6 runs are stored, 2 failed" in output
    dataset = xr.load_dataset(tmp_path / "sweep.nc")
    assert dataset.value.isnull().sel(seed=1).all()
    assert dataset.value.notnull().sel(seed=[0, 2]).all()
    monkeypatch.delenv("TOY_FAILS")
    log.write_text("")
    assert main(capsys, *SMALL, f"--out_dir={tmp_path}")[0] == 1
    assert computed_runs(log) == []
    status, output, _ = main(capsys, *SMALL, f"--out_dir={tmp_path}", "--retry_failed")
    assert status == 0
    assert len(computed_runs(log)) == 2


def test_chunks_that_do_not_fit_memory_are_halved(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOY_MEMORY", "2")
    assert main(capsys, *SMALL, f"--out_dir={tmp_path}")[0] == 0


def test_a_dry_run_lists_groups_and_estimates_from_the_first_chunk(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    log: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TOY_SECONDS", "0.2")
    flags = [*TOY, "--grid=estimator=maxpo,ei", "--seeds=0:40", "--chunk_size=8", "--workers=2"]
    status, output, _ = main(capsys, *flags, f"--out_dir={tmp_path}", "--dry_run")
    assert status == 0
    assert "2 estimator x 40 seed = 80 runs, 8 of them stored" in output
    assert "program 1: 40 runs, 4 chunks of up to 8 to compute" in output
    assert "program 2: 40 runs, 5 chunks of up to 8 to compute" in output
    assert "estimator=maxpo seed=0 (stored)" in output
    assert re.search(r"estimated time: [12] s with 2 workers", output)  # 5 chunks of 0.2 s
    assert len(computed_runs(log)) == 8
    assert not (tmp_path / "sweep.nc").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--experiment=maze_lerning"], "no sweep of 'maze_lerning'"),
        (["--experiment=tests.toy_experiment"], "cannot be swept: it defines no SWEEP"),
        ([*TOY, "--metric=valu"], "no metric 'valu'; did you mean value?"),
        ([*TOY, "--grid=kk=1,2"], "no field 'kk'"),
        ([*TOY, "--grid=k=0,1"], "the run k=0 makes no sense: k is 0"),
        ([*TOY, "--seeds=3:3"], "empty"),
        ([*TOY, "--chunk_size=0"], "--chunk_size is 0"),
        ([*TOY, "--workers=-1"], "--workers is -1"),
        ([*TOY, "--lanucher=local"], "Unknown command line flag 'lanucher'"),
        ([*TOY, "--config.nume_steps=3"], "did you mean num_steps"),
    ],
)
def test_mistakes_are_refused_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str, log: Path
) -> None:
    status, output, errors = main(capsys, *arguments, f"--out_dir={tmp_path / 'out'}")
    assert (status, output) == (2, "")
    assert words in errors
    assert len(errors.splitlines()) == 1
    assert log.read_text() == ""
    assert not (tmp_path / "out").exists()
