"""Hash of the code behind a result: stored results stay valid until that code really changes.

The hash covers the project's modules that are reached from some source files by following their
imports, as syntax trees without docstrings: editing a comment, a docstring or the layout of a
line changes nothing. Two kinds of module are never followed:

- the frame (`FRAME` below), which stores results but does not make their numbers, and
- `experiments.drawings` and the figure style, which show stored data (`SHOWING` below).

So a better caption never costs a recomputation. Configs are left out too: their resolved values
have a hash of their own.
"""

import ast
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

PROJECT_ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("maxpo_jax", "experiments")
FRAME = (
    "experiments.common.atomic_file",
    "experiments.common.findings",
    "experiments.code_hash",
    "experiments.common.command_line",
    "experiments.common.configuration",
    "experiments.common.errors",
    "experiments.experiment",
    "experiments.common.gallery",
    "experiments.parts",
    "experiments.common.provenance",
    "experiments.reproduce",
    "experiments.run_directory",
    "experiments.sweep",
    "experiments.sweeps",
)
SHOWING = ("experiments.drawings", "experiments.common.style")


def computing_code_hash(files: Iterable[Path]) -> str:
    """SHA-256 of the code that computes: the files and what they import, drawings left out."""
    return _hash(files, (*FRAME, *SHOWING))


def drawing_code_hash(files: Iterable[Path]) -> str:
    """SHA-256 of the code that draws: the files and what they import, style included."""
    return _hash(files, FRAME)


def project_modules(files: Iterable[Path], excluded: tuple[str, ...] = ()) -> dict[str, Path]:
    """The project's modules that files import, directly or not, by name.

    Importing a module runs the packages around it, so these count as well, except for the two
    outermost packages, which only re-export.
    """
    found: dict[str, Path] = {}
    waiting = [(_module_name(file), file) for file in files]
    while waiting:
        name, file = waiting.pop()
        if name in found:
            continue
        found[name] = file
        imported = _imported_modules(name, file)
        waiting += [pair for pair in imported if not _is_within(pair[0], excluded)]
    return found


def _hash(files: Iterable[Path], excluded: tuple[str, ...]) -> str:
    digest = hashlib.sha256()
    for name, file in sorted(project_modules(files, excluded).items()):
        tree = ast.parse(file.read_bytes())
        digest.update(f"{name}\n{_canonical(_without_docstrings(tree))}\n".encode())
    return digest.hexdigest()


def _module_name(file: Path) -> str:
    """Dotted name of a module of this project; a file outside of it goes by its own name."""
    file = file.resolve()
    if not file.is_relative_to(PROJECT_ROOT):
        return file.stem
    return ".".join(file.relative_to(PROJECT_ROOT).with_suffix("").parts).removesuffix(".__init__")


def _imported_modules(name: str, file: Path) -> Iterator[tuple[str, Path]]:
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(file.read_bytes())):
        for target in _targets(node, package):
            for module in _with_enclosing_packages(target):
                module_file = _source_file(module)
                if module_file is not None:
                    yield module, module_file


def _targets(node: ast.AST, package: str) -> Iterator[str]:
    """Dotted names that an import statement may load."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.name
            if alias.asname is None:
                yield alias.name.partition(".")[0]  # the name that the statement binds
    elif isinstance(node, ast.ImportFrom):
        source = _absolute(node, package)
        submodules = [f"{source}.{alias.name}" for alias in node.names]
        yield from submodules
        if not all(_source_file(submodule) for submodule in submodules):
            yield source


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if node.level == 0:
        return node.module or ""
    parents = package.split(".")[: len(package.split(".")) - (node.level - 1)]
    return ".".join(parents + ([node.module] if node.module else []))


def _with_enclosing_packages(module: str) -> list[str]:
    parts = module.split(".")
    enclosing = [".".join(parts[:depth]) for depth in range(2, len(parts))]
    return [module, *enclosing]


def _source_file(module: str) -> Path | None:
    if not _is_within(module, PACKAGES):
        return None
    path = PROJECT_ROOT.joinpath(*module.split("."))
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.is_file():
            return file
    return None


def _is_within(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


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
