"""What may be done to the function: batching, jit, vmap, grad, masks, other dtypes, odd values."""

import contextlib
import random
from collections.abc import Callable, Collection, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from maxpo_jax.report_card import probes
from maxpo_jax.report_card.subject import Subject, compiled
from maxpo_jax.report_card.verdicts import Counterexample, Verdict

NAMES = ("pure", "batched", "jit", "vmap", "no_gradient", "integer_rewards", "mask")

_TOLERANCE = {"double": 1e-6, "single": 1e-5}
_INTEGER_TOLERANCE = 1e-5


def check(
    subject: Subject, group_size: int, k: int, *, only: Collection[str] | None = None
) -> list[Verdict]:
    """Verdicts of this module at one group size.

    Args:
      subject: the function under test.
      group_size: B.
      k: K.
      only: names of the verdicts that are wanted; default all.

    Returns:
      Verdicts `NAMES`.
    """
    groups = _groups(subject, group_size)
    with jax.enable_x64(True):
        rows = subject.each(groups, k)
        checks: dict[str, Callable[[], Verdict]] = {
            "pure": lambda: _pure(subject, groups, k),
            "batched": lambda: _batched(subject, groups, rows, k),
            "jit": lambda: _jit(subject, groups, rows, k),
            "vmap": lambda: _vmap(subject, groups, rows, k),
            "no_gradient": lambda: _no_gradient(subject, groups, k),
            "integer_rewards": lambda: _integer_rewards(subject, group_size, k),
            "mask": lambda: _mask(subject, groups, rows, k),
        }
        return [run() for name, run in checks.items() if only is None or name in only]


def deterministic(subject: Subject, group_size: int, k: int) -> Verdict:
    """The verdict that all others rest on: whether a second call gives the same."""
    groups = _groups(subject, group_size)
    with jax.enable_x64(True):
        rows = subject.each(groups, k)
        return _deterministic(subject, groups, rows, k)


def _groups(subject: Subject, group_size: int) -> np.ndarray:
    """Three different groups of small rewards, none of them symmetric."""
    plain = probes.plain_group(group_size, subject.reward_type)
    lone = np.zeros(group_size)
    lone[0] = 1.0
    return np.stack([lone, plain, 1.0 - lone if subject.reward_type == "binary" else 3.0 * plain])


def _deterministic(subject: Subject, groups: np.ndarray, rows: np.ndarray, k: int) -> Verdict:
    again = subject.each(groups, k)
    first = _first_difference(again, rows, 0.0)
    example = None
    if first is not None:
        setting = "called a second time"
        example = Counterexample(groups[first], k, again[first], rows[first], setting)
    key = " and key" if subject.randomized else ""
    good, bad = f"same rewards{key}, same advantages", "a second call gives other advantages"
    return Verdict("deterministic", example is None, bad if example else good, None, example)


def _pure(subject: Subject, groups: np.ndarray, k: int) -> Verdict:
    with _generators_kept():
        before = _generators()
        subject.raises(groups[1], k)
        if _generators() != before:
            example = Counterexample(groups[1], k, "another state", "the state as it was")
            sentence = "changes the state of a global random generator"
            return Verdict("pure", False, sentence, None, example)
    if subject.language != "numpy":
        return Verdict("pure", True, "JAX arrays cannot be changed in place")
    for dtype in (np.float64, np.float32):
        for group in groups[:, ::-1].astype(dtype):
            given = group.copy()
            subject.raises(given, k, copy=False)
            if not np.array_equal(given, group):
                setting = f"the argument after the call ({np.dtype(dtype).name})"
                example = Counterexample(group, k, given, group, setting)
                return Verdict("pure", False, "changes the rewards it is given", None, example)
    return Verdict("pure", True, "leaves the rewards it is given as they are")


@contextlib.contextmanager
def _generators_kept() -> Iterator[None]:
    """Python's and NumPy's global generators in an odd state, and as they were afterwards."""
    ours, theirs = random.getstate(), np.random.get_state()
    random.seed(20_011)
    np.random.seed(20_011)
    try:
        yield
    finally:
        random.setstate(ours)
        np.random.set_state(theirs)


def _generators() -> str:
    """The states of the global generators."""
    return f"{random.getstate()} {[np.asarray(x).tolist() for x in np.random.get_state()]}"


