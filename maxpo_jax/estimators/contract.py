"""The registry of estimators: functions under one contract, with facts that the tests check."""

import dataclasses
import difflib
import functools
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from maxpo_jax.estimators import checks
from maxpo_jax.estimators.checks import KRange

UP_TO_GROUP_SIZE = KRange(
    smallest=lambda group_size: 1,
    largest=lambda group_size: group_size,
    text="1 <= k <= B",
    advice="Nothing is unbiased for k > B: draw a larger group or lower k.",
)
BELOW_GROUP_SIZE = KRange(
    smallest=lambda group_size: 1,
    largest=lambda group_size: group_size - 1,
    text="1 <= k <= B - 1",
    advice=(
        "A baseline needs a sample to spare, and at k = B no exactly centered unbiased estimator "
        "exists: draw a larger group, lower k, or use 'ei' (unbiased up to k = B, not centered)."
    ),
)

FROM_TWO = KRange(
    smallest=lambda group_size: 2,
    largest=lambda group_size: group_size,
    text="2 <= k <= B",
    advice="An improvement needs others to improve on: for k = 1 use 'maxpo' or 'rloo'.",
    smallest_group=2,
)
WHOLE_GROUP = KRange(
    smallest=lambda group_size: group_size,
    largest=lambda group_size: group_size,
    text="k = B with B >= 2",
    advice="It looks at the maximum of the whole group: for k < B use 'maxpo' or 'ei'.",
    smallest_group=2,
)


@dataclasses.dataclass(frozen=True)
class Estimator:
    r"""An advantage estimator and the facts about it; call it like the function it holds.

    The gradient estimate is g = (K/B) sum_i A_i grad log pi(x_i) for every estimator. The facts
    are held against exact enumeration by the tests and by the report card; of a function that
    `wrapping.wrap` has made an estimator, those that nobody has stated are None.

    Attributes:
      name: the name in the registry.
      function: `(rewards [..., B], k, *, where=None) -> advantages [..., B]`, and a keyword `key`
        where `randomized`.
      citation: key of the source in `references.bib`.
      equation: where in the source, or how it follows from it.
      target: what the expected gradient is the gradient of, "J_K" or "J_1", or in words.
      unbiased: whether E g = scale * grad target, exactly, for every policy.
      centered: whether the advantages of each group sum to zero, exactly.
      shift_invariant: whether adding a constant to all rewards changes nothing.
      scale_equivariant: whether multiplying all rewards by c > 0 multiplies the advantages by c.
      scale: function (B, K) -> the constant in E g = scale * grad target.
      k_range: the K that are allowed for a group size.
      reward_type: "real", or "binary" where only 0/1 rewards have a meaning.
      randomized: whether the function draws random numbers and takes a `key`.
      traced_k: whether `k` may be a traced integer; else it is a Python int, or see
        `wrapping.bind`.
      on_host: whether it runs in plain Python, called back from within a compiled program.
    """

    name: str
    function: Callable[..., jax.Array]
    citation: str | None
    equation: str | None
    target: str | None
    unbiased: bool | None
    centered: bool | None
    shift_invariant: bool | None
    scale_equivariant: bool | None
    scale: Callable[[int, int], float] | None
    k_range: KRange
    reward_type: Literal["real", "binary"]
    randomized: bool
    traced_k: bool = True
    on_host: bool = False

    def __call__(
        self,
        rewards: ArrayLike,
        k: Any,
        *,
        where: ArrayLike | None = None,
        key: jax.Array | None = None,
    ) -> jax.Array:
        """Advantages [..., B] of rewards [..., B]; the key reaches those who want one."""
        keywords: dict[str, Any] = {} if where is None else {"where": where}
        if self.randomized:
            keywords["key"] = key
        return self.function(rewards, k, **keywords)


_ESTIMATORS: dict[str, Estimator] = {}


