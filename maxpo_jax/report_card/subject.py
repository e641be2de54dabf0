"""The function under test: how it can be called, and its advantages on many groups at once."""

import dataclasses
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from maxpo_jax import estimators
from maxpo_jax.estimators import Estimator
from maxpo_jax.estimators.wrapping import (
    Adapter,
    Language,
    RewardType,
    Trial,
    adapt,
    agree,
    function_name,
    in_words,
)

Batching = Literal["vmap", "map", "loop"]
Precision = Literal["double", "single"]

_CHUNK_ELEMENTS = 2**12
_CHUNK_OF_A_LOOP = 16
_LONGEST_ERROR = 100


class WrongShapeError(ValueError):
    """The function under test returned something else than one advantage for each reward."""


@dataclasses.dataclass(frozen=True)
class Subject:
    """A function under test that can be called, and how.

    Attributes:
      name: what to call it.
      adapter: the function, and how it wants to be called.
      reward_type: the rewards it is judged on.
      batching: how many groups are computed at once: by `jax.vmap` where that gives the same as
        one call for each group, else by a compiled or a plain loop.
      precision: in which it computes when it is given float64, whatever it returns that in.
      programs: compiled programs by shape, dtype and K; filled in use.
    """

    name: str
    adapter: Adapter
    reward_type: RewardType
    batching: Batching = "loop"
    precision: Precision = "double"
    programs: dict[Any, Callable[..., Any]] = dataclasses.field(default_factory=dict, repr=False)

    @property
    def language(self) -> Language:
        """How it is called; see `Adapter`."""
        return self.adapter.language

    @property
    def randomized(self) -> bool:
        """Whether it takes a key."""
        return self.adapter.randomized

    def traced(
        self, rewards: jax.Array, k: Any, *, seed: Any = 0, where: jax.Array | None = None
    ) -> jax.Array:
        """Its advantages within a program, where it can be traced; arguments as in `one_group`."""
        key = jax.random.key(seed) if self.randomized else None
        return self.adapter(rewards, k, where=where, key=key)

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
        key = jax.random.key(seed) if self.randomized else None
        return np.asarray(self.adapter(rewards, k, where=where, key=key, copy=copy))

    def raises(self, rewards: np.ndarray, k: int, *, copy: bool = True) -> str:
        """What the function raises on one group, or "" if it answers; `copy` as in `one_group`."""
        with jax.enable_x64(True):
            try:
                self.one_group(rewards, k, copy=copy)
            except Exception as error:
                return in_words(error)[:_LONGEST_ERROR]
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
            return jnp.asarray(self.adapter(row, k, key=key if self.randomized else None))

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
    if isinstance(function, Estimator):
        reward_type = reward_type or function.reward_type
    with jax.enable_x64(True):
        adapter, trial = adapt(function, [(group_size, k)], reward_type)
    subject = Subject(name or function_name(function), adapter, trial.reward_type)
    subject = dataclasses.replace(subject, batching=_faithful_batching(subject, trial))
    return dataclasses.replace(subject, precision=_precision(subject, trial))


def registered(name: str) -> Subject:
    """A registered estimator as a subject, taken to keep the contract of the registry."""
    entry = estimators.get(name)
    adapter = Adapter(entry, "jax", False, "key" if entry.randomized else None, True, traced_k=True)
    return Subject(name, adapter, entry.reward_type, batching="vmap")


def _precision(subject: Subject, trial: Trial) -> Precision:
    """Single if it returns single precision, holds no more, or does not see more in the rewards."""
    groups, k = trial.groups, trial.k
    if subject.reward_type == "real":
        groups = np.concatenate([groups, 0.1 + groups[:1] / 3.0])
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


def _faithful_batching(subject: Subject, trial: Trial) -> Batching:
    """The fastest way to compute many groups that gives what one call for each group gives."""
    if subject.language != "jax":
        return "loop"
    if subject.randomized:
        return "vmap"
    groups = np.concatenate([trial.groups, np.ones_like(trial.groups[:1])])
    with jax.enable_x64(True):
        expected = subject.each(groups, trial.k)
        for batching in ("vmap", "map"):
            candidate = dataclasses.replace(subject, batching=batching, programs={})
            try:
                got = candidate.advantages(groups, trial.k)
            except Exception:
                continue
            if agree(got, expected):
                subject.programs.update(candidate.programs)
                return batching
    return "loop"
