"""Axes: what flags and configs mean, and that every mistake gets one line with the near match."""

import numpy as np
import pytest

from experiments.common.errors import UserError
from experiments.engine import grid
from experiments.engine.grid import Axis, describe, parse_axes, product

FIELDS = {
    "seed": 0,
    "k": 2,
    "learning_rate": 0.1,
    "estimator": "maxpo",
    "num_steps": 3,
    "group_size": 16,
    "extra_groups": 0,
    "flag": False,
}


def one_axis(field: str, values: object) -> list:
    (axis,) = parse_axes(FIELDS, grid={field: values})
    return axis.values(field)


@pytest.mark.parametrize(
    ("field", "given", "values"),
    [
        ("k", "2,4,8", [2, 4, 8]),
        ("k", "2:6", [2, 3, 4, 5]),
        ("k", "2:9:3", [2, 5, 8]),
        ("k", "5:1:-2", [5, 3]),
        ("k", "1,8:10", [1, 8, 9]),
        ("k", "log:1:100:3", [1, 10, 100]),
        ("k", "lin:1:4:7", [1, 2, 3, 4]),
        ("k", (2, 4), [2, 4]),
        ("k", np.array([2, 4]), [2, 4]),
        ("k", 4, [4]),
        ("seed", "5", [5]),
        ("seed", "0:3", [0, 1, 2]),
        ("learning_rate", "log:1e-3:1e-1:5", [0.001, 0.00316228, 0.01, 0.0316228, 0.1]),
        ("learning_rate", "lin:-1:1:3", [-1.0, 0.0, 1.0]),
        ("learning_rate", "1", [1.0]),
        ("learning_rate", (1, 0.5), [1.0, 0.5]),
        ("estimator", "maxpo, ei", ["maxpo", "ei"]),
        ("estimator", ("maxpo", "dir/my.py:f"), ["maxpo", "dir/my.py:f"]),
        ("estimator", "log:f,a/b.py:g", ["log:f", "a/b.py:g"]),
        ("flag", "true,false", [True, False]),
        ("extra_groups", "0,4", [0, 4]),
    ],
)
def test_values_have_the_type_of_their_field(field: str, given: object, values: list) -> None:
    found = one_axis(field, given)
    assert found == values
    assert {type(value) for value in found} == {type(values[0])}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"grid": {"lerning_rate": "1"}}, "no field 'lerning_rate': did you mean learning_rate?"),
        ({"grid": {"K": "1"}}, "no field 'K': did you mean k?"),
        ({"grid": {"lr": "1"}}, "no field 'lr': did you mean learning_rate?"),
        ({"grid": {"seeds": "1"}}, "did you mean seed?"),
        ({"grid": {"steps": "1"}}, "did you mean num_steps?"),
        ({"zipped": {"K": "1"}}, "did you mean k?"),
        ({"random": {"K": "1:3"}, "num_samples": 2}, "did you mean k?"),
        ({"grid": {"zzz": "1"}}, "known: estimator, "),
        ({"grid": {"k": ""}}, "empty"),
        ({"grid": {"k": ()}}, "empty"),
        ({"grid": {"k": "4:4"}}, "empty"),
        ({"grid": {"k": "1:4:0"}}, "step of 0"),
        ({"grid": {"k": "two"}}, "takes int, not 'two'"),
        ({"grid": {"k": "2,2"}}, "2 twice"),
        ({"grid": {"k": (2, 2)}}, "2 twice"),
        ({"grid": {"k": "2.5"}}, "takes int"),
        ({"grid": {"k": (2.5,)}}, "takes int"),
        ({"grid": {"k": "0"}}, "k is 0; it must be 1 or more"),
        ({"grid": {"k": (4, 0)}}, "k is 0; it must be 1 or more"),
        ({"grid": {"group_size": "-3"}}, "group_size is -3"),
        ({"grid": {"num_steps": "0:3"}}, "num_steps is 0"),
        ({"random": {"num_steps": "0:3"}, "num_samples": 9}, "num_steps is 0"),
        ({"grid": {"seed": "-1"}}, "seed is -1"),
        ({"grid": {"seed": "3000000000"}}, "seed is 3000000000"),
        ({"grid": {"learning_rate": "nan"}}, "finite"),
        ({"grid": {"learning_rate": "1:5"}}, "learning_rate=lin:1:5"),
        ({"grid": {"learning_rate": "log:1e-3:1e-1"}}, "log:low:high:count"),
        ({"grid": {"learning_rate": "log:1:2:0"}}, "empty"),
        ({"grid": {"learning_rate": "log:0:1:3"}}, "above 0"),
        ({"grid": {"learning_rate": "lin:1:0:3"}}, "must increase"),
        ({"grid": {"flag": "log:1:2:3"}}, "holds no number"),
        ({"grid": {"flag": "1"}}, "true or false"),
        ({"grid": {"flag": (1,)}}, "takes bool"),
        ({"grid": {"k": "2"}, "zipped": {"k": "2"}}, "k is on two axes"),
        ({"zipped": {"k": "2,3", "learning_rate": "0.1"}}, "k has 2, learning_rate has 1"),
        ({"random": {"k": "2:9"}}, "--num_samples"),
        ({"num_samples": 3}, "--random.FIELD=range"),
        ({"random": {"k": "2:2"}, "num_samples": 3}, "empty"),
        ({"random": {"k": "log:2:9:3"}, "num_samples": 3}, "write k=log:low:high"),
    ],
)
def test_mistakes_are_told_in_one_line(arguments: dict, words: str) -> None:
    with pytest.raises(UserError) as error:
        parse_axes(FIELDS, **arguments)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_one_value_of_a_field() -> None:
    assert grid.field_value(FIELDS, "learning_rate", "1") == 1.0
    with pytest.raises(UserError, match="did you mean group_size"):
        grid.field_value(FIELDS, "groupsize", "4")
    with pytest.raises(UserError, match="num_steps is 0"):
        grid.field_value(FIELDS, "num_steps", "0")