def register(
    name: str,
    *,
    citation: str,
    equation: str,
    target: str = "J_K",
    unbiased: bool,
    centered: bool,
    shift_invariant: bool = True,
    scale_equivariant: bool = True,
    scale: Callable[[int, int], float] = lambda group_size, k: 1.0,
    k_range: KRange = UP_TO_GROUP_SIZE,
    reward_type: Literal["real", "binary"] = "real",
    randomized: bool = False,
) -> Callable[[Callable[..., jax.Array]], Callable[..., jax.Array]]:
    """Decorator that puts an estimator under the contract and into the registry.

    The decorated function holds the mathematics alone: it may rely on floating-point rewards of
    at least single precision that carry no gradient, and on masked samples holding the largest
    valid reward of their group. Checks, casts and masking are done here, the same for all.

    Args:
      name: the name to register under.
      citation: key of the source in `references.bib`.
      equation: where in the source, or how it follows from it.
      target: what the expected gradient is the gradient of, "J_K", "J_1", or in words.
      unbiased: whether E g = scale * grad target, exactly, for every policy.
      centered: whether the advantages of each group sum to zero, exactly.
      shift_invariant: whether adding a constant to all rewards changes nothing, at every K.
      scale_equivariant: whether scaling all rewards by c > 0 scales the advantages by c.
      scale: function (B, K) -> the constant in E g = scale * grad target.
      k_range: the K that are allowed for a group size.
      reward_type: "real", or "binary" where only 0/1 rewards have a meaning.
      randomized: whether the function draws random numbers and takes a keyword `key`.

    Returns:
      The decorator; it returns the function under the contract.

    Raises:
      ValueError: the name is taken.

    Example:
      >>> import jax.numpy as jnp
      >>> from maxpo_jax import estimators
      >>> @estimators.register(
      ...     "best_minus_mean", citation="takashiro2026maxpo", equation="an example",
      ...     target="neither", unbiased=False, centered=False)
      ... def best_minus_mean(rewards, k, *, where=None):
      ...     best = rewards.max(axis=-1, keepdims=True)
      ...     mean = rewards.mean(axis=-1, keepdims=True, where=where)
      ...     return jnp.where(rewards == best, rewards - mean, 0.0)
      >>> estimators.get("best_minus_mean")(jnp.array([1, 2, 6]), k=2).tolist()
      [0.0, 0.0, 3.0]
      >>> estimators.unregister("best_minus_mean")
    """
    if name in _ESTIMATORS:
        raise ValueError(f"an estimator named {name!r} is registered already; choose another name.")

    def decorate(function: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
        public = under_contract(name, function, k_range, reward_type)
        _ESTIMATORS[name] = Estimator(
            name=name,
            function=public,
            citation=citation,
            equation=equation,
            target=target,
            unbiased=unbiased,
            centered=centered,
            shift_invariant=shift_invariant,
            scale_equivariant=scale_equivariant,
            scale=scale,
            k_range=k_range,
            reward_type=reward_type,
            randomized=randomized,
        )
        return public

    return decorate


def unregister(name: str) -> None:
    """Take an estimator out of the registry, for example one that a test has put there.

    Args:
      name: a registered name.

    Raises:
      KeyError: no such name.

    Example:
      >>> unregister("mapxo")
      Traceback (most recent call last):
      KeyError: 'mapxo'
    """
    del _ESTIMATORS[name]


def names() -> tuple[str, ...]:
    """Names of the registered estimators, in the order of registration.

    Returns:
      The names that `get` takes.

    Example:
      >>> "maxpo" in names()
      True
    """
    return tuple(_ESTIMATORS)


def get(name: str) -> Estimator:
    """The registered estimator of this name.

    Args:
      name: a registered name.

    Returns:
      The estimator: call it like its function, or read its facts.

    Raises:
      ValueError: no such name; near matches are offered.

    Example:
      >>> get("maxpo").centered
      True
    """
    if name in _ESTIMATORS:
        return _ESTIMATORS[name]
    near = difflib.get_close_matches(str(name), _ESTIMATORS, n=3)
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else "none is similar;"
    raise ValueError(f"unknown estimator {name!r}: {hint} Registered are {', '.join(names())}.")


def under_contract(
    name: str, function: Callable[..., jax.Array], k_range: KRange, reward_type: str
) -> Callable[..., jax.Array]:
    """The function with the checks, casts and masking that are the same for all.

    Args:
      name: the estimator, for messages.
      function: `(rewards, k, *, where)`, which may rely on what `prepare` gives.
      k_range: the K that are allowed.
      reward_type: "real" or "binary".

    Returns:
      The function that takes any rewards.
    """

    @functools.wraps(function)
    def advantages(
        rewards: ArrayLike, k: Any, *, where: ArrayLike | None = None, **kwargs: Any
    ) -> jax.Array:
        values = checks.rewards_array(name, rewards)
        mask = checks.mask_array(name, where, values)
        count = checks.integer_k(name, k)
        checks.check_k(name, count, k_range, values.shape[-1], masked=mask is not None)
        checks.check_values(name, values, mask, count, k_range)
        working, fit = prepare(values, mask, count, k_range)
        if reward_type == "binary":
            checks.check_binary(name, values, mask)
            fit &= jnp.all((working == 0) | (working == 1), axis=-1)
        result = nan_where_unfit(function(working, count, where=mask, **kwargs), fit[..., None])
        if mask is not None:
            result = jnp.where(mask, result, jnp.zeros((), result.dtype))
        return result.astype(values.dtype)

    return advantages


def prepare(
    rewards: jax.Array, where: jax.Array | None, k: int | jax.Array, k_range: KRange
) -> tuple[jax.Array, jax.Array]:
    """Rewards to compute with, and which groups are fit to be computed.

    Args:
      rewards: [..., B] floating-point rewards.
      where: [..., B] valid samples, or None.
      k: K, an int or a traced scalar.
      k_range: the K that are allowed.

    Returns:
      working: [..., B] at least float32, without gradient; the largest valid reward of the group
        at masked samples.
      fit: [...] False for groups with a reward that is not finite or with a K out of range.
    """
    working = jax.lax.stop_gradient(rewards)
    if jnp.finfo(working.dtype).bits < 32:
        working = working.astype(jnp.float32)
    if where is None:
        in_range = k_range.contains(k, rewards.shape[-1])
        fit = jnp.all(jnp.isfinite(working), axis=-1) & in_range
    else:
        in_range = k_range.contains(k, jnp.sum(where, axis=-1))
        fit = jnp.all(jnp.isfinite(working) | ~where, axis=-1) & in_range
        lowest = jnp.full((), -jnp.inf, working.dtype)
        largest = jnp.max(jnp.where(where, working, lowest), axis=-1, keepdims=True)
        working = jnp.where(where, working, largest)
    return working, fit


def nan_where_unfit(results: jax.Array, fit: jax.Array) -> jax.Array:
    """Results where the group is fit, and NaN elsewhere.

    Args:
      results: [..., B] or [...] floating-point results.
      fit: [..., 1] or [...] which groups are fit.

    Returns:
      An array of the shape and dtype of `results`.

    Example:
      >>> nan_where_unfit(jnp.ones((2, 3)), jnp.array([[True], [False]])).tolist()
      [[1.0, 1.0, 1.0], [nan, nan, nan]]
    """
    # A sum with zero is vectorized along with what it follows; a choice for each sample is not,
    # and takes longer than sorting short groups.
    return results + jnp.where(fit, 0.0, jnp.nan).astype(results.dtype)
