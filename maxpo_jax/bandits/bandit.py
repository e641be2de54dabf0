"""The softmax bandit: fixed rewards of the arms, drawn once from a named family."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp


class Bandit(NamedTuple):
    """A bandit: what each arm pays, and how noisily it is observed.

    Attributes:
      rewards: [n] mean reward of each arm.
      noise: [] standard deviation of the Gaussian noise on each pull, None for none.
    """

    rewards: jax.Array
    noise: jax.Array | None = None


def _gaussian(key: jax.Array, num_actions: int) -> jax.Array:
    return jax.random.normal(key, (num_actions,))


def _bernoulli(key: jax.Array, num_actions: int) -> jax.Array:
    rewards_key, arm_key = jax.random.split(key)
    rewards = jax.random.bernoulli(rewards_key, 0.1, (num_actions,))
    flipped = jnp.arange(num_actions) == jax.random.randint(arm_key, (), 0, num_actions)
    all_equal = jnp.all(rewards == rewards[0])
    return (rewards ^ (flipped & all_equal)).astype(jnp.float32)


def _exponential(key: jax.Array, num_actions: int) -> jax.Array:
    return jax.random.exponential(key, (num_actions,))


def _student_t(key: jax.Array, num_actions: int) -> jax.Array:
    return jax.random.t(key, 3.0, (num_actions,))


REWARD_FAMILIES: dict[str, Callable[[jax.Array, int], jax.Array]] = {
    "gaussian": _gaussian,
    "bernoulli": _bernoulli,
    "exponential": _exponential,
    "student_t": _student_t,
}
"""Name -> function (key, num_actions) -> [num_actions] rewards: standard normal; 1 with chance 0.1,
else 0, and one arm flipped where all are equal and nothing could be learned; exponential of mean
1; Student t with 3 degrees of freedom (heavy tails)."""


def make_bandit(key: jax.Array, family: str, num_actions: int, *, noise: float = 0.0) -> Bandit:
    """Draw a bandit whose arm rewards come from a named family.

    Args:
      key: a typed random key; it is consumed.
      family: one of `REWARD_FAMILIES`. Static.
      num_actions: n. Static.
      noise: standard deviation of the noise on each pull; 0 for none. Static.

    Returns:
      A `Bandit` with n arms.

    Raises:
      ValueError: an unknown family.

    Example:
      >>> make_bandit(jax.random.key(0), "bernoulli", 3).rewards.shape
      (3,)
    """
    if family not in REWARD_FAMILIES:
        raise ValueError(
            f"unknown reward family {family!r}: choose one of {', '.join(REWARD_FAMILIES)}."
        )
    rewards = REWARD_FAMILIES[family](key, num_actions)
    return Bandit(rewards, jnp.asarray(noise, rewards.dtype) if noise else None)


def pull(key: jax.Array, bandit: Bandit, actions: jax.Array) -> jax.Array:
    r"""Rewards of the arms that were pulled.

    .. math:: R = r_a + \sigma \varepsilon, \qquad \varepsilon \sim N(0, 1)

    Args:
      key: a typed random key; it is consumed where there is noise.
      bandit: the bandit.
      actions: integer actions of any shape.

    Returns:
      Rewards of the shape of `actions`.

    Example:
      >>> pull(jax.random.key(0), Bandit(jnp.array([1.0, 2.0])), jnp.array([1, 0])).tolist()
      [2.0, 1.0]
    """
    if bandit.noise is None:
        return bandit.rewards[actions]
    noise = bandit.noise * jax.random.normal(key, actions.shape, bandit.rewards.dtype)
    return bandit.rewards[actions] + noise
