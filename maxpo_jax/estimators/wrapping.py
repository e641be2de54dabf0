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
from collections.abc import Callable, Iterator
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from maxpo_jax.estimators import checks
from maxpo_jax.estimators.checks import KRange
from maxpo_jax.estimators.contract import Estimator, get, under_contract

Container = Literal["numpy", "jax", "list"]
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
        A registered name or an `Estimator` is handed back as it is.
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
    calls = [(group_size or size, k or count) for size, count in _FIRST_CALLS]
    calls = [call for call in dict.fromkeys(calls) if call[1] <= call[0]] or calls[:1]
    subject, kind = _find_out(function, calls, reward_type)
    name = name or getattr(function, "__name__", None) or type(function).__name__
    return Estimator(
        name=name,
        function=under_contract(name, subject, ANY_K, kind),
        citation=None,
        equation=None,
        target=None,
        unbiased=None,
        centered=None,
        shift_invariant=None,
        scale_equivariant=None,
        scale=None,
        k_range=ANY_K,
        reward_type=kind,
        randomized=subject.randomized,
        traced_k=subject.traced_k,
        on_host=not subject.traced,
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
    real, binary = (_probe_groups(group_size, kind)[0] for kind in ("real", "binary"))
    rewards = real if estimator.reward_type == "real" else binary
    place = f"at k = {k}, group_size {group_size}"
    try:
        advantages = np.asarray(estimator(jnp.asarray(rewards), k, key=jax.random.key(0)))
    except Exception as error:
        line = " ".join(str(error).split())
        return f"{estimator.name} fails {place}: {type(error).__name__}: {line}"
    if not np.isfinite(advantages).all():
        return f"{estimator.name} gives advantages that are not finite {place}"
    return ""


@dataclasses.dataclass(frozen=True)
class _Subject:
    """A function with what is known of how it can be called; called as `_under_contract` does.

    Attributes:
      function: the user's.
      container: what it wants its rewards in, where it is not traced.
      as_batch: whether it wants a group as a batch [1, B].
      key_name: name of its parameter for a random key, None without.
      takes_where: whether it takes a mask `where`.
      traced: whether it can be traced.
      traced_k: whether K may be traced.
      batched: whether, untraced, one call for many groups gives what one for each group does.
    """

    function: Callable[..., Any]
    container: Container
    as_batch: bool
    key_name: str | None
    takes_where: bool
    traced: bool = False
    traced_k: bool = True
    batched: bool = False

    @property
    def randomized(self) -> bool:
        return self.key_name is not None

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
        keys = None if key is None or not self.randomized else _keys(key, leading)
        if self.traced and (where is None or self.takes_where):
            if not self.traced_k and checks.is_traced(k):
                raise ValueError(
                    "this function takes k as a Python int, not traced; use "
                    "maxpo_jax.estimators.wrapping.bind(estimator, k)"
                )
            return self._trace(rewards, k, where, keys)
        return self._call_host(rewards, k, where, keys)

    def _trace(
        self, rewards: jax.Array, k: Any, where: jax.Array | None, keys: jax.Array | None
    ) -> jax.Array:
        """One group at a time by `vmap`: what a function makes of a batch is its own affair."""

        def one(group: jax.Array, mask: jax.Array | None, key: jax.Array | None) -> jax.Array:
            return jnp.asarray(self.of_group(group, k, mask, key)).astype(group.dtype)

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
        groups, counts = rewards.reshape(-1, group_size), ks.reshape(-1)
        masks = None if where is None else np.asarray(where).reshape(groups.shape)
        key_data = None if data is None else np.asarray(data).reshape(len(groups), -1)
        if self.batched and masks is None and len(groups) and (counts == counts[0]).all():
            advantages = np.asarray(self._call(groups, int(counts[0]), None, None))
            return advantages.astype(rewards.dtype).reshape(rewards.shape)
        result = np.zeros_like(groups)
        for row, (group, count) in enumerate(zip(groups, counts, strict=True)):
            key = None if key_data is None else jax.random.wrap_key_data(jnp.asarray(key_data[row]))
            valid = np.ones(group_size, bool) if masks is None else masks[row]
            if not valid.any():
                continue
            if valid.sum() < count:  # too few samples: the contract says NaN
                result[row] = np.nan
            else:
                result[row, valid] = self.of_group(group[valid], int(count), None, key)
        return result.reshape(rewards.shape)

    def of_group(self, group: Any, k: Any, where: Any, key: Any) -> Any:
        """What the function makes of one group [B]: the definition of its value."""
        given = group[None] if self.as_batch else group
        mask = where if where is None or not self.as_batch else where[None]
        result = self._call(given, k, mask, key)
        if isinstance(result, list | tuple):
            result = (
                jnp.stack([jnp.asarray(x) for x in result]) if self.traced else np.asarray(result)
            )
        return result[0] if self.as_batch else result

    def _call(self, rewards: Any, k: Any, where: Any, key: Any) -> Any:
        if not checks.is_traced(rewards):
            # A copy in NumPy's own precision: a function may write into what it is given.
            rewards = np.array(rewards, np.float64)
            if self.traced or self.container == "jax":
                rewards = jnp.asarray(rewards)
            elif self.container == "list":
                rewards = rewards.tolist()
        keywords = {} if where is None else {"where": where}
        if self.key_name is not None:
            keywords[self.key_name] = key
        # A user's function is no worse for relying on NumPy's rules.
        with (
            warnings.catch_warnings(),
            jax.numpy_dtype_promotion("standard"),
            jax.numpy_rank_promotion("allow"),
        ):
            warnings.simplefilter("ignore")
            return self.function(rewards, k, **keywords)


def _keys(key: jax.Array, leading: tuple[int, ...]) -> jax.Array:
    """A key for each group."""
    return jax.random.split(key, leading) if leading else key


def _find_out(
    function: Callable[..., Any],
    calls: list[tuple[int, int]],
    reward_type: RewardType | None,
) -> tuple[_Subject, RewardType]:
    """How a function can be called, and on which rewards, from the first call that it takes."""
    first_error: Exception | None = None
    kinds: tuple[RewardType, ...] = ("real", "binary") if reward_type is None else (reward_type,)
    for kind in kinds:
        for group_size, k in calls:
            groups = _probe_groups(group_size, kind)
            for candidate in _candidates(function):
                try:
                    expected = _rows(candidate, groups, k)
                except Exception as error:
                    first_error = first_error or error
                    continue
                return _improve(candidate, groups, k, expected), kind
    if isinstance(first_error, CannotCallError):
        raise first_error
    cause = f"{type(first_error).__name__}: {' '.join(str(first_error).split())}"
    raise CannotCallError(f"the function fails on an ordinary group: {cause}") from first_error


def _candidates(function: Callable[..., Any]) -> Iterator[_Subject]:
    """The ways in which a function might want to be called, untraced."""
    key_name, takes_where = _key_parameter(function), "where" in _parameters(function)
    containers: tuple[Container, ...] = ("numpy", "jax", "list")
    for as_batch in (False, True):
        for container in containers:
            yield _Subject(function, container, as_batch, key_name, takes_where)


def _probe_groups(group_size: int, kind: RewardType) -> np.ndarray:
    """Three ordinary groups [3, B], without ties or of both rewards."""
    if kind == "binary":
        group = (np.arange(group_size) % 2).astype(np.float64)
        return np.stack([group, group[::-1], np.roll(group, 1) * 1.0])
    return np.random.default_rng(0).normal(size=(3, group_size)) * np.array([[1.0], [3.0], [0.1]])


def _rows(subject: _Subject, groups: np.ndarray, k: int) -> np.ndarray:
    """Advantages of the groups, one call for each.

    Raises:
      CannotCallError: if they are no numbers, or of another shape.
    """
    keys = jax.random.split(jax.random.key(0), len(groups)) if subject.randomized else None
    rows = [
        np.asarray(subject.of_group(group, k, None, None if keys is None else keys[row]))
        for row, group in enumerate(groups)
    ]
    wrong = [row for row in rows if row.shape != groups[0].shape or row.dtype.kind not in "fiub"]
    if wrong:
        raise CannotCallError(
            f"the function returned {wrong[0].dtype} of shape {list(wrong[0].shape)} for rewards "
            f"of shape {list(groups[0].shape)}; it must return one advantage for each reward"
        )
    return np.stack(rows)


def _improve(subject: _Subject, groups: np.ndarray, k: int, expected: np.ndarray) -> _Subject:
    """The fastest way that gives what one call for each group gives."""
    for traced_k in (True, False):
        traced = dataclasses.replace(subject, traced=True, traced_k=traced_k)
        if _agrees(functools.partial(_compute_traced, traced), groups, k, expected, subject):
            return traced
    batched = dataclasses.replace(subject, batched=True)
    at_once = not (subject.randomized or subject.as_batch or subject.container == "list")
    if (at_once or subject.as_batch) and _agrees(
        lambda rewards, k: batched._call(rewards, k, None, None), groups, k, expected, subject
    ):
        return batched
    return subject


def _compute_traced(subject: _Subject, groups: np.ndarray, k: int) -> jax.Array:
    static = () if subject.traced_k else (1,)
    key = jax.random.key(0) if subject.randomized else None
    program = jax.jit(lambda rewards, k: subject(rewards, k, key=key), static_argnums=static)
    return program(jnp.asarray(groups), k)


def _agrees(
    compute: Callable[[np.ndarray, int], Any],
    groups: np.ndarray,
    k: int,
    expected: np.ndarray,
    subject: _Subject,
) -> bool:
    """Whether another way of computing gives the same; of random advantages, the shape."""
    try:
        found = np.asarray(compute(groups, k))
    except Exception:
        return False
    if found.shape != expected.shape:
        return False
    if subject.randomized:
        return True
    scale = np.nan_to_num(np.abs(expected), posinf=0.0).max()
    return np.allclose(found, expected, rtol=1e-4, atol=1e-5 * scale, equal_nan=True)


def _parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    try:
        return dict(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # some built-in functions have no signature
        return {}


def _key_parameter(function: Callable[..., Any]) -> str | None:
    """The name of the key: a parameter called so, or a third one that must be given."""
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
