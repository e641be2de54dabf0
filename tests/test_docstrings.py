"""Every public function says what it does, with arguments, result and an example."""

import importlib
import inspect
import pkgutil
import re

import pytest

import maxpo_jax
from maxpo_jax import estimators


def public_functions() -> dict[str, object]:
    modules = [
        importlib.import_module(info.name)
        for info in pkgutil.walk_packages(maxpo_jax.__path__, "maxpo_jax.")
    ]
    return {
        f"{module.__name__}.{name}": member
        for module in modules
        for name, member in vars(module).items()
        if inspect.isfunction(inspect.unwrap(member))
        and member.__module__ == module.__name__
        and not name.startswith("_")
    }


FUNCTIONS = public_functions()
API = {name: getattr(maxpo_jax, name) for name in maxpo_jax.__all__}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_has_a_docstring(name):
    assert inspect.getdoc(FUNCTIONS[name])


@pytest.mark.parametrize("name", [n for n, member in API.items() if inspect.isfunction(member)])
def test_public_names_document_arguments_result_and_example(name):
    docstring = inspect.getdoc(API[name])
    for part in ("Args:", "Returns:", "Raises:", "Example:", ">>>", "Source:", "Unbiased for"):
        assert part in docstring, f"{name} lacks {part}"


SECTIONS = ("Args:", "Returns:", "Raises:", "Example:")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_sections_come_in_one_order_and_are_indented_by_two(name):
    lines = inspect.getdoc(FUNCTIONS[name]).splitlines()
    heads = [line for line in lines if line in SECTIONS]
    assert heads == [section for section in SECTIONS if section in heads]
    for head in heads:
        assert re.match(r"  \S", lines[lines.index(head) + 1]), head


PUBLIC_MODULES = ("bandits", "coefficients", "groups", "mazes", "objectives", "tokens")
CATALOGUE = {name: getattr(estimators, name) for name in estimators.__all__}
FOR_DIRECT_USE = {
    name: member
    for name, member in (FUNCTIONS | CATALOGUE).items()
    if inspect.isfunction(member) and (name in CATALOGUE or name.split(".")[1] in PUBLIC_MODULES)
}


@pytest.mark.parametrize("name", FOR_DIRECT_USE)
def test_functions_for_direct_use_document_arguments_result_and_example(name):
    signature = inspect.signature(FOR_DIRECT_USE[name])
    needed = {"Args:": signature.parameters, "Returns:": signature.return_annotation, ">>>": True}
    docstring = inspect.getdoc(FOR_DIRECT_USE[name])
    assert [part for part, holds in needed.items() if holds and part not in docstring] == []


def test_every_public_name_exists():
    assert sorted(maxpo_jax.__all__) == list(maxpo_jax.__all__)
