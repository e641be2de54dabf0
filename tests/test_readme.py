"""The pages are true: examples and commands run, generated sections are current, links lead on."""

import csv
import doctest
import itertools
import json
import math
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import yaml
from ml_collections import FrozenConfigDict

from experiments import readme
from experiments.common.configuration import PROJECT_ROOT
from experiments.common.gallery import LONGEST_CELL
from experiments.measurements import maze_optimum
from experiments.reproduce import FIGURES
from maxpo_jax import estimators, exact
from maxpo_jax.bandits import bernoulli

TEXTS = {page: (PROJECT_ROOT / page).read_text(encoding="utf-8") for page in readme.PAGES}
README = TEXTS["README.md"]
MOST_WORDS = 1_500
MOST_FINDINGS = 5


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def blocks(text: str) -> list[str]:
    """The contents of the fenced blocks of a page."""
    return re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands(text: str) -> list[str]:
    """The commands of a page, which are indented, as one line each."""
    joined = without_code(text).replace("\\\n", " ")
    return [" ".join(line.split()) for line in re.findall(r"^    (\S.*)$", joined, re.MULTILINE)]


def section(heading: str) -> str:
    return README.partition(f"## {heading}\n")[2].partition("\n## ")[0]


CARD = "python -m experiments.check_estimator --estimator=my.py:half_baseline"
SWEEP = (
    "python -m experiments.sweep maze_training --grid.k=1,2,4,8 "
    "--grid.learning_rate=log:1e-3:1e-1:5 --grid.seed=0:20 '--metric=J[k=8]'"
)
# Run by hand, or by tests of their own: they take minutes, or change the environment.
NOT_RUN = {
    "pip install .",
    "make figures",
    "make test",
    "make reproduce",
    "make install",
    "source .venv/bin/activate",
}
# Run with further flags, as the pages say, because they take more than a few seconds.
MADE_SMALL = {
    "python -m experiments.reproduce --add_estimator=my.py:half_baseline --out_dir=mine": [
        "--only=variance_map",
        "--mode=smoke",
    ],
    SWEEP: ["--mode=smoke"],
}
SHOWN = [command for text in TEXTS.values() for command in commands(text)]
RUN = sorted(set(SHOWN) - NOT_RUN - {CARD})


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A user's folder with the files that the pages show."""
    folder = tmp_path_factory.mktemp("a user")
    for text in TEXTS.values():
        for name, code in re.findall(r"```python\n# (\S+\.py)\n(.*?)```", text, re.DOTALL):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(code, encoding="utf-8")
    return folder


def run(command: str, folder: Path, more: list[str] | None = None) -> str:
    words = shlex.split(command)
    assert words[:2] == ["python", "-m"]
    done = subprocess.run(
        [sys.executable, *words[1:], *(more or [])],
        cwd=folder,
        env=os.environ
        | {"PYTHONPATH": str(PROJECT_ROOT), "JAX_PLATFORMS": "cpu", "COLUMNS": "100"},
        capture_output=True,
        text=True,
    )
    allowed = (0, 1) if command == CARD else (0,)
    assert done.returncode in allowed, done.stderr
    return done.stdout


def test_the_lists_of_commands_are_those_of_the_pages():
    assert {CARD, *NOT_RUN, *MADE_SMALL} <= set(SHOWN)
    assert len(RUN) > 8


@pytest.mark.parametrize("command", RUN)
def test_a_command_of_the_pages_runs(command, folder):
    said = run(command, folder, MADE_SMALL.get(command))
    where = re.search(r"shown in (\S+)$", said, re.MULTILINE)
    if "experiments.sweep" in command and "--help" not in command:
        for name in ("sweep.nc", "runs.csv", "sweep.png", "sweep.pdf", "manifest.json"):
            assert (folder / where[1] / name).stat().st_size > 0
    for name in re.findall(r"--(?:html|json)=(\S+)", command):
        assert (folder / name).stat().st_size > 1_000
    if "--add_estimator" in command:
        assert "half_baseline" in (folder / "mine" / "findings.json").read_text()


def test_the_card_of_the_page_is_what_the_command_says(folder):
    (shown,) = [block for block in blocks(README) if block.startswith("my.py:half_baseline")]
    said = iter(run(CARD, folder).splitlines())
    assert len(shown.splitlines()) == 8
    missing = [line for line in shown.splitlines() if line not in said]  # in this order
    assert missing == []


