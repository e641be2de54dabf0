"""The nearest relative among the registered estimators, by what the function does to rewards."""

import functools
from collections.abc import Collection
from typing import NamedTuple

import numpy as np

from maxpo_jax import estimators
from maxpo_jax.estimators.wrapping import RewardType
from maxpo_jax.report_card.subject import Subject, registered
from maxpo_jax.report_card.verdicts import Verdict

TOLERANCE = 1e-6
_GROUPS, _VALUES = 24, 4
_FIRST = ("maxpo", "ei", "rloo", "reinforce")


class Relation(NamedTuple):
    """How a function is related to a registered estimator E.

    Attributes:
      kind: "equal" (A = E), "multiple" (A = c E), "rescaled" (A = E times a positive number of each
        batch), or "baseline" (A = c E + a function of the other rewards).
      name: of E.
      scale: c, or nan for "rescaled".
    """

    kind: str
    name: str
    scale: float

    @property
    def sentence(self) -> str:
        """The relation in words."""
        multiple = (
            self.name if abs(self.scale - 1.0) < TOLERANCE else f"{self.scale:.6g} {self.name}"
        )
        return {
            "equal": f"equals {self.name}",
            "multiple": f"is {multiple}",
            "rescaled": f"is {self.name} times a positive number of each batch",
            "baseline": f"is {multiple} plus a function of the other rewards",
        }[self.kind]


_CLOSEST_FIRST = ("equal", "multiple", "rescaled", "baseline")


def check(subject: Subject, group_size: int, k: int, *, holding: Collection[str]) -> list[Verdict]:
    """The fact `relative`: which registered estimator the function is, or is nearest to.

    Args:
      subject: the function under test.
      group_size: B.
      k: K.
      holding: names of the properties that hold for it; see `relations`.

    Returns:
      One verdict without a yes or no.
    """
    if subject.randomized:
        return [Verdict("relative", None, "not judged: randomized")]
    found = relations(subject, group_size, k, holding=holding)
    if not found:
        return [Verdict("relative", None, "like no registered estimator")]
    closest = min(found, key=lambda relation: _CLOSEST_FIRST.index(relation.kind))
    same = [r.name for r in found if r.kind == closest.kind == "equal" and r.name != closest.name]
    sentence = closest.sentence + (f" (and {', '.join(same)})" if same else "")
    details = {"relations": [relation._asdict() for relation in found]}
    return [Verdict("relative", None, sentence, None, None, details)]


def relations(
    subject: Subject, group_size: int, k: int, *, holding: Collection[str]
) -> list[Relation]:
    """All relations to registered estimators that are defined for this B, K and reward type.

    Only what is as centered as the function can be equal to it but for a factor, so that few of
    the registered ones have to be computed; and a baseline in common is looked for with those
    of `_FIRST` alone, and in functions that do not depend on the order of the samples.
    """
    own = subject.advantages(_groups(group_size, subject.reward_type), k)
    found = []
    originals = [name for name in estimators.names() if estimators.get(name).alias_of is None]
    for name in sorted(originals, key=lambda name: name not in _FIRST):
        if name == subject.name or not (
            name in _FIRST or estimators.get(name).centered == ("centered" in holding)
        ):
            continue
        theirs = _advantages(name, group_size, k, subject.reward_type)
        if theirs is not None:
            symmetric = name in _FIRST and "permutation_equivariant" in holding
            relation = _relation(own, theirs, name, symmetric)
            found += [relation] if relation is not None else []
    return found


def _relation(own: np.ndarray, theirs: np.ndarray, name: str, symmetric: bool) -> Relation | None:
    finite = np.isfinite(own).all(axis=1) & np.isfinite(theirs).all(axis=1)
    if (
        not finite.all()
        or not np.abs(own).max() > TOLERANCE
        or not np.abs(theirs).max() > TOLERANCE
    ):
        return None
    if _small(own - theirs, own):
        return Relation("equal", name, 1.0)
    scale = _slope(own, theirs)
    if _small(own - scale * theirs, own):
        return Relation("multiple", name, scale)
    scales = (own * theirs).sum(axis=1) / np.maximum((theirs**2).sum(axis=1), 1e-300)
    if (scales[np.abs(own).max(axis=1) > TOLERANCE] > 0).all() and _small(
        own - scales[:, None] * theirs, own
    ):
        return Relation("rescaled", name, float("nan"))
    if not symmetric:
        return None
    # Only the first sample's reward varies along the second axis: what it adds is its own signal.
    own_signal, their_signal = (_deviation(a[:, 0].reshape(-1, _VALUES)) for a in (own, theirs))
    if not np.abs(their_signal).max() > TOLERANCE:
        return None
    scale = _slope(own_signal, their_signal)
    if abs(scale) > TOLERANCE and _small(own_signal - scale * their_signal, own_signal):
        return Relation("baseline", name, scale)
    return None


@functools.lru_cache(maxsize=256)
def _advantages(name: str, group_size: int, k: int, reward_type: RewardType) -> np.ndarray | None:
    """Advantages of a registered estimator on the groups, or None where it is not defined."""
    entry = estimators.get(name)
    in_range = bool(entry.k_range.contains(k, group_size))
    if entry.randomized or not in_range or (entry.reward_type, reward_type) == ("binary", "real"):
        return None
    try:
        return registered(name).advantages(_groups(group_size, reward_type), k)
    except ValueError:
        return None


def _groups(group_size: int, reward_type: RewardType) -> np.ndarray:
    """[groups * values, B] rewards in which only the first sample changes along `values`."""
    rng = np.random.default_rng(5)
    levels = [0.0, 1.0] if reward_type == "binary" else [-1.0, 0.0, 0.3, 1.0, 2.5]
    groups = rng.choice(levels, size=(_GROUPS, 1, group_size)).repeat(_VALUES, axis=1)
    if reward_type == "real":
        groups[::2] = rng.normal(size=(_GROUPS // 2, 1, group_size))
        groups[:, :, 0] = rng.normal(size=(_GROUPS, _VALUES))
    else:
        groups[:, :, 0] = np.arange(_VALUES) % 2
    return groups.reshape(-1, group_size)


def _deviation(values: np.ndarray) -> np.ndarray:
    return values - values.mean(axis=1, keepdims=True)


def _slope(own: np.ndarray, theirs: np.ndarray) -> float:
    return float((own * theirs).sum() / (theirs**2).sum())


def _small(difference: np.ndarray, own: np.ndarray) -> bool:
    return bool(np.abs(difference).max() <= TOLERANCE * np.abs(own).max())