def _batched(subject: Subject, groups: np.ndarray, rows: np.ndarray, k: int) -> Verdict:
    if subject.randomized:
        return Verdict("batched", None, "not judged: one key for a batch of groups is ambiguous")
    # One more group than samples: a square would hide what takes one axis for the other.
    many = np.resize(np.arange(len(groups)), groups.shape[1] + 1)
    tolerance = _TOLERANCE[subject.precision]
    try:
        got = subject.one_group(groups[many], k)
    except Exception as error:
        sentence = f"takes one group at a time ({type(error).__name__} on [groups, B])"
        return Verdict("batched", None, sentence)
    if got.shape != groups[many].shape:
        sentence = (
            f"takes one group at a time ({list(groups[many].shape)} in, {list(got.shape)} out)"
        )
        return Verdict("batched", None, sentence)
    example = _smallest_batch(
        lambda batch: subject.one_group(batch, k), groups, rows, k, (2, 3, len(many)), tolerance
    )
    if example is not None:
        sentence = "[groups, B] in: the groups are mixed"
        return Verdict("batched", False, sentence, None, example)
    good = "[groups, B] in: each group on its own"
    pairs = np.array([[0, 1], [1, 2], [2, 0]])
    try:
        got = subject.one_group(groups[pairs], k)
    except Exception as error:
        sentence = f"{good}; refuses two leading axes ({type(error).__name__})"
        return Verdict("batched", True, sentence)
    expected = rows[pairs]
    if got.shape != expected.shape or not _close(got, expected, tolerance):
        example = Counterexample(groups[pairs], k, got, expected, "two leading axes")
        return Verdict("batched", False, "wrong for two leading axes", None, example)
    only = "takes batches alone, " if subject.adapter.as_batch else ""
    return Verdict("batched", True, only + good)


def _jit(subject: Subject, groups: np.ndarray, rows: np.ndarray, k: int) -> Verdict:
    if subject.language != "jax":
        return Verdict("jit", None, f"not traceable ({subject.adapter.not_traceable})")

    def one_group(rewards: jax.Array, seed: jax.Array) -> jax.Array:
        return subject.traced(rewards, k, seed=seed)

    program = compiled(one_group, groups[0], np.uint32(0))
    got = np.stack([np.asarray(program(row, np.uint32(0))) for row in groups])
    first = _first_difference(got, rows, _TOLERANCE[subject.precision])
    if first is not None:
        example = Counterexample(groups[first], k, got[first], rows[first], "under jax.jit")
        return Verdict("jit", False, "differs under jax.jit", None, example)
    traced = "a traced k too" if subject.adapter.traced_k else "k static"
    return Verdict("jit", True, f"the same under jax.jit, {traced}", None, None, {"k": traced})


def _vmap(subject: Subject, groups: np.ndarray, rows: np.ndarray, k: int) -> Verdict:
    if subject.language != "jax":
        return Verdict("vmap", None, f"not traceable ({subject.adapter.not_traceable})")

    def one_group(rewards: jax.Array) -> jax.Array:
        return subject.traced(rewards, k)

    def together(batch: np.ndarray) -> np.ndarray:
        return np.asarray(compiled(jax.vmap(one_group), batch)(batch))

    tolerance = _TOLERANCE[subject.precision]
    try:
        example = None
        if not _close(together(groups), rows, tolerance):
            sizes = (2, len(groups))
            example = _smallest_batch(together, groups, rows, k, sizes, tolerance)
    except Exception as error:
        return Verdict("vmap", False, f"fails under jax.vmap ({type(error).__name__})")
    good, bad = "the same under jax.vmap", "under jax.vmap a group reads its neighbors"
    return Verdict("vmap", example is None, bad if example else good, None, example)


def _no_gradient(subject: Subject, groups: np.ndarray, k: int) -> Verdict:
    if subject.language != "jax":
        return Verdict("no_gradient", None, f"not traceable ({subject.adapter.not_traceable})")

    def weighted_sum(rewards: jax.Array) -> jax.Array:
        advantages = subject.traced(rewards, k)
        return jnp.sum(advantages * jnp.arange(1.0, len(rewards) + 1.0, dtype=advantages.dtype))

    try:
        gradients = np.asarray(compiled(jax.vmap(jax.grad(weighted_sum)), groups)(groups))
    except Exception as error:
        return Verdict("no_gradient", None, f"cannot be differentiated ({type(error).__name__})")
    leaking = np.flatnonzero(~(gradients == 0.0).all(axis=1))
    if not len(leaking):
        return Verdict("no_gradient", True, "no gradient flows through the rewards", 0.0)
    largest = float(np.nan_to_num(np.abs(gradients), nan=np.inf).max())
    first = leaking[0]
    setting = "gradient of sum_i i A_i in the rewards"
    zeros = np.zeros(groups.shape[1])
    example = Counterexample(groups[first], k, gradients[first], zeros, setting)
    sentence = f"a gradient flows through the rewards (up to {largest:.3g}): stop_gradient them"
    return Verdict("no_gradient", False, sentence, largest, example)


