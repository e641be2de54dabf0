"""Softmax bandits on which expectations are taken exactly, and the gradients they should equal."""

from typing import NamedTuple

import numpy as np

from maxpo_jax.bandits import exact
from maxpo_jax.estimators.wrapping import RewardType


class SmallBandit(NamedTuple):
    """A bandit small enough to enumerate.

    Attributes:
      name: for tables and plots.
      rewards: [n] reward of each action.
      probs: [n] the policy.
    """

    name: str
    rewards: tuple[float, ...]
    probs: tuple[float, ...]

    @property
    def logits(self) -> np.ndarray:
        """[n] logits of the policy."""
        return np.log(self.probs)

    @property
    def binary(self) -> bool:
        """Whether the rewards are 0/1."""
        return set(self.rewards) <= {0.0, 1.0}


SIMPLE = (
    SmallBandit("fair coin", (0.0, 1.0), (0.5, 0.5)),
    SmallBandit("loaded coin", (0.0, 1.0), (0.25, 0.75)),
    SmallBandit("ladder", (0.0, 1.0, 2.0), (0.5, 0.25, 0.25)),
)
"""In the order in which a counterexample is looked for."""

PANEL = (
    SmallBandit("rare success", (0.0, 1.0), (0.95, 0.05)),
    SmallBandit("even success", (0.0, 1.0), (0.5, 0.5)),
    SmallBandit("two right of three", (0.0, 1.0, 1.0), (0.4, 0.35, 0.25)),
    SmallBandit("mostly right", (1.0, 0.0, 1.0), (0.62, 0.15, 0.23)),
    SmallBandit("ladder", (0.0, 1.0, 2.0), (0.5, 0.25, 0.25)),
    SmallBandit("negative", (-1.3, -0.4, 0.7), (0.2, 0.5, 0.3)),
    SmallBandit("jackpot", (0.0, 0.5, 10.0), (0.55, 0.38, 0.07)),
    SmallBandit("two close", (0.0, 0.95, 1.0), (0.3, 0.45, 0.25)),
    SmallBandit("tied worst", (2.0, 0.0, 0.0), (0.12, 0.55, 0.33)),
)
"""Policies in general position: an identity that holds on them holds for (almost) all policies."""


COINS = tuple(
    SmallBandit(f"success {p}", (0.0, 1.0), (1.0 - p, p)) for p in (0.12, 0.23, 0.36, 0.71, 0.84)
)
"""More of them for estimators that take no other than 0/1 rewards."""


def panel(reward_type: RewardType) -> tuple[SmallBandit, ...]:
    """The bandits on which an estimator for such rewards is judged."""
    if reward_type == "real":
        return PANEL
    return (*(bandit for bandit in PANEL if bandit.binary), *COINS)


def simple(reward_type: RewardType) -> tuple[SmallBandit, ...]:
    """The bandits among which the smallest counterexample is looked for."""
    return tuple(bandit for bandit in SIMPLE if bandit.binary or reward_type == "real")


def gradients(bandits: tuple[SmallBandit, ...], k: int) -> list[np.ndarray]:
    """The exact gradient of J_k on each bandit."""
    return [exact.gradient(bandit.logits, np.array(bandit.rewards), k) for bandit in bandits]
