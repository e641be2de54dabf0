"""What may be done to the function: batching, jit, vmap, grad, masks, other dtypes, odd values."""

from collections.abc import Callable, Collection
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from maxpo_jax.report_card import probes
from maxpo_jax.report_card.subject import Subject, compiled
from maxpo_jax.report_card.verdicts import Counterexample, Verdict

NAMES = ("pure", "batched", "jit", "vmap", "no_gradient", "integer_rewards", "mask")

_TOLERANCE = 1e-6
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
        rows = np.stack([subject.one_group(row, k) for row in groups])
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
        rows = np.stack([subject.one_group(row, k) for row in groups])
        return _deterministic(subject, groups, rows, k)


def _groups(subject: Subject, group_size: int) -> np.ndarray:
    """Three different groups of small rewards, none of them symmetric."""
    plain = probes.plain_group(group_size, subject.reward_type)
    lone = np.zeros(group_size)
    lone[0] = 1.0
    return np.stack([lone, plain, 1.0 - lone if subject.reward_type == "binary" else 3.0 * plain])


def _deterministic(subject: Subject, groups: np.ndarray, rows: np.ndarray, k: int) -> Verdict:
    again = np.stack([subject.one_group(row, k) for row in groups])
    first = _first_difference(again, rows, 0.0)
    example = None
    if first is not None:
        setting = "called a second time"
        example = Counterexample(groups[first], k, again[first], rows[first], setting)
    key = " and key" if subject.randomized else ""
    good, bad = f"same rewards{key}, same advantages", "a second call gives other advantages"
    return Verdict("deterministic", example is None, bad if example else good, None, example)


def _pure(subject: Subject, groups: np.ndarray, k: int) -> Verdict:
    if subject.language != "numpy":
        return Verdict("pure", True, "JAX arrays cannot be changed in place")
    for group in groups[:, ::-1]:
        after = subject.call_in_place(group.copy(), k)
        if not np.array_equal(after, group):
            example = Counterexample(group, k, after, group, "the argument after the call")
            return Verdict("pure", False, "changes the rewards it is given", None, example)
    return Verdict("pure", True, "leaves the rewards it is given as they are")


def _batched(subject: Subject, groups: np.ndarray, rows: np.ndarray, k: int) -> Verdict:
    if subject.randomized:
        return Verdict("batched", None, "not judged: one key for a batch of groups is ambiguous")
    try:
        got = subject.one_group(groups, k)
    except Exception as error:
        sentence = f"takes one group at a time ({type(error).__name__} on [groups, B])"
        return Verdict("batched", None, sentence)
    if got.shape != groups.shape:
        sentence = f"takes one group at a time ([3, B] in, {list(got.shape)} out)"
        return Verdict("batched", None, sentence)
    example = _smallest_pair(lambda pair: subject.one_group(pair, k), groups, rows, k)
    good, bad = "[groups, B] in: each group on its own", "[groups, B] in: the groups are mixed"
    return Verdict("batched", example is None, bad if example else good, None, example)


def _jit(subject: Subject, groups: np.ndarray, rows: np.ndarray, k: int) -> Verdict:
    if subject.language != "jax":
        return Verdict("jit", None, f"not traceable ({subject.not_traceable})")

    def one_group(rewards: jax.Array, seed: jax.Array) -> jax.Array:
        key = jax.random.key(seed) if subject.randomized else None
        return jnp.asarray(subject.function(rewards, k, key, None))

    program = compiled(one_group, groups[0], np.uint32(0))
    got = np.stack([np.asarray(program(row, np.uint32(0))) for row in groups])
    first = _first_difference(got, rows, _TOLERANCE)
    if first is not None:
        example = Counterexample(groups[first], k, got[first], rows[first], "under jax.jit")
        return Verdict("jit", False, "differs under jax.jit", None, example)
    traced = "a traced k too" if _takes_traced_k(subject, groups[0], k) else "k static"
    return Verdict("jit", True, f"the same under jax.jit, {traced}", None, None, {"k": traced})


def _takes_traced_k(subject: Subject, group: np.ndarray, k: int) -> bool:
    def traced(rewards: jax.Array, k: jax.Array) -> jax.Array:
        key = jax.random.key(0) if subject.randomized else None
        return jnp.asarray(subject.function(rewards, k, key, None))

    try:
        jax.eval_shape(traced, group, jnp.int32(k))
    except Exception:
        return False
    return True


def _vmap(subject: Subject, groups: np.ndarray, rows: np.ndarray, k: int) -> Verdict:
    if subject.language != "jax":
        return Verdict("vmap", None, f"not traceable ({subject.not_traceable})")

    def one_group(rewards: jax.Array) -> jax.Array:
        key = jax.random.key(0) if subject.randomized else None
        return jnp.asarray(subject.function(rewards, k, key, None))

    try:
        program = compiled(jax.vmap(one_group), groups[:2])
        example = _smallest_pair(lambda pair: np.asarray(program(pair)), groups, rows, k)
    except Exception as error:
        return Verdict("vmap", False, f"fails under jax.vmap ({type(error).__name__})")
    good, bad = "the same under jax.vmap", "under jax.vmap a group reads its neighbors"
    return Verdict("vmap", example is None, bad if example else good, None, example)


def _no_gradient(subject: Subject, groups: np.ndarray, k: int) -> Verdict:
    if subject.language != "jax":
        return Verdict("no_gradient", None, f"not traceable ({subject.not_traceable})")

    def weighted_sum(rewards: jax.Array) -> jax.Array:
        key = jax.random.key(0) if subject.randomized else None
        advantages = jnp.asarray(subject.function(rewards, k, key, None))
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
    if not subject.takes_where:
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
                if _first_difference(got[None], right[None], _TOLERANCE) is not None:
                    setting = f"where = {mask.astype(int).tolist()}"
                    example = Counterexample(rewards, k, got, right, setting)
                    sentence = "a masked sample changes the others, or is not zero"
                    return Verdict("mask", False, sentence, None, example)
    return Verdict("mask", True, "masked samples are zero, and the others as without them")


def _with_mask(subject: Subject, k: int, *example: np.ndarray) -> Callable[..., Any]:
    """The function of (rewards, mask), compiled where it can be."""
    if subject.language == "jax":
        return compiled(lambda rewards, mask: subject.function(rewards, k, None, mask), *example)
    return lambda rewards, mask: subject.one_group(rewards, k, where=mask)


def _smallest_pair(
    function: Callable[[np.ndarray], np.ndarray], groups: np.ndarray, rows: np.ndarray, k: int
) -> Counterexample | None:
    """Two groups that change each other when computed together."""
    for one, other in ((0, 1), (1, 2)):
        pair, expected = groups[[one, other]], rows[[one, other]]
        got = function(pair)
        if _first_difference(got, expected, _TOLERANCE) is not None:
            return Counterexample(pair, k, got, expected, "two groups in one call")
    return None


def _first_difference(got: np.ndarray, expected: np.ndarray, tolerance: float) -> int | None:
    if got.shape != expected.shape:
        return 0
    close = np.isclose(got, expected, rtol=tolerance, atol=tolerance, equal_nan=True)
    failing = np.flatnonzero(~close.reshape(len(got), -1).all(axis=1))
    return int(failing[0]) if len(failing) else None
