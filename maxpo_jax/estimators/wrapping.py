"""One adapter for a function `f(rewards, k)`, however it is written: `wrap` makes it an estimator.

The function may be one of a single group or of batches, in JAX, in NumPy or in plain Python, with a
K that can be traced or that must be a Python int, with or without `where` and `key`. What it can do
is found out by calling it: what can be traced is compiled, what cannot runs on the host as a plain
loop over groups. By definition its value is what one call for each group gives.
"""

import dataclasses
import functools
import inspect
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from maxpo_jax.estimators import checks
from maxpo_jax.estimators.checks import KRange
from maxpo_jax.estimators.contract import Estimator, get, registered, under_contract

Language = Literal["jax", "numpy", "eager jax", "python"]
RewardType = Literal["real", "binary"]

ANY_K = KRange(
    smallest=lambda group_size: 1,
    largest=lambda group_size: group_size,
    text="1 <= k <= B",
    advice="Draw a larger group or lower k.",
)
"""What may be tried with a function of which nothing is known."""

_FIRST_CALLS = tuple((size, k) for size in (6, 8) for k in (2, 1, 3, 4, 5, size))
"""(B, K) of the groups on which a function is tried, until it takes one."""


class CannotCallError(ValueError):
    """A function fails on ordinary groups, or returns another shape; `__cause__` is its error."""


class FunctionExitError(RuntimeError):
    """A function tried to end the whole program."""


class _OtherInNumPyError(ValueError):
    """A function means something else by JAX arrays than by NumPy's."""


def wrap(
    function: Callable[..., Any] | Estimator | str,
    *,
    name: str | None = None,
    group_size: int | None = None,
    k: int | None = None,
    reward_type: RewardType | None = None,
) -> Estimator:
    """Makes an estimator of a function `f(rewards, k)`, without asking for facts about it.

    The result keeps the contract of the registry: it takes [..., B], works under `jit`, `vmap` and
    `scan`, lets no gradient through the rewards, and gives masked samples 0. A mask reaches a
    function that has a parameter `where`; another one is called on the valid samples alone. A
    function that can be traced only with a Python int for K has `traced_k` False; see `bind`. One
    that cannot be traced at all runs on the host, where K may be traced.

    Args:
      function: `f(rewards, k)`, of one group [B] or of batches; a parameter called `key`, or a
        third one without a default, makes it a randomized one, and one called `where` takes masks.
        An `Estimator` is handed back as it is, and so is that of a registered name or function.
      name: what to call it; its own name by default.
      group_size: B of the groups on which it is tried; by default several.
      k: K on which it is tried; by default several.
      reward_type: the rewards it is for; by default "binary" if it refuses any but 0/1 rewards.

    Returns:
      The `Estimator`; facts that nobody has stated are None.

    Raises:
      CannotCallError: if it fails on ordinary groups, or returns another shape than it was given.
      ValueError: if there is no registered estimator of this name.

    Example:
      >>> def best_minus_mean(rewards, k):  # NumPy, one group, and of no use
      ...     return np.where(rewards == max(rewards), rewards - np.mean(rewards), 0.0)
      >>> estimator = wrap(best_minus_mean)
      >>> estimator.name, estimator.unbiased
      ('best_minus_mean', None)
      >>> jax.jit(estimator)(jnp.array([[1.0, 2.0, 6.0], [0.0, 0.0, 3.0]]), 2).tolist()
      [[0.0, 0.0, 3.0], [0.0, 0.0, 2.0]]
    """
    if isinstance(function, str):
        return get(function)
    if isinstance(function, Estimator):
        return function
    if (entry := registered(function)) is not None:
        return entry
    calls = [(group_size or size, k or count) for size, count in _FIRST_CALLS]
    calls = [call for call in dict.fromkeys(calls) if call[1] <= call[0]] or calls[:1]
    adapter, trial = adapt(function, calls, reward_type)
    wrapped = _fastest(adapter, trial)
    name = name or function_name(function)
    return Estimator(
        name=name,
        function=under_contract(name, wrapped, ANY_K, trial.reward_type),
        citation=None,
        equation=None,
        target=None,
        unbiased=None,
        centered=None,
        shift_invariant=None,
        scale_equivariant=None,
        scale=None,
        k_range=ANY_K,
        reward_type=trial.reward_type,
        randomized=adapter.randomized,
        traced_k=wrapped.traced_k,
        on_host=not wrapped.traced,
    )


