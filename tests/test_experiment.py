"""The frame: compute once, resume, redraw, and answer a user's mistake with one line."""

import dataclasses
import json
import re
from pathlib import Path

import pytest
import toy_experiment as toy
import xarray as xr
from matplotlib.figure import Figure

from experiments import experiment
from experiments.common.errors import UserError
from experiments.common.findings import Finding
from experiments.experiment import RunResult

FILES = {"config.json", "manifest.json", "data.nc", "toy.png", "toy.pdf"}


@pytest.fixture(autouse=True)
def computed_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    log = tmp_path / "computed.log"
    log.touch()
    monkeypatch.setenv("TOY_LOG", str(log))
    return log


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    file = tmp_path / "toy_config.py"
    file.write_text(
        "import toy_experiment\n"
        "def get_config(mode='full'):\n"
        "    return toy_experiment.make_config(num_parts={'smoke': 1, 'full': 3}[mode])\n"
    )
    return file


def run(out_dir: Path, **options: object) -> RunResult:
    fields = options.pop("fields", {})
    chosen = options.pop("experiment", toy.EXPERIMENT)
    return experiment.run(chosen, toy.make_config(**fields), out_dir, **options)


def main(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit status, standard output and standard error without the progress bar."""
    with pytest.raises(SystemExit) as exit_info:
        experiment.main(toy.EXPERIMENT, [str(argument) for argument in arguments])
    captured = capsys.readouterr()
    lines = [line for line in captured.err.splitlines() if "part/s" not in line]
    return exit_info.value.code, captured.out, "\n".join(lines).strip()


def test_a_run_stores_config_manifest_data_and_figures(tmp_path: Path) -> None:
    result = run(tmp_path, command="python -m experiments.toy --mode=full")
    assert result.computed
    assert {file.name for file in result.directory.iterdir()} == FILES
    assert json.loads((result.directory / "config.json").read_text())["num_parts"] == 3
    manifest = json.loads((result.directory / "manifest.json").read_text())
    assert manifest["command"] == "python -m experiments.toy --mode=full"
    assert manifest["seed"] == 0
    assert set(manifest["wall_seconds"]["parts"]) == {"piece=0", "piece=1", "piece=2"}
    assert manifest["gradient_draws_per_second"] > 0
    assert "environment_steps_per_second" not in manifest
    assert manifest["device"]["platform"] == "cpu"
    assert manifest["versions"]["jax"]
    assert result.claims == toy.claims(xr.load_dataset(result.directory / "data.nc"))


def test_nothing_stored_names_the_user_or_a_private_folder(tmp_path: Path) -> None:
    directory = run(tmp_path).directory
    for file in directory.iterdir():
        content = file.read_bytes()
        assert str(tmp_path).encode() not in content
        assert str(Path.home()).encode() + b"/" not in content
        assert str(Path(__file__).resolve().parents[1]).encode() not in content


def test_the_same_command_gives_the_same_files_bit_for_bit(tmp_path: Path) -> None:
    first, second = run(tmp_path / "a").directory, run(tmp_path / "b").directory
    for name in FILES - {"manifest.json"}:
        assert (first / name).read_bytes() == (second / name).read_bytes()
    other = run(tmp_path / "c", fields={"seed": 1}).directory
    assert (first / "data.nc").read_bytes() != (other / "data.nc").read_bytes()


def test_a_stored_result_is_not_computed_again(tmp_path: Path, computed_log: Path) -> None:
    run(tmp_path)
    manifest = (tmp_path / "toy/manifest.json").read_bytes()
    assert not run(tmp_path).computed
    assert (tmp_path / "toy/manifest.json").read_bytes() == manifest
    assert computed_log.read_text().split() == ["0", "1", "2"]
    assert run(tmp_path, force=True).computed
    assert run(tmp_path, fields={"scale": 2.0}).computed


def failing_after(num_parts: int) -> experiment.Experiment:
    def parts(config: object) -> dict:
        def fail() -> xr.Dataset:
            raise RuntimeError("stopped")

        pieces = toy.parts(config)
        return {name: p if i < num_parts else fail for i, (name, p) in enumerate(pieces.items())}

    parts.__wrapped__ = toy.parts  # the same code, as far as the frame can see
    return dataclasses.replace(toy.EXPERIMENT, parts=parts)


def test_a_resumed_run_skips_finished_parts_and_gives_the_same_data(
    tmp_path: Path, computed_log: Path
) -> None:
    with pytest.raises(RuntimeError, match="stopped"):
        run(tmp_path / "a", experiment=failing_after(2))
    assert computed_log.read_text().split() == ["0", "1"]
    resumed = run(tmp_path / "a").directory
    assert computed_log.read_text().split() == ["0", "1", "2"]
    whole = run(tmp_path / "b").directory
    assert (resumed / "data.nc").read_bytes() == (whole / "data.nc").read_bytes()
    assert not (resumed / "parts").exists()


def test_parts_of_another_config_are_neither_used_nor_lost(
    tmp_path: Path, computed_log: Path
) -> None:
    run(tmp_path)
    with pytest.raises(RuntimeError):
        run(tmp_path, experiment=failing_after(2), fields={"scale": 2.0})
    assert not run(tmp_path).computed
    computed_log.write_text("")
    run(tmp_path, fields={"scale": 2.0})
    assert computed_log.read_text().split() == ["2"]


def test_parts_of_other_code_are_computed_again(
    tmp_path: Path, computed_log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RuntimeError):
        run(tmp_path, experiment=failing_after(2))
    monkeypatch.setattr(experiment.code_hash, "computing_code_hash", lambda _: "other")
    run(tmp_path)
    assert computed_log.read_text().split() == ["0", "1", "0", "1", "2"]


def test_a_changed_drawing_redraws_without_computing(
    tmp_path: Path, computed_log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = run(tmp_path).directory
    png = (directory / "toy.png").read_bytes()
    monkeypatch.setattr(experiment.code_hash, "drawing_code_hash", lambda _: "other")

    def draw(dataset: xr.Dataset) -> Figure:
        return toy.draw(2 * dataset)

    changed = dataclasses.replace(toy.EXPERIMENT, draw=draw)
    assert not run(tmp_path, experiment=changed).computed
    assert (directory / "toy.png").read_bytes() != png
    assert len(computed_log.read_text().split()) == 3


@pytest.mark.parametrize("name", ["toy.png", "toy.pdf"])
def test_a_missing_figure_is_drawn_again(tmp_path: Path, name: str) -> None:
    directory = run(tmp_path).directory
    content = (directory / name).read_bytes()
    (directory / name).unlink()
    assert not run(tmp_path).computed
    assert (directory / name).read_bytes() == content


def test_redraw_uses_the_stored_data_whatever_the_config(
    tmp_path: Path, computed_log: Path
) -> None:
    directory = run(tmp_path).directory
    data = (directory / "data.nc").read_bytes()
    assert not run(tmp_path, redraw=True, fields={"scale": 9.0}).computed
    assert (directory / "data.nc").read_bytes() == data
    assert len(computed_log.read_text().split()) == 3


def test_a_variable_without_labels_is_refused(tmp_path: Path) -> None:
    def combine(config: object, pieces: dict[str, xr.Dataset]) -> xr.Dataset:
        return next(iter(pieces.values()))

    combine.__wrapped__ = toy.combine
    unlabeled = dataclasses.replace(toy.EXPERIMENT, combine=combine)
    with pytest.raises(ValueError, match="value of toy lacks long_name and units"):
        run(tmp_path, experiment=unlabeled)


def test_main_computes_then_finds_it_up_to_date(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, config_file: Path
) -> None:
    arguments = [f"--config={config_file}", f"--out_dir={tmp_path}/out", "--mode=smoke"]
    status, out, _ = main(capsys, *arguments, "--config.scale=0.5", "--seed=7")
    assert status == 0
    assert "toy: computed" in out
    assert "the mean is below one" in out
    manifest = json.loads((tmp_path / "out/toy/manifest.json").read_text())
    assert manifest["seed"] == 7
    expected = "--config=toy_config.py --mode=smoke --config.scale=0.5 --seed=7"
    assert manifest["command"] == f"python -m experiments.toy {expected}"
    config = json.loads((tmp_path / "out/toy/config.json").read_text())
    assert (config["num_parts"], config["scale"], config["seed"]) == (1, 0.5, 7)
    _, out, _ = main(capsys, *arguments, "--config.scale=0.5", "--seed=7")
    assert "toy: up to date" in out
    _, out, _ = main(capsys, *arguments, "--redraw")
    assert "toy: drawn" in out


MISTAKES = [
    (["--config=nowhere/toy.py"], r"config file .*nowhere/toy.py does not exist"),
    (["--config.sclae=2"], r"no field 'sclae'; did you mean scale\?"),
    (["--config.num_parts=two"], r"--config.num_parts=two: invalid literal for int"),
    (["--config.num_parts=2.5"], r"--config.num_parts=2.5: invalid literal for int"),
    (["--config.sizes=1,x"], r"config field sizes takes int items, not '(1,)?x'"),
    (["--config.num_parts=0"], r"config of toy makes no sense: num_parts is 0"),
    (["--mode=fast"], r"--mode=fast: value should be one of <smoke\|full>"),
    (["--sed=3"], r"Unknown command line flag 'sed'. Did you mean: redraw, seed"),
    (["--seed=x"], r"--seed=x: invalid literal for int"),
    (["stray"], r"argument 'stray' is not understood"),
    (["--redraw"], r"no stored result in .* to redraw; compute it again by: python -m"),
    (["--redraw", "--force"], r"give one of them"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES)
def test_a_mistake_gets_one_line_and_status_2(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    config_file: Path,
    arguments: list[str],
    message: str,
) -> None:
    given = [f"--config={config_file}", f"--out_dir={tmp_path}/out", *arguments]
    status, _, err = main(capsys, *given)
    assert status == 2
    assert re.search(message, err), err
    assert len(err.splitlines()) == 1
    assert err.startswith("error: ")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = 1\n", r"has no function get_config\(mode\)"),
        ("def get_config(mode):\n    return 3\n", "returns int, not a ConfigDict"),
        ("def get_config(mode):\n    return 1 / 0\n", "line 2: ZeroDivisionError: division"),
        ("def get_config(:\n", "SyntaxError"),
    ],
)
def test_a_faulty_config_file_gets_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, source: str, message: str
) -> None:
    file = tmp_path / "faulty.py"
    file.write_text(source)
    status, _, err = main(capsys, f"--config={file}", f"--out_dir={tmp_path}/out")
    assert (status, len(err.splitlines())) == (2, 1)
    assert re.search(message, err), err


def test_an_unwritable_folder_is_found_before_computing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, config_file: Path, computed_log: Path
) -> None:
    (tmp_path / "file").touch()
    status, _, err = main(capsys, f"--config={config_file}", f"--out_dir={tmp_path}/file/x")
    assert status == 2
    assert re.fullmatch(r"error: cannot write to .*: Not a directory; .* --out_dir", err)
    assert computed_log.read_text() == ""


def test_damaged_data_are_named_with_the_way_out(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, config_file: Path
) -> None:
    arguments = [f"--config={config_file}", f"--out_dir={tmp_path}/out"]
    main(capsys, *arguments)
    data = tmp_path / "out/toy/data.nc"
    content = data.read_bytes()
    data.write_bytes(content[:-9])
    status, _, err = main(capsys, *arguments, "--redraw")
    assert status == 2
    assert re.search(r"data.nc is damaged: .*; compute it again by: python -m", err)
    status, out, err = main(capsys, *arguments)
    assert status == 0
    assert "data.nc is damaged" in err
    assert "toy: computed" in out
    assert data.read_bytes() == content


def test_ctrl_c_says_what_is_kept_and_how_to_resume(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    config_file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupt(config: object, pieces: dict[str, xr.Dataset]) -> xr.Dataset:
        raise KeyboardInterrupt

    interrupted = dataclasses.replace(toy.EXPERIMENT, combine=interrupt)
    arguments = [f"--config={config_file}", f"--out_dir={tmp_path}/out", "--force"]
    with pytest.raises(SystemExit) as exit_info:
        experiment.main(interrupted, arguments)
    err = capsys.readouterr().err
    assert exit_info.value.code == 130
    assert "3 finished parts are kept" in err
    assert err.rstrip().endswith(f"resume by: python -m experiments.toy {' '.join(arguments[:2])}")
    assert "Traceback" not in err


def test_help_lists_flags_and_fields(capsys: pytest.CaptureFixture[str], config_file: Path) -> None:
    status, out, _ = main(capsys, f"--config={config_file}", "--help")
    assert status == 0
    assert "--redraw" in out
    assert "--config.scale=1.0" in out


def test_load_reads_a_stored_result(tmp_path: Path) -> None:
    assert experiment.load(toy.EXPERIMENT, tmp_path) is None
    run(tmp_path)
    stored = experiment.load(toy.EXPERIMENT, tmp_path)
    assert stored is not None
    assert toy.caption(stored.dataset) == "Toy values, seed 0."
    assert isinstance(toy.claims(stored.dataset)[0], Finding)


def test_resolve_config_checks_names_types_and_modes(config_file: Path) -> None:
    config = experiment.resolve_config(str(config_file), "smoke", {"scale": 3, "sizes": (4,)})
    assert (config.num_parts, config.scale, config.sizes) == (1, 3.0, (4,))
    assert isinstance(config.scale, float)
    for overrides, message in [
        ({"sclae": 1.0}, "did you mean scale"),
        ({"num_parts": 1.0}, "takes int, not 1.0"),
        ({"num_parts": True}, "takes int, not True"),
        ({"names": (1,)}, "takes str items"),
    ]:
        with pytest.raises(UserError, match=message):
            experiment.resolve_config(str(config_file), "smoke", overrides)
    with pytest.raises(UserError, match="mode 'ful' does not exist: did you mean full"):
        experiment.resolve_config(str(config_file), "ful")
