"""A figure is computed once, redrawn, and made anew where a file of it is not what it was."""

import dataclasses
import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import xarray as xr

from experiments.common import style
from experiments.common.errors import UserError
from experiments.engine import code, execution, figure_grids, update
from experiments.engine.store import Store
from tests.engine import toy_figure as toy
from tests.engine.toy_measurement import computed_runs

ROOT = Path(__file__).resolve().parents[2]
FILES = {"config.json", "manifest.json", "data.nc", "toy.png", "toy.pdf"}


@pytest.fixture(autouse=True)
def log(tmp_path, monkeypatch):
    path = tmp_path / "computed.log"
    path.touch()
    monkeypatch.setenv("TOY_LOG", str(path))
    return path


@pytest.fixture
def quick_pictures(monkeypatch):
    """Pictures that hold the numbers drawn, without rendering them."""

    def plotted(figure, subject=""):
        lines = figure.axes[0].lines
        return b"".join(line.get_ydata().tobytes() for line in lines) + subject.encode()

    monkeypatch.setattr(style, "png_bytes", plotted)
    monkeypatch.setattr(style, "pdf_bytes", plotted)


def compute(store, figure, config):
    work = figure_grids.make_plans(figure, config)
    return figure_grids.compute(work, store, execution.execute, lambda number: None).datasets


def run(folder, figure=toy.FIGURE, fields=(), **options):
    config = toy.make_config(**dict(fields))
    store = Store(folder / "store")
    options = {"compute": functools.partial(compute, store), "command": "python -m toy"} | options
    return update.bring_up_to_date(figure, config, folder / "out", **options)


def contents(folder):
    return {path.name: path.read_bytes() for path in (folder / "out/toy").iterdir()}


def test_leaves_config_data_pictures_and_a_manifest(tmp_path):
    outcome = run(tmp_path)
    assert outcome.state == "computed"
    files = contents(tmp_path)
    assert set(files) == FILES
    manifest = json.loads(files["manifest.json"])
    assert manifest["command"] == "python -m toy"
    assert manifest["device"]["platform"] == "cpu"
    assert manifest["files"] == {
        name: update.sha256(files[name]) for name in FILES - {"manifest.json"}
    }
    assert json.loads(files["config.json"])["grid"]["runs"]["seed"] == "0:4"
    stored = update.load("toy", tmp_path / "out")
    xr.testing.assert_identical(stored.dataset, outcome.stored.dataset)
    assert toy.caption(stored.dataset) == "Toy values of 3 steps."
    assert stored.dataset.value.sel(estimator="ei", k=4, seed=3).item() == pytest.approx(5.4)


def test_nothing_stored_names_a_private_folder(tmp_path):
    run(tmp_path)
    for content in contents(tmp_path).values():
        for private in (tmp_path, ROOT):
            assert str(private).encode() not in content
        assert str(Path.home()).encode() + b"/" not in content


def test_the_same_settings_give_the_same_bytes(tmp_path):
    run(tmp_path / "a")
    run(tmp_path / "b")
    first, second = (contents(tmp_path / name) for name in "ab")
    for name in FILES - {"manifest.json"}:
        assert first[name] == second[name]


def test_what_is_stored_is_not_computed_again(tmp_path, log):
    run(tmp_path)
    before, runs = contents(tmp_path), computed_runs(log)
    assert len(runs) == len(set(runs)) == 16
    assert run(tmp_path).state == "up to date"
    assert contents(tmp_path) == before
    assert run(tmp_path, fields={"scale": 2.0}).state == "computed"
    assert computed_runs(log) == runs  # the summary is new, the runs are in the store
    assert update.load("toy", tmp_path / "out").dataset.value.max() == pytest.approx(2 * 8.4)