def bind(estimator: Estimator, k: int) -> Estimator:
    """The estimator with a K bound, which ignores the one that it is given.

    So a function that needs K as a Python int goes where K is traced, with one program for each K.

    Args:
      estimator: any.
      k: K.

    Returns:
      The `Estimator`; equal calls give different objects, so keep the one you compile for.

    Example:
      >>> bind(get("maxpo"), 2)(jnp.array([0.0, 3.0, 9.0]), 1).tolist()
      [-3.0, -3.0, 6.0]
    """

    def bound(rewards: Any, _: Any, **keywords: Any) -> jax.Array:
        return estimator.function(rewards, k, **keywords)

    return dataclasses.replace(estimator, function=bound, traced_k=True)


@functools.lru_cache(maxsize=10_000)
def first_call_error(estimator: Estimator, group_size: int, k: int) -> str:
    """Why a wrapped function is of no use at a group size and a K, found by one call.

    Args:
      estimator: any; a registered one is taken to be what its facts say.
      group_size: B.
      k: K.

    Returns:
      One line, or "" where nothing is wrong.

    Example:
      >>> first_call_error(wrap(lambda rewards, k: rewards / (k - 3), name="mine"), 8, 3)
      'mine gives advantages that are not finite at k = 3, group_size 8'
      >>> first_call_error(get("maxpo"), 8, 8)
      ''
    """
    if estimator.citation is not None:
        return ""
    rewards = _probe_groups(group_size, estimator.reward_type)[0]
    place = f"at k = {k}, group_size {group_size}"
    try:
        advantages = np.asarray(estimator(jnp.asarray(rewards), k, key=jax.random.key(0)))
    except Exception as error:
        return f"{estimator.name} fails {place}: {in_words(error)}"
    if not np.isfinite(advantages).all():
        return f"{estimator.name} gives advantages that are not finite {place}"
    return ""


