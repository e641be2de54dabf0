"""Effects over paired seeds: one interval rule, and what an interval decides.

The interval of a mean over seeds is the percentile bootstrap at 95 %, or at 1 - 0.05/m where m
effects of one finding are judged together (Bonferroni). A comparison resamples seeds, which both
sides share. It is *tied* where the whole interval lies within 1 % of what is compared: too little
to matter, whether or not it can be told from nothing. What an interval cannot tell is *undecided*.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from experiments.common.findings import FAILS, HOLDS, TIED, UNDECIDED, Effect
from experiments.common.statistics import Interval, bootstrap_interval

LEVEL = 0.05  # chance that one of the intervals of a finding misses
NUM_RESAMPLES = 10_000
TIE = 0.01  # relative: differences below it do not matter


def interval(values: Any, num_effects: int = 1) -> tuple[float, float]:
    """The interval of the mean of values [seeds], one of num_effects that are judged together."""
    values = np.asarray(values, np.float64)
    if not np.isfinite(values).all():
        return np.nan, np.nan
    low, high = bootstrap_interval(
        values,
        statistic=np.mean,
        confidence=1 - LEVEL / num_effects,
        num_resamples=NUM_RESAMPLES,
    )
    return float(low), float(high)


def interval_of(
    statistic: Callable[[np.ndarray], np.ndarray], num_seeds: int, num_effects: int = 1
) -> Interval:
    """The interval of a statistic that is no mean over seeds, such as a ratio of means.

    Args:
      statistic: positions of seeds [resamples, num_seeds] -> values [resamples, ...].
      num_seeds: how many there are.
      num_effects: how many effects of the finding are judged together.
    """
    if num_seeds == 1:  # says nothing about spread
        unknown = np.full(statistic(np.zeros((1, 1), int)).shape[1:], np.nan)
        return Interval(unknown, unknown)
    resamples = np.random.default_rng(0).integers(num_seeds, size=(NUM_RESAMPLES, num_seeds))
    tail = LEVEL / num_effects / 2
    low, high = np.quantile(statistic(resamples), [tail, 1 - tail], axis=0)
    return Interval(low, high)


def mean(where: str, values: Any, *, num_effects: int = 1) -> Effect:
    """A mean over seeds, which decides nothing."""
    return Effect(where, float(np.mean(values)), *interval(values, num_effects))


def exact(where: str, value: float, holds: bool | None = None) -> Effect:
    """A number without an error, and what it decides; None: nothing."""
    if not np.isfinite(value):
        return Effect(where, value, value, value, UNDECIDED)
    outcome = "" if holds is None else HOLDS if holds else FAILS
    return Effect(where, value, value, value, outcome)


def difference(where: str, first: Any, second: Any, *, num_effects: int = 1) -> Effect:
    """First minus second, paired by seed; holds where it is above 0.

    Args:
      where: where it was measured.
      first: [seeds].
      second: [seeds], the same seeds.
      num_effects: how many effects of the finding are judged together.
    """
    first, second = (np.asarray(values, np.float64) for values in (first, second))
    low, high = interval(first - second, num_effects)
    tie = TIE * max(abs(first.mean()), abs(second.mean()))
    outcome = is_positive(low, high, tie)
    return Effect(where, float(np.mean(first - second)), low, high, outcome, signed=True)


def ratio_below_one(where: str, first: Any, second: Any, *, num_effects: int = 1) -> Effect:
    """Geometric mean over seeds of first / second, paired; holds where it is below 1.

    Arguments as for `difference`, positive.
    """
    logs = np.log(np.asarray(first, np.float64)) - np.log(np.asarray(second, np.float64))
    low, high = interval(logs, num_effects)
    outcome = is_positive(-high, -low, TIE)
    return Effect(where, float(np.exp(np.mean(logs))), np.exp(low), np.exp(high), outcome)


def near(where: str, values: Any, target: float, margin: float, *, num_effects: int = 1) -> Effect:
    """A mean over seeds; holds where its whole interval lies within a margin of the target.

    To be near has to be shown: an interval that is too wide to tell is undecided.
    """
    low, high = interval(values, num_effects)
    return Effect(where, float(np.mean(values)), low, high, within(low, high, target, margin))


def within(low: float, high: float, target: float, margin: float) -> str:
    """Whether an interval lies within a margin of the target, or away from it.

    Example:
      >>> within(-0.51, -0.49, -0.5, 0.05), within(-0.6, -0.5, -0.5, 0.05)
      ('holds', 'undecided')
    """
    if low >= target - margin and high <= target + margin:
        return HOLDS
    return FAILS if low > target + margin or high < target - margin else UNDECIDED


def is_positive(low: float, high: float, tie: float) -> str:
    """What an interval says of a number that is meant to be above 0.

    Example:
      >>> is_positive(0.1, 0.3, tie=0.01), is_positive(0.0, 0.005, tie=0.01)
      ('holds', 'tied')
    """
    if -tie <= low and high <= tie:
        return TIED
    if low > 0:
        return HOLDS
    return FAILS if high < 0 else UNDECIDED
