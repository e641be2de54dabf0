"""The registry of estimators: functions under one contract, with facts that the tests check."""

import dataclasses
import difflib
import functools
import inspect
import sys
import textwrap
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from maxpo_jax.estimators import checks
from maxpo_jax.estimators.checks import KRange
from maxpo_jax.estimators.group_sharding import explicit_sharding, on_own_groups

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
      function: `(rewards [..., B], k, *, where=None) -> advantages [..., B]`, with a keyword `key`
        where `randomized`, and a keyword `ratios` where `off_policy`.
      citation: key of the source in `references.bib`.
      equation: where in the source, or how it follows from it.
      target: what the expected gradient is the gradient of, "J_K" or "J_1", or in words.
      unbiased: whether E g = scale * grad target, exactly, for every policy, and every older one
        that draws the samples where `off_policy`.
      centered: whether the advantages of each group sum to zero, exactly.
      shift_invariant: whether adding a constant to all rewards changes nothing.
      scale_equivariant: whether multiplying all rewards by c > 0 multiplies the advantages by c.
      scale: function (B, K) -> the constant in E g = scale * grad target.
      k_range: the K that are allowed for a group size.
      reward_type: "real", or "binary" where only 0/1 rewards have a meaning.
      randomized: whether the function draws random numbers and takes a `key`.
      off_policy: whether the samples are those of an older policy, so that the function takes their
        `ratios` pi / pi_old.
      traced_k: whether `k` may be a traced integer; else it is a Python int, or see
        `wrapping.bind`.
      on_host: whether it runs in plain Python, called back from within a compiled program.
      alias_of: the name of the estimator whose function this is, or None.
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
    off_policy: bool = False
    traced_k: bool = True
    on_host: bool = False
    alias_of: str | None = None

    def __call__(
        self,
        rewards: ArrayLike,
        k: Any,
        *,
        where: ArrayLike | None = None,
        key: jax.Array | None = None,
        ratios: ArrayLike | None = None,
    ) -> jax.Array:
        """Advantages [..., B] of rewards [..., B], under the contract.

        Args:
          rewards: [..., B] rewards of the samples of each group.
          k: K; a Python int, or a traced integer scalar where `traced_k`.
          where: [..., B] boolean, valid samples; B is their number, also in K/B. See
            `maxpo_jax.grouped` for groups that may have too few.
          key: typed key of the draws; anybody may be given one, and those who draw nothing leave
            it unused.
          ratios: [..., B] ratios pi / pi_old of the samples, where `off_policy`, and only there.

        Returns:
          [..., B] advantages in the dtype of the rewards (float32 for integers).

        Raises:
          ValueError: as the function; a randomized estimator without a key; ratios for samples of
            the current policy.
        """
        keywords: dict[str, Any] = {} if where is None else {"where": where}
        if self.randomized:
            if key is None:
                raise ValueError(
                    f"{self.name} is randomized and needs a random key: pass key=jax.random.key(0)."
                )
            keywords["key"] = key
        if ratios is not None:
            if not self.off_policy:
                raise ValueError(
                    f"{self.name} is for samples of the current policy and takes no ratios: use "
                    f"one of {', '.join(names(off_policy=True))}."
                )
            keywords["ratios"] = ratios
        return self.function(rewards, k, **keywords)

    def why_not(self, k: int, group_size: int) -> str:
        """Why K is refused for a group size, in one line with the way out; "" where it is allowed.

        Example:
          >>> get("maxpo").why_not(4, group_size=8)
          ''
          >>> get("rloo").why_not(1, group_size=1)
          "rloo: k = 1 does not fit group_size = 1: ..."
        """
        reason = self.k_range.why_not(k, group_size)
        return f"{self.name}: {reason}" if reason else ""


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
    off_policy: bool = False,
) -> Callable[[Callable[..., jax.Array]], Callable[..., jax.Array]]:
    """Decorator that puts an estimator under the contract and into the registry.

    It asks for a source and for claims, which the tests check. A function that has neither yet
    keeps the same contract by `maxpo_jax.estimators.wrap(function)`; one that equals a registered
    one is registered by `alias`.

    The decorated function holds the mathematics alone: it may rely on floating-point rewards of
    at least single precision that carry no gradient, and on masked samples holding the largest
    valid reward of their group. Checks, casts and masking are done here, the same for all. One that
    means the same on arrays of NumPy (see `group_statistics.array_namespace`) computes there too,
    for `maxpo_jax.grouped`.

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
      off_policy: whether the samples are those of an older policy, and the function takes a keyword
        `ratios`; masked samples then have a ratio of 1.

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
    _refuse_taken(name)

    def decorate(function: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
        public = under_contract(name, function, k_range, reward_type, randomized, off_policy)
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
            off_policy=off_policy,
        )
        return public

    return decorate


def alias(
    name: str,
    *,
    of: Callable[..., jax.Array],
    citation: str,
    equation: str,
    note: str,
    source: str,
    k_range: KRange | None = None,
    reward_type: Literal["real", "binary"] | None = None,
    shift_invariant: bool | None = None,
) -> Callable[..., jax.Array]:
    """Registers an estimator that equals another: the same function under checks of its own.

    Args:
      name: the name to register under.
      of: the other, a registered function.
      citation: key of the source in `references.bib`.
      equation: where in the source, or how it follows from it.
      note: what it is in the terms of its source; the head of its docstring.
      source: authors, year, title and arXiv id; the rest of its docstring is made from the facts.
      k_range: the K that are allowed, all of them to the other too; its own by default.
      reward_type: "real" or "binary"; that of the other by default.
      shift_invariant: where another range of K makes it another fact than that of the other.

    Returns:
      The function under the contract.

    Raises:
      ValueError: the name is taken, or the other is not registered.

    Example:
      >>> import jax.numpy as jnp
      >>> from maxpo_jax import estimators
      >>> best_of_two = estimators.alias(
      ...     "best_of_two", of=estimators.maxpo, citation="takashiro2026maxpo",
      ...     equation="an example", note="MaxPO once more.", source="an example.")
      >>> best_of_two(jnp.array([0.0, 3.0, 9.0]), k=2).tolist()
      [-3.0, -3.0, 6.0]
      >>> estimators.get("best_of_two").alias_of
      'maxpo'
      >>> estimators.unregister("best_of_two")
    """
    _refuse_taken(name)
    original = registered(of)
    if original is None:
        raise ValueError(f"{name}: it can be an alias of a registered estimator only, got {of!r}.")
    entry = dataclasses.replace(
        original,
        name=name,
        citation=citation,
        equation=equation,
        k_range=k_range or original.k_range,
        reward_type=reward_type or original.reward_type,
        shift_invariant=(original.shift_invariant if shift_invariant is None else shift_invariant),
        alias_of=original.name,
    )
    formula = inspect.unwrap(of)
    public = under_contract(
        name, formula, entry.k_range, entry.reward_type, entry.randomized, entry.off_policy
    )
    public.__name__ = public.__qualname__ = name
    # That of the caller, where pickle, doctest and `help` look for it.
    public.__module__ = sys._getframe(1).f_globals["__name__"]
    public.__doc__ = _alias_docstring(entry, note, source)
    _ESTIMATORS[name] = dataclasses.replace(entry, function=public)
    return public


def _alias_docstring(entry: Estimator, note: str, source: str) -> str:
    """The docstring of an alias, from the facts that the tests check."""
    binary = entry.reward_type == "binary"
    if entry.unbiased:
        bias = f"Unbiased for grad {entry.target} with independent samples of the current policy"
    else:
        bias = f"Biased for grad {entry.target}, as `{entry.alias_of}` is"
    centered = "" if entry.centered else "not "
    paragraphs = [
        f"It equals `{entry.alias_of}`, whose function it is.",
        f"Source: {source}",
        f"{bias}, {entry.k_range.text}; {centered}centered.",
    ]
    one_of, source_line, facts = (
        textwrap.fill(text, 96, break_on_hyphens=False) for text in paragraphs
    )
    return f"""{inspect.cleandoc(note)}

