"""What a check says: a verdict, the number behind it, and the smallest counterexample."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Counterexample:
    """One input on which a property fails, small enough to check by hand.

    Attributes:
      rewards: the rewards of the group (of the actions, where `setting` names a policy).
      k: K.
      got: what the function gives there.
      expected: what it would give if the property held.
      setting: what else is needed to read it, for example the policy or the second group.
    """

    rewards: Any
    k: int
    got: Any
    expected: Any
    setting: str = ""

    def __str__(self) -> str:
        setting = f", {self.setting}" if self.setting else ""
        return (
            f"rewards {show(self.rewards)}, k = {self.k}{setting}: "
            f"got {show(self.got)}, expected {show(self.expected)}"
        )


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The outcome of one check.

    Attributes:
      name: the property, the word that `--claims` takes.
      holds: whether the property holds; None where it is not a yes-or-no matter for this function.
      sentence: the finding in words, with its number.
      number: the number that decides it, where there is one.
      counterexample: the smallest one found, where the property fails.
      details: further numbers, JSON-ready.
    """

    name: str
    holds: bool | None
    sentence: str
    number: float | None = None
    counterexample: Counterexample | None = None
    details: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def word(self) -> str:
        """The verdict in one word."""
        return {True: "yes", False: "NO", None: "-"}[self.holds]


def small(number: float) -> str:
    """A residual for people: rounding error is shown as such and not digit by digit.

    Example:
      >>> small(3e-16), small(0.0123456)
      ('< 1e-12', '0.0123')
    """
    return "< 1e-12" if abs(number) < 1e-12 else f"{number:.3g}"


def show(value: Any) -> str:
    """Numbers, vectors and words of a counterexample in one line.

    Example:
      >>> show(np.array([0.0, 1.0, -2 / 3])), show("an error")
      ('(0, 1, -0.666667)', 'an error')
    """
    if isinstance(value, str):
        return value
    array = np.asarray(value)
    if array.ndim == 0:
        return f"{_tidy(float(array)):.6g}"
    return "(" + ", ".join(show(entry) for entry in array) + ")"


def plain(value: Any) -> Any:
    """The value as JSON holds it: lists, strings for what JSON has no number for."""
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(entry) for entry in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    return value


def _tidy(number: float) -> float:
    """Rounding error around zero as zero."""
    return 0.0 if abs(number) < 1e-12 else number
