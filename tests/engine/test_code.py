"""Hashes of code: what makes a stored result stale, and what does not."""

import importlib
import sys
from pathlib import Path

import pytest

from experiments.engine import code

MODULES = {
    "maxpo_jax/__init__.py": "from maxpo_jax.facade import x\n",
    "maxpo_jax/facade.py": "x = 1\n",
    "maxpo_jax/families/__init__.py": "from .kernel import y\n",
    "maxpo_jax/families/kernel.py": "def y():\n    '''Doc.'''\n    return 2\n",
    "maxpo_jax/unused.py": "z = 3\n",
    "experiments/__init__.py": "",
    "experiments/common/__init__.py": "",
    "experiments/common/style.py": "color = 'red'\n",
    "experiments/common/keys.py": "key = 1\n",
    "experiments/learning.py": "def late():\n    from ..maxpo_jax import unused\n",
    "experiments/analysis/__init__.py": "",
    "experiments/analysis/bandit.py": "from experiments.common import style\n",
    "experiments/engine/__init__.py": "",
    "experiments/engine/store.py": "frame = 1\n",
    "experiments/measurements/__init__.py": "",
    "experiments/measurements/bandit.py": (
        "import numpy as np\n"
        "from experiments.analysis import bandit\n"
        "from experiments.common import keys\n"
        "from experiments.engine import store\n"
        "from maxpo_jax.families import y\n"
        "rate = 0.5  # a comment\n"
    ),
}
ROOT = Path(__file__).resolve().parents[2]
BANDIT = "experiments/measurements/bandit.py"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "project"
    for name, source in MODULES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(source)
    monkeypatch.setattr(code, "PROJECT_ROOT", root)
    elsewhere = [
        path
        for path in sys.path
        if "site-packages" in path or not Path(path).resolve().is_relative_to(ROOT)
    ]
    monkeypatch.setattr(sys, "path", elsewhere)
    monkeypatch.setattr(code, "_file_of_loaded", lambda module: None)  # that is the real project
    return root


def measuring(project: Path) -> str:
    return code.closure_hash(project / BANDIT, (*code.FRAME, *code.SHOWING))


def edit(file: Path, old: str, new: str) -> None:
    source = file.read_text()
    assert old in source
    file.write_text(source.replace(old, new))


def test_modules_reached_by_imports(project: Path) -> None:
    found = code.reached_modules(project / BANDIT, (*code.FRAME, *code.SHOWING))
    assert set(found) == {
        "experiments.measurements.bandit",
        "experiments.common",
        "experiments.common.keys",
        "maxpo_jax.families",
        "maxpo_jax.families.kernel",
    }


@pytest.mark.parametrize(
    ("source", "reached"),
    [
        ("import maxpo_jax.unused", {"maxpo_jax", "maxpo_jax.facade", "maxpo_jax.unused"}),
        ("import maxpo_jax.unused as u", {"maxpo_jax.unused"}),
        ("from maxpo_jax import unused", {"maxpo_jax.unused"}),
        ("from maxpo_jax import x", {"maxpo_jax", "maxpo_jax.facade"}),
        ("def f():\n    from maxpo_jax import unused", {"maxpo_jax.unused"}),
        ("from . import learning", {"experiments.learning", "maxpo_jax.unused"}),
        ("from .common.keys import key", {"experiments.common", "experiments.common.keys"}),
        (
            "import maxpo_jax.families.kernel as k",
            {"maxpo_jax.families", "maxpo_jax.families.kernel"},
        ),
        ("import maxpo_jaxed, numpy.linalg, json, os.path", set()),
    ],
)
def test_forms_of_import(project: Path, source: str, reached: set[str]) -> None:
    edit(project / "experiments/learning.py", "from ..maxpo_jax", "from maxpo_jax")
    file = project / "experiments/other.py"
    file.write_text(source + "\n")
    assert set(code.reached_modules(file)) == reached | {"experiments.other"}


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        (BANDIT, "# a comment", "# another"),
        (BANDIT, "rate = 0.5", "rate = (\n    0.5\n)"),
        ("maxpo_jax/families/kernel.py", "Doc.", "Better documentation."),
        ("maxpo_jax/families/kernel.py", "    '''Doc.'''\n", ""),
        ("maxpo_jax/unused.py", "3", "4"),
        ("experiments/engine/store.py", "1", "2"),
        ("experiments/common/style.py", "red", "blue"),
        ("experiments/analysis/bandit.py", "style", "style as s"),
    ],
)
def test_what_leaves_the_hash_of_a_measurement_alone(
    project: Path, name: str, old: str, new: str
) -> None:
    before = measuring(project)
    edit(project / name, old, new)
    assert measuring(project) == before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        (BANDIT, "0.5", "0.25"),
        (BANDIT, "rate", "step"),
        ("experiments/common/keys.py", "1", "2"),
        ("maxpo_jax/families/kernel.py", "return 2", "return 2.0"),
        ("maxpo_jax/families/__init__.py", "y\n", "y\nw = 0\n"),
    ],
)
def test_what_changes_the_hash_of_a_measurement(
    project: Path, name: str, old: str, new: str
) -> None:
    before = measuring(project)
    edit(project / name, old, new)
    assert measuring(project) != before


