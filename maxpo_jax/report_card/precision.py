"""Single precision against double, and time against group size, on one ladder of sizes."""

import functools
import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from maxpo_jax.report_card.subject import Subject, chunk_rows, registered
from maxpo_jax.report_card.verdicts import Counterexample, Verdict, small

NAMES = ("float32", "speed")
LARGEST_GROUP = 1024
TOLERANCE = 1e-3
"""Largest float32 error in units of the largest advantage; careful code stays below 1e-6, also for
rewards around a thousand, where plain float32 code stays below 2e-4."""

_LONGEST_STEP = 8.0
_SHORTEST_STEP = 1e-3
_SIZES = (8, 16, 64, LARGEST_GROUP)
_OFFSET = 1e3
_REPEATS = 30
_LONGEST_TIMING = 0.5


class Step(NamedTuple):
    """One step of the ladder.

    Attributes:
      group_size: B.
      k: K = B/2.
      error: float32 error in units of the group's largest advantage, the largest over groups.
      seconds: time for one group, in float32; nan if it was not asked for.
    """

    group_size: int
    k: int
    error: float
    seconds: float


def check(subject: Subject, group_size: int, k: int, *, timed: bool = True) -> list[Verdict]:
    """Verdicts float32 and, if `timed`, speed: at (B, K), and up to B = 1024 with K = B/2.

    A step that would take too long by the growth so far ends the ladder, so that an exponential
    brute force is judged on what it can do.

    Args:
      subject: the function under test.
      group_size: B.
      k: K.
      timed: whether to measure times.

    Returns:
      The verdicts; `speed` is a fact and never fails.
    """
    steps = list(ladder(subject, group_size, k, timed=timed))
    return [_float32(subject, steps), *([_speed(steps)] if timed else [])]


