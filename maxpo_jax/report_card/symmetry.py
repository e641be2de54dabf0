"""Properties that must hold in every single batch: centering, symmetries, ties, finite values."""

from collections.abc import Iterator

import numpy as np

from maxpo_jax.report_card import characterization, probes
from maxpo_jax.report_card.subject import Subject
from maxpo_jax.report_card.verdicts import Counterexample, Verdict, small

NAMES = (
    "finite",
    "centered",
    "permutation_equivariant",
    "shift_invariant",
    "scale_equivariant",
    "equal_on_ties",
    "zero_on_equal",
)
TOLERANCE = {"double": 1e-9, "single": 1e-5}
"""Rounding of the precision in which the function computes, for rewards of size one."""


def check(subject: Subject, group_size: int, k: int) -> list[Verdict]:
    """All verdicts of this module at one group size.

    Args:
      subject: the function under test.
      group_size: B.
      k: K.

    Returns:
      Verdicts `NAMES`. Groups with a result that is not finite count against
      `finite` (and `zero_on_equal`) alone.
    """
    groups = probes.groups(group_size, subject.reward_type)
    advantages = subject.advantages(groups, k)
    finite = np.isfinite(advantages).all(axis=1)
    verdicts = [_finite(subject, groups, advantages, k)]
    settled, values = groups[finite], advantages[finite]
    if not len(settled):
        reason = "not judged: no group gives finite advantages"
        return [*verdicts, *(Verdict(name, None, reason) for name in NAMES[1:])]
    return [
        *verdicts,
        _centered(subject, settled, values, k),
        _permutation_equivariant(subject, settled, values, k),
        _shift_invariant(subject, settled, values, k),
        _scale_equivariant(subject, settled, values, k),
        _equal_on_ties(subject, settled, values, k),
        _zero_on_equal(subject, group_size, k),
    ]


def _finite(subject: Subject, groups: np.ndarray, advantages: np.ndarray, k: int) -> Verdict:
    bad = np.flatnonzero(~np.isfinite(advantages).all(axis=1))
    if not len(bad):
        return Verdict("finite", True, f"finite on all {len(groups)} groups tried", 0.0)
    first = bad[0]
    raised = subject.raises(groups[first], k)
    example = Counterexample(groups[first], k, raised or advantages[first], "finite numbers")
    what = f"raises {raised.partition(':')[0]}" if raised else "not finite"
    sentence = f"{what} on {len(bad)} of {len(groups)} groups of finite rewards"
    return Verdict("finite", False, sentence, float(len(bad)), example)


def _centered(subject: Subject, groups: np.ndarray, advantages: np.ndarray, k: int) -> Verdict:
    sums = advantages.sum(axis=1)
    error = np.abs(sums) / _scale(groups, advantages)
    good = f"advantages sum to zero in all {len(groups)} batches"
    bad = "advantages do not sum to zero"
    first = _first_failure(subject, error)
    example = None
    if first is not None:
        example = Counterexample(
            groups[first],
            k,
            advantages[first],
            "a sum of 0",
            f"sum of the advantages {sums[first]:.6g}",
        )
    return _verdict("centered", good, bad, error, example)


def _permutation_equivariant(
    subject: Subject, groups: np.ndarray, advantages: np.ndarray, k: int
) -> Verdict:
    name = "permutation_equivariant"
    if subject.randomized:
        return Verdict(name, None, "not judged: under a given key the order may matter")
    good, bad = "reordering the samples reorders the advantages", "the order of the samples matters"
    return _compare(subject, name, good, bad, groups, advantages, k, _reordered(groups, advantages))


def _reordered(groups: np.ndarray, advantages: np.ndarray) -> Iterator[tuple]:
    for order in characterization.reorderings(groups.shape[1]):
        yield groups[:, order], advantages[:, order], "as reordered from {rewards}"


def _shift_invariant(
    subject: Subject, groups: np.ndarray, advantages: np.ndarray, k: int
) -> Verdict:
    name = "shift_invariant"
    if subject.reward_type == "binary":
        return Verdict(name, None, "not judged: shifted rewards are not 0/1")
    good = "a constant added to all rewards changes nothing"
    bad = "a constant added to all rewards changes the advantages"
    shifted = (
        (groups + c, advantages, f"as for {{rewards}}, less {c:g}") for c in (1.0, -2.5, 40.0)
    )
    return _compare(subject, name, good, bad, groups, advantages, k, shifted)