def test_the_hash_does_not_depend_on_where_the_project_lies(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = measuring(project)
    elsewhere = project.parent / "a clone"
    project.rename(elsewhere)
    monkeypatch.setattr(code, "PROJECT_ROOT", elsewhere)
    assert measuring(elsewhere) == before


def user_files(folder: Path) -> Path:
    (folder / "helpers").mkdir(parents=True)
    (folder / "mine.py").write_text("import helper\nfrom helpers import deep\n\nf = helper.f\n")
    (folder / "helper.py").write_text("from maxpo_jax import unused\n\nf = max\n")
    (folder / "helpers/deep.py").write_text("depth = 1\n")
    return folder / "mine.py"


@pytest.mark.parametrize("helper", ["mine.py", "helper.py", "helpers/deep.py"])
def test_a_file_of_ones_own_counts_with_its_helpers(
    project: Path, tmp_path: Path, helper: str
) -> None:
    file = user_files(tmp_path / "user")
    assert set(code.reached_modules(file)) == {"mine", "helper", "helpers.deep", "maxpo_jax.unused"}
    before = code.closure_hash(file)
    edited = file.parent / helper
    edited.write_text(edited.read_text() + "more = 1\n")
    assert code.closure_hash(file) != before


def test_a_file_has_the_same_hash_wherever_it_lies(project: Path, tmp_path: Path) -> None:
    files = [user_files(tmp_path / name) for name in ("here", "there")]
    assert code.closure_hash(files[0]) == code.closure_hash(files[1])


def test_installed_packages_are_not_followed(project: Path, tmp_path: Path) -> None:
    installed = tmp_path / "lib" / "site-packages"
    installed.mkdir(parents=True)
    (installed / "dependency.py").write_text("x = 1\n")
    sys.path.append(str(installed))
    file = tmp_path / "mine.py"
    file.write_text("import dependency\n")
    assert set(code.reached_modules(file)) == {"mine"}


FIGURE = """
from figures_of_mine import shared
from figures_of_mine.shared import title
import constants

SCALE = 2.0


def summarize(data):
    return _mean(data) * SCALE


def _mean(data):
    return sum(data) / constants.count


def draw(data):
    from figures_of_mine import looks

    return title(data), looks.color


class Kept:
    pass
"""
SHARED = "def title(data):\n    return words\n\n\nwords = 'a'\n\n\ndef other():\n    return 1\n"


@pytest.fixture
def figure(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    package = project / "figures_of_mine"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "one.py").write_text(FIGURE)
    (package / "shared.py").write_text(SHARED)
    (package / "looks.py").write_text("color = 'red'\n")
    (project / "constants.py").write_text("count = 2\n")
    monkeypatch.syspath_prepend(str(project))
    return package


@pytest.mark.parametrize(
    ("name", "old", "new", "changed"),
    [
        ("one.py", "SCALE = 2.0", "SCALE = 3.0", {"summarize"}),
        ("one.py", "sum(data)", "max(data)", {"summarize"}),
        ("one.py", "return title(data)", "return title(1)", {"draw"}),
        ("one.py", "    pass", "    kept = 1", set()),
        ("one.py", "def summarize(data):\n", "def summarize(data):\n    'Doc.'\n", set()),
        ("looks.py", "red", "blue", {"draw"}),
        ("shared.py", "'a'", "'b'", {"draw"}),
        ("shared.py", "return 1", "return 2", set()),
        ("../constants.py", "2", "3", {"summarize"}),
    ],
)
def test_functions_of_one_file_have_hashes_of_their_own(
    figure: Path, name: str, old: str, new: str, changed: set[str]
) -> None:
    def hashes() -> dict[str, str]:
        for module in [m for m in sys.modules if m.startswith("figures_of_mine")]:
            del sys.modules[module]
        importlib.invalidate_caches()
        module = importlib.import_module("figures_of_mine.one")
        return {name: code.function_hash(getattr(module, name)) for name in ("summarize", "draw")}

    before = hashes()
    edit(figure / name, old, new)
    after = hashes()
    assert {name for name in before if before[name] != after[name]} == changed
