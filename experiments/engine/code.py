"""Hashes of the code behind a result: it stays valid until that code really changes.

A hash covers the modules that are reached from a source file by following its imports, as syntax
trees without docstrings: editing a comment, a docstring or the layout of a line changes nothing.
Every module is followed that is neither installed nor part of Python, so a measurement or an
estimator of one's own counts with all its helpers. Never followed are

- the frame (`FRAME` below), which stores results but does not make their numbers, and
- for measurements, what shows them (`SHOWING` below).
"""

import ast
import functools
import hashlib
import importlib
import inspect
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from experiments.engine import measurement
from experiments.engine.measurement import dotted_name

PROJECT_ROOT = Path(__file__).resolve().parents[2]
LIBRARY = "maxpo_jax"
FRAME = (
    "experiments.common.atomic_file",
    "experiments.common.command_line",
    "experiments.common.configuration",
    "experiments.common.errors",
    "experiments.common.findings",
    "experiments.common.gallery",
    "experiments.common.provenance",
    "experiments.engine",
    "experiments.reproduce",
    "experiments.sweep",
)
SHOWING = ("experiments.analysis", "experiments.common.style")
INSTALLED = ("site-packages", "dist-packages")


class Estimate(NamedTuple):
    """What identifies an estimator in the key of a result.

    Attributes:
      name: its name; of one from a file, the file's name and the function's, without the folder.
      code: hash of the code it comes from, "" where it is part of the library.
    """

    name: str
    code: str


def measurement_code(name: str) -> str:
    """SHA-256 of the code that a measurement's numbers depend on, as it is in the files now.

    Args:
      name: name of the measurement, or of any module that defines one.
    """
    file = measurement.FOLDER / f"{name}.py"
    if "." in name or not file.exists():  # imported only where it must be: JAX comes with it
        file = Path(str(importlib.import_module(dotted_name(name)).__file__))
    return closure_hash(file, (*FRAME, *SHOWING))


def estimator_code(spec: str) -> str:
    """SHA-256 of the code of an estimator and of its helpers, "" where it is the library's.

    Args:
      spec: a registered name, `package.module:function`, or `path/to/file.py:function`.

    Raises:
      UserError: if there is no such estimator.
    """
    file = _estimator_file(spec)
    if file is None or file.is_relative_to(PROJECT_ROOT / LIBRARY):
        return ""
    return closure_hash(file, FRAME)


def estimator_identity(spec: str) -> Estimate:
    """What identifies an estimator in the key of a result."""
    place, _, name = spec.rpartition(":")
    name = f"{Path(place).name}:{name}" if _is_file(place) else spec
    return Estimate(name, estimator_code(spec))


def closure_hash(file: Path, excluded: tuple[str, ...] = FRAME) -> str:
    """SHA-256 of a source file and of all that it imports."""
    request = (file, excluded, tuple(sys.path))
    known = _hashes.get(request)
    if known is not None and all(_stamp(path) == stamp for path, stamp in known[1].items()):
        return known[0]
    modules = sorted(reached_modules(file, excluded).items())
    stamps = {path: _stamp(path) for _, path in modules}
    digest = hashlib.sha256()
    for name, path in modules:
        digest.update(f"{name}\n{_module_text(path.read_bytes())}\n".encode())
    _hashes[request] = (digest.hexdigest(), stamps)
    return digest.hexdigest()


def function_hash(function: Callable[..., Any], excluded: tuple[str, ...] = FRAME) -> str:
    """SHA-256 of a function and of what it reaches.

    In its own module, and in modules of the same package, only the definitions count that it
    reaches by name, directly or not; of other modules, those that it imports, as a whole.
    """
    function = inspect.unwrap(function)
    digest = hashlib.sha256()
    for text in sorted(set(_reached_texts(function, excluded))):
        digest.update(f"{text}\n".encode())
    return digest.hexdigest()


