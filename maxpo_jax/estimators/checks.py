"""Argument checks shared by every public function of rewards: one clear line for each mistake."""

import dataclasses
import operator
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike


@dataclasses.dataclass(frozen=True)
class KRange:
    """The K for which a quantity is defined, given the group size B, and what to do outside.

    Attributes:
      smallest: function B -> smallest K.
      largest: function B -> largest K.
      text: the range as shown to users, for example "1 <= k <= B - 1".
      advice: why the range ends where it does, and what to use instead.
      smallest_group: the smallest B for which any K is allowed.
    """

    smallest: Callable[[Any], Any]
    largest: Callable[[Any], Any]
    text: str
    advice: str
    smallest_group: int = 1

    def contains(self, k: Any, group_size: Any) -> Any:
        """Whether K is allowed for this group size: Python ints or traced integers."""
        in_range = (k >= self.smallest(group_size)) & (k <= self.largest(group_size))
        return in_range & (group_size >= self.smallest_group)

    def why_not(self, k: int, group_size: int) -> str:
        """Why K is refused for this group size, in one line; "" where it is allowed."""
        if self.contains(k, group_size):
            return ""
        smallest, largest = self.smallest(group_size), self.largest(group_size)
        here = (
            f"here {smallest}..{largest}"
            if smallest <= largest and group_size >= self.smallest_group
            else "which no k satisfies here"
        )
        return (
            f"k = {k} does not fit group_size = {group_size}: allowed are {self.text}, {here}. "
            f"{self.advice}"
        )


def is_traced(*values: Any) -> bool:
    """Whether any value is abstract, so that its entries cannot be looked at."""
    return any(isinstance(value, jax.core.Tracer) for value in values)


def rewards_array(name: str, rewards: ArrayLike) -> jax.Array:
    """Rewards as a floating-point array [..., B]: integers and booleans become float32.

    Args:
      name: the caller, for messages.
      rewards: [..., B] real rewards.

    Returns:
      [..., B] array of float32, float64, or the half precision it came in.

    Raises:
      ValueError: complex rewards, a scalar, or an empty group.
    """
    rewards = jnp.asarray(rewards)
    if jnp.issubdtype(rewards.dtype, jnp.complexfloating):
        raise ValueError(f"{name}: rewards must be real, got dtype {rewards.dtype}.")
    if rewards.ndim == 0:
        raise ValueError(
            f"{name}: rewards must have a group axis, shape [..., group_size], got a scalar; "
            "pass the rewards of all samples of a prompt together."
        )
    if rewards.shape[-1] == 0:
        raise ValueError(
            f"{name}: the group axis is empty (shape {rewards.shape}); "
            "a group needs at least one sample."
        )
    if not jnp.issubdtype(rewards.dtype, jnp.floating):
        return rewards.astype(jnp.float32)
    return rewards


def mask_array(name: str, where: ArrayLike | None, rewards: jax.Array) -> jax.Array | None:
    """The mask of valid samples as a boolean array of the shape of the rewards, or None.

    Raises:
      ValueError: another dtype or shape than bool[..., B].
    """
    if where is None:
        return None
    where = jnp.asarray(where)
    if where.dtype != jnp.bool_ or where.shape != rewards.shape:
        raise ValueError(
            f"{name}: where must be a boolean mask of the shape of the rewards "
            f"{rewards.shape}, got {where.dtype} of shape {where.shape}."
        )
    return where


def ratios_array(
    name: str, ratios: ArrayLike | None, rewards: jax.Array, where: jax.Array | None
) -> jax.Array:
    """Ratios pi / pi_old of the probabilities of the samples as a floating-point array [..., B].

    Raises:
      ValueError: none, or of another shape than the rewards; outside jit, ratios of valid samples
        that are negative or not finite.
    """
    if ratios is None:
        raise ValueError(
            f"{name}: samples of an older policy come with their ratios: pass ratios="
            "exp(log pi - log pi_old), one for each reward; for samples of the current policy use "
            "'maxpo' or 'ei'."
        )
    ratios = jnp.asarray(ratios)
    if not jnp.issubdtype(ratios.dtype, jnp.floating):
        ratios = ratios.astype(jnp.float32)
    if ratios.shape != rewards.shape:
        raise ValueError(
            f"{name}: ratios must have the shape of the rewards {rewards.shape}, one for each "
            f"sample, got {ratios.shape}."
        )
    if not is_traced(ratios, where):
        wrong = ~(np.isfinite(ratios) & (np.asarray(ratios) >= 0))
        if where is not None:
            wrong &= np.asarray(where)
        if wrong.any():
            raise ValueError(
                f"{name}: ratios must be finite and not negative, which they are not at index "
                f"{np.argwhere(wrong)[0].tolist()}; they are exp(log pi - log pi_old), not its "
                "logarithm."
            )
    return ratios


