"""What a user installs: the pins, the Makefile, the wheel, and what importing the package costs."""

import ast
import importlib
import importlib.metadata
import os
import pkgutil
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import maxpo_jax

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PIN = re.compile(r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>[A-Za-z0-9.]+)")
CI_EXTRAS = ("test", "dev", "cluster", "experiments")
# Imported without being declared, and why that is right.
UNDECLARED = {"scipy": "jax requires it", "gymnax": "only where a user has it already"}


def pins() -> dict[str, str]:
    lines = [
        line for line in (ROOT / "constraints.txt").read_text().splitlines() if line[:1] != "#"
    ]
    matches = [PIN.fullmatch(line) for line in lines]
    bad = [line for line, match in zip(lines, matches, strict=True) if match is None]
    assert not bad, f"constraints.txt holds name==version lines only, not {bad}"
    return {canonicalize_name(match["name"]): match["version"] for match in matches}


def requirements() -> list[Requirement]:
    extras = [line for extra in CI_EXTRAS for line in PROJECT["optional-dependencies"][extra]]
    every = [Requirement(line) for line in PROJECT["dependencies"] + extras]
    return [requirement for requirement in every if requirement.name != PROJECT["name"]]


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_every_requirement_is_pinned_to_a_version_it_allows(requirement):
    name = canonicalize_name(requirement.name)
    assert name in pins(), f"add {requirement.name}==... to constraints.txt"
    assert requirement.specifier.contains(pins()[name])


def test_everything_the_requirements_pull_in_is_pinned():
    seen, waiting = set(), {canonicalize_name(r.name) for r in requirements()}
    while waiting:
        name = waiting.pop()
        seen.add(name)
        needed = map(Requirement, importlib.metadata.requires(name) or [])
        wanted = [r for r in needed if r.marker is None or r.marker.evaluate({"extra": ""})]
        waiting |= {canonicalize_name(r.name) for r in wanted} - seen
    assert seen <= set(pins()), f"add to constraints.txt: {sorted(seen - set(pins()))}"


def run_python(code: str, **environment: str) -> str:
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=clean | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_library_alone_requires_four_packages():
    assert {Requirement(line).name for line in PROJECT["dependencies"]} == {
        "chex",
        "jax",
        "numpy",
        "optax",
    }


def test_the_library_imports_what_it_requires_and_nothing_else():
    imported = set()
    for path in (ROOT / "maxpo_jax").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            imported |= {name.partition(".")[0] for name in names}
    declared = {Requirement(line).name for line in PROJECT["dependencies"]} | set(UNDECLARED)
    assert imported - sys.stdlib_module_names - {"maxpo_jax"} == declared
    required_by_jax = {Requirement(line).name for line in importlib.metadata.requires("jax")}
    assert "scipy" in required_by_jax


NEW_MODULES = (
    "new = {name.partition('.')[0] for name in set(sys.modules) - before};"
    "print(*sorted(new - sys.stdlib_module_names))"
)


def test_importing_the_package_loads_nothing_else_not_even_jax():
    loaded = run_python(
        f"import sys; before = set(sys.modules); import maxpo_jax; dir(maxpo_jax); {NEW_MODULES}",
        PYTHONPATH=str(ROOT),
    )
    assert loaded == "maxpo_jax"


def test_using_an_estimator_loads_only_jax_numpy_and_chex():
    loaded = run_python(
        "import sys, jax, numpy, chex; before = set(sys.modules); import maxpo_jax;"
        f"maxpo_jax.maxpo; maxpo_jax.grouped; {NEW_MODULES}",
        PYTHONPATH=str(ROOT),
    )
    assert set(loaded.split()) <= {"maxpo_jax", "jax", "jaxlib", "numpy", "chex"}


PACKAGES = ("maxpo_jax", "maxpo_jax.bandits", "maxpo_jax.kernel", "maxpo_jax.mazes")


@pytest.mark.parametrize("package", PACKAGES)
def test_every_name_is_reached_from_the_package_alone(package):
    """In a fresh process, where nobody else has imported it."""
    said = run_python(
        f"import maxpo_jax; package = {package}; offered = dir(package);"
        "[getattr(package, name) for name in offered];"
        "assert offered == dir(package), 'completion offers other names later';"
        "print(*(name for name in offered if not name.startswith('__')))",
        PYTHONPATH=str(ROOT),
    )
    assert said.split() == sorted(importlib.import_module(package).__all__)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_module_of_a_package_is_among_its_names(package):
    loaded = importlib.import_module(package)
    modules = {info.name for info in pkgutil.iter_modules(loaded.__path__)} - {"lazy"}
    assert modules <= set(loaded.__all__)


def test_type_checkers_see_the_same_names():
    source = Path(maxpo_jax.__file__).read_text(encoding="utf-8")
    (block,) = [
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    seen = [alias.name for statement in block.body for alias in statement.names]
    assert sorted(seen) == maxpo_jax.__all__


def test_a_name_that_the_package_lacks_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'maxpo_jax' has no attribute 'trainig'"):
        maxpo_jax.trainig  # noqa: B018


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> Path:
    """A copy to build in, so that building leaves nothing in the tree."""
    folder = tmp_path_factory.mktemp("a folder") / "maxpo jax"
    folder.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "maxpo_jax", folder / "maxpo_jax", ignore=ignored)
    return folder