def ladder(subject: Subject, group_size: int, k: int, *, timed: bool) -> Iterator[Step]:
    """The steps that the function can be called at, the given (B, K) first."""
    first = _step(subject, group_size, k, timed)
    if first is not None:
        yield first
    last_size, last_elapsed, growth = 0, _SHORTEST_STEP, 1.0  # growth: for each doubling of B
    for B in _SIZES:
        doublings = float(np.log2(B / last_size)) if last_size else 1.0
        if last_elapsed * growth**doublings > _LONGEST_STEP:
            return
        step = _step(subject, B, B // 2, timed)
        elapsed = max(_elapsed(subject, B, B // 2), _SHORTEST_STEP)
        if last_size:
            growth = max(1.0, elapsed / last_elapsed) ** (1.0 / doublings)
        last_size, last_elapsed = B, elapsed
        if step is not None:
            yield step


def _elapsed(subject: Subject, group_size: int, k: int) -> float:
    """Time of what `_step` computes, compiled already; not by the clock, which others turn too."""
    start = time.process_time()
    try:
        subject.advantages(_rewards(subject, group_size)[:4], k, double=False)
    except Exception:  # refused at this size
        return 0.0
    return time.process_time() - start


def _rewards(subject: Subject, group_size: int) -> np.ndarray:
    """[groups, B] float32: 0/1 and rare, or normal ones, in the second half far from zero."""
    rng = np.random.default_rng(11)
    shape = (chunk_rows(group_size) if subject.batching != "loop" else 4, group_size)
    if subject.reward_type == "binary":
        return (rng.random(shape) < 2.0 / group_size).astype(np.float32)
    far = np.where(np.arange(shape[0]) < shape[0] // 2, 0.0, _OFFSET)
    return (rng.normal(size=shape) + far[:, None]).astype(np.float32)


def _step(subject: Subject, group_size: int, k: int, timed: bool) -> Step | None:
    """One step, or None at a size that the function refuses: none of this check's business."""
    rewards = _rewards(subject, group_size)
    try:
        single = np.asarray(subject.advantages(rewards, k, double=False), np.float64)
        double = np.asarray(subject.advantages(rewards, k), np.float64)
    except Exception:
        return None
    # Where the exact advantages cancel to nothing, what is left is rounding of the rewards' size.
    size = np.maximum(np.abs(double).max(axis=1), 1e-3 * np.abs(rewards).max(axis=1))
    error = np.abs(single - double).max(axis=1) / np.where(size > 0.0, size, 1.0)
    largest = float(np.where(np.isnan(error), np.inf, error).max())
    seconds = _seconds_per_group(subject, rewards, k) if timed else float("nan")
    return Step(group_size, k, largest, seconds)


def _seconds_per_group(subject: Subject, rewards: np.ndarray, k: int) -> float:
    """Best time of a few calls that are compiled already."""
    times = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        subject.advantages(rewards, k, double=False)
        times.append(time.perf_counter() - start)
        if sum(times) > _LONGEST_TIMING:
            break
    return min(times) / len(rewards)


@functools.lru_cache(maxsize=64)
def reference_seconds(group_size: int, k: int) -> float:
    """Time of MaxPO for one group, measured the same way (at K <= B - 1)."""
    subject, K = registered("maxpo"), min(k, group_size - 1)
    shape = (chunk_rows(group_size), group_size)
    rewards = np.random.default_rng(11).normal(size=shape).astype(np.float32)
    subject.advantages(rewards, K, double=False)
    return _seconds_per_group(subject, rewards, K)


def _float32(subject: Subject, steps: list[Step]) -> Verdict:
    if subject.randomized:
        return Verdict("float32", None, "not judged: a key draws other numbers in float64")
    if not steps:
        return Verdict("float32", None, "not judged: refused at every size")
    worst = max(steps, key=lambda step: step.error)
    first_bad = next((step for step in steps if not step.error <= TOLERANCE), None)
    details = {"steps": [step._asdict() for step in steps]}
    where = f"at B = {worst.group_size}, K = {worst.k}"
    if first_bad is None:
        sentence = f"float32 within {small(worst.error)} of its own float64 run (worst {where})"
        return Verdict("float32", True, sentence, worst.error, None, details)
    example = _smallest_group(subject, first_bad)
    sentence = f"float32 is off by {worst.error:.3g} of the largest advantage {where}"
    if not np.isfinite(first_bad.error):
        sentence = f"float32 is not finite at B = {first_bad.group_size}, K = {first_bad.k}"
    return Verdict("float32", False, sentence, worst.error, example, details)


def _smallest_group(subject: Subject, step: Step) -> Counterexample:
    """The sample that is furthest off at the first size that fails, among two plain groups."""
    B, k = step.group_size, step.k
    lone = (np.arange(B) == B - 1).astype(np.float64)
    named = {f"(0, ..., 0, 1) of B = {B}": lone}
    if subject.reward_type == "real":
        named[f"(0, 1, ..., {B - 1})"] = np.arange(B) * 1.0
        named[f"({_OFFSET:g}, {_OFFSET + 1:g}, ..., {_OFFSET + B - 1:g})"] = np.arange(B) + _OFFSET
    worst, example = -1.0, None
    for text, group in named.items():
        single, double = (
            np.asarray(subject.advantages(group[None], k, double=flag)[0], np.float64)
            for flag in (False, True)
        )
        error = np.nan_to_num(np.abs(single - double), nan=np.inf)
        i = int(np.argmax(error))
        if error[i] / (np.abs(double).max() + 1e-300) > worst:
            worst = error[i] / (np.abs(double).max() + 1e-300)
            setting = f"advantage of sample {i} in float32 against float64"
            got, expected = f"{single[i]:.9g}", f"{double[i]:.9g}"
            example = Counterexample(text, k, got, expected, setting)
    assert example is not None
    return example


def _speed(steps: list[Step]) -> Verdict:
    if not steps:
        return Verdict("speed", None, "not measured: refused at every size")
    first, rest = steps[0], steps[1:]
    ratio = first.seconds / reference_seconds(first.group_size, first.k)
    sentence = f"{_time(first.seconds)} a group at B = {first.group_size}, {ratio:.3g} x MaxPO"
    if len(rest) > 1:
        largest = rest[-1]
        theirs = reference_seconds(largest.group_size, largest.k)
        base = rest[-2]  # at small sizes the time is that of the call and not of the function
        exponent = np.log(largest.seconds / base.seconds)
        exponent /= np.log(largest.group_size / base.group_size)
        sentence += (
            f"; {_time(largest.seconds)} at B = {largest.group_size}, K = B/2 "
            f"({largest.seconds / theirs:.3g} x MaxPO), grows as B^{exponent:.1f}"
        )
        if largest.group_size < LARGEST_GROUP:
            sentence += ", and is too slow or refused beyond"
    return Verdict(
        "speed", None, sentence, ratio, None, {"steps": [step._asdict() for step in steps]}
    )


def _time(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"
