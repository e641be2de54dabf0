"""The report card: every check on one function, and what becomes of the claims made for it."""

import dataclasses
import textwrap
from collections.abc import Callable, Iterable
from typing import Any

from maxpo_jax.estimators.wrapping import RewardType
from maxpo_jax.report_card import (
    edges,
    expectation,
    precision,
    relatives,
    symmetry,
    transforms,
    variance,
)
from maxpo_jax.report_card.subject import Subject, from_function
from maxpo_jax.report_card.verdicts import Counterexample, Verdict, plain

CLAIMS = {
    "unbiased": "E g = grad J_K exactly, for every policy",
    "unbiased_up_to_scale": "E g = c grad J_K with one c > 0 for every policy",
    "centered": "advantages sum to zero in every batch",
    "permutation_equivariant": "reordering the samples reorders the advantages",
    "shift_invariant": "a constant added to all rewards changes nothing",
    "scale_equivariant": "rewards times c > 0 give advantages times c",
    "equal_on_ties": "tied rewards get equal advantages",
    "zero_on_equal": "all-equal rewards give zero",
    "finite": "finite rewards give finite advantages",
    "edges": "k = 1, B - 1, B, B + 1 and groups of 2, B - 1, B + 1, 2B are refused, or as unbiased",
    "nan": "a NaN reward is refused or seen in its own group, and in no other",
    "float32": "float32 agrees with its own float64 run to 1e-3 up to B = 1024",
    "integer_rewards": "integer and boolean rewards count as the same floats",
    "batched": "rewards [groups, B] are taken group by group",
    "jit": "the same under jax.jit",
    "vmap": "the same under jax.vmap",
    "no_gradient": "no gradient flows through the rewards",
    "deterministic": "same rewards (and key), same advantages",
    "pure": "leaves the rewards it is given, and global random generators, as they are",
    "mask": "samples masked by `where` are zero and change nothing",
}
"""What can be claimed, in the order of the card, and what each claim says."""

FACTS = {
    "infinity": "infinite rewards",
    "variance": "exact variance",
    "speed": "speed",
    "relative": "nearest relative",
}
"""Further lines of the card, which can be neither right nor wrong."""

LARGEST_GROUP = 128
NAME_WIDTH = 24


@dataclasses.dataclass(frozen=True)
class Card:
    """All verdicts on one function.

    Attributes:
      name: of the function.
      group_size: B.
      k: K.
      reward_type: the rewards it was judged on.
      language: how it can be called; see `Subject`.
      randomized: whether it takes a key.
      verdicts: by name, in the order of `CLAIMS` and then `FACTS`.
    """

    name: str
    group_size: int
    k: int
    reward_type: RewardType
    language: str
    randomized: bool
    verdicts: dict[str, Verdict]

    @property
    def failing(self) -> tuple[str, ...]:
        """Names of the properties that do not hold."""
        return tuple(name for name, verdict in self.verdicts.items() if verdict.holds is False)

    @property
    def heading(self) -> str:
        """The card's subject in one line."""
        rewards = "" if self.reward_type == "real" else ", 0/1 rewards"
        key = ", randomized" if self.randomized else ""
        return f"{self.name}: group size B = {self.group_size}, K = {self.k}{rewards}{key}"

    def broken(self, claims: Iterable[str]) -> list[Verdict]:
        """The verdicts of the claims that do not hold; one that could not be judged does not."""
        return [self.verdicts[claim] for claim in claims if not self.verdicts[claim].holds]

    def text(self, width: int = 100) -> str:
        """The card for a terminal.

        Args:
          width: number of columns.

        Returns:
          One paragraph for each verdict, and the counterexample under each that fails.
        """
        paragraphs = (paragraph(verdict, width) for verdict in self.verdicts.values())
        return "\n".join([self.heading, "", *paragraphs])

    def as_json(self) -> dict[str, Any]:
        """The card as JSON holds it."""
        card = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        card["verdicts"] = {
            name: {
                "holds": verdict.holds,
                "sentence": verdict.sentence,
                "number": verdict.number,
                "counterexample": verdict.counterexample
                and dataclasses.asdict(verdict.counterexample),
                "details": verdict.details,
            }
            for name, verdict in self.verdicts.items()
        }
        return plain(card)


def paragraph(verdict: Verdict, width: int = 100) -> str:
    """A verdict for a terminal, with its counterexample below it."""
    label = f"{verdict.name:<{NAME_WIDTH}}{verdict.word:<5}"
    indent = " " * len(label)
    lines = textwrap.wrap(label + verdict.sentence, width, subsequent_indent=indent)
    if verdict.counterexample is not None:
        lines += textwrap.wrap(
            f"e.g. {verdict.counterexample}",
            width,
            initial_indent=indent,
            subsequent_indent=indent,
        )
    return "\n".join(lines)


