"""The function under test: how it can be called, and its advantages on many groups at once."""

import dataclasses
import inspect
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from maxpo_jax import estimators
from maxpo_jax.estimators import Estimator

Key = jax.Array
Language = Literal["jax", "numpy", "eager jax"]
RewardType = Literal["real", "binary"]
Batching = Literal["vmap", "map", "loop"]
Precision = Literal["double", "single"]

_CHUNK_ELEMENTS = 2**12
_CHUNK_OF_A_LOOP = 16


class CannotCallError(ValueError):
    """The function under test fails on the first ordinary group; `__cause__` is its own error."""


class FunctionExitError(RuntimeError):
    """The function under test tried to end the whole program."""


class WrongShapeError(ValueError):
    """The function under test returned something else than one advantage for each reward."""


@dataclasses.dataclass(frozen=True)
class Subject:
    """A function under test that can be called, and how.

    Attributes:
      name: what to call it.
      function: `(rewards [B], k, key, where) -> advantages [B]`; ignores what it does not take.
      language: "jax" if it can be traced, "numpy" if it needs NumPy arrays, "eager jax" if it needs
        JAX arrays but cannot be traced.
      not_traceable: why it cannot be traced, or "".
      randomized: whether it takes a key.
      takes_where: whether it takes a mask `where`.
      reward_type: the rewards it is judged on.
      batching: how many groups are computed at once: by `jax.vmap` where that gives the same as
        one call for each group, else by a compiled or a plain loop.
      precision: in which it computes when it is given float64, whatever it returns that in.
      batches_only: whether it takes [groups, B] and not [B].
      programs: compiled programs by shape, dtype and K; filled in use.
    """

    name: str
    function: Callable[..., Any]
    language: Language
    not_traceable: str
    randomized: bool
    takes_where: bool
    reward_type: RewardType
    batching: Batching = "loop"
    precision: Precision = "double"
    batches_only: bool = False
    programs: dict[Any, Callable[..., Any]] = dataclasses.field(default_factory=dict, repr=False)

    def one_group(
        self,
        rewards: Any,
        k: int,
        *,
        seed: int = 0,
        where: np.ndarray | None = None,
        copy: bool = True,
    ) -> np.ndarray:
        """The function called as it is, once: the definition of what it computes.

        Args:
          rewards: rewards of any shape the function takes, NumPy.
          k: K.
          seed: of the key, where the function takes one.
          where: a mask, where the function takes one.
          copy: whether a NumPy function gets a copy of the rewards.

        Returns:
          What it returns, as a NumPy array.
        """
        if self.language == "numpy":
            given = rewards.copy() if copy else rewards
        else:
            given = jnp.asarray(rewards)
        key = jax.random.key(seed) if self.randomized else None
        mask = where if where is None or self.language == "numpy" else jnp.asarray(where)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return np.asarray(self.function(given, k, key, mask))

    def raises(self, rewards: np.ndarray, k: int, *, copy: bool = True) -> str:
        """What the function raises on one group, or "" if it answers; `copy` as in `one_group`."""
        with jax.enable_x64(True):
            try:
                self.one_group(rewards, k, copy=copy)
            except Exception as error:
                return _in_words(error)
        return ""

    def each(self, rewards: np.ndarray, k: int, *, seeds: Sequence[int] = ()) -> np.ndarray:
        """`one_group` on each group; NaN where it raises, unless it always does.

        Args:
          rewards: [groups, B].
          k: K.
          seeds: of the keys, where the function takes one; default the same for all.

        Returns:
          [groups, B] NumPy.
        """
        found: list[np.ndarray | Exception] = []
        for row, seed in zip(rewards, seeds or [0] * len(rewards), strict=True):
            try:
                result = self.one_group(row, k, seed=seed)
                if result.shape != row.shape:
                    raise WrongShapeError(f"returns shape {list(result.shape)}")
                found.append(result)
            except Exception as error:
                found.append(error)
        answers = [result for result in found if not isinstance(result, Exception)]
        if not answers and isinstance(found[0], Exception):
            raise found[0]
        missing = np.full_like(answers[0], np.nan, dtype=np.result_type(answers[0], np.float32))
        return np.stack([missing if isinstance(result, Exception) else result for result in found])

    def advantages(
        self, rewards: np.ndarray, k: int, *, seed: int = 0, double: bool = True
    ) -> np.ndarray:
        """Advantages of many groups, each computed on its own.

        Args:
          rewards: [groups, B].
          k: K.
          seed: of the keys, where the function takes one: one key for each group.
          double: whether to compute in float64; else in float32.

        Returns:
          [groups, B] NumPy, in the dtype that the function returns; NaN for groups on which it
          raises, unless it does on all of them.
        """
        dtype = np.float64 if double else np.float32
        rewards = np.asarray(rewards, dtype)
        with jax.enable_x64(double):
            if self.batching != "loop":
                try:
                    return self._compiled(rewards, k, seed)
                except Exception:  # on some group of the chunk, or on all: each for itself
                    pass
            return self.each(rewards, k, seeds=range(seed, seed + len(rewards)))

    def _compiled(self, rewards: np.ndarray, k: int, seed: int) -> np.ndarray:
        """`advantages` through one compiled program, a chunk of fixed shape at a time."""
        rows = self._chunk(rewards.shape[1])
        program = self.program(rewards.shape[1], k, rewards.dtype)
        chunks = []
        for start in range(0, len(rewards), rows):
            chunk = rewards[start : start + rows]
            filled = np.concatenate([chunk, np.repeat(chunk[:1], rows - len(chunk), axis=0)])
            chunks.append(np.asarray(program(filled, seed + start))[: len(chunk)])
        return np.concatenate(chunks)

    def _chunk(self, group_size: int) -> int:
        """Groups in one call: few, where each costs its own time."""
        rows = chunk_rows(group_size)
        return rows if self.batching == "vmap" else min(rows, _CHUNK_OF_A_LOOP)

    def program(self, group_size: int, k: int, dtype: Any) -> Callable[..., Any]:
        """The compiled `(rewards [rows, B], seed) -> advantages [rows, B]`; JAX functions only."""
        name = (group_size, k, np.dtype(dtype).name)
        if name not in self.programs:
            self.programs[name] = self._compile(group_size, k, np.dtype(dtype))
        return self.programs[name]

    def _compile(self, group_size: int, k: int, dtype: np.dtype) -> Callable[..., Any]:
        def one_group(row_and_key: tuple[jax.Array, jax.Array]) -> jax.Array:
            row, key = row_and_key
            return jnp.asarray(self.function(row, k, key if self.randomized else None, None))

        def all_groups(rewards: jax.Array, seed: jax.Array) -> jax.Array:
            groups = rewards, jax.random.split(jax.random.key(seed), len(rewards))
            if self.batching == "map":
                return jax.lax.map(one_group, groups)
            return jax.vmap(one_group)(groups)

        shape = (self._chunk(group_size), group_size)
        program = compiled(all_groups, np.zeros(shape, dtype), np.uint32(0))

        def quietly(rewards: np.ndarray, seed: int) -> Any:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return program(rewards, np.uint32(seed))

        return quietly


