"""Whether results that were computed anew are those that were stored before."""

import numpy as np
import xarray as xr
from scipy import stats

SEED = "seed"
CONFIDENCE = 0.95
ROUNDING = 1e-4  # relative: what single precision may change on another machine
MEANING = (
    "within the intervals: every mean over seeds lies in the 95% interval of the stored one, from "
    "the stored seeds' own spread, and what has no seeds is equal up to rounding"
)


def compare(stored: xr.Dataset, anew: xr.Dataset) -> str:
    """Says "identical", "within the intervals", or "differs" with where.

    A variable with seeds is compared by its mean over them: the new mean must lie in the Student
    interval of the stored one, at every point. A variable with `<name>_low` and `<name>_high`
    beside it must lie between them. All others are exact, and must be equal up to rounding.
    """
    if stored.attrs.get("config") != anew.attrs.get("config"):
        return "differs: another config"
    if stored.identical(anew):
        return "identical"
    if set(stored.data_vars) != set(anew.data_vars) or dict(stored.sizes) != dict(anew.sizes):
        return "differs: other variables or dimensions"
    wrong = {name: _share_outside(stored, anew, str(name)) for name in stored.data_vars}
    texts = [f"{name} at {share:.2%} of its points" for name, share in wrong.items() if share]
    return f"differs: {', '.join(texts)}" if texts else "within the intervals"


def _share_outside(stored: xr.Dataset, anew: xr.Dataset, name: str) -> float:
    """Share of the points at which the new values are not what they should be."""
    old, new = stored[name].astype(float), anew[name].astype(float)
    base = name.removesuffix("_low").removesuffix("_high")
    if base != name and base in stored:
        return 0.0  # the ends of an interval: what lies in it is compared
    if f"{name}_low" in stored and f"{name}_high" in stored:
        low, high = stored[f"{name}_low"], stored[f"{name}_high"]
    elif SEED in old.dims:
        low, high = _interval(old)
        old, new = old.mean(SEED), new.mean(SEED)
    else:
        low = high = old
    slack = ROUNDING * np.abs(old)
    inside = (new >= low - slack) & (new <= high + slack)
    inside = inside | (old.isnull() & new.isnull())
    return float(1 - inside.mean())


def _interval(values: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
    """Student's interval of the mean over seeds; of one seed alone it has no width."""
    count = values.notnull().sum(SEED)
    error = (values.std(SEED, ddof=1) / np.sqrt(count)).fillna(0)
    quantile = stats.t.ppf((1 + CONFIDENCE) / 2, np.maximum(count.values - 1, 1))
    mean = values.mean(SEED)
    return mean - quantile * error, mean + quantile * error
