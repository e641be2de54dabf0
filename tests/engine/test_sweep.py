"""The command: one dataset, tables, a figure and a manifest; resumed, refused and estimated."""

import csv
import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from ml_collections import FrozenConfigDict

from experiments import sweep
from experiments.engine import execution, measurement
from tests.engine.toy_measurement import computed_runs

TOY = "tests.engine.toy_measurement"
SMALL = (TOY, "--grid.k=2,4", "--grid.seed=0:3")
FILES = ("sweep.nc", "runs.csv", "curves.csv", "sweep.png", "sweep.pdf")
BLOCK = 4


@pytest.fixture(autouse=True)
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    log = tmp_path / "computed.log"
    log.touch()
    monkeypatch.setenv("TOY_LOG", str(log))
    return log


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    """Runs the command in an empty folder: exit status, output, errors without the progress."""
    monkeypatch.chdir(tmp_path)

    def main(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as exit_info:
            sweep.main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        lines = re.split(r"[\r\n]", captured.err)
        errors = [line for line in lines if "run/s" not in line]
        return exit_info.value.code, captured.out, "\n".join(errors).strip()

    return main


def rows_of(table: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(table.read_text().splitlines()))


def test_a_sweep_leaves_one_dataset_tables_a_figure_and_a_manifest(run, tmp_path: Path) -> None:
    status, output, errors = run(
        TOY,
        "--grid.estimator=maxpo,ei",
        "--zip.k=2,4",
        "--zip.learning_rate=0.1,0.2",
        "--grid.seed=0:3",
        "--run.num_steps=2",
        "--out_dir=out",
    )
    assert (status, errors) == (0, "")
    first, *_, last = output.strip().splitlines()
    assert first == (
        f"{TOY}: estimator: maxpo, ei (2) x (k, learning_rate zipped) (2) x seed: 0 to 2 (3) "
        "= 12 runs"
    )
    assert last == "12 of 12 runs are stored, shown in out"
    dataset = xr.load_dataset("out/sweep.nc")
    sizes = {"estimator": 2, "zipped": 2, "seed": 3, "evaluation_k": 3, "step": 2}
    assert dict(dataset.sizes) == sizes
    for estimator in ("maxpo", "ei"):
        for index, (k, rate) in enumerate([(2, 0.1), (4, 0.2)]):
            point = dataset.sel(estimator=estimator, zipped=index, seed=2)
            assert (point.k, point.learning_rate) == (k, rate)
            expected = k * rate + 2 + len(estimator)
            assert point.value == expected
            np.testing.assert_array_equal(point.curve, [expected / 2, expected])
    rows = rows_of(Path("out/runs.csv"))
    assert len(rows) == 12
    for row in rows:
        expected = int(row["k"]) * float(row["learning_rate"]) + int(row["seed"])
        expected += len(row["estimator"])
        for column, factor in [("value", 1), ("curve", 1), ("J[k=1]", 1), ("J[k=4]", 4)]:
            assert float(row[column]) * factor == pytest.approx(expected, rel=1e-8)
    assert len(rows_of(Path("out/curves.csv"))) == 24
    manifest = json.loads(Path("out/manifest.json").read_text())
    assert manifest["runs"] == {
        "total": 12,
        "finished": 12,
        "refused": 0,
        "failed": 0,
        "remaining": 0,
    }
    assert manifest["best"][0].startswith("best by J[k=2]: estimator=maxpo k=4 learning_rate=0.2:")
    assert set(manifest["sha256"]) == set(FILES)
    for name, digest in manifest["sha256"].items():
        assert hashlib.sha256((tmp_path / "out" / name).read_bytes()).hexdigest() == digest
    assert str(tmp_path) not in Path("out/manifest.json").read_text()
    assert Path("out/sweep.png").read_bytes().startswith(b"\x89PNG")
    assert Path("out/sweep.pdf").read_bytes().startswith(b"%PDF")


def test_sweeps_have_folders_of_their_own_and_share_one_store(run, log: Path) -> None:
    assert run(TOY, "--grid.k=2,4", "--grid.seed=0:3")[0] == 0
    assert run(TOY, "--grid.k=2,4", "--grid.seed=0:4")[0] == 0
    assert run(TOY, "--grid.k=2,4", "--grid.seed=0:3", "--name=first")[0] == 0
    assert run(TOY)[0] == 0
    folder = Path("results/sweeps") / TOY
    names = sorted(path.name for path in folder.iterdir())
    assert [re.sub(r"-[0-9a-f]{8}$", "", name) for name in names] == [
        "first",
        "k-seed",
        "k-seed",
        "one_run",
    ]
    assert len(computed_runs(log)) == 2 * BLOCK
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert run(TOY, "--grid.k=2,4", "--grid.seed=0:3")[0] == 0  # updates its own folder
    after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert after == before


def test_another_sweeps_files_are_never_replaced(run, log: Path) -> None:
    assert run(*SMALL, "--out_dir=out")[0] == 0
    before = Path("out/sweep.nc").read_bytes()
    status, _, errors = run(TOY, "--grid.k=2,4", "--grid.seed=4:8", "--out_dir=out")
    assert status == 2
    assert "out holds another sweep (k: 2, 4 (2) x seed: 0 to 2 (3) = 6 runs)" in errors
    assert Path("out/sweep.nc").read_bytes() == before
    assert run(*SMALL, "--out_dir=out", "--metric=value")[0] == 0  # the same sweep, shown anew
    Path("out/manifest.json").write_text('{"data_sha256": ""}')
    assert "holds something else" in run(*SMALL, "--out_dir=out")[2]
    Path("out/manifest.json").unlink()
    assert "without a manifest" in run(*SMALL, "--out_dir=out")[2]
    assert len(computed_runs(log)) == 2 * BLOCK


def test_an_interrupted_sweep_resumes_to_the_identical_files(
    run, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(*SMALL, "--out_dir=whole", "--store=a")[0] == 0
    log.write_text("")
    assert run(TOY, "--grid.k=2", "--grid.seed=0:3", "--store=b")[0] == 0
    with monkeypatch.context() as patch:

        def interrupted(*arguments: object, **options: object) -> None:
            raise KeyboardInterrupt

        patch.setattr(execution, "execute", interrupted)
        status, _, errors = run(*SMALL, "--out_dir=resumed", "--store=b")
    assert status == 130
    (line,) = errors.splitlines()
    assert line.startswith("interrupted: 3 of 6 runs are stored, 3 remain in b; go on by: python")
    assert run(*SMALL, "--out_dir=resumed", "--store=b")[0] == 0
    for name in FILES:
        assert Path("resumed", name).read_bytes() == Path("whole", name).read_bytes(), name
    assert len(computed_runs(log)) == 2 * BLOCK


def test_failed_runs_are_listed_and_tried_again_on_request_only(
    run, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOY_FAILS", "1")
    status, output, _ = run(*SMALL, "--out_dir=out")
    assert status == 1
    assert "failed: RuntimeError: this seed is unlucky: k=2 seed=1; k=4 seed=1" in output
    assert "4 of 6 runs are stored, 2 failed" in output
    assert xr.load_dataset("out/sweep.nc").value.isnull().sum() == 2
    monkeypatch.delenv("TOY_FAILS")
    log.write_text("")
    assert run(*SMALL, "--out_dir=out")[0] == 1
    assert computed_runs(log) == []
    assert run(*SMALL, "--out_dir=out", "--retry_failed")[0] == 0
    assert len(computed_runs(log)) == 2 * BLOCK
    assert run(*SMALL, "--out_dir=out", "--force")[0] == 0
    assert len(computed_runs(log)) == 4 * BLOCK


def test_points_that_make_no_sense_are_told_and_cost_no_other(run) -> None:
    status, output, errors = run(TOY, "--grid.k=2,16", "--grid.seed=0:3", "--out_dir=out")
    assert (status, errors) == (0, "")
    assert "3 runs make no sense, and stay empty: k = 16 needs a group of 17 or more" in output
    manifest = json.loads(Path("out/manifest.json").read_text())
    assert manifest["refused"] == {"k = 16 needs a group of 17 or more": 3}


def test_runs_whose_metric_is_no_number_are_told(run, monkeypatch: pytest.MonkeyPatch) -> None:
    toy = measurement.load(TOY)
    compute = toy.compute

    def broken(settings: FrozenConfigDict, seeds: np.ndarray) -> dict:
        found = compute(settings, seeds)
        return {**found, "value": found["value"] * (np.nan if settings.k == 4 else 1.0)}

    monkeypatch.setitem(toy.__dict__, "compute", broken)
    status, output, _ = run(*SMALL, "--metric=value", "--out_dir=out")
    assert status == 0
    assert "value is NaN in 3 runs: k=4 seed=0; k=4 seed=1; k=4 seed=2\n" in output
    assert "best by value: k=2: 6.2" in output


def test_a_dry_run_tells_programs_and_the_time_from_the_first_chunk(
    run, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOY_SECONDS", "0.2")
    flags = (TOY, "--grid.estimator=maxpo,ei", "--grid.seed=0:40", "--out_dir=out", "--dry_run")
    status, output, _ = run(*flags)
    assert status == 0
    assert "4 of 80 runs are stored" in output
    assert "program 1: 10 chunks, 9 to compute: 4 seeds each, estimator=maxpo" in output
    assert "program 2: 10 chunks, 10 to compute: 4 seeds each, estimator=ei" in output
    assert re.search(r"estimated time: [234] s in [12] threads", output)  # 19 chunks of 0.2 s
    assert len(computed_runs(log)) == 4
    assert not Path("out").exists()


def test_a_smoke_run_is_another_sweep(run) -> None:
    assert run(*SMALL, "--mode=smoke", "--name=quick")[0] == 0
    dataset = xr.load_dataset(Path("results/sweeps", TOY, "quick", "sweep.nc"))
    assert dataset.sizes["step"] == 2
    assert json.loads(dataset.attrs["fields"])["num_steps"] == 2
    assert run(*SMALL, "--name=quick")[0] == 2


def test_without_a_measurement_the_usage_is_shown(run) -> None:
    status, output, _ = run()
    assert status == 2
    assert "python -m experiments.sweep maze_training --grid.k=2,4,8" in output
    assert "measurements: " in output


def test_help_lists_the_fields_and_outputs_of_a_measurement(run) -> None:
    status, output, _ = run(TOY, "--help")
    assert status == 0
    assert "  learning_rate = 0.1\n" in output
    assert "  J[evaluation_k, step]: exact $J_k$\n" in output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["maze_lerning"], "no measurement 'maze_lerning' exists"),
        (["tests.engine.kill_the_toy"], "measures nothing: it defines no MEASUREMENT"),
        ([TOY, "other"], "argument 'other' is not understood"),
        ([TOY, "--metric=valu"], "no output 'valu'; did you mean value?"),
        ([TOY, "--metric=J[k=3]"], "J has no k = 3; known: 1, 2, 4"),
        ([TOY, "--metric=J[q=3]"], "J has no dimension 'q'"),
        ([TOY, "--metric=J[k"], "is not understood"),
        ([TOY, "--grid.K=1,2"], "no field 'K': did you mean k?"),
        ([TOY, "--grid.lr=1,2"], "no field 'lr': did you mean learning_rate?"),
        ([TOY, "--run.num_step=1"], "no field 'num_step': did you mean num_steps?"),
        ([TOY, "--num_steps=1"], "did you mean --grid.num_steps=... or --run.num_steps=...?"),
        ([TOY, "--lr=1"], "did you mean --grid.learning_rate=..."),
        ([TOY, "--grid=k=1"], "write --grid.FIELD="),
        ([TOY, "--grid.k"], "write --grid.k=VALUE"),
        ([TOY, "--grid.k=1", "--grid.k=2"], "given twice"),
        ([TOY, "--grid.k=0,1"], "k is 0; it must be 1 or more"),
        ([TOY, "--run.group_size=-1"], "group_size is -1; it must be 1 or more"),
        ([TOY, "--grid.k=16"], "no run makes sense: k = 16 needs a group of 17"),
        ([TOY, "--grid.seed=3:3"], "empty"),
        ([TOY, "--grid.seed=0:3", "--seed=1"], "seed is on an axis, and set for every run"),
        ([TOY, "--grid.k=2,4", "--x=kk"], "--x: the axes have no field 'kk'"),
        ([TOY, "--grid.estimator=maxpo,mapxo"], "unknown estimator 'mapxo'"),
        ([TOY, "--grid.estimator=maxpo,nowhere/my.py:f"], "there is no Python file nowhere/my.py"),
        ([TOY, "--name=a/b"], "without slashes"),
        ([TOY, "--mertic=value"], "Unknown command line flag 'mertic'"),
        ([TOY, "--num_samples=3"], "--random.FIELD=range"),
    ],
)
def test_mistakes_are_refused_in_one_line_before_anything_runs(
    run, tmp_path: Path, arguments: list[str], words: str, log: Path
) -> None:
    status, output, errors = run(*arguments)
    assert (status, output) == (2, "")
    assert words in errors
    assert len(errors.splitlines()) == 1
    assert log.read_text() == ""
    assert not Path("results").exists()


def test_a_folder_that_cannot_be_written_is_told_in_one_line(run) -> None:
    Path("file").touch()
    for flag in ("--out_dir=file/out", "--store=file/store"):
        status, _, errors = run(*SMALL, flag)
        assert status == 2
        assert re.fullmatch(r"error: cannot write to file/\w+: .*", errors)


def test_a_full_disk_is_told_in_one_line(run, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("experiments.engine.store.atomic_write", full)
    status, output, errors = run(*SMALL, "--out_dir=out")
    assert (status, errors) == (1, "")
    assert output.count("No space left on device") == 1
    assert "trouble: cannot write to results/store: No space left on device" in output
    assert "0 of 6 runs are stored, 6 remain" in output
