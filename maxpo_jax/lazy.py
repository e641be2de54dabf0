"""Names of a package that are imported on first use (PEP 562), so that the package costs nothing.

A package that is imported for one name, by a plugin for instance, need not load JAX.
"""

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def on_first_use(
    package: str, names: Sequence[str], *, members: Mapping[str, Sequence[str]] | None = None
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The `__getattr__` and `__dir__` of a package whose names are imported on first use.

    Type checkers see names in an `if TYPE_CHECKING:` block beside it.

    Args:
      package: its `__name__`.
      names: all names of the package: modules, but for the members.
      members: for some of its modules, the names in them that are the package's too.

    Returns:
      The two functions.

    Raises:
      AttributeError: by the first function, for any other name.

    Example:
      >>> members = {"estimators": ["ei"]}
      >>> get, offered = on_first_use("maxpo_jax", ["ei", "exact"], members=members)
      >>> get("ei").__name__, get("exact").__name__
      ('ei', 'maxpo_jax.exact')
      >>> [name for name in offered() if not name.startswith("__")]
      ['ei', 'exact']
    """
    homes = {member: module for module, some in (members or {}).items() for member in some}

    def first_use(name: str) -> Any:
        if name in homes:
            value = getattr(importlib.import_module(f"{package}.{homes[name]}"), name)
        elif name in names:
            value = importlib.import_module(f"{package}.{name}")
        else:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        setattr(sys.modules[package], name, value)
        return value

    def offered() -> list[str]:
        own = (name for name in vars(sys.modules[package]) if name.startswith("__"))
        return sorted({*names, *own})

    return first_use, offered
