"""One command for all figures: skips, survives failures, and says what the data show."""

import dataclasses
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import toy_experiment as toy
import xarray as xr

from experiments import reproduce
from experiments.common import configuration


def broken_parts(config: object) -> dict:
    def fail() -> xr.Dataset:
        raise RuntimeError("the sampler broke")

    return {"only": fail}


@pytest.fixture(autouse=True)
def registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three experiments: toy, broken, other; their configs lie in a folder of their own."""
    experiments = {
        "toy": toy.EXPERIMENT,
        "broken": dataclasses.replace(toy.EXPERIMENT, name="broken", parts=broken_parts),
        "other": dataclasses.replace(toy.EXPERIMENT, name="other"),
    }
    (tmp_path / "configs").mkdir()
    for name, experiment in experiments.items():
        module = SimpleNamespace(EXPERIMENT=experiment)
        monkeypatch.setitem(sys.modules, f"experiments.{name}", module)
        (tmp_path / f"configs/{name}.py").write_text(
            "import toy_experiment\n"
            "def get_config(mode='full'):\n"
            "    return toy_experiment.make_config(num_parts={'smoke': 1, 'full': 2}[mode])\n"
        )
    monkeypatch.setattr(configuration, "PROJECT_ROOT", tmp_path)
    monkeypatch.setattr(reproduce, "EXPERIMENTS", tuple(experiments))


def main(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as exit_info:
        reproduce.main(arguments)
    captured = capsys.readouterr()
    return exit_info.value.code, captured.out, captured.err


def test_a_failing_experiment_stops_no_other_and_gives_status_1(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out_dir = tmp_path / "out"
    status, out, err = main(capsys, "--mode=smoke", f"--out_dir={out_dir}")
    assert status == 1
    assert "failed: broken: RuntimeError: the sampler broke" in err
    assert "toy: computed" in out
    assert "other: computed" in out
    for name in ["toy", "other"]:
        stored = {file.name for file in (out_dir / name).iterdir()}
        assert {f"{name}.png", f"{name}.pdf", "data.nc", "manifest.json"} <= stored
    claims = json.loads((out_dir / "claims.json").read_text())
    assert [claim["name"] for claim in claims] == ["mean", "mean"]
    assert out.count("the mean is below one") == 2


def test_a_second_call_finds_everything_up_to_date(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    arguments = ["--only=toy,other", "--mode=smoke", f"--out_dir={tmp_path}/out"]
    assert main(capsys, *arguments)[0] == 0
    first = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    status, out, _ = main(capsys, *arguments)
    assert status == 0
    assert "toy: up to date" in out
    assert "other: up to date" in out
    second = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert first == second
    assert "toy: computed" in main(capsys, *arguments, "--force")[1]


def test_the_gallery_shows_every_stored_result(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out_dir = tmp_path / "out"
    main(capsys, "--only=toy", "--mode=smoke", f"--out_dir={out_dir}")
    main(capsys, "--only=other", "--mode=smoke", f"--out_dir={out_dir}")
    page = (out_dir / "README.md").read_text()
    for name in ["toy", "other"]:
        assert f"![{name}]({name}/{name}.png)" in page
        assert (out_dir / name / f"{name}.png").exists()
        assert f"`python -m experiments.{name} --mode=smoke`" in page
    assert "Toy values, seed 0." in page
    assert "| the mean is below one |" in page
    assert len(json.loads((out_dir / "claims.json").read_text())) == 2
    assert str(tmp_path) not in page


def test_unknown_names_get_the_near_match(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    status, _, err = main(capsys, "--only=tooy", f"--out_dir={tmp_path}/out")
    assert status == 2
    assert err.strip() == "error: experiment 'tooy' is unknown; did you mean toy?"
    assert not (tmp_path / "out").exists()


def test_an_unwritable_folder_is_found_before_computing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    status, out, err = main(capsys, f"--out_dir={tmp_path}/file")
    assert status == 2
    assert err.startswith("error: cannot write to")
    assert "[1/" not in out


def test_ctrl_c_says_how_to_resume(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(reproduce.experiment, "run", interrupt)
    status, _, err = main(capsys, "--only=toy", f"--out_dir={tmp_path}/out", "--force")
    assert status == 130
    assert f"resume by: python -m experiments.reproduce --only=toy --out_dir={tmp_path}/out" in err
    assert "--force" not in err


def test_smoke_runs_spare_the_full_figures() -> None:
    assert reproduce.OUT_DIRS["smoke"] != reproduce.OUT_DIRS["full"] == "figures"


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = main(capsys, "--help")
    assert status == 0
    assert "--only" in out