def test_make_has_the_targets_of_the_pages():
    makefile = (PROJECT_ROOT / "Makefile").read_text()
    pages = [*TEXTS.values(), (PROJECT_ROOT / "CONTRIBUTING.md").read_text()]
    named = {name for page in pages for name in re.findall(r"(?:    |`|^)make (\w+)", page, re.M)}
    assert named >= {"figures", "test", "reproduce", "install", "readme", "benchmark"}
    assert [name for name in named if f"\n{name}:" not in makefile] == []


@pytest.mark.parametrize("page", readme.PAGES)
def test_examples_run(page):
    code = "\n".join(block for block in blocks(TEXTS[page]) if block.startswith(">>>"))
    test = doctest.DocTestParser().get_doctest(code, {}, page, None, 0)
    assert test.examples or page in ("experiments/README.md", "maxpo_jax/tokens/README.md")
    assert doctest.DocTestRunner().run(test).failed == 0


@pytest.mark.parametrize("page", readme.PAGES)
def test_generated_sections_are_current(page):
    assert readme.stale_sections(page, TEXTS[page]) == [], "run: make readme"


def test_check_names_a_stale_section_and_writing_mends_it(tmp_path, capsys):
    for page, text in TEXTS.items():
        (tmp_path / page).parent.mkdir(parents=True, exist_ok=True)
        stale = text.replace("| `maxpo` | J_K | 1", "| `maxpo` | J_1 | 1")
        (tmp_path / page).write_text(stale, encoding="utf-8")
    assert readme.main(["--check"], tmp_path) == 1
    complaint = "maxpo_jax/estimators/README.md is stale in: estimators; run: make readme\n"
    assert capsys.readouterr().err == complaint
    assert readme.main([], tmp_path) == 0
    assert readme.main(["--check"], tmp_path) == 0
    assert {page: (tmp_path / page).read_text(encoding="utf-8") for page in TEXTS} == TEXTS


def test_an_unknown_section_is_refused():
    with pytest.raises(ValueError, match="wrong"):
        readme.generated("README.md", README + "<!-- begin: wrong -->\n<!-- end: wrong -->")


def test_the_table_has_a_row_for_each_figure_with_the_first_of_its_findings(tmp_path, monkeypatch):
    first = {
        "figure": "maze_learning",
        "sentence": "P(A | B) > 0",
        "measured": "0.1",
        "verdict": None,
    }
    (tmp_path / "figures").mkdir()
    findings = [first, first | {"sentence": "not the first"}]
    (tmp_path / "figures" / "findings.json").write_text(json.dumps(findings))
    monkeypatch.setattr(readme, "PROJECT_ROOT", tmp_path)
    rows = readme.figure_table().splitlines()[2:]
    cells = {row.split("]")[0][3:]: re.split(r"(?<!\\) \| ", row[2:-2]) for row in rows}
    assert tuple(cells) == readme.LEADING
    assert len(cells) == 10
    assert set(cells) <= set(FIGURES)
    assert cells["maze_learning"][2] == r"P(A \| B) > 0: 0.1"
    assert cells["maze_scaling"][2] == readme.NOT_YET


def test_the_front_page_is_short():
    words = [word for word in README.split() if re.search(r"\w", word)]
    assert len(words) < MOST_WORDS
    lines = README.splitlines()
    assert len(lines) < 190
    assert longest_cell(README) <= LONGEST_CELL


def longest_cell(text: str) -> int:
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    return max(len(cell) for row in rows for cell in re.split(r"(?<!\\) \| ", row.strip("| ")))


def test_the_page_of_figures_is_short():
    page = (PROJECT_ROOT / "figures" / "README.md").read_text(encoding="utf-8")
    findings = json.loads((PROJECT_ROOT / "figures" / "findings.json").read_text("utf-8"))
    assert longest_cell(page) <= LONGEST_CELL
    for name in FIGURES:
        of_figure = [finding for finding in findings if finding["figure"] == name]
        assert 1 <= len(of_figure) <= MOST_FINDINGS, name
        assert page.count(f"\n## {name}\n") == 1
        folded = page.partition(f"\n## {name}\n")[2].partition("</details>")[0]
        assert len(re.findall("^- ", folded, re.MULTILINE)) == len(of_figure)
    statements = {finding["paper"] for finding in findings} - {None}
    assert len(statements) >= 8


PAGES_WITH_LINKS = [*readme.PAGES, "figures/README.md", "CONTRIBUTING.md", "CHANGELOG.md"]