def integer_k(name: str, k: Any) -> int | jax.Array:
    """K as a Python int where its value is known, else as the traced integer scalar it is.

    Raises:
      ValueError: K is not an integer scalar.
    """
    if is_traced(k):
        if k.shape != () or not jnp.issubdtype(k.dtype, jnp.integer):
            raise ValueError(
                f"{name}: a traced k must be an integer scalar, got {k.dtype}{list(k.shape)}; "
                "for groups with a k of their own use jax.vmap over rewards and k."
            )
        # A narrow type cannot hold the group sizes that K is compared with.
        return k if k.dtype.itemsize == 8 else k.astype(jnp.int32)
    if np.ndim(k) > 0:
        raise ValueError(
            f"{name}: k must be one integer, got shape {list(np.shape(k))}; for groups with a k of "
            "their own use jax.vmap over rewards and k."
        )
    try:
        if isinstance(k, (bool, np.bool_)):
            raise TypeError
        return operator.index(k)
    except TypeError:
        raise ValueError(
            f"{name}: k must be an integer, got {k!r}: the maximum of a fractional number of "
            "samples cannot be estimated without bias from a finite group. For real k see "
            "maxpo_jax.objectives.max_at_k; between integers, mix two estimators."
        ) from None


def coefficients_tuple(name: str, coefficients: Any) -> tuple[float, ...]:
    """Coefficients of K sorted rewards as K Python floats, which can be hashed.

    Args:
      name: the caller, for messages.
      coefficients: [K] numbers, a sequence or an array, ascending ranks.

    Returns:
      K floats.

    Raises:
      ValueError: traced, not real, not one-dimensional, empty, or not finite.
    """
    if is_traced(*jax.tree.leaves(coefficients)):
        raise ValueError(
            f"{name}: coefficients must be known before the program is compiled, got traced ones; "
            "use numbers or a NumPy array made outside of it, or a tuple as a static argument."
        )
    try:
        values = np.asarray(coefficients)
        if not (values.dtype == object or np.isrealobj(values)):
            raise TypeError
        values = values.astype(np.float64)
    except (TypeError, ValueError):
        raise ValueError(
            f"{name}: coefficients must be real numbers, one for each of K sorted rewards, got "
            f"{coefficients!r}."
        ) from None
    if values.ndim != 1 or values.size == 0:
        raise ValueError(
            f"{name}: coefficients must have shape [K] with K >= 1, one for each of K sorted "
            f"rewards, got shape {list(values.shape)}; for several objectives call it for each."
        )
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        raise ValueError(
            f"{name}: coefficients must be finite, got {values[bad[0]]} at index {bad[0]}."
        )
    return tuple(values.tolist())


def check_k(
    name: str, k: int | jax.Array, k_range: KRange, group_size: int, masked: bool = False
) -> None:
    """Refuse a known K outside its range; a masked group may turn out to be of any smaller size.

    Raises:
      ValueError: naming K, the allowed range and the way out.
    """
    if not isinstance(k, int) or not (reason := k_range.why_not(k, group_size)):
        return
    if not (masked and any(k_range.contains(k, size) for size in range(1, group_size))):
        raise ValueError(f"{name}: {reason}")


def check_values(
    name: str,
    rewards: jax.Array | np.ndarray,
    where: jax.Array | None,
    k: int | jax.Array,
    k_range: KRange,
) -> None:
    """Refuse what only a look at the numbers can show; does nothing for traced arrays.

    Raises:
      ValueError: NaN or infinite rewards, or a group with too few valid samples for K.
    """
    if not is_traced(rewards, where):
        bad = ~np.isfinite(np.asarray(rewards))
        if where is not None:
            bad &= np.asarray(where)
        if bad.any():
            index = tuple(int(i) for i in np.argwhere(bad)[0])
            raise ValueError(
                f"{name}: rewards must be finite, got {np.asarray(rewards)[index]} at index "
                f"{list(index)}; mask such samples with where=jnp.isfinite(rewards)."
            )
    if where is not None and not is_traced(where, k):
        num_valid = np.asarray(where).sum(axis=-1)
        wrong = ~np.asarray(k_range.contains(k, num_valid))
        if wrong.any():
            index = tuple(int(i) for i in np.argwhere(wrong)[0])
            raise ValueError(
                f"{name}: the group at index {list(index)} has {num_valid[index]} valid samples, "
                f"which does not fit k = {k}: allowed are {k_range.text} with B the number of "
                f"valid samples. {k_range.advice} Or leave such groups out."
            )


def check_binary(name: str, rewards: jax.Array | np.ndarray, where: jax.Array | None) -> None:
    """Refuse rewards other than 0 and 1; does nothing for traced arrays.

    Raises:
      ValueError: naming the first other reward.
    """
    if is_traced(rewards, where):
        return
    values = np.asarray(rewards)
    bad = (values != 0) & (values != 1)
    if where is not None:
        bad &= np.asarray(where)
    if bad.any():
        index = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(
            f"{name}: rewards must be 0 or 1, got {values[index]} at index {list(index)}; for real "
            "rewards use an estimator whose reward_type is 'real', such as 'maxpo' or 'maxrl_real'."
        )