def test_zipped_fields_advance_together_and_the_seed_is_the_last_axis() -> None:
    axes = parse_axes(
        FIELDS, grid={"seed": "0:2"}, zipped={"k": "2,4", "learning_rate": (0.1, 0.2)}
    )
    assert list(product(axes)) == [
        {"k": 2, "learning_rate": 0.1, "seed": 0},
        {"k": 2, "learning_rate": 0.1, "seed": 1},
        {"k": 4, "learning_rate": 0.2, "seed": 0},
        {"k": 4, "learning_rate": 0.2, "seed": 1},
    ]


def random_axis(num_samples: int, search_seed: int = 0) -> Axis:
    ranges = {"learning_rate": "log:1e-4:1e-1", "k": "2:9", "estimator": "maxpo,ei"}
    (axis,) = parse_axes(FIELDS, random=ranges, num_samples=num_samples, search_seed=search_seed)
    return axis


def test_a_random_search_covers_its_ranges_evenly() -> None:
    settings = random_axis(2000).settings
    rates = np.log10([setting["learning_rate"] for setting in settings])
    # Uniform on [-4, -1]: mean -2.5, standard deviation 3 / sqrt(12).
    assert abs(rates.mean() + 2.5) < 4 * 3 / np.sqrt(12 * 2000)
    assert rates.min() >= -4
    assert rates.max() <= -1
    assert {setting["k"] for setting in settings} == set(range(2, 9))
    share = np.mean([setting["estimator"] == "ei" for setting in settings])
    assert abs(share - 0.5) < 4 * 0.5 / np.sqrt(2000)


def test_more_samples_keep_the_first_ones_and_another_seed_draws_others() -> None:
    assert random_axis(9).settings[:4] == random_axis(4).settings
    assert random_axis(4, search_seed=1).settings != random_axis(4).settings


def test_without_axes_there_is_one_run() -> None:
    assert list(product(parse_axes(FIELDS))) == [{}]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "no axis = 1 run"),
        ({"grid": {"seed": "5"}}, "seed: 5 (1) = 1 run"),
        ({"grid": {"seed": "0:5", "k": "2,8"}}, "k: 2, 8 (2) x seed: 0 to 4 (5) = 10 runs"),
        ({"grid": {"learning_rate": "log:1e-3:1:7"}}, "learning_rate: 0.001, 0.00316228, ..., 1"),
        ({"zipped": {"k": "2,4", "flag": "true,false"}}, "(k, flag zipped) (2) = 2 runs"),
        ({"random": {"k": "2:9"}, "num_samples": 30}, "(k drawn) (30) = 30 runs"),
    ],
)
def test_what_was_understood_is_one_line(arguments: dict, words: str) -> None:
    line = describe(parse_axes(FIELDS, **arguments), FIELDS)
    assert line.startswith(words)
    assert "\n" not in line