@dataclasses.dataclass(frozen=True)
class Adapter:
    """A function and how it wants to be called; itself called the same way whatever that is.

    Attributes:
      function: the user's.
      language: "jax" if it can be traced, "numpy" if it is given NumPy arrays, "eager jax" if it
        needs JAX arrays but cannot be traced, "python" if it needs lists.
      as_batch: whether it takes [groups, B] and not [B].
      key_name: name of its parameter for a random key, None without.
      takes_where: whether it takes a mask `where`.
      traced_k: whether it can be traced with a traced K too.
      not_traceable: why it cannot be traced, or "".
    """

    function: Callable[..., Any]
    language: Language
    as_batch: bool
    key_name: str | None
    takes_where: bool
    traced_k: bool = False
    not_traceable: str = ""

    @property
    def randomized(self) -> bool:
        """Whether it takes a random key."""
        return self.key_name is not None

    def __call__(
        self,
        rewards: Any,
        k: Any,
        *,
        where: Any = None,
        key: jax.Array | None = None,
        copy: bool = True,
    ) -> Any:
        """What the function makes of one group [B], or of any shape that it takes.

        Args:
          rewards: NumPy or JAX; traced only where `language` is "jax".
          k: K.
          where: a mask, only where the function takes one.
          key: where it takes one.
          copy: whether it gets NumPy arrays of its own, into which it may write.

        Returns:
          What it returns, as an array.

        Raises:
          FunctionExitError: if it calls `sys.exit`; else whatever it raises.
        """
        wrapped = self.as_batch and rewards.ndim == 1
        given = self._given(rewards[None] if wrapped else rewards, copy)
        keywords: dict[str, Any] = {}
        if where is not None:
            keywords["where"] = self._given(where[None] if wrapped else where, copy)
        if self.key_name is not None:
            keywords[self.key_name] = key
        # A user's function is no worse for relying on NumPy's rules.
        with (
            warnings.catch_warnings(),
            jax.numpy_dtype_promotion("standard"),
            jax.numpy_rank_promotion("allow"),
        ):
            warnings.simplefilter("ignore")
            try:
                result = self.function(given, k, **keywords)
            except (Exception, KeyboardInterrupt):
                raise
            except BaseException as error:  # `sys.exit` must not end the program
                raise FunctionExitError(in_words(error)) from error
            result = jnp.asarray(result) if checks.is_traced(given) else np.asarray(result)
        if wrapped and result.shape[:1] != (1,):
            raise ValueError(f"one group in, {list(result.shape)} out")
        return result[0] if wrapped else result

    def makes_jax_arrays(self, group: np.ndarray, k: int) -> bool:
        """Whether the function leaves NumPy where it is given a group [B] of NumPy's."""
        given = np.array(group[None] if self.as_batch else group)
        result = self.function(given.tolist() if self.language == "python" else given, k)
        return any(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(result))

    def _given(self, values: Any, copy: bool) -> Any:
        if self.language in ("jax", "eager jax"):
            return jnp.asarray(values)
        if self.language == "python":
            return np.asarray(values).tolist()
        return np.array(values) if copy else np.asarray(values)


@dataclasses.dataclass(frozen=True)
class Trial:
    """The first call that a function took: rewards [3, B], K, and one advantage for each."""

    reward_type: RewardType
    groups: np.ndarray
    k: int
    advantages: np.ndarray


_TRACED: tuple[Language, ...] = ("jax",)
_UNTRACED: tuple[Language, ...] = ("numpy", "eager jax", "python")


def adapt(
    function: Callable[..., Any],
    calls: Sequence[tuple[int, int]],
    reward_type: RewardType | None = None,
    *,
    languages: Sequence[Language] = _TRACED + _UNTRACED,
) -> tuple[Adapter, Trial]:
    """Finds out how a function wants to be called, and on which rewards.

    Args:
      function: any `f(rewards, k)`, as for `wrap`; an `Estimator` too.
      calls: (B, K) to try, in this order.
      reward_type: of the rewards to try; by default "binary" if it refuses any others.
      languages: to try, in this order.

    Returns:
      The adapter, and the first call that the function took.

    Raises:
      CannotCallError: if it takes none.

    Example:
      >>> adapter, _ = adapt(lambda rewards, k: [r - k for r in rewards], [(3, 1)])
      >>> adapter.language, adapter.as_batch, adapter(np.array([1.0, 2.0, 4.0]), 1).tolist()
      ('jax', False, [0.0, 1.0, 3.0])
      >>> adapt(lambda rewards, k: rewards - float(rewards.mean()), [(3, 1)])[0].language
      'numpy'
    """
    errors: dict[Language, Exception] = {}
    kinds: tuple[RewardType, ...] = ("real", "binary") if reward_type is None else (reward_type,)
    for kind in kinds:
        for group_size, k in calls:
            groups = _probe_groups(group_size, kind)
            for candidate in _candidates(function, languages):
                try:
                    advantages = _advantages(candidate, groups, k)
                except Exception as error:
                    errors.setdefault(candidate.language, error)
                    continue
                traced_k = candidate.language in _TRACED and not _trace_error(
                    candidate, groups[0], k, traced_k=True
                )
                reason = "" if candidate.language in _TRACED else _reason(candidate, groups[0], k)
                found = dataclasses.replace(candidate, traced_k=traced_k, not_traceable=reason)
                return found, Trial(kind, groups, k, advantages)
    cause = _own_error(errors)
    if isinstance(cause, CannotCallError):
        raise cause
    raise CannotCallError(f"the function fails on an ordinary group: {in_words(cause)}") from cause


