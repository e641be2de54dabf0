"""Axes: what flags mean, and that every mistake in them gets one line with the near match."""

import numpy as np
import pytest
from ml_collections import ConfigDict

from experiments.common.errors import UserError
from experiments.sweeps.axes import Axis, parse_axes, product
from tests.toy_sweep import make_config


def one_axis(text: str) -> list:
    (axis,) = parse_axes(make_config(), grid=[text])
    return [value for setting in axis.settings for value in setting.values()]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("k=2,4,8", [2, 4, 8]),
        ("k=2:6", [2, 3, 4, 5]),
        ("k=2:9:3", [2, 5, 8]),
        ("k=5:1:-2", [5, 3]),
        ("k=log:1:100:3", [1, 10, 100]),
        ("k=lin:1:4:7", [1, 2, 3, 4]),
        ("learning_rate=log:1e-3:1e-1:5", [0.001, 0.00316228, 0.01, 0.0316228, 0.1]),
        ("learning_rate=lin:-1:1:3", [-1.0, 0.0, 1.0]),
        ("learning_rate=1", [1.0]),
        ("estimator=maxpo, ei", ["maxpo", "ei"]),
        ("flag=true,false", [True, False]),
    ],
)
def test_values_have_the_type_of_their_field(text: str, values: list) -> None:
    assert one_axis(text) == values
    assert {type(value) for value in one_axis(text)} == {type(values[0])}


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"grid": ["lerning_rate=1"]}, "no field 'lerning_rate'; did you mean learning_rate?"),
        ({"grid": ["k"]}, "write --grid=field=values"),
        ({"grid": ["k="]}, "empty"),
        ({"grid": ["k=4:4"]}, "empty"),
        ({"grid": ["k=1:4:0"]}, "step of 0"),
        ({"grid": ["k=two"]}, "takes int, not 'two'"),
        ({"grid": ["k=2,2"]}, "2 twice"),
        ({"grid": ["k=2.5"]}, "takes int"),
        ({"grid": ["learning_rate=nan"]}, "finite"),
        ({"grid": ["learning_rate=1:5"]}, "learning_rate=lin:1:5"),
        ({"grid": ["learning_rate=log:1e-3:1e-1"]}, "log:low:high:count"),
        ({"grid": ["learning_rate=log:1:2:0"]}, "empty"),
        ({"grid": ["learning_rate=log:0:1:3"]}, "above 0"),
        ({"grid": ["learning_rate=lin:1:0:3"]}, "must increase"),
        ({"grid": ["estimator=log:1:2:3"]}, "holds no number"),
        ({"grid": ["flag=1"]}, "true or false"),
        ({"grid": ["sizes=1,2"]}, "holds a tuple"),
        ({"grid": ["k=2,3", "k=4,5"]}, "k is on two axes"),
        ({"grid": ["seed=0:3"], "seeds": "0:3"}, "seed is on two axes"),
        ({"zipped": ["k=2,3", "learning_rate=0.1"]}, "k has 2, learning_rate has 1"),
        ({"zipped": ["k=2,3", "k=4,5"]}, "zipped twice"),
        ({"random": ["k=2:9"]}, "--num_samples"),
        ({"num_samples": 3}, "--random=field=range"),
        ({"random": ["k=2:2"], "num_samples": 3}, "empty"),
        ({"random": ["k=log:2:9:3"], "num_samples": 3}, "write k=log:low:high"),
        ({"random": ["k=2:9", "k=2:9"], "num_samples": 3}, "drawn twice"),
        ({"seeds": "5:5"}, "empty"),
    ],
)
def test_mistakes_are_told_in_one_line(flags: dict, words: str) -> None:
    with pytest.raises(UserError) as error:
        parse_axes(make_config(), **flags)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_zipped_fields_advance_together() -> None:
    axes = parse_axes(make_config(), zipped=["k=2,4", "learning_rate=0.1,0.2"], seeds="0:2")
    assert list(product(axes)) == [
        {"k": 2, "learning_rate": 0.1, "seed": 0},
        {"k": 2, "learning_rate": 0.1, "seed": 1},
        {"k": 4, "learning_rate": 0.2, "seed": 0},
        {"k": 4, "learning_rate": 0.2, "seed": 1},
    ]


def random_axis(num_samples: int, search_seed: int = 0) -> Axis:
    texts = ["learning_rate=log:1e-4:1e-1", "k=2:9", "estimator=maxpo,ei"]
    (axis,) = parse_axes(
        make_config(), random=texts, num_samples=num_samples, search_seed=search_seed
    )
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


def test_without_flags_there_is_one_run() -> None:
    assert list(product(parse_axes(ConfigDict({"k": 1})))) == [{}]