{one_of}

Args:
  rewards, k, where: as of `{entry.alias_of}`; {entry.k_range.text}\
{", rewards 0 or 1" if binary else ""}.

Returns:
  [..., B] advantages.

Raises:
  ValueError: as `maxpo_jax.maxpo`; other k\
{"; rewards other than 0 and 1" if binary else ""}.

Example:
  >>> import jax.numpy as jnp
  >>> from maxpo_jax import estimators
  >>> rewards, k = jnp.array([0.0, 0.0, 1.0, 1.0]), {entry.k_range.largest(4)}
  >>> same = estimators.get("{entry.name}")(rewards, k) == estimators.{entry.alias_of}(rewards, k)
  >>> bool(same.all())
  True

{source_line}

{facts}
"""


def _refuse_taken(name: str) -> None:
    if name in _ESTIMATORS:
        raise ValueError(f"an estimator named {name!r} is registered already; choose another name.")


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


def names(*, off_policy: bool = False) -> tuple[str, ...]:
    """Names of the registered estimators, in the order of registration.

    Args:
      off_policy: those for samples of an older policy, which are called with `ratios` as well; or
        else those for samples of the current one.

    Returns:
      Names that `get` takes.

    Example:
      >>> "maxpo" in names()
      True
      >>> "off_policy_max_at_k" in names(off_policy=True)
      True
    """
    return tuple(name for name, entry in _ESTIMATORS.items() if entry.off_policy == off_policy)


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


def registered(function: Any) -> Estimator | None:
    """The registered estimator whose function this is, or None.

    Args:
      function: anything.

    Returns:
      The estimator.

    Example:
      >>> from maxpo_jax import estimators
      >>> registered(estimators.maxpo).name
      'maxpo'
    """
    return next((entry for entry in _ESTIMATORS.values() if entry.function is function), None)


def under_contract(
    name: str,
    function: Callable[..., jax.Array],
    k_range: KRange,
    reward_type: str,
    randomized: bool = False,
    off_policy: bool = False,
) -> Callable[..., jax.Array]:
    """The function with the checks, casts and masking that are the same for all.

    Args:
      name: the estimator, for messages.
      function: `(rewards, k, *, where)`, which may rely on what `prepare` gives.
      k_range: the K that are allowed.
      reward_type: "real" or "binary".
      randomized: whether the function takes a `key`.
      off_policy: whether the function takes `ratios`.

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
        if reward_type == "binary":
            checks.check_binary(name, values, mask)
        ratios = None
        if off_policy:
            ratios = checks.ratios_array(name, kwargs.pop("ratios", None), values, mask)
        if randomized:  # the draws of a group depend on all groups of its batch
            explicit_sharding(name, values)
            return compute(values, mask, ratios, count, **kwargs)
        own = functools.partial(compute, **kwargs)
        return on_own_groups(name, own, values, (mask, ratios), count)

    def compute(
        values: jax.Array,
        mask: jax.Array | None,
        ratios: jax.Array | None,
        count: int | jax.Array,
        **kwargs: Any,
    ) -> jax.Array:
        working, fit = prepare(values, mask, count, k_range)
        if ratios is not None:
            ratios = jax.lax.stop_gradient(ratios).astype(working.dtype)
            if mask is not None:
                ratios = jnp.where(mask, ratios, jnp.ones((), ratios.dtype))
            fit &= jnp.all(jnp.isfinite(ratios) & (ratios >= 0), axis=-1)
            kwargs["ratios"] = ratios
        if reward_type == "binary":
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
