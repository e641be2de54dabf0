"""Uncertainty over independent replicates: bootstrap intervals of medians and means."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

RESAMPLES_AT_ONCE = 128  # bounds the memory, and does not change the result


class Interval(NamedTuple):
    """Ends of a confidence interval, each of the shape of the statistic."""

    low: np.ndarray
    high: np.ndarray


def bootstrap_interval(
    values: Any,
    axis: int = -1,
    statistic: Callable[..., Any] = np.median,
    confidence: float = 0.95,
    seed: int = 0,
    num_resamples: int = 2000,
) -> Interval:
    """Percentile bootstrap interval of a statistic over one axis of replicates.

    Whole replicates are resampled: every other axis sees the same resampled indices, so
    curves that share replicates stay paired. The percentile method is used because the
    acceleration of BCa does not exist for a median.

    Args:
      values: array with independent replicates along `axis`.
      axis: the axis of replicates.
      statistic: a function of an array and an `axis` keyword, such as `np.median` or `np.mean`.
      confidence: coverage aimed at, strictly between 0 and 1.
      seed: seed of the resampling; the same seed gives the same interval.
      num_resamples: number of bootstrap resamples.

    Returns:
      `Interval(low, high)`, of the shape of `values` without `axis`. One replicate says nothing
      about spread, so its interval is NaN; equal replicates give an interval of width zero.

    Raises:
      ValueError: if `axis` holds no replicate or `confidence` is not inside (0, 1).

    Example:
      >>> bootstrap_interval([3.0, 3.0, 3.0])
      Interval(low=array(3.), high=array(3.))

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3.
    """
    values = np.asarray(values, dtype=np.float64)
    num_replicates = values.shape[axis] if values.ndim else 0
    if num_replicates == 0:
        raise ValueError(f"values of shape {values.shape} hold no replicates on axis {axis}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; it must lie strictly between 0 and 1")
    if num_replicates == 1:
        unknown = np.full(np.delete(values.shape, axis), np.nan)
        return Interval(unknown, unknown)
    low, high = stats.bootstrap(
        (values,),
        statistic,
        axis=axis,
        confidence_level=confidence,
        n_resamples=num_resamples,
        batch=RESAMPLES_AT_ONCE,
        method="percentile",
        vectorized=True,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(np.asarray(low), np.asarray(high))