@pytest.mark.parametrize("name", PAGES_WITH_LINKS)
def test_links_lead_somewhere(name):
    page = PROJECT_ROOT / name
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    missing = [
        link for link in links if not link.startswith("http") and not (page.parent / link).exists()
    ]
    assert missing == []


def layout() -> dict[str, str]:
    """What the tree of the layout says of each path."""
    (tree,) = [block for block in blocks(section("Layout")) if "maxpo_jax/" in block]
    said, room = {}, ""
    for line in tree.splitlines():
        name, text = line.split(maxsplit=1)
        if not line.startswith(" "):
            room = name if name.endswith("/") else ""
        said[room + name if line.startswith(" ") else name] = text
    return said


def test_everything_in_the_layout_exists():
    said = layout()
    assert [path for path in said if not (PROJECT_ROOT / path).exists()] == []
    for path, text in said.items():
        for name in re.findall(r"\b\w+\.(?:py|txt)\b", text):
            near = [PROJECT_ROOT / path / name, (PROJECT_ROOT / path).parent / name]
            assert any(file.exists() for file in near), f"{name}, named beside {path}"


def test_every_room_is_in_the_layout():
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=PROJECT_ROOT, capture_output=True, text=True, check=False
    ).stdout.split()
    if not tracked:
        pytest.skip("not a git repository")
    said = " ".join([*layout(), *layout().values()])
    split = [Path(path).parts for path in tracked]
    rooms = {f"{parts[0]}/" for parts in split if len(parts) > 1 and parts[0][0] != "."}
    for room in ("maxpo_jax", "experiments"):
        inside = [parts[1:] for parts in split if parts[0] == room]
        rooms |= {f"{parts[0]}/" if len(parts) > 1 else parts[0] for parts in inside}
    rooms -= {"__init__.py", "py.typed", "README.md"}
    assert len(rooms) > 20
    assert sorted(room for room in rooms if room not in said) == []