def _integer_rewards(subject: Subject, group_size: int, k: int) -> Verdict:
    levels = 2 if subject.reward_type == "binary" else 3
    groups = probes.integer_groups(group_size, levels)
    lone = np.eye(group_size)[-1]
    fallbacks = [lone, groups[len(groups) // 2], groups[-2]]
    with jax.enable_x64(False):
        for group in fallbacks:
            expected = subject.one_group(group.astype(np.float32), k)
            dtypes = (np.int32, np.bool_) if group.max() <= 1 else (np.int32,)
            for dtype in dtypes:
                try:
                    got = subject.one_group(group.astype(dtype), k)
                except Exception as error:
                    sentence = f"refuses {np.dtype(dtype).name} rewards ({type(error).__name__})"
                    return Verdict("integer_rewards", None, sentence)
                if _first_difference(got[None], expected[None], _INTEGER_TOLERANCE) is not None:
                    setting = f"rewards of dtype {np.dtype(dtype).name}"
                    example = Counterexample(group, k, got, expected, setting)
                    sentence = "integer rewards give other advantages than the same floats"
                    return Verdict("integer_rewards", False, sentence, None, example)
    return Verdict("integer_rewards", True, "integers and booleans count as the same floats")


def _mask(subject: Subject, groups: np.ndarray, rows: np.ndarray, k: int) -> Verdict:
    if not subject.adapter.takes_where:
        return Verdict("mask", None, "takes no mask `where`")
    if subject.randomized:
        return Verdict("mask", None, "not judged: a key draws other numbers for another shape")
    where = np.append(np.ones(groups.shape[1], bool), False)
    masked = _with_mask(subject, k, np.append(groups[0], 0.0), where)
    for junk in (0.0, 1.0):
        for group, row in zip(groups, rows, strict=True):
            padded, expected = np.append(group, junk), np.append(row, 0.0)
            for shift in (0, 2):
                rewards, mask = np.roll(padded, shift), np.roll(where, shift)
                got = np.asarray(masked(rewards, mask))
                right = np.roll(expected, shift)
                if (
                    _first_difference(got[None], right[None], _TOLERANCE[subject.precision])
                    is not None
                ):
                    setting = f"where = {mask.astype(int).tolist()}"
                    example = Counterexample(rewards, k, got, right, setting)
                    sentence = "a masked sample changes the others, or is not zero"
                    return Verdict("mask", False, sentence, None, example)
    return Verdict("mask", True, "masked samples are zero, and the others as without them")


def _with_mask(subject: Subject, k: int, *example: np.ndarray) -> Callable[..., Any]:
    """The function of (rewards, mask), compiled where it can be."""
    if subject.language == "jax":
        return compiled(lambda rewards, mask: subject.traced(rewards, k, where=mask), *example)
    return lambda rewards, mask: subject.one_group(rewards, k, where=mask)


def _smallest_batch(
    function: Callable[[np.ndarray], np.ndarray],
    groups: np.ndarray,
    rows: np.ndarray,
    k: int,
    sizes: tuple[int, ...],
    tolerance: float,
) -> Counterexample | None:
    """The smallest number of groups, of those to try, that change each other in one call."""
    for size in sizes:
        for start in range(2 if size < len(groups) else 1):
            chosen = np.resize(np.roll(np.arange(len(groups)), -start), size)
            got, expected = function(groups[chosen]), rows[chosen]
            if got.shape != expected.shape or not _close(got, expected, tolerance):
                setting = f"{size} groups in one call"
                return Counterexample(groups[chosen], k, got, expected, setting)
    return None


def _close(got: np.ndarray, expected: np.ndarray, tolerance: float) -> bool:
    return bool(np.allclose(got, expected, rtol=tolerance, atol=tolerance, equal_nan=True))


def _first_difference(got: np.ndarray, expected: np.ndarray, tolerance: float) -> int | None:
    if got.shape != expected.shape:
        return 0
    close = [_close(one, other, tolerance) for one, other in zip(got, expected, strict=True)]
    return close.index(False) if False in close else None
