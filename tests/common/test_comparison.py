"""What counts as the same result, as one within its intervals, and as another."""

import numpy as np
import pytest
import xarray as xr

from experiments.common.comparison import compare


@pytest.fixture
def stored():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(3, 50))
    return xr.Dataset(
        {
            "J": (("update", "seed"), values),
            "exact": ("update", np.array([1.0, 2.0, np.nan])),
            "prob": ("update", np.zeros(3)),
            "prob_low": ("update", np.full(3, -0.1)),
            "prob_high": ("update", np.full(3, 0.1)),
        },
        attrs={"config": "{}"},
    )


def changed(stored, name, shift):
    anew = stored.copy(deep=True)
    anew[name] = anew[name] + shift
    return anew


def test_equal_data_are_identical(stored):
    assert compare(stored, stored.copy(deep=True)) == "identical"


@pytest.mark.parametrize(
    ("name", "shift"),
    [("J", 0.2), ("exact", 1e-7), ("prob", 0.09), ("prob_low", -0.2), ("J", 1e-9)],
)
def test_what_the_stored_seeds_allow_is_within_the_intervals(stored, name, shift):
    """The deviation of a mean over 50 seeds is 0.14."""
    assert compare(stored, changed(stored, name, shift)) == "within the intervals"


@pytest.mark.parametrize(("name", "shift"), [("J", 0.5), ("exact", 0.01), ("prob", -0.11)])
def test_more_than_that_differs(stored, name, shift):
    verdict = compare(stored, changed(stored, name, shift))
    assert verdict.startswith(f"differs: {name} at ")


def test_other_settings_values_and_shapes_differ(stored):
    assert compare(stored, stored.assign_attrs(config="other")) == "differs: another config"
    assert compare(stored, stored.isel(update=[0])) == "differs: other variables or dimensions"
    missing = stored.copy(deep=True)
    missing["exact"][0] = np.nan
    assert compare(stored, missing).startswith("differs: exact at 33")
