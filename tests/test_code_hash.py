"""Code hash: what invalidates a stored result, and what does not."""

from pathlib import Path

import pytest

from experiments import code_hash

MODULES = {
    "maxpo_jax/__init__.py": "from maxpo_jax.facade import x\n",
    "maxpo_jax/facade.py": "x = 1\n",
    "maxpo_jax/families/__init__.py": "from .kernel import y\n",
    "maxpo_jax/families/kernel.py": "def y():\n    '''Doc.'''\n    return 2\n",
    "maxpo_jax/unused.py": "z = 3\n",
    "experiments/__init__.py": "",
    "experiments/style.py": "color = 'red'\n",
    "experiments/learning.py": "def late():\n    from ..maxpo_jax import unused\n",
    "experiments/drawings/__init__.py": "",
    "experiments/drawings/bandit.py": "from experiments import style\n",
    "experiments/experiment.py": "frame = 1\n",
    "experiments/bandit.py": (
        "import numpy as np\n"
        "from experiments import experiment\n"
        "from experiments.drawings import bandit\n"
        "from maxpo_jax.families import y\n"
        "rate = 0.5  # a comment\n"
    ),
}


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, source in MODULES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(source)
    monkeypatch.setattr(code_hash, "PROJECT_ROOT", tmp_path)
    return tmp_path


def computing(project: Path) -> str:
    return code_hash.computing_code_hash([project / "experiments/bandit.py"])


def edit(file: Path, old: str, new: str) -> None:
    source = file.read_text()
    assert old in source
    file.write_text(source.replace(old, new))


def test_modules_reached_by_imports(project: Path) -> None:
    excluded = (*code_hash.FRAME, *code_hash.SHOWING)
    found = code_hash.project_modules([project / "experiments/bandit.py"], excluded)
    assert set(found) == {"experiments.bandit", "maxpo_jax.families", "maxpo_jax.families.kernel"}


@pytest.mark.parametrize(
    ("source", "reached"),
    [
        ("import maxpo_jax.unused", {"maxpo_jax", "maxpo_jax.facade", "maxpo_jax.unused"}),
        ("import maxpo_jax.unused as u", {"maxpo_jax.unused"}),
        ("from maxpo_jax import unused", {"maxpo_jax.unused"}),
        ("from maxpo_jax import x", {"maxpo_jax", "maxpo_jax.facade"}),
        ("def f():\n    from maxpo_jax import unused", {"maxpo_jax.unused"}),
        ("from . import style", {"experiments.style"}),
        ("from .style import color", {"experiments.style"}),
        (
            "import maxpo_jax.families.kernel as k",
            {"maxpo_jax.families", "maxpo_jax.families.kernel"},
        ),
        ("import maxpo_jaxed, numpy.linalg", set()),
    ],
)
def test_forms_of_import(project: Path, source: str, reached: set[str]) -> None:
    file = project / "experiments/other.py"
    file.write_text(source + "\n")
    assert set(code_hash.project_modules([file])) == reached | {"experiments.other"}


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("experiments/bandit.py", "# a comment", "# another"),
        ("experiments/bandit.py", "rate = 0.5", "rate = (\n    0.5\n)"),
        ("maxpo_jax/families/kernel.py", "Doc.", "Better documentation."),
        ("maxpo_jax/families/kernel.py", "    '''Doc.'''\n", ""),
        ("maxpo_jax/unused.py", "3", "4"),
        ("experiments/experiment.py", "1", "2"),
        ("experiments/style.py", "red", "blue"),
        ("experiments/drawings/bandit.py", "style", "style as s"),
    ],
)
def test_what_leaves_the_hash_of_the_data_alone(
    project: Path, name: str, old: str, new: str
) -> None:
    before = computing(project)
    edit(project / name, old, new)
    assert computing(project) == before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("experiments/bandit.py", "0.5", "0.25"),
        ("experiments/bandit.py", "rate", "step"),
        ("maxpo_jax/families/kernel.py", "return 2", "return 2.0"),
        ("maxpo_jax/families/__init__.py", "y\n", "y\nw = 0\n"),
    ],
)
def test_what_changes_the_hash_of_the_data(project: Path, name: str, old: str, new: str) -> None:
    before = computing(project)
    edit(project / name, old, new)
    assert computing(project) != before


def test_style_changes_the_hash_of_the_drawing(project: Path) -> None:
    drawing = [project / "experiments/drawings/bandit.py"]
    before = code_hash.drawing_code_hash(drawing)
    edit(project / "experiments/style.py", "red", "blue")
    assert code_hash.drawing_code_hash(drawing) != before


def test_the_hash_does_not_depend_on_where_the_project_lies(
    project: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = computing(project)
    elsewhere = tmp_path_factory.mktemp("a clone") / "project"
    project.rename(elsewhere)
    monkeypatch.setattr(code_hash, "PROJECT_ROOT", elsewhere)
    assert computing(elsewhere) == before
    elsewhere.rename(project)