def compiled(function: Callable[..., Any], *arguments: Any) -> Callable[..., Any]:
    """The function compiled for such arguments: in double precision, where nothing is timed, fast.

    Without the optimizer of the backend a program is compiled in half the time.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lowered = jax.jit(function).lower(*arguments)
        double = any(getattr(argument, "dtype", None) == np.float64 for argument in arguments)
        options: dict[str, str | bool] = {"xla_backend_optimization_level": "0"} if double else {}
        return lowered.compile(compiler_options=options)


def chunk_rows(group_size: int) -> int:
    """Groups in one compiled call: fixed by B, so that each B is compiled once."""
    return int(np.clip(_CHUNK_ELEMENTS // group_size, 4, 256))


def from_function(
    function: Callable[..., Any],
    group_size: int,
    k: int,
    *,
    name: str = "",
    reward_type: RewardType | None = None,
) -> Subject:
    """Find out how a function wants to be called.

    Args:
      function: any `f(rewards, k)`, with a key as third argument if it is randomized; a registered
        `Estimator` too.
      group_size: B of the first call.
      k: K of the first call.
      name: what to call it; default its own name.
      reward_type: rewards to judge it on; default "binary" if it refuses other than 0/1 rewards.

    Returns:
      The `Subject`.

    Raises:
      CannotCallError: if it fails on an ordinary group, or returns another shape than [B].

    Example:
      >>> subject = from_function(lambda rewards, k: rewards - rewards.mean(), 3, 1)
      >>> subject.language, subject.advantages(np.array([[0.0, 1.0, 5.0]]), 1).tolist()
      ('jax', [[-2.0, -1.0, 3.0]])
    """
    adapted, randomized, takes_where = _adapt(function)
    name = name or _name(function)
    batched = _one_group_as_batch(adapted)
    real = np.random.default_rng(0).normal(size=group_size)
    binary = (np.arange(group_size) % 2).astype(np.float64)
    if isinstance(function, Estimator):
        reward_type = reward_type or function.reward_type
    first = binary if reward_type == "binary" else real

    def attempt(call: Callable[..., Any], rewards: np.ndarray, wanted: RewardType) -> Subject:
        language, reason = _language(call, rewards, k, randomized)
        subject = Subject(name, call, language, reason, randomized, takes_where, wanted)
        _check_first_call(subject, rewards, k)
        batching = _faithful_batching(subject, rewards, k)
        subject = dataclasses.replace(subject, batching=batching, batches_only=call is batched)
        return dataclasses.replace(subject, precision=_precision(subject, rewards, k))

    attempts: list[tuple[np.ndarray, RewardType]] = [(first, reward_type or "real")]
    attempts += [(binary, "binary")] if reward_type is None else []
    errors = []
    for rewards, wanted in attempts:
        for call in (adapted, batched):
            try:
                return attempt(call, rewards, wanted)
            except CannotCallError as error:
                errors.append(error)
    raise errors[0]


def registered(name: str) -> Subject:
    """A registered estimator as a subject, taken to keep the contract of the registry."""
    entry = estimators.get(name)
    adapted, randomized, takes_where = _adapt(entry)
    return Subject(
        name, adapted, "jax", "", randomized, takes_where, entry.reward_type, batching="vmap"
    )


def _adapt(function: Callable[..., Any]) -> tuple[Callable[..., Any], bool, bool]:
    """The function as `(rewards, k, key, where)`, whether it takes a key, and a mask."""
    if isinstance(function, Estimator):
        randomized, takes_where = function.randomized, True
        key_name = "key" if randomized else None
    else:
        key_name = _key_parameter(function)
        randomized, takes_where = key_name is not None, "where" in _parameters(function)

    def adapted(rewards: Any, k: Any, key: Key | None, where: Any) -> Any:
        keywords = {} if where is None else {"where": where}
        if key_name is not None:
            keywords[key_name] = key
        try:
            return function(rewards, k, **keywords)
        except (Exception, KeyboardInterrupt):
            raise
        except BaseException as error:  # `sys.exit` must not end the card
            raise FunctionExitError(_in_words(error)) from error

    return adapted, randomized, takes_where


def _one_group_as_batch(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of [groups, B] alone, made to take [B] too."""

    def adapted(rewards: Any, k: Any, key: Key | None, where: Any) -> Any:
        if rewards.ndim > 1:
            return function(rewards, k, key, where)
        result = function(rewards[None], k, key, None if where is None else where[None])
        if np.shape(result)[:1] != (1,):
            raise ValueError(f"one group in, {list(np.shape(result))} out")
        return result[0]

    return adapted


