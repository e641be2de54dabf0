"""One command for all figures: skips, survives failures, adds estimators, and says what it did."""

import dataclasses
import fcntl
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from experiments import reproduce
from experiments.common import configuration
from experiments.engine import reproduction, update
from tests.engine import toy_figure as toy
from tests.engine.toy_measurement import computed_runs

ROOT = Path(__file__).resolve().parents[1]
CONFIG = """
from tests.engine import toy_figure

def get_config(mode="full"):
    config = toy_figure.make_config()
    if mode == "smoke":
        with config.unlocked():
            config.grid.runs.seed = "0:2"
    return config.unlock()
"""


def fail(config, grids):
    raise RuntimeError("the summary broke")


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    """Three figures: toy, broken, other; their configs lie in a folder of their own."""
    figures = {
        "toy": toy.FIGURE,
        "broken": dataclasses.replace(toy.FIGURE, name="broken", summarize=fail),
        "other": dataclasses.replace(toy.FIGURE, name="other"),
    }
    (tmp_path / "configs").mkdir()
    for name, figure in figures.items():
        module = SimpleNamespace(FIGURE=figure)
        monkeypatch.setitem(sys.modules, f"experiments.analysis.{name}", module)
        (tmp_path / f"configs/{name}.py").write_text(CONFIG)
    monkeypatch.setattr(configuration, "PROJECT_ROOT", tmp_path)
    monkeypatch.setattr(reproduction, "PROJECT_ROOT", tmp_path)
    monkeypatch.setattr(reproduce, "FIGURES", tuple(figures))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOY_LOG", str(tmp_path / "computed.log"))
    (tmp_path / "computed.log").touch()
    return tmp_path


def main(capsys, *arguments):
    with pytest.raises(SystemExit) as exit_info:
        reproduce.main(arguments)
    captured = capsys.readouterr()
    return exit_info.value.code, captured.out, captured.err


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_figure_that_fails_stops_no_other_and_gives_status_1(capsys, project):
    status, out, err = main(capsys, "--mode=smoke")
    assert status == 1
    assert "failed: broken: RuntimeError: the summary broke" in err
    assert "[1/3] toy: computed" in out
    assert "[3/3] other: computed" in out
    assert "2 figures, 1 failed; 2 findings." in out
    out_dir = project / "results/smoke"
    found = json.loads((out_dir / "findings.json").read_text())
    assert [(one["figure"], one["name"]) for one in found] == [("toy", "mean")] * 2
    page = (out_dir / "README.md").read_text()
    assert "![other](other/other.png)" in page
    assert "`python -m experiments.reproduce --only=toy --mode=smoke`" in page
    assert "Toy values of 3 steps." in page
    assert str(project) not in page
    assert not (project / "figures").exists()


def test_a_second_call_says_that_the_committed_data_are_shown(capsys, project):
    arguments = ["--only=toy,other"]
    assert main(capsys, *arguments)[0] == 0
    first, runs = files(project / "figures"), computed_runs(project / "computed.log")
    assert len(runs) == len(set(runs)) == 16  # figures share what is computed
    status, out, _ = main(capsys, *arguments)
    assert status == 0
    assert "all 2 figures are up to date: the committed data are shown; `make reproduce`" in out
    assert files(project / "figures") == first
    assert "toy: computed" in main(capsys, *arguments, "--force")[1]
    assert len(computed_runs(project / "computed.log")) > 16


def test_what_was_stored_before_stays_in_the_gallery(capsys, project):
    main(capsys, "--only=toy")
    main(capsys, "--only=other")
    page = (project / "figures/README.md").read_text()
    assert page.index("![toy]") < page.index("![other]")
    assert len(json.loads((project / "figures/findings.json").read_text())) == 2


def test_axes_and_fields_are_changed_by_flags_and_spare_the_committed_figures(capsys, project):
    flags = ["--only=toy", "--grid.runs.k=2,8", "--run.num_steps=5", "--config.scale=2"]
    status, out, err = main(capsys, *flags)
    assert status == 0, err
    assert "are in results/figures/" in out
    assert not (project / "figures").exists()
    dataset = update.load("toy", project / "results/figures").dataset
    assert dataset.k.values.tolist() == [2, 8]
    assert toy.caption(dataset) == "Toy values of 5 steps."
    assert dataset.value.max() == pytest.approx(2 * (0.8 + 3 + 5))
    main(capsys, "--only=toy", "--grid.estimator=rloo", "--seed=4", "--out_dir=mine")
    dataset = update.load("toy", project / "mine").dataset
    assert dataset.estimator.values.tolist() == ["rloo"]
    assert dataset.seed.values.tolist() == [4, 5, 6, 7]