def test_a_change_of_code_makes_the_summary_stale_and_of_drawing_the_pictures(
    tmp_path, monkeypatch
):
    run(tmp_path)
    config = toy.make_config()
    assert update.is_up_to_date(toy.FIGURE, config, tmp_path / "out")
    with monkeypatch.context() as patch:
        patch.setattr(code, "measurement_code", lambda name: "other")
        assert not update.is_up_to_date(toy.FIGURE, config, tmp_path / "out")

    def draw(dataset):
        return toy.draw(3 * dataset)

    other = dataclasses.replace(toy.FIGURE, draw=draw)
    before = contents(tmp_path)
    assert run(tmp_path, other, compute=None).state == "drawn"
    after = contents(tmp_path)
    assert after["toy.png"] != before["toy.png"]
    assert after["data.nc"] == before["data.nc"]


def flip(content, place):
    changed = bytearray(content)
    changed[place] ^= 1
    return bytes(changed)


DAMAGE = {
    "missing": lambda content: None,
    "empty": lambda content: b"",
    "truncated": lambda content: content[:-9],
    "flipped": lambda content: flip(content, len(content) // 2),
    "text": lambda content: b"[]",
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", sorted(FILES))
@pytest.mark.usefixtures("quick_pictures")
def test_a_damaged_file_is_noticed_and_made_anew(tmp_path, log, name, damage):
    run(tmp_path)
    whole, runs = contents(tmp_path), computed_runs(log)
    file = tmp_path / "out/toy" / name
    content = DAMAGE[damage](whole[name])
    file.unlink() if content is None else file.write_bytes(content)
    is_picture = name in {"toy.png", "toy.pdf"}
    assert not update.is_up_to_date(toy.FIGURE, toy.make_config(), tmp_path / "out")
    assert run(tmp_path).state == ("drawn" if is_picture else "computed")
    anew = contents(tmp_path)
    assert {n: c for n, c in anew.items() if n != "manifest.json"} == {
        n: c for n, c in whole.items() if n != "manifest.json"
    }
    assert computed_runs(log) == runs


@pytest.mark.parametrize("field", sorted(update.FIELDS))
@pytest.mark.usefixtures("quick_pictures")
def test_a_manifest_with_a_missing_or_wrong_field_is_damaged(tmp_path, field):
    run(tmp_path)
    path = tmp_path / "out/toy/manifest.json"
    manifest = json.loads(path.read_text())
    for changed in (
        {n: v for n, v in manifest.items() if n != field},
        manifest | {field: None},
        manifest | {field: update.FIELDS[field]()},
    ):
        path.write_text(json.dumps(changed))
        with pytest.raises(update.DamagedError, match=r"manifest\.json is damaged"):
            update.load("toy", tmp_path / "out")


def test_redraw_uses_the_stored_summary_whatever_the_config(tmp_path):
    run(tmp_path)
    data = contents(tmp_path)["data.nc"]
    assert run(tmp_path, fields={"scale": 9.0}, compute=None, redraw=True).state == "drawn"
    assert contents(tmp_path)["data.nc"] == data
    with pytest.raises(UserError, match=r"no stored result in .* to redraw"):
        run(tmp_path / "other", redraw=True)


def test_what_makes_no_sense_is_refused_before_anything_is_computed(tmp_path, log):
    with pytest.raises(UserError, match="config of toy makes no sense: scale is 0"):
        run(tmp_path, fields={"scale": 0.0})
    wrong = toy.make_config()
    with wrong.unlocked():
        wrong.run.num_stepz = 3
    store = Store(tmp_path / "store")
    with pytest.raises(UserError, match="no field 'num_stepz': did you mean num_steps"):
        update.bring_up_to_date(
            toy.FIGURE, wrong, tmp_path / "out", compute=functools.partial(compute, store)
        )
    assert not computed_runs(log)


def test_a_variable_without_labels_is_refused(tmp_path):
    figure = dataclasses.replace(
        toy.FIGURE, summarize=lambda config, grids: xr.Dataset({"value": ((), 1.0)})
    )
    with pytest.raises(ValueError, match="value of toy lacks long_name and units"):
        run(tmp_path, figure)


def test_killed_at_any_step_a_command_can_be_repeated(tmp_path):
    program = Path(__file__).with_name("kill_the_figure.py")
    finished = subprocess.run(
        [sys.executable, str(program), str(tmp_path)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    assert int(finished.stdout) > 15