def _scale_equivariant(
    subject: Subject, groups: np.ndarray, advantages: np.ndarray, k: int
) -> Verdict:
    name = "scale_equivariant"
    if subject.reward_type == "binary":
        return Verdict(name, None, "not judged: scaled rewards are not 0/1")
    good = "rewards times c > 0 give advantages times c"
    bad = "rewards times c > 0 do not give advantages times c"
    scaled = ((c * groups, c * advantages, f"{c:g} times those of {{rewards}}") for c in (2.0, 0.3))
    return _compare(subject, name, good, bad, groups, advantages, k, scaled)


def _compare(
    subject: Subject,
    name: str,
    good: str,
    bad: str,
    groups: np.ndarray,
    advantages: np.ndarray,
    k: int,
    transformed: Iterator[tuple],
) -> Verdict:
    """Verdict on f(transformed groups) = expected, for each of several transformations."""
    largest = np.zeros(1)
    example = None
    for rewards, expected, setting in transformed:
        got = subject.advantages(rewards, k)
        error = np.abs(got - expected).max(axis=1) / _scale(rewards, expected)
        largest = np.maximum(largest, np.nanmax(error, initial=0.0))
        first = _first_failure(subject, error)
        if first is not None and example is None:
            text = setting.format(rewards="the group " + _text(groups[first]))
            example = Counterexample(rewards[first], k, got[first], expected[first], text)
    return _verdict(name, good, bad, largest, example)


def _equal_on_ties(subject: Subject, groups: np.ndarray, advantages: np.ndarray, k: int) -> Verdict:
    if subject.randomized:
        return Verdict("equal_on_ties", None, "not judged: under a given key ties may differ")
    tied = groups[:, :, None] == groups[:, None, :]
    spread = np.abs(advantages[:, :, None] - advantages[:, None, :]) * tied
    error = spread.max(axis=(1, 2)) / _scale(groups, advantages)
    first = _first_failure(subject, error)
    example = None
    if first is not None:
        example = Counterexample(groups[first], k, advantages[first], "equal where rewards are")
    good, bad = "tied rewards get equal advantages", "tied rewards get different advantages"
    return _verdict("equal_on_ties", good, bad, error, example)


def _zero_on_equal(subject: Subject, group_size: int, k: int) -> Verdict:
    values = [0.0, 1.0] if subject.reward_type == "binary" else [0.0, 1.0, 0.1, -2.0, 20.0, 1e6]
    groups = np.tile(np.array(values)[:, None], (1, group_size))
    try:
        advantages = subject.advantages(groups, k)
    except Exception as raised:  # on all of them
        text = f"{type(raised).__name__}: {raised}"
        counterexample = Counterexample(groups[0], k, text, np.zeros(group_size))
        sentence = f"raises {type(raised).__name__} on all-equal rewards"
        return Verdict("zero_on_equal", False, sentence, None, counterexample)
    error = np.nan_to_num(np.abs(advantages).max(axis=1), nan=np.inf) / _scale(groups, groups)
    first = _first_failure(subject, error)
    example = None
    if first is not None:
        got = subject.raises(groups[first], k) or advantages[first]
        example = Counterexample(groups[first], k, got, np.zeros(group_size))
    good, bad = "all-equal rewards give zero", "all-equal rewards do not give zero"
    return _verdict("zero_on_equal", good, bad, error, example)


def _verdict(
    name: str, good: str, bad: str, error: np.ndarray, example: Counterexample | None
) -> Verdict:
    largest = float(np.max(error, initial=0.0))
    sentence = f"{good if example is None else bad} (error {small(largest)})"
    return Verdict(name, example is None, sentence, largest, example)


def _first_failure(subject: Subject, error: np.ndarray) -> int | None:
    failing = np.flatnonzero(~(error <= TOLERANCE[subject.precision]))
    return int(failing[0]) if len(failing) else None


def _scale(groups: np.ndarray, advantages: np.ndarray) -> np.ndarray:
    """Size of each group: its largest advantage or reward, or 1 where all are zero."""
    size = np.maximum(np.abs(advantages).max(axis=1), np.abs(groups).max(axis=1))
    return np.where(size > 0.0, size, 1.0)


def _text(group: np.ndarray) -> str:
    return "(" + ", ".join(f"{value:g}" for value in group) + ")"