def report_card(
    function: Callable[..., Any],
    group_size: int,
    k: int,
    *,
    name: str = "",
    reward_type: RewardType | None = None,
    facts: bool = True,
) -> Card:
    """Judge any advantage estimator: exactly, without sampling noise, in seconds.

    The function is judged by how A_i changes with R_i while the other rewards stay, which decides
    what g = (K/B) sum_i A_i grad log pi(x_i) is unbiased for, by exact E g on softmax bandits, and
    by what it does to groups of small integers and others; it needs to know nothing of this
    library. What it raises on some groups is a verdict.

    Args:
      function: `f(rewards [B], k)`, or `f(rewards, k, key)`; in JAX, NumPy or plain Python, for one
        group or for batches of groups; or a registered `Estimator`.
      group_size: B, 2 <= B <= 128.
      k: K, 1 <= K <= B.
      name: what to call it on the card.
      reward_type: "real" or "binary", the rewards to judge it on; default what it accepts.
      facts: whether to measure also variance, speed and relatives.

    Returns:
      The `Card`.

    Raises:
      CannotCallError: if the function fails on an ordinary group.
      ValueError: if the sizes do not fit.

    Example:
      >>> def centered(rewards, k):
      ...     return rewards - rewards.mean(axis=-1, keepdims=True)
      >>> card = report_card(centered, 3, 1, facts=False)
      >>> card.failing
      ('unbiased', 'edges', 'no_gradient')
      >>> print(card.verdicts["unbiased"].counterexample)  # doctest: +ELLIPSIS
      rewards (0, 1), k = 1, policy (0.5, 0.5), group size 2: ... got (-0.125, 0.125), expected ...
    """
    if not 2 <= group_size <= LARGEST_GROUP or not 1 <= k <= group_size:
        raise ValueError(
            f"a card needs 2 <= group_size <= {LARGEST_GROUP} and 1 <= k <= group_size, got "
            f"group_size = {group_size} and k = {k}; nothing is unbiased for k > group_size, and "
            "larger groups take long to enumerate"
        )
    subject = from_function(function, group_size, k, name=name, reward_type=reward_type)
    same = transforms.deterministic(subject, group_size, k)
    by_name = {same.name: same} if same.holds is False else _judged(subject, group_size, k, facts)
    by_name[same.name] = same
    if same.holds is False:
        reason = "not judged: a second call gives other advantages"
        by_name = {claim: Verdict(claim, None, reason) for claim in CLAIMS} | by_name
    ordered = {n: by_name[n] for n in (*CLAIMS, *FACTS) if n in by_name}
    return Card(
        subject.name,
        group_size,
        k,
        subject.reward_type,
        subject.language,
        subject.randomized,
        ordered,
    )


def _judged(subject: Subject, group_size: int, k: int, facts: bool) -> dict[str, Verdict]:
    """All verdicts on a function that answers the same way twice."""
    main = None
    try:
        main = expectation.expectation(subject, group_size, k)
        found = expectation.verdicts(subject, main, group_size)
    except Exception as error:
        found = _not_judged(("unbiased", "unbiased_up_to_scale"), error)
    for names, check in {
        symmetry.NAMES: lambda: symmetry.check(subject, group_size, k),
        edges.NAMES: lambda: edges.check(subject, main, group_size, k),
        transforms.NAMES: lambda: transforms.check(subject, group_size, k),
    }.items():
        found += _attempt(names, check)
    by_name = {verdict.name: verdict for verdict in found}
    by_name |= _smaller_counterexamples(subject, by_name, group_size, k)
    found = _attempt(
        precision.NAMES[: 2 if facts else 1],
        lambda: precision.check(subject, group_size, k, timed=facts),
    )
    if facts:
        holding = [name for name, verdict in by_name.items() if verdict.holds]
        found += _attempt(
            ("variance",), lambda: variance.check(main, subject.reward_type, group_size, k)
        )
        found += _attempt(
            ("relative",), lambda: relatives.check(subject, group_size, k, holding=holding)
        )
    return by_name | {verdict.name: verdict for verdict in found}


def _attempt(names: tuple[str, ...], check: Callable[[], list[Verdict]]) -> list[Verdict]:
    """The verdicts of a check, or that there are none: whatever a function does gets a card."""
    try:
        return check()
    except Exception as error:
        return _not_judged(names, error)


def _not_judged(names: tuple[str, ...], error: Exception) -> list[Verdict]:
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return [Verdict(name, None, f"not judged: {text[:200]}") for name in names]


def _smaller_counterexamples(
    subject: Subject, verdicts: dict[str, Verdict], group_size: int, k: int
) -> dict[str, Verdict]:
    """The failing verdicts with the counterexample of the smallest group that shows the same."""
    failing = {name for name, verdict in verdicts.items() if verdict.counterexample is not None}
    smaller: dict[str, Counterexample] = {}
    for size in range(max(2, k + 1), min(group_size, k + 4)):
        for names, check in _PER_SIZE.items():
            wanted = (failing - smaller.keys()) & set(names)
            if not wanted:
                continue
            try:
                found = check(subject, size, k, wanted)
            except Exception:  # refused at this size
                continue
            for verdict in found:
                if verdict.counterexample is not None and verdict.name in wanted:
                    smaller[verdict.name] = verdict.counterexample
    return {
        name: dataclasses.replace(verdicts[name], counterexample=example)
        for name, example in smaller.items()
    }


_PER_SIZE: dict[tuple[str, ...], Callable[[Subject, int, int, set[str]], list[Verdict]]] = {
    ("unbiased", "unbiased_up_to_scale"): lambda subject, size, k, _: expectation.check(
        subject, size, k
    ),
    symmetry.NAMES: lambda subject, size, k, _: symmetry.check(subject, size, k),
    ("nan",): lambda subject, size, k, _: [edges.nan(subject, size, k)],
    transforms.NAMES: lambda subject, size, k, only: transforms.check(subject, size, k, only=only),
}
"""The checks that are run again on smaller groups for the sake of their counterexamples."""