def test_the_picture_of_the_sweep_is_made_by_the_command_and_shows_what_is_said():
    folder = PROJECT_ROOT / "figures" / "sweep_maze"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert shlex.split(manifest["command"]) == shlex.split(SWEEP)
    assert manifest["runs"]["finished"] == manifest["runs"]["total"] == 400
    with (folder / "runs.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 400

    def mean(k: int, rate: str) -> float:
        mine = [row for row in rows if row["k"] == str(k) and row["learning_rate"] == rate]
        return float(np.mean([float(row["J[k=8]"]) for row in mine]))

    rates = sorted({row["learning_rate"] for row in rows}, key=float)
    assert len(rates) == 5
    of_one = [mean(1, rate) for rate in rates]
    assert all(slow > fast for slow, fast in itertools.pairwise(of_one))
    assert all(mean(8, rate) > mean(1, rate) for rate in rates)


def test_the_numbers_where_maxpo_does_not_win():
    """Each number of the page, computed anew and printed as the page prints it."""
    page = " ".join(section("Where MaxPO does not win").split())

    def exact_variance(name: str, num_actions: int) -> float:
        rewards = np.array([0.0] * (num_actions - 1) + [1.0])
        moments = exact.moments(estimators.get(name), np.zeros(num_actions), rewards, 16, 4)
        return float(np.trace(moments[1]))

    two, four = (exact_variance("maxpo", n) / exact_variance("ei", n) for n in (2, 4))
    assert f"among 2 the variance of MaxPO is {two:.1f} times that of EI" in page
    assert f"among 4 it is {four:.1f} times" in page

    def of_many_arms(name: str, k: int, probs: list[float]) -> np.ndarray:
        return bernoulli.total_variance(estimators.get(name), 16, k, probs, 10**6)

    for k, shown in ((4, 0.065), (15, 0.50)):
        assert re.search(rf"p = {shown:.{3 if k == 4 else 2}f} at K = {k}\b", page)
        unit = 0.001 if k == 4 else 0.01
        probs = [shown - unit, shown + unit]
        maxpo, ei = (of_many_arms(name, k, probs) for name in ("maxpo", "ei"))
        assert ei[0] < maxpo[0]
        assert ei[1] > maxpo[1]

    findings = json.loads((PROJECT_ROOT / "figures" / "findings.json").read_text("utf-8"))
    ratios = {
        (finding["name"].rpartition("_")[2], effect["where"]): effect["estimate"]
        for finding in findings
        if finding["figure"] == "variance_learning"
        for effect in finding["effects"]
    }
    adam, ascent = (ratios[name, "with one shared policy"] for name in ("adam", "sgd"))
    assert f"{adam:.2f} times the updates with Adam on a shared policy, and {ascent:.2f}" in page

    # E|g|^2 of orthogonal scores: with b(C) of C successes among the others, least at b = p e.
    assert "B/(B-K)" in page
    assert "1/(1-p)" in page
    for k in (2, 4, 8, 15):
        counts = np.arange(16)
        alone = np.array([math.comb(15 - c, k - 1) / math.comb(15, k - 1) for c in counts])
        for p in (0.01, 0.3, 0.7, 0.99):
            weights = [math.comb(15, c) * p**c * (1 - p) ** (15 - c) for c in counts]

            def second_moment(b, p=p, alone=alone, weights=weights):
                return np.dot(weights, p * (alone - b) ** 2 + (1 - p) * b**2)

            least = second_moment(p * alone)
            assert second_moment(0 * alone) == pytest.approx(least / (1 - p), rel=1e-10)
            assert second_moment(counts / (16 - k) * alone) <= least * 16 / (16 - k) * (1 + 1e-10)

    often, rarely = of_many_arms("ei", 8, [0.7, 0.05]) * [1 - 0.7, 1 - 0.05]
    assert "below 1/10,000 of that" in page
    assert often < rarely / 10_000

    def best(k: int) -> dict[str, float]:
        run = FrozenConfigDict(dict(maze_optimum.MEASUREMENT.fields) | {"k": k, "group_size": 8})
        found = maze_optimum.compute(run, np.array([0]))
        return {name: float(value.item()) for name, value in found.items()}

    tries, one = best(8), best(1)
    assert (
        f"a mean return of {tries['mean_return']:.2f} and a best of 8 of {tries['value']:.2f};"
        in page
    )
    assert f"has {one['mean_return']:.2f} in both" in page
    assert one["best_return"] == pytest.approx(one["mean_return"], abs=0.005)


def test_how_far_maxpo_is_from_the_best():
    with xr.open_dataset(PROJECT_ROOT / "figures/variance_floor/data.nc") as data:
        ratios = data.ratio_by_k.sel(estimator="maxpo").values - 1
    low, high = f"{ratios.min():.0%}".rstrip("%"), f"{ratios.max():.0%}"
    assert f"its variance is {low} to {high} above" in README.replace("\n", " ")


def test_hooks_and_continuous_integration_run_what_make_runs():
    makefile = (PROJECT_ROOT / "Makefile").read_text()
    hooks = yaml.safe_load((PROJECT_ROOT / ".pre-commit-config.yaml").read_text())
    ours = [hook for repo in hooks["repos"] for hook in repo["hooks"]]
    assert {repo["repo"] for repo in hooks["repos"]} == {"local"}
    for hook in ours:
        call = hook["entry"].removeprefix(".venv/bin/python")
        assert call != hook["entry"]
        assert f"$(VENV_PYTHON){call.removesuffix(' --check')}" in makefile
    assert {hook["id"] for hook in ours} == {"ruff-check", "ruff-format", "mypy", "readme"}

    job = yaml.safe_load((PROJECT_ROOT / ".github/workflows/ci.yml").read_text())["jobs"]["check"]
    assert job["steps"][-1]["run"] == ".ci/run"
    pins = (PROJECT_ROOT / "constraints.txt").read_text()
    span = re.search(r"resolves on Python ([\d.]+) to ([\d.]+)\.", pins)
    oldest, newest = job["strategy"]["matrix"]["include"]
    assert [oldest["python"], newest["python"]] == [span[1], span[2]]
    project = (PROJECT_ROOT / "pyproject.toml").read_text()
    assert f'requires-python = ">={span[1]}"' in project
    assert f'"jax>={oldest["jax"].removesuffix(".0")}"' in project
    assert newest["jax"] == ""  # the pinned one
    assert job["steps"][-1]["env"] == {"JAX": "${{ matrix.jax }}"}
    script = PROJECT_ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert subprocess.run([shutil.which("bash"), "-n", script], check=False).returncode == 0
    targets = re.findall(r"^step .* make (\w+)", script.read_text(), re.MULTILINE)
    assert {"install", "lint", "types", "doctest", "figures", "test"} == set(targets)


def test_the_change_log_is_about_this_version():
    version = re.search(r'^version = "(.*)"', (PROJECT_ROOT / "pyproject.toml").read_text(), re.M)
    log = (PROJECT_ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (\S+)", log, re.MULTILINE)[0] == version[1]