@pytest.fixture(scope="module")
def wheel(sources) -> Path:
    command = "pip wheel --quiet --no-deps --no-build-isolation --wheel-dir wheels ."
    done = subprocess.run(
        [sys.executable, "-m", *command.split()],
        cwd=sources,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return next((sources / "wheels").glob("*.whl"))


def package_files() -> set[str]:
    files = (ROOT / "maxpo_jax").rglob("*")
    kept = [path for path in files if path.suffix in {".py", ".bib", ".typed"}]
    return {path.relative_to(ROOT).as_posix() for path in kept}


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name for name in names if ".dist-info/" not in name} == package_files()


def test_the_wheel_imports_in_a_foreign_folder(wheel, tmp_path, monkeypatch):
    installed = tmp_path / "site packages"
    zipfile.ZipFile(wheel).extractall(installed)
    monkeypatch.chdir(tmp_path)
    where = run_python("import maxpo_jax; print(maxpo_jax.__file__)", PYTHONPATH=str(installed))
    assert Path(where) == installed / "maxpo_jax" / "__init__.py"


def test_the_source_distribution_holds_the_package_and_its_data(sources):
    code = f"from setuptools import build_meta; build_meta.build_sdist({str(sources / 'sdist')!r})"
    subprocess.run([sys.executable, "-c", code], cwd=sources, capture_output=True, check=True)
    with tarfile.open(next((sources / "sdist").glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert package_files() | {"LICENSE", "README.md", "pyproject.toml"} <= names


def test_the_citation_names_the_paper_and_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    paper = citation["preferred-citation"]
    assert citation["version"] == PROJECT["version"]
    assert paper["title"] == "On Advantage Estimates for Max@K Policy Gradients"
    assert paper["identifiers"][0]["value"] == "arXiv:2606.06080"
    assert len(paper["authors"]) == 9


# A stand-in for an interpreter: its `venv` writes a .venv/bin/python that logs each pip call.
STAND_IN = """#!/bin/sh
case "$*" in
  *version_info*) exit {too_old} ;;
  *ensurepip*) exit {no_venv} ;;
  *_base_executable*) echo "$0" ;;
  --version) echo "Python 3.9.2" ;;
  "-m venv --clear .venv")
    echo venv >> log
    mkdir -p .venv/bin
    cp "$0" .venv/bin/python ;;
  *print*) echo works ;;
  "-m pip install"*) echo pip >> log; [ ! -e no_network ] ;;
  *) echo "$*" >> log ;;
esac
"""


@pytest.fixture
def checkout(tmp_path) -> Path:
    folder = tmp_path / "a path with spaces"
    folder.mkdir()
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, folder)
    return folder


def write_interpreter(folder: Path, *, too_old: bool = False, no_venv: bool = False) -> Path:
    path = folder / "python stand-in"
    path.write_text(STAND_IN.format(too_old=int(too_old), no_venv=int(no_venv)))
    path.chmod(0o755)
    return path


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    environment = {name: value for name, value in os.environ.items() if "MAKE" not in name}
    command = ["make", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def log(folder: Path) -> list[str]:
    lines = (folder / "log").read_text().splitlines()
    (folder / "log").unlink()
    return lines


def test_a_second_call_installs_nothing(checkout):
    interpreter = write_interpreter(checkout)
    assert make(checkout, "types", f"PYTHON={interpreter}").returncode == 0
    assert log(checkout) == ["venv", "pip", "-m mypy"]
    assert make(checkout, "types", f"PYTHON={interpreter}").returncode == 0
    assert log(checkout) == ["-m mypy"]


@pytest.mark.parametrize("name", ["constraints.txt", "pyproject.toml"])
def test_changed_requirements_are_installed(checkout, name):
    interpreter = write_interpreter(checkout)
    make(checkout, "install", f"PYTHON={interpreter}")
    log(checkout)
    stamp = (checkout / ".venv" / "installed").stat().st_mtime
    os.utime(checkout / name, (stamp + 1, stamp + 1))
    make(checkout, "install", f"PYTHON={interpreter}")
    assert log(checkout) == ["venv", "pip"]


def test_a_failed_installation_is_made_good_by_the_next_call(checkout):
    interpreter = write_interpreter(checkout)
    (checkout / "no_network").touch()
    assert make(checkout, "types", f"PYTHON={interpreter}").returncode != 0
    assert log(checkout) == ["venv", "pip"]
    (checkout / "no_network").unlink()
    assert make(checkout, "types", f"PYTHON={interpreter}").returncode == 0
    assert log(checkout) == ["venv", "pip", "-m mypy"]


def test_an_environment_that_lost_its_interpreter_is_made_anew(checkout):
    interpreter = write_interpreter(checkout)
    make(checkout, "install", f"PYTHON={interpreter}")
    log(checkout)
    (checkout / ".venv" / "bin" / "python").unlink()
    make(checkout, "install", f"PYTHON={interpreter}")
    assert log(checkout) == ["venv", "pip"]


def test_an_old_python_is_refused_in_one_line(checkout):
    interpreter = write_interpreter(checkout, too_old=True)
    done = make(checkout, "test", f"PYTHON={interpreter}")
    assert done.returncode != 0
    message = done.stderr.splitlines()[0]
    assert "needs Python 3.11 or newer" in message
    assert "Python 3.9.2" in message
    assert not (checkout / ".venv").exists()


def test_a_missing_venv_module_is_named_in_one_line(checkout):
    interpreter = write_interpreter(checkout, no_venv=True)
    done = make(checkout, "test", f"PYTHON={interpreter}")
    assert done.returncode != 0
    assert "python3-venv" in done.stderr.splitlines()[0]


def test_help_lists_every_target(checkout):
    makefile = (checkout / "Makefile").read_text()
    targets = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[1].split()
    listed = re.findall(r"^  make (\w+) ", make(checkout).stdout, re.MULTILINE)
    assert sorted(listed) == sorted(targets)
