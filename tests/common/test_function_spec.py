"""Functions named on a command line, and what is said about those that cannot be had."""

import pytest

from experiments.common import function_spec
from experiments.common.errors import UserError


@pytest.fixture
def user_file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "import helper_beside_it\n"
        "def good(rewards, k):\n    return rewards\n"
        "class Family:\n    best = staticmethod(good)\n"
        "number = 3\n"
    )
    (tmp_path / "helper_beside_it.py").write_text("value = 1\n")
    return path


def test_registered_names_modules_and_files(user_file):
    assert function_spec.load("maxpo")[0].name == "maxpo"
    assert function_spec.load("statistics:fmean")[0]([1, 2, 3]) == 2.0
    function, path = function_spec.load(f"{user_file}:good")
    assert (function("as it is", 2), path) == ("as it is", str(user_file))
    assert function_spec.load(f"{user_file}:Family.best")[0]("as it is", 2) == "as it is"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("maxpoo", "did you mean 'maxpo'"),
        ("{file}:god", "'god' does not exist in .*did you mean good"),
        ("{file}:number", "'number' is not a function"),
        ("{file}.not.py:good", "there is no Python file"),
        ("no_such_module:good", "there is no module 'no_such_module'"),
        ("statistics.nothing:good", "there is no module 'statistics.nothing'"),
    ],
)
def test_mistakes_are_told_in_one_line(user_file, spec, message):
    with pytest.raises(UserError, match=message) as caught:
        function_spec.load(spec.replace("{file}", str(user_file)))
    assert "\n" not in str(caught.value)


def test_an_import_that_fails_shows_the_users_own_lines(tmp_path):
    path = tmp_path / "broken.py"
    path.write_text("import json\nvalue = json.loads('{')\n")
    with pytest.raises(UserError, match="fails while it is imported") as caught:
        function_spec.load(f"{path}:anything")
    text = str(caught.value)
    assert "value = json.loads('{')" in text
    assert "JSONDecodeError" in text
    assert text.count("File ") == 1


def test_a_dependency_that_is_missing_is_not_taken_for_the_module(tmp_path, monkeypatch):
    (tmp_path / "needs_something.py").write_text("import no_such_dependency\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UserError, match="No module named 'no_such_dependency'"):
        function_spec.load("needs_something:anything")
