"""Estimators on the host: the same mathematics on NumPy arrays, where that is quicker than JAX.

A registered function holds formulas alone, and most of them mean the same on arrays of NumPy as on
those of JAX. So there is no second formula here: the function under the contract is called as it
is, in float64, and nothing is compiled, whatever the shapes.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from maxpo_jax.estimators import checks
from maxpo_jax.estimators.contract import Estimator
from maxpo_jax.estimators.wrapping import Wrapped

TRIAL_SIZE = 6
NumPyForm = Callable[[np.ndarray, int], Any]


def advantages_on_host(estimator: Estimator, rewards: np.ndarray, k: int) -> np.ndarray:
    """Advantages of groups in NumPy; nothing is compiled for an estimator that has a `numpy_form`.

    One without is called as it is, which compiles for each new shape.

    Args:
      estimator: a deterministic one.
      rewards: [G, B] NumPy rewards of the samples of each group.
      k: K, a Python int.

    Returns:
      [G, B] NumPy advantages in the dtype of the rewards (float32 for integers), computed in
        float64.

    Raises:
      ValueError: as the estimator.

    Example:
      >>> from maxpo_jax import estimators
      >>> rewards = np.array([[0.0, 3.0, 9.0]]) + 1e9
      >>> advantages_on_host(estimators.get("maxpo"), rewards, k=2).tolist()
      [[-3.0, -3.0, 6.0]]
    """
    dtype = rewards.dtype if jnp.issubdtype(rewards.dtype, jnp.floating) else np.dtype(np.float32)
    numpy_form_ = numpy_form(estimator)
    if numpy_form_ is None:
        return np.asarray(estimator(rewards.astype(dtype), k))
    checks.check_k(estimator.name, k, estimator.k_range, rewards.shape[-1])
    checks.check_values(estimator.name, rewards, None, k, estimator.k_range)
    if estimator.reward_type == "binary":
        checks.check_binary(estimator.name, rewards, None)
    with np.errstate(all="ignore"):  # as in JAX
        return np.asarray(numpy_form_(rewards.astype(np.float64), k)).astype(dtype)


@functools.lru_cache(maxsize=1_000)
def numpy_form(estimator: Estimator) -> NumPyForm | None:
    """The function of an estimator as it computes in NumPy, or None if it needs JAX.

    What it does is found out by one call on one small group.

    Args:
      estimator: any.

    Returns:
      `(rewards [G, B] float64, k) -> advantages [G, B]` without any checks, or None.

    Example:
      >>> from maxpo_jax import estimators
      >>> numpy_form(estimators.get("grpo"))(np.array([[1.0, 1.0, 1.0]]), 1).tolist()
      [[0.0, 0.0, 0.0]]
      >>> numpy_form(estimators.wrap(lambda rewards, k: jnp.sort(rewards))) is None
      True
    """
    if estimator.randomized or estimator.off_policy:
        return None
    formula = inspect.unwrap(estimator.function)
    form = formula.in_numpy if isinstance(formula, Wrapped) else formula
    group = np.arange(TRIAL_SIZE, dtype=np.float64)[None] % 2
    group.setflags(write=False)  # what writes into its rewards is no formula
    for k in range(1, TRIAL_SIZE + 1):
        if estimator.k_range.contains(k, TRIAL_SIZE):
            try:
                result = form(group, k)
            except Exception:  # at this K, or at every one
                continue
            return form if isinstance(result, np.ndarray) else None
    return None