def test_an_estimator_is_added_and_left_out_where_it_fails(capsys, project):
    (project / "mine.py").write_text(
        "def half_baseline(rewards, k):\n    return rewards - 0.5 * rewards.mean()\n"
    )
    flags = ["--only=toy", "--add_estimator=mine.py:half_baseline", "--out_dir=mine"]
    status, out, err = main(capsys, *flags, "--grid.k=2,16")
    assert status == 0, err
    dataset = update.load("toy", project / "mine").dataset
    assert dataset.estimator.values.tolist() == ["maxpo", "ei", "mine.py:half_baseline"]
    assert bool(dataset.value.sel(k=2).notnull().all())
    line = "toy: mine.py:half_baseline is left out of 4 of 8 runs: k = 16 needs a group of 17"
    assert line in out
    (project / "mine.py").write_text("def half_baseline(rewards, k):\n    return rewards\n")
    assert "toy: computed" in main(capsys, *flags, "--grid.k=2,16")[1]


def test_a_comparison_has_one_line_a_figure(capsys, project):
    main(capsys, "--only=toy")
    again = ["--only=toy", "--out_dir=anew", "--store=anew/store", "--compare_with=figures"]
    _, out, _ = main(capsys, *again)
    assert out.rstrip().endswith("toy: identical")
    assert (project / "anew/comparison.txt").read_text() == "toy: identical\n"
    _, out, _ = main(capsys, *again, "--config.scale=3")
    assert "toy: differs: another config" in out


MISTAKES = [
    (["--only=tooy"], "figure 'tooy' is unknown; did you mean toy?"),
    (["--only=."], "figure '.' is unknown; known: broken, other, toy"),
    (["--grid.kk=2"], "--grid.kk: no figure has it; did you mean k?"),
    (["--grid.runz.k=2"], "--grid.runz.k: no figure has it; did you mean runs.k?"),
    (["--run.num_step=2"], "--run.num_step: no figure has it; did you mean num_steps?"),
    (["--config.scal=2"], "--config.scal: no figure has it; did you mean scale?"),
    (["--grid.k=two"], "field k takes int, not 'two'"),
    (["--run.k=2"], "--run.k: k is an axis of toy; write --grid.k="),
    (["--mode=smoke", "--out_dir=figures"], "a smoke run does not write to figures"),
    (["--add_estimator=nowhere.py:f"], "there is no Python file nowhere.py"),
    (["--add_estimator=maxpoo"], "did you mean 'maxpo'"),
    (["--force", "--redraw"], "give one of them"),
    (["--seed=-1"], "seeds are 0 or more"),
    (["stray"], "argument 'stray' is not understood"),
    (["--config.scale=-1"], "the config of toy makes no sense: scale is -1.0"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES)
def test_a_mistake_gets_one_line_and_computes_nothing(capsys, project, arguments, message):
    status, _, err = main(capsys, *arguments)
    assert (status, len(err.strip().splitlines())) == (2, 1), err
    assert err.startswith("error: ")
    assert message in err
    assert not computed_runs(project / "computed.log")


def test_an_unwritable_folder_is_found_before_computing(capsys, project):
    (project / "file").touch()
    status, out, err = main(capsys, f"--out_dir={project}/file")
    assert status == 2
    assert err.startswith("error: cannot write to")
    assert "[1/" not in out


def test_a_full_disk_gets_one_line(capsys, monkeypatch):
    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(update, "atomic_write", full)
    status, _, err = main(capsys, "--only=toy,other")
    assert status == 2
    lines = [line for line in err.splitlines() if "run/s" not in line and line.strip()]
    assert lines[-1] == "error: No space left on device: make room and repeat the command"
    assert "Traceback" not in err


def test_ctrl_c_says_how_to_resume(capsys, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(reproduction.update, "bring_up_to_date", interrupt)
    status, _, err = main(capsys, "--only=toy", "--out_dir=mine", "--force")
    assert status == 130
    assert "resume by: python -m experiments.reproduce --only=toy --out_dir=mine" in err
    assert "--force" not in err


def test_a_second_command_waits_for_the_first(project):
    folder = project / "shared"
    folder.mkdir()
    descriptor = os.open(folder, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    program = (
        "from pathlib import Path\n"
        "from experiments.common.folder_lock import locked\n"
        f"with locked(Path({str(folder)!r})):\n    print('mine')\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert "another process works in" in other.stderr.readline()
    time.sleep(0.2)
    assert other.poll() is None
    os.close(descriptor)
    out, _ = other.communicate(timeout=60)
    assert out.strip() == "mine"


def test_help_names_the_flags(capsys):
    status, out, _ = main(capsys, "--help")
    assert status == 0
    for flag in ("--only", "--add_estimator", "--redraw", "--seed", "--store", "--cluster"):
        assert flag in out


def test_nothing_stale_needs_no_jax(capsys, project):
    """An up-to-date folder is shown at once."""
    main(capsys, "--only=toy,other")
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from experiments.engine import update\n"
        "from tests.engine import toy_figure as toy\n"
        f"folder = Path({str(project / 'figures')!r})\n"
        "assert update.is_up_to_date(toy.FIGURE, toy.make_config(), folder)\n"
        "assert 'jax' not in sys.modules\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