def reached_modules(file: Path, excluded: tuple[str, ...] = ()) -> dict[str, Path]:
    """The modules that a file imports, directly or not, itself among them, by name.

    Importing a module runs the packages around it, so these count as well, except for the two
    outermost packages, which only re-export.
    """
    file = file.resolve()
    roots = _roots(file)
    found: dict[str, Path] = {}
    waiting = [(_module_name(file, roots), file)]
    while waiting:
        name, module_file = waiting.pop()
        if name in found:
            continue
        found[name] = module_file
        imported = _imported_modules(name, module_file, roots)
        waiting += [pair for pair in imported if not _is_within(pair[0], excluded)]
    return found


_hashes: dict[tuple[Any, ...], tuple[str, dict[Path, tuple[int, int]]]] = {}


def _stamp(file: Path) -> tuple[int, int]:
    """What changes when a file is written."""
    try:
        status = file.stat()
    except OSError:
        return (0, 0)
    return status.st_mtime_ns, status.st_size


def _is_file(place: str) -> bool:
    return place.endswith(".py") or "/" in place


def _estimator_file(spec: str) -> Path | None:
    """The source file of an estimator; None if it has none."""
    from experiments.common import function_spec  # JAX comes with it

    place, colon, _ = spec.rpartition(":")
    if colon and _is_file(place) and Path(place).is_file():
        return Path(place).resolve()
    function, file = function_spec.load(spec)
    if not file:
        function = getattr(function, "function", function)
        try:
            file = inspect.getsourcefile(inspect.unwrap(function)) or ""
        except TypeError:
            file = ""
    return Path(file).resolve() if file else None


def _roots(file: Path) -> tuple[Path, ...]:
    """Folders in which modules are looked for: the project, the file's own, and the search path.

    The file's own is the folder around its outermost package.
    """
    own = file.parent
    while (own / "__init__.py").exists():
        own = own.parent
    searched = [Path(entry or ".").resolve() for entry in sys.path]
    of_user = [path for path in searched if path.is_dir() and not _is_installed(path)]
    return tuple(dict.fromkeys([PROJECT_ROOT, own, *of_user]))


def _is_installed(path: Path) -> bool:
    return bool(set(INSTALLED) & set(path.parts)) or any(
        path.is_relative_to(folder) for folder in _python_folders()
    )


@functools.cache
def _python_folders() -> tuple[Path, ...]:
    paths = sysconfig.get_paths()
    return tuple(Path(paths[name]).resolve() for name in ("stdlib", "platstdlib"))


def _module_name(file: Path, roots: Iterable[Path]) -> str:
    """Dotted name of a module; it does not depend on where its folder lies."""
    for root in roots:
        if file.is_relative_to(root):
            parts = file.relative_to(root).with_suffix("").parts
            if all(part.isidentifier() for part in parts):
                return ".".join(parts).removesuffix(".__init__")
    return file.stem


def _imported_modules(name: str, file: Path, roots: tuple[Path, ...]) -> Iterator[tuple[str, Path]]:
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(_parsed(file.read_bytes())):
        for target in _targets(node, package, roots):
            for module in _with_enclosing_packages(target):
                module_file = _source_file(module, roots)
                if module_file is not None:
                    yield module, module_file