def _candidates(function: Callable[..., Any], languages: Sequence[Language]) -> Iterator[Adapter]:
    """The ways in which a function might want to be called."""
    key_name, takes_where = _key_parameter(function), "where" in _parameters(function)
    for as_batch in (False, True):
        for language in languages:
            yield Adapter(function, language, as_batch, key_name, takes_where)


def _probe_groups(group_size: int, kind: RewardType) -> np.ndarray:
    """Three ordinary groups [3, B], without ties or of both rewards."""
    if kind == "binary":
        group = (np.arange(group_size) % 2).astype(np.float64)
        return np.stack([group, group[::-1], np.roll(group, 1) * 1.0])
    return np.random.default_rng(0).normal(size=(3, group_size)) * np.array([[1.0], [3.0], [0.1]])


def _advantages(adapter: Adapter, groups: np.ndarray, k: int) -> np.ndarray:
    """Advantages of the groups, one call for each.

    Raises:
      CannotCallError: if they are no numbers, or of another shape.
      _OtherInNumPyError: if it is to be traced, and NumPy's arrays give others.
    """
    if adapter.language in _TRACED:
        error = _trace_error(adapter, groups[0], k)
        if error is not None:
            raise error
    keys = jax.random.split(jax.random.key(0), len(groups)) if adapter.randomized else [None] * 3
    rows = [np.asarray(adapter(group, k, key=key)) for group, key in zip(groups, keys, strict=True)]
    wrong = [row for row in rows if row.shape != groups[0].shape or row.dtype.kind not in "fiub"]
    if wrong:
        raise CannotCallError(
            f"the function returned {wrong[0].dtype} of shape {list(wrong[0].shape)} for rewards "
            f"of shape {list(groups[0].shape)}; it must return one advantage for each reward"
        )
    advantages = np.stack(rows)
    if adapter.language in _TRACED and not adapter.randomized:
        in_numpy = dataclasses.replace(adapter, language="numpy")
        try:
            others = _advantages(in_numpy, groups, k)
        except Exception:  # a function of JAX arrays alone
            return advantages
        # Such as one that sorts its rewards in place.
        if not agree(advantages, others):
            raise _OtherInNumPyError("NumPy's arrays give other advantages than JAX's")
    return advantages


def _trace_error(
    adapter: Adapter, group: np.ndarray, k: int, *, traced_k: bool = False
) -> Exception | None:
    """Why a function cannot be traced, None if it can."""

    def traced(rewards: jax.Array, seed: jax.Array, count: jax.Array) -> jax.Array:
        key = jax.random.key(seed) if adapter.randomized else None
        return adapter(rewards, count if traced_k else k, key=key)

    try:
        jax.eval_shape(traced, jnp.asarray(group), np.uint32(0), np.int32(k))
    except Exception as error:
        return error
    return None


def _reason(adapter: Adapter, group: np.ndarray, k: int) -> str:
    """In a word, why a function that runs was not traced."""
    error = _trace_error(dataclasses.replace(adapter, language="jax"), group, k)
    return type(error or _OtherInNumPyError()).__name__


def _own_error(errors: dict[Language, Exception]) -> Exception:
    """The error of a function itself, not one of the arrays that it was not made for."""
    numpy, eager = errors["numpy"], errors["eager jax"]
    of_tracing = isinstance(errors.get("jax"), jax.errors.JAXTypeError)
    return numpy if of_tracing or isinstance(numpy, CannotCallError) else eager


