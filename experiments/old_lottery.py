"""Superseded by maxpo_jax.bandits.bandit; goes with the experiments that still use it.

Deterministic arms (probability 1), Bernoulli arms (prize 1) and gambles are all lotteries, and the
distribution of the reward under a policy is finite, so that J_K is exact for every K.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from maxpo_jax import objectives


class Lottery(NamedTuple):
    """A bandit whose arm a pays prizes[a] with probability success_probs[a], else 0.

    Attributes:
      prizes: [n] what each arm pays on success.
      success_probs: [n] how often it does.
    """

    prizes: jax.Array
    success_probs: jax.Array


class Instance(NamedTuple):
    """A lottery and the policy with which learning starts.

    Attributes:
      lottery: the bandit.
      logits: [n] logits of the first policy.
    """

    lottery: Lottery
    logits: jax.Array


def _needle(num_actions: int) -> Instance:
    mediocre = jnp.linspace(0.0, 0.5, num_actions - 1)
    lottery = Lottery(jnp.append(mediocre, 1.0), jnp.ones(num_actions))
    return Instance(lottery, jnp.append(jnp.zeros(num_actions - 1), -3.0))


def _rare_success(num_actions: int) -> Instance:
    success_probs = jnp.append(jnp.full(num_actions - 1, 0.01), 0.2)
    return Instance(Lottery(jnp.ones(num_actions), success_probs), jnp.zeros(num_actions))


def _ladder(num_actions: int) -> Instance:
    rungs = (jnp.arange(num_actions) % 9).astype(jnp.float32)
    return Instance(Lottery(2.0 ** (rungs / 2), 2.0**-rungs), jnp.zeros(num_actions))


INSTANCES: dict[str, Callable[[int], Instance]] = {
    "needle": _needle,
    "rare_success": _rare_success,
    "ladder": _ladder,
}
"""Name -> function of num_actions -> hard instance. needle: one arm pays 1 and is chosen 20 times
more seldom than each of the others, which pay 0 to 0.5. rare_success: one arm succeeds with chance
0.2, the others with 0.01. ladder: rung j = a mod 9 pays 2^(j/2) with chance 2^-j, so that the best
arm for J_K has 2^j of the order of K."""


def make_instance(name: str, num_actions: int) -> Instance:
    """One of the hard instances.

    Args:
      name: one of `INSTANCES`.
      num_actions: n, at least 2. Static.

    Returns:
      The `Instance`, in float32.

    Raises:
      ValueError: an unknown name, or fewer than 2 arms.

    Example:
      >>> make_instance("needle", 3).lottery.prizes.tolist()
      [0.0, 0.5, 1.0]
    """
    if name not in INSTANCES:
        raise ValueError(f"unknown instance {name!r}: choose one of {', '.join(INSTANCES)}")
    if num_actions < 2:
        raise ValueError(f"num_actions is {num_actions}; an instance has at least 2 arms")
    instance = INSTANCES[name](num_actions)
    # Weak types would make each instance a program of its own.
    return jax.tree.map(lambda leaf: jax.lax.convert_element_type(leaf, jnp.float32), instance)


def pull(key: jax.Array, lottery: Lottery, actions: jax.Array) -> jax.Array:
    """Rewards of the arms that were pulled, independent of each other.

    Args:
      key: a typed random key; it is consumed.
      lottery: the bandit.
      actions: integer actions of any shape.

    Returns:
      Rewards of the shape of `actions`.

    Example:
      >>> sure = Lottery(jnp.array([1.0, 2.0]), jnp.array([0.0, 1.0]))
      >>> pull(jax.random.key(0), sure, jnp.array([1, 0, 1])).tolist()
      [2.0, 0.0, 2.0]
    """
    uniform = jax.random.uniform(key, actions.shape, lottery.prizes.dtype)
    return jnp.where(uniform < lottery.success_probs[actions], lottery.prizes[actions], 0)


def reward_distribution(lottery: Lottery, probs: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Distribution of one reward under a policy.

    Args:
      lottery: the bandit.
      probs: [n] action probabilities.

    Returns:
      (rewards [n + 1], probabilities [n + 1]); the last outcome is the reward 0 of a failure.

    Example:
      >>> half = Lottery(jnp.array([1.0, 4.0]), jnp.array([1.0, 0.5]))
      >>> rewards, probs = reward_distribution(half, jnp.array([0.5, 0.5]))
      >>> rewards.tolist(), probs.tolist()
      ([1.0, 4.0, 0.0], [0.5, 0.25, 0.25])
    """
    success = probs * lottery.success_probs
    failure = jnp.sum(probs * (1 - lottery.success_probs))
    return jnp.append(lottery.prizes, 0), jnp.append(success, failure)


def max_at_k(lottery: Lottery, probs: jax.Array, k: int | jax.Array) -> jax.Array:
    r"""Exact J_K = E[max of K iid rewards] under a policy.

    Args:
      lottery: the bandit.
      probs: [n] action probabilities.
      k: K, an int or a traced scalar.

    Returns:
      [] J_K, differentiable in `probs`.

    Example:
      >>> coin = Lottery(jnp.array([1.0]), jnp.array([0.5]))
      >>> max_at_k(coin, jnp.array([1.0]), 2).tolist()
      0.75
    """
    return objectives.max_at_k(*reward_distribution(lottery, probs), k)