def _targets(node: ast.AST, package: str, roots: tuple[Path, ...]) -> Iterator[str]:
    """Dotted names that an import statement may load."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.name
            if alias.asname is None:
                yield alias.name.partition(".")[0]  # the name that the statement binds
    elif isinstance(node, ast.ImportFrom):
        source = _absolute(node, package)
        submodules = [f"{source}.{alias.name}".lstrip(".") for alias in node.names]
        yield from submodules
        if not all(_source_file(submodule, roots) for submodule in submodules):
            yield source


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if node.level == 0:
        return node.module or ""
    parents = package.split(".")[: len(package.split(".")) - (node.level - 1)]
    return ".".join([part for part in parents if part] + ([node.module] if node.module else []))


def _with_enclosing_packages(module: str) -> list[str]:
    parts = module.split(".")
    enclosing = [".".join(parts[:depth]) for depth in range(2, len(parts))]
    return [module, *enclosing]


def _source_file(module: str, roots: tuple[Path, ...]) -> Path | None:
    parts = [part for part in module.split(".") if part]
    if not parts:
        return None
    for root in roots:
        path = root.joinpath(*parts)
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file() and not _is_installed(file):
                return file
    return _file_of_loaded(module)


def _file_of_loaded(module: str) -> Path | None:
    """File of a module that only its own finder knows, as after an editable installation."""
    file = getattr(sys.modules.get(module), "__file__", None)
    if not file or not file.endswith(".py") or _is_installed(Path(file).resolve()):
        return None
    return Path(file)


def _is_within(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def _reached_texts(function: Callable[..., Any], excluded: tuple[str, ...]) -> Iterator[str]:
    file = Path(str(inspect.getsourcefile(function))).resolve()
    roots = _roots(file)
    name = _module_name(file, roots)
    home = name.rpartition(".")[0]
    seen: set[tuple[str, str]] = set()
    waiting = [(name, file, function.__qualname__.partition(".")[0])]
    while waiting:
        module, module_file, wanted = waiting.pop()
        if (module, wanted) in seen:
            continue
        seen.add((module, wanted))
        definitions = _definitions(_parsed(module_file.read_bytes()))
        for node in definitions.get(wanted, ()):
            if not isinstance(node, ast.Import | ast.ImportFrom):
                yield f"{module}.{wanted} {_canonical(node)}"
                waiting += [(module, module_file, used) for used in _names_used(node)]
                nodes: list[ast.AST] = list(ast.walk(node))
            else:
                nodes = [node]
            package = module if module_file.name == "__init__.py" else module.rpartition(".")[0]
            for inner in nodes:
                yield from _imported_texts(
                    inner, wanted, package, home, roots, excluded, waiting, inner is node
                )


def _imported_texts(
    node: ast.AST,
    wanted: str,
    package: str,
    home: str,
    roots: tuple[Path, ...],
    excluded: tuple[str, ...],
    waiting: list[tuple[str, Path, str]],
    only_wanted: bool,
) -> Iterator[str]:
    """What an import brings: by name from the own package, otherwise whole modules."""
    if not isinstance(node, ast.Import | ast.ImportFrom):
        return
    for alias in node.names:
        bound = alias.asname or alias.name.partition(".")[0]
        if only_wanted and bound != wanted:
            continue
        one = (
            ast.Import([alias])
            if isinstance(node, ast.Import)
            else ast.ImportFrom(node.module, [alias], node.level)
        )
        for target in _targets(one, package, roots):
            file = _source_file(target, roots)
            if file is None or _is_within(target, excluded):
                continue
            from_module = isinstance(one, ast.ImportFrom) and target == _absolute(one, package)
            if from_module and home and _is_within(target, (home,)):
                waiting.append((target, file, alias.name))
            else:
                yield f"{target} {closure_hash(file, excluded)}"


def _definitions(tree: ast.Module) -> dict[str, list[ast.stmt]]:
    """The statements at the top of a module that bind each name."""
    found: dict[str, list[ast.stmt]] = {}
    for node in tree.body:
        for name in _bound_names(node):
            found.setdefault(name, []).append(node)
    return found


def _bound_names(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    names = set()
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
            names.add(inner.id)
        elif isinstance(inner, ast.alias):
            names.add(inner.asname or inner.name.partition(".")[0])
    return names


def _names_used(node: ast.AST) -> set[str]:
    return {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}


@functools.lru_cache(maxsize=1024)
def _module_text(source: bytes) -> str:
    return _canonical(_parsed(source))


@functools.lru_cache(maxsize=1024)
def _parsed(source: bytes) -> ast.Module:
    return _without_docstrings(ast.parse(source))


def _without_docstrings(tree: ast.Module) -> ast.Module:
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    return tree


def _canonical(node: object) -> str:
    """Text of a syntax tree, the same under every supported version of Python."""
    if isinstance(node, ast.AST):
        fields = [(name, value) for name, value in ast.iter_fields(node) if value not in (None, [])]
        inside = ",".join(f"{name}={_canonical(value)}" for name, value in fields)
        return f"{type(node).__name__}({inside})"
    if isinstance(node, list):
        return f"[{','.join(_canonical(item) for item in node)}]"
    return repr(node)
