"""The ends of the range: other K, smaller and larger groups, NaN and infinite rewards."""

import dataclasses
import time

import numpy as np

from maxpo_jax.report_card import characterization, expectation, probes
from maxpo_jax.report_card.expectation import Expectation
from maxpo_jax.report_card.subject import Subject, WrongShapeError
from maxpo_jax.report_card.verdicts import Counterexample, Verdict

NAMES = ("edges", "nan", "infinity")

_LONGEST_CALL = 0.003


@dataclasses.dataclass(frozen=True)
class Edge:
    """What happens at one end of the range.

    Attributes:
      name: the end, for example "k = B".
      group_size: B there.
      k: K there.
      outcome: in words.
      consistent: False if the function answers with numbers that are wrong there.
      counterexample: of the wrong numbers.
    """

    name: str
    group_size: int
    k: int
    outcome: str
    consistent: bool
    counterexample: Counterexample | None = None


def check(subject: Subject, main: Expectation | None, group_size: int, k: int) -> list[Verdict]:
    """Verdicts edges, nan and infinity.

    An end of the range, or another size, is in order if the function refuses it (an error, or NaN
    throughout) or is unbiased there as it is at K: exactly, or up to some scale if it is so at K.
    Nothing is unbiased for K > B, so that there only a refusal is in order.

    Args:
      subject: the function under test.
      main: its expectation at (B, K), the standard for the ends; None if there is none.
      group_size: B.
      k: K.

    Returns:
      The verdicts; `edges` is None for a function that is biased at (B, K) itself.
    """
    others = [nan(subject, group_size, k), _infinity(subject, group_size, k)]
    if main is None:
        return [Verdict("edges", None, "not judged: nothing is known at K itself"), *others]

    places = {
        "k = 1": (group_size, 1),
        "k = B - 1": (group_size, group_size - 1),
        "k = B": (group_size, group_size),
        "k = B + 1": (group_size, group_size + 1),
        "B = 2": (2, 1),
    }
    larger = {f"B = {size}": (size, k) for size in (group_size + 1, 2 * group_size)}
    smaller = {f"B = {group_size - 1}": (group_size - 1, k)} if group_size > 2 else {}
    edges = [_edge(subject, main, name, *place) for name, place in (places | smaller).items()]
    pace = _seconds(subject, group_size, k)
    for name, (size, _) in larger.items():
        # A brute force grows by a factor for each further sample, and is not waited for.
        growth = _seconds(subject, group_size + 1, k) / pace
        if pace * max(1.0, growth) ** (size - group_size) > _LONGEST_CALL:
            edges.append(Edge(name, size, k, "not tried: too slow", True))
        else:
            edges.append(_edge(subject, main, name, size, k))
    sentence = "; ".join(f"{edge.name}: {edge.outcome}" for edge in edges)
    details = {edge.name: edge.outcome for edge in edges}
    holds: bool | None = all(edge.consistent for edge in edges)
    if not main.target.positive:
        holds = None
    example = next((e.counterexample for e in edges if e.counterexample), None)
    edges_verdict = Verdict(
        "edges", holds, sentence, None, None if holds is not False else example, details
    )
    return [edges_verdict, *others]


def _edge(subject: Subject, main: Expectation, name: str, group_size: int, k: int) -> Edge:
    probe = probes.plain_group(group_size, subject.reward_type)[None]
    try:
        advantages = subject.advantages(probe, k)
    except WrongShapeError as error:
        return Edge(name, group_size, k, str(error), False)
    except Exception as error:
        return Edge(name, group_size, k, f"refused ({type(error).__name__})", True)
    if not np.isfinite(advantages).any():
        return Edge(name, group_size, k, "not finite", True)
    if k > group_size:
        outcome = "all zero" if not advantages.any() else "answered, where nothing is unbiased"
        return Edge(name, group_size, k, outcome, False)
    draws = expectation.FEW_DRAWS
    lines = characterization.lines(subject, group_size, k, draws=draws, few=True)
    found = expectation.target(lines, k)
    consistent = found.unbiased or (found.positive and not main.unbiased)
    if found.unbiased:
        outcome = "unbiased"
    elif found.exact:
        outcome = f"{found.scale:.4g} grad J_{k}"
    elif not np.any(np.abs(advantages) > 1e-12):
        outcome = "all zero"
    else:
        outcome = f"biased (best scale {found.scale:.4g}, residual {found.residual:.3g})"
    example = None
    if not consistent:
        example = _smallest_failure(subject, name, group_size, k)
        example = example or characterization.counterexample(lines, 1.0)
    return Edge(name, group_size, k, outcome, consistent, example)


def _seconds(subject: Subject, group_size: int, k: int) -> float:
    """Time of one call, the best of three; of nothing where groups are computed together."""
    if subject.batching != "loop":
        return 1e-9
    probe, times = probes.plain_group(group_size, subject.reward_type), []
    for _ in range(3):
        start = time.perf_counter()
        subject.raises(probe, k)
        times.append(time.perf_counter() - start)
    return max(min(times), 1e-4)


def _smallest_failure(
    subject: Subject, name: str, group_size: int, k: int
) -> Counterexample | None:
    """At k = 1 any group shows it, and the smallest is looked for; else B and K go together."""
    for size in range(2 if name == "k = 1" else group_size, group_size + 1):
        try:
            example = expectation.simplest_failure(subject, size, k, None)
        except Exception:  # refused at this size
            continue
        if example is not None:
            return example
    return None


def nan(subject: Subject, group_size: int, k: int) -> Verdict:
    """The verdict nan at one group size."""
    group = probes.plain_group(group_size, subject.reward_type)
    for place in (0, group_size - 1, int(np.argmax(group))):
        rewards = group.copy()
        rewards[place] = np.nan
        raised = subject.raises(rewards, k) if subject.batching == "loop" else ""
        if raised:
            error = raised.partition(":")[0]
            return Verdict("nan", True, f"a NaN reward is refused ({error})")
        advantages = subject.advantages(np.stack([group, rewards]), k)
        if np.isfinite(advantages[1]).all():
            example = Counterexample(rewards, k, advantages[1], "NaN or an error")
            sentence = "a NaN reward goes unnoticed: finite advantages"
            return Verdict("nan", False, sentence, None, example)
        if not np.isfinite(advantages[0]).all():
            example = Counterexample(group, k, advantages[0], "finite", "beside a group with a NaN")
            sentence = "a NaN reward spoils other groups"
            return Verdict("nan", False, sentence, None, example)
    return Verdict("nan", True, "a NaN reward makes its group NaN, and no other")


def _infinity(subject: Subject, group_size: int, k: int) -> Verdict:
    outcomes = {}
    for sign, name in ((1.0, "+inf"), (-1.0, "-inf")):
        group = probes.plain_group(group_size, subject.reward_type)
        group[int(np.argmax(sign * group))] = sign * np.inf
        try:
            advantages = subject.advantages(group[None], k)[0]
        except Exception as error:
            outcomes[name] = f"refused ({type(error).__name__})"
            continue
        finite = np.isfinite(advantages)
        outcomes[name] = (
            "finite advantages"
            if finite.all()
            else "not finite for the whole group"
            if not finite.any()
            else f"not finite for {int((~finite).sum())} of {group_size} samples"
        )
    sentence = "; ".join(f"one {name}: {outcome}" for name, outcome in outcomes.items())
    return Verdict("infinity", None, sentence, None, None, outcomes)