def _in_words(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:80]}" if text else type(error).__name__


def _precision(subject: Subject, rewards: np.ndarray, k: int) -> Precision:
    """Single if it returns single precision, holds no more, or does not see more in the rewards."""
    groups = np.stack([rewards, rewards[::-1], 3.0 * rewards, 0.1 + rewards / 3.0])
    if subject.reward_type == "binary":
        groups = groups[:2]
    try:
        exact = subject.advantages(groups, k)
        rounded = subject.advantages(groups.astype(np.float32), k)
    except Exception:
        return "double"
    if exact.dtype not in (np.float64, np.int64):
        return "single"
    if not np.abs(np.nan_to_num(exact)).max() > 0.0 or subject.randomized:
        return "double"
    held = np.array_equal(exact, exact.astype(np.float32), equal_nan=True)
    seen = np.array_equal(exact, rounded, equal_nan=True) and subject.reward_type == "real"
    return "single" if held or seen else "double"


def _name(function: Callable[..., Any]) -> str:
    """A registered name, or the function's own."""
    own = getattr(function, "__name__", repr(function))
    return function.name if isinstance(function, Estimator) else own


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


def _language(
    adapted: Callable[..., Any], rewards: np.ndarray, k: int, randomized: bool
) -> tuple[Language, str]:
    """What arrays the function takes, and why it cannot be traced if so."""

    def traced(rewards: jax.Array, seed: jax.Array) -> jax.Array:
        return jnp.asarray(adapted(rewards, k, jax.random.key(seed) if randomized else None, None))

    with jax.enable_x64(True), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            jax.eval_shape(traced, jnp.asarray(rewards), np.uint32(0))
            return "jax", ""
        except Exception as error:
            not_traceable = error
        reason = type(not_traceable).__name__
        key = jax.random.key(0) if randomized else None
        try:
            adapted(rewards.copy(), k, key, None)
            return "numpy", reason
        except Exception as error:
            numpy_error = error
        try:
            adapted(jnp.asarray(rewards), k, key, None)
            return "eager jax", reason
        except Exception as jax_error:
            own_fault = not isinstance(not_traceable, jax.errors.JAXTypeError)
            cause = jax_error if own_fault else numpy_error
            raise CannotCallError("the function fails on an ordinary group") from cause


def _check_first_call(subject: Subject, rewards: np.ndarray, k: int) -> None:
    with jax.enable_x64(True):
        try:
            result = subject.one_group(rewards, k)
        except Exception as error:
            raise CannotCallError("the function fails on an ordinary group") from error
    if result.shape != rewards.shape or not np.issubdtype(result.dtype, np.number):
        raise CannotCallError(
            f"the function returned {result.dtype} of shape {list(result.shape)} for rewards of "
            f"shape {list(rewards.shape)}; it must return one advantage for each reward"
        )


def _faithful_batching(subject: Subject, rewards: np.ndarray, k: int) -> Batching:
    """The fastest way to compute many groups that gives what one call for each group gives."""
    if subject.language != "jax":
        return "loop"
    groups = np.stack([rewards, rewards[::-1], np.ones_like(rewards)])
    if subject.randomized:
        return "vmap"
    with jax.enable_x64(True):
        expected = subject.each(groups, k)
    for batching in ("vmap", "map"):
        candidate = dataclasses.replace(subject, batching=batching, programs={})
        try:
            got = candidate.advantages(groups, k)
        except Exception:
            continue
        if np.allclose(got, expected, rtol=1e-6, atol=1e-6, equal_nan=True):
            subject.programs.update(candidate.programs)
            return batching
    return "loop"