def agree(found: np.ndarray, expected: np.ndarray) -> bool:
    """Whether advantages are the same up to the rounding of the precision in use."""
    tolerance = 1e-6 if jnp.result_type(float) == jnp.float64 else 1e-4
    scale = np.abs(np.where(np.isfinite(expected), expected, 0.0)).max()
    return found.shape == expected.shape and np.allclose(
        found, expected, rtol=tolerance, atol=0.1 * tolerance * scale, equal_nan=True
    )


def in_words(error: BaseException) -> str:
    """An error in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def function_name(function: Callable[..., Any]) -> str:
    """A registered name, or the function's own.

    Args:
      function: any.

    Returns:
      The name.

    Example:
      >>> function_name(get("maxpo")), function_name(max)
      ('maxpo', 'max')
    """
    own = getattr(function, "__name__", None) or type(function).__name__
    return function.name if isinstance(function, Estimator) else own


@dataclasses.dataclass(frozen=True)
class Wrapped:
    """An adapted function of many groups; called as `under_contract` does.

    Attributes:
      adapter: the function.
      traced: whether many groups are computed by `vmap`, or else on the host.
      traced_k: whether K may be traced.
      batched: whether, on the host, one call for many groups gives what one for each group does.
    """

    adapter: Adapter
    traced: bool = False
    traced_k: bool = True
    batched: bool = False

    def __call__(
        self,
        rewards: jax.Array,
        k: int | jax.Array,
        *,
        where: jax.Array | None = None,
        key: jax.Array | None = None,
    ) -> jax.Array:
        """Advantages [..., B]."""
        leading = rewards.shape[:-1]
        keys = None if key is None or not self.adapter.randomized else _keys(key, leading)
        if self.traced and (where is None or self.adapter.takes_where):
            if not self.traced_k and checks.is_traced(k):
                raise ValueError(
                    "this function takes k as a Python int, not traced; use "
                    "maxpo_jax.estimators.wrapping.bind(estimator, k)"
                )
            return self._trace(rewards, k, where, keys)
        return self._call_host(rewards, k, where, keys)

    def in_numpy(self, groups: np.ndarray, k: int) -> np.ndarray | None:
        """Advantages [G, B] of NumPy's rewards as they are, or None if the function needs JAX.

        A function that is traced gives the same on either kind of array, or it would not be.
        """
        if self.adapter.language == "eager jax" or self.adapter.makes_jax_arrays(groups[0], k):
            return None
        language: Language = "python" if self.adapter.language == "python" else "numpy"
        adapter = dataclasses.replace(self.adapter, language=language)
        ks = np.full(len(groups), k)
        return dataclasses.replace(self, adapter=adapter)._loop(groups, ks, None, None)

    def _trace(
        self, rewards: jax.Array, k: Any, where: jax.Array | None, keys: jax.Array | None
    ) -> jax.Array:
        """One group at a time by `vmap`: what a function makes of a batch is its own affair."""

        def one(group: jax.Array, mask: jax.Array | None, key: jax.Array | None) -> jax.Array:
            advantages = self.adapter(group, k, where=mask, key=key)
            return jnp.asarray(advantages).astype(group.dtype)

        groups = rewards.reshape(-1, rewards.shape[-1])
        masks = None if where is None else where.reshape(groups.shape)
        flat_keys = None if keys is None else keys.reshape(-1)
        return jax.vmap(one)(groups, masks, flat_keys).reshape(rewards.shape)

    def _call_host(
        self, rewards: jax.Array, k: Any, where: jax.Array | None, keys: jax.Array | None
    ) -> jax.Array:
        """A plain loop over groups; within a traced program, by a callback out of it."""
        leading = rewards.shape[:-1]
        ks = jnp.broadcast_to(jnp.asarray(k, jnp.int32), leading)
        data = None if keys is None else jax.random.key_data(keys)
        arguments = (rewards, ks, where, data)
        if not checks.is_traced(*(leaf for leaf in arguments if leaf is not None)):
            return jnp.asarray(self._loop(*arguments))
        # Every argument has the leading axes of the rewards, so that a `vmap` adds one to each.
        return jax.pure_callback(
            self._loop,
            jax.ShapeDtypeStruct(rewards.shape, rewards.dtype),
            *arguments,
            vmap_method="broadcast_all",
        )

    def _loop(self, rewards: Any, ks: Any, where: Any, data: Any) -> np.ndarray:
        rewards, ks = np.asarray(rewards), np.asarray(ks)
        group_size = rewards.shape[-1]
        # In NumPy's own precision, as is usual there.
        groups = rewards.reshape(-1, group_size).astype(np.float64)
        counts = ks.reshape(-1)
        masks = None if where is None else np.asarray(where).reshape(groups.shape)
        key_data = None if data is None else np.asarray(data).reshape(len(groups), -1)
        if self.batched and masks is None and len(groups) and (counts == counts[0]).all():
            advantages = self.adapter(groups, int(counts[0]))
            return advantages.astype(rewards.dtype).reshape(rewards.shape)
        result = np.zeros(groups.shape, rewards.dtype)
        for row, (group, count) in enumerate(zip(groups, counts, strict=True)):
            key = None if key_data is None else jax.random.wrap_key_data(jnp.asarray(key_data[row]))
            valid = np.ones(group_size, bool) if masks is None else masks[row]
            if not valid.any():
                continue
            if valid.sum() < count:  # too few samples: the contract says NaN
                result[row] = np.nan
            else:
                result[row, valid] = self.adapter(group[valid], int(count), key=key)
        return result.reshape(rewards.shape)


def _keys(key: jax.Array, leading: tuple[int, ...]) -> jax.Array:
    """A key for each group."""
    return jax.random.split(key, leading) if leading else key


def _fastest(adapter: Adapter, trial: Trial) -> Wrapped:
    """The fastest way that gives what one call for each group gives."""
    if adapter.language == "jax":
        for traced_k in (True, False) if adapter.traced_k else (False,):
            traced = Wrapped(adapter, traced=True, traced_k=traced_k)
            if _agrees(functools.partial(_compute_traced, traced), trial, adapter.randomized):
                return traced
        # `vmap` changes it: on the host it is called as it is.
        calls = [(trial.groups.shape[1], trial.k)]
        adapter, trial = adapt(adapter.function, calls, trial.reward_type, languages=_UNTRACED)
    takes_batches = not adapter.randomized and (adapter.as_batch or adapter.language != "python")
    batched = takes_batches and _agrees(adapter, trial, False)
    return Wrapped(adapter, batched=batched)


def _compute_traced(wrapped: Wrapped, groups: np.ndarray, k: int) -> jax.Array:
    static = () if wrapped.traced_k else (1,)
    key = jax.random.key(0) if wrapped.adapter.randomized else None
    program = jax.jit(lambda rewards, k: wrapped(rewards, k, key=key), static_argnums=static)
    return program(jnp.asarray(groups), k)


def _agrees(compute: Callable[[np.ndarray, int], Any], trial: Trial, randomized: bool) -> bool:
    """Whether another way of computing gives the same; of random advantages, the shape."""
    try:
        found = np.asarray(compute(trial.groups, trial.k))
    except Exception:
        return False
    if randomized:
        return found.shape == trial.advantages.shape
    return agree(found, trial.advantages)


def _parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    try:
        return dict(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # some built-in functions have no signature
        return {}


def _key_parameter(function: Callable[..., Any]) -> str | None:
    """The name of the key: a parameter called so, or a third one that must be given."""
    if isinstance(function, Estimator):
        return "key" if function.randomized else None
    parameters = _parameters(function)
    if "key" in parameters:
        return "key"
    third = list(parameters.values())[2:3]
    needed = (
        third
        and third[0].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
        and third[0].default is inspect.Parameter.empty
    )
    return third[0].name if needed else None
