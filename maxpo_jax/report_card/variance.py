"""Exact variance beside MaxPO, EI, RLOO and the variance floor on the same bandits."""

import functools

import numpy as np

from maxpo_jax import estimators
from maxpo_jax.bandits.variance_floor import variance_floor
from maxpo_jax.estimators.wrapping import RewardType
from maxpo_jax.report_card import bandits as small_bandits
from maxpo_jax.report_card import expectation
from maxpo_jax.report_card.expectation import Expectation
from maxpo_jax.report_card.subject import registered
from maxpo_jax.report_card.verdicts import Verdict

REFERENCES = ("maxpo", "ei", "rloo")
_NO_FLOOR = 1e-12  # of the variance: the floor of two actions is 0, up to rounding


def check(
    main: Expectation | None, reward_type: RewardType, group_size: int, k: int
) -> list[Verdict]:
    """The fact `variance`: E|g - E g|^2 of the function and of three references.

    A function that is unbiased up to scale is divided by its scale first, and competes as its
    unbiased self, also with the least variance that any unbiased estimator could have there. RLOO
    estimates grad J_1, by its own K = 1.

    Args:
      main: the expectation of the function at (B, K), or None if there is none.
      reward_type: which panel of bandits it was judged on.
      group_size: B.
      k: K.

    Returns:
      One verdict without a yes or no.
    """
    if main is None:
        return [Verdict("variance", None, "not judged: too many groups to enumerate")]
    scale = main.target.scale if main.target.positive else 1.0
    own = [variance / scale**2 for variance in main.moments.variances]
    columns = {name: reference(name, reward_type, group_size, k) for name in REFERENCES}
    floors = _floors(reward_type, group_size, k)
    rows = []
    for i, bandit in enumerate(small_bandits.panel(reward_type)):  # not on what it added to them
        others = {name: column[i] for name, column in columns.items() if column is not None}
        row = {"name": bandit.name, "binary": bandit.binary, "own": own[i], "floor": floors[i]}
        rows.append(row | others)
    findings = []
    for name in ("maxpo", "ei"):
        if columns[name] is not None:
            findings.append(_against(rows, name))
    if main.target.positive:
        findings.append(_over_floor(rows))
    sentence = "; ".join(findings) or "no reference is defined at this K"
    return [Verdict("variance", None, sentence, None, None, {"scale": scale, "bandits": rows})]


@functools.lru_cache(maxsize=64)
def reference(
    name: str, reward_type: RewardType, group_size: int, k: int
) -> tuple[float, ...] | None:
    """Variances of a registered estimator on the panel, or None where it is not defined."""
    entry = estimators.get(name)
    order = 1 if entry.target == "J_1" else k
    if not entry.k_range.contains(order, group_size):
        return None
    panel = small_bandits.panel(reward_type)
    return tuple(expectation.moments(registered(name), panel, group_size, order).variances)


@functools.lru_cache(maxsize=64)
def _floors(reward_type: RewardType, group_size: int, k: int) -> tuple[float, ...]:
    """The variance floor on the panel."""
    return tuple(
        variance_floor(bandit.logits, np.array(bandit.rewards), group_size, k)
        for bandit in small_bandits.panel(reward_type)
    )


def _over_floor(rows: list[dict]) -> str:
    """How far the function is from the least variance, where that is not 0."""
    ratios = [row["own"] / row["floor"] for row in rows if row["floor"] > _NO_FLOOR * row["own"]]
    return f"{min(ratios):.3g} to {max(ratios):.3g} x the floor, which is 0 with two actions"


def _against(rows: list[dict], name: str) -> str:
    ratios = [row["own"] / row[name] for row in rows]
    if all(abs(ratio - 1.0) <= 1e-9 for ratio in ratios):
        return f"the same as {name} on every bandit"
    pairs = list(zip(rows, ratios, strict=True))
    wins = [row["name"] for row, ratio in pairs if ratio < 1.0 - 1e-9]
    losses = [row["name"] for row, ratio in pairs if ratio > 1.0 + 1e-9]
    where = f"lower on {len(wins)} of {len(rows)}"
    if wins and losses:
        fewer = ("lower only", wins) if len(wins) <= len(losses) else ("higher", losses)
        where = f"{fewer[0]} on {', '.join(fewer[1])}"
    return f"{min(ratios):.3g} to {max(ratios):.3g} x {name}, {where}"
