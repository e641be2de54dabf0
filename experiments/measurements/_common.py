"""What measurements share: the k of evaluation, and why a run makes no sense."""

from collections.abc import Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import FrozenConfigDict

from experiments.common.errors import UserError, did_you_mean
from experiments.common.estimator_spec import resolve
from maxpo_jax.estimators import Estimator
from maxpo_jax.estimators.wrapping import first_call_error
from maxpo_jax.training import OPTIMIZERS

EVALUATION_KS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
"""The k at which J_k of a policy is told, whatever its own K was."""

Point = dict[str, Any]


def estimators_of(points: Sequence[Point]) -> tuple[Estimator, ...]:
    """The estimator of each point, with its K bound where it has to be."""
    return tuple(resolve(point["estimator"], k=int(point["k"])) for point in points)


def ks_of(points: Sequence[Point]) -> jax.Array:
    """[points] the K of each point."""
    return jnp.asarray([point["k"] for point in points], jnp.int32)


def first(*reasons: str) -> str:
    """The first reason that there is, or ""."""
    return next((reason for reason in reasons if reason), "")


def refuse_unknown(field: str, value: str, known: Iterable[str]) -> str:
    """Why a name is refused, with near matches."""
    known = tuple(known)
    return (
        "" if value in known else f"{field} {value!r} does not exist; {did_you_mean(value, known)}"
    )


def refuse_below(run: FrozenConfigDict, smallest: int, *fields: str) -> str:
    """Why sizes are refused that are too small."""
    small = [field for field in fields if run[field] < smallest]
    return first(*(f"{f} is {run[f]}; it must be at least {smallest}" for f in small))


def refuse_estimator(run: FrozenConfigDict, *, binary: bool, k: int | None = None) -> str:
    """Why the estimator of a run is refused.

    Args:
      run: with the fields `estimator`, `group_size` and `k`.
      binary: whether the rewards are 0 or 1.
      k: looked at in place of `run.k`.
    """
    k = run.k if k is None else k
    try:
        estimator = resolve(run.estimator)
    except UserError as error:
        return str(error)
    if run.group_size < 1:
        return f"group_size is {run.group_size}; it must be at least 1"
    if not bool(estimator.k_range.contains(k, run.group_size)):
        return (
            f"k = {k} does not fit estimator {run.estimator} at group_size {run.group_size}; "
            f"allowed are {estimator.k_range.text}"
        )
    if estimator.reward_type == "binary" and not binary:
        return f"estimator {run.estimator} is for 0/1 rewards, and these are not"
    return first_call_error(estimator, run.group_size, k)


def refuse_randomized(run: FrozenConfigDict) -> str:
    """Why an estimator that draws random numbers is refused where groups are enumerated."""
    if not resolve(run.estimator).randomized:
        return ""
    return (
        f"estimator {run.estimator} is randomized, and enumeration knows no draws: measure it with "
        "bandit_gradients"
    )


def refuse_training(run: FrozenConfigDict, *, updates_per_record: int) -> str:
    """Why the fields of training are refused."""
    return first(
        refuse_unknown("optimizer", run.optimizer, OPTIMIZERS),
        refuse_below(run, 1, "group_size", "num_updates"),
        ""
        if run.learning_rate >= 0
        else f"learning_rate is {run.learning_rate}; it must not be negative",
        f"updates_per_record is {updates_per_record}; it must be at least 1"
        if updates_per_record < 1
        else "",
        f"num_updates is {run.num_updates}; it must be a multiple of {updates_per_record}"
        if updates_per_record >= 1 and run.num_updates % updates_per_record
        else "",
    )


def evaluation_ks() -> np.ndarray:
    """The coordinate `evaluation_k`."""
    return np.array(EVALUATION_KS)
