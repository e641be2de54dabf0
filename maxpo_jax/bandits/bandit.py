"""The softmax bandit: what each arm pays, how often, and how noisily; random and hard instances."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from maxpo_jax import objectives


class Bandit(NamedTuple):
    """A bandit whose arm a pays rewards[a] with probability success_probs[a], else 0, plus noise.

    Attributes:
      rewards: [n] what each arm pays.
      success_probs: [n] how often it does, None for always.
      noise: [] standard deviation of the Gaussian noise on each reward, None for none.
    """

    rewards: jax.Array
    success_probs: jax.Array | None = None
    noise: jax.Array | None = None


class Instance(NamedTuple):
    """A bandit and the policy with which learning starts.

    Attributes:
      bandit: the bandit.
      logits: [n] logits of the first policy.
    """

    bandit: Bandit
    logits: jax.Array


def _draw_gaussian(key: jax.Array, size: int, num_actions: int | jax.Array) -> jax.Array:
    return jax.random.normal(key, (size,))


def _draw_bernoulli(key: jax.Array, size: int, num_actions: int | jax.Array) -> jax.Array:
    rewards_key, arm_key = jax.random.split(key)
    arms = jnp.arange(size)
    pays = jax.random.bernoulli(rewards_key, 0.1, (size,))
    # Where all arms are alike nothing could be learned: one of them is flipped.
    all_alike = jnp.all((pays == pays[0]) | (arms >= num_actions))
    flipped = arms == jax.random.randint(arm_key, (), 0, num_actions)
    return (pays ^ (flipped & all_alike)).astype(jnp.float32)


def _draw_exponential(key: jax.Array, size: int, num_actions: int | jax.Array) -> jax.Array:
    return jax.random.exponential(key, (size,))


def _draw_student_t(key: jax.Array, size: int, num_actions: int | jax.Array) -> jax.Array:
    return jax.random.t(key, 3.0, (size,))


REWARD_FAMILIES: dict[str, Callable[[jax.Array, int, int | jax.Array], jax.Array]] = {
    "gaussian": _draw_gaussian,
    "bernoulli": _draw_bernoulli,
    "exponential": _draw_exponential,
    "student_t": _draw_student_t,
}
"""Name -> function (key, size, num_actions) -> [size] rewards, of which the first num_actions count
and do not depend on size: standard normal; 1 with chance 0.1, else 0, and one arm flipped where all
are equal and nothing could be learned; exponential of mean 1; Student t with 3 degrees of freedom
(heavy tails)."""


def make_bandit(
    key: jax.Array,
    family: str,
    num_actions: int | jax.Array,
    *,
    noise: float = 0.0,
    size: int | None = None,
) -> Bandit:
    """Draw a bandit whose arm rewards come from a named family.

    Args:
      key: a typed random key; it is consumed.
      family: one of `REWARD_FAMILIES`. Static.
      num_actions: n; may be traced where `size` is given.
      noise: standard deviation of the noise on each reward; 0 for none. Static.
      size: length of the arrays, n by default; arms beyond n pay 0 and are there for one program to
        serve every n. The arms of a key do not depend on it. Static.

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
    size = int(num_actions) if size is None else size
    rewards = REWARD_FAMILIES[family](key, size, num_actions)
    rewards = jnp.where(jnp.arange(size) < num_actions, rewards, 0)
    return Bandit(rewards, noise=jnp.asarray(noise, rewards.dtype) if noise else None)


def _make_needle(num_actions: int) -> Instance:
    mediocre = jnp.linspace(0.0, 0.5, num_actions - 1)
    bandit = Bandit(jnp.append(mediocre, 1.0), jnp.ones(num_actions))
    return Instance(bandit, jnp.append(jnp.zeros(num_actions - 1), -3.0))


def _make_rare_success(num_actions: int) -> Instance:
    success_probs = jnp.append(jnp.full(num_actions - 1, 0.01), 0.2)
    return Instance(Bandit(jnp.ones(num_actions), success_probs), jnp.zeros(num_actions))


def _make_ladder(num_actions: int) -> Instance:
    rungs = (jnp.arange(num_actions) % 9).astype(jnp.float32)
    return Instance(Bandit(2.0 ** (rungs / 2), 2.0**-rungs), jnp.zeros(num_actions))


INSTANCES: dict[str, Callable[[int], Instance]] = {
    "needle": _make_needle,
    "rare_success": _make_rare_success,
    "ladder": _make_ladder,
}
"""Name -> function of num_actions -> hard instance. needle: one arm pays 1 and is chosen 20 times
more seldom than each of the others, which pay 0 to 0.5. rare_success: one arm succeeds with chance
0.2, the others with 0.01. ladder: rung j = a mod 9 pays 2^(j/2) with chance 2^-j, so that the best
arm for J_K has 2^j of the order of K."""

BINARY_INSTANCES = ("rare_success",)
"""The instances whose rewards are 0 or 1."""


def make_instance(name: str, num_actions: int) -> Instance:
    """One of the hard instances.

    Args:
      name: one of `INSTANCES`.
      num_actions: n, at least 2. Static.

    Returns:
      The `Instance`, in float32, with a success probability for each arm.

    Raises:
      ValueError: an unknown name, or fewer than 2 arms.

    Example:
      >>> make_instance("needle", 3).bandit.rewards.tolist()
      [0.0, 0.5, 1.0]
    """
    if name not in INSTANCES:
        raise ValueError(f"unknown instance {name!r}: choose one of {', '.join(INSTANCES)}")
    if num_actions < 2:
        raise ValueError(f"num_actions is {num_actions}; an instance has at least 2 arms")
    instance = INSTANCES[name](num_actions)
    # Weak types would make each instance a program of its own.
    return jax.tree.map(lambda leaf: jax.lax.convert_element_type(leaf, jnp.float32), instance)


def sample_rewards(key: jax.Array, bandit: Bandit, actions: jax.Array) -> jax.Array:
    r"""Rewards of the arms that were chosen, independent of each other.

    .. math:: R = r_a 1[U < p_a] + \sigma \varepsilon, \qquad U \sim U(0, 1),
       \quad \varepsilon \sim N(0, 1)

    Args:
      key: a typed random key; it is consumed where anything is random.
      bandit: the bandit.
      actions: integer actions of any shape.

    Returns:
      Rewards of the shape of `actions`.

    Example:
      >>> sure = Bandit(jnp.array([1.0, 2.0]), success_probs=jnp.array([0.0, 1.0]))
      >>> sample_rewards(jax.random.key(0), sure, jnp.array([1, 0, 1])).tolist()
      [2.0, 0.0, 2.0]
    """
    return pay(bandit, actions, draw_luck(key, bandit, actions.shape))


class Luck(NamedTuple):
    """What is random about rewards beside the arms that are chosen; None where nothing is.

    Attributes:
      success: uniform numbers in [0, 1).
      noise: standard normal numbers.
    """

    success: jax.Array | None
    noise: jax.Array | None


def draw_luck(key: jax.Array, bandit: Bandit, shape: tuple[int, ...]) -> Luck:
    """Draw what is random about rewards before it is known which arms are chosen.

    Args:
      key: a typed random key; it is consumed where anything is random.
      bandit: the bandit; the values of its arrays do not matter.
      shape: of the rewards. Static.

    Returns:
      The `Luck`, each array of the given shape.

    Example:
      >>> draw_luck(jax.random.key(0), Bandit(jnp.zeros(2)), (3,))
      Luck(success=None, noise=None)
    """
    if bandit.noise is not None and bandit.success_probs is not None:
        success_key, noise_key = jax.random.split(key)
    else:
        success_key = noise_key = key
    size, dtype = (math.prod(shape),), bandit.rewards.dtype
    success = noise = None
    # Drawn flat, and shaped afterwards: the same numbers, and compiled several times faster.
    if bandit.success_probs is not None:
        success = jax.random.uniform(success_key, size, dtype).reshape(shape)
    if bandit.noise is not None:
        noise = jax.random.normal(noise_key, size, dtype).reshape(shape)
    return Luck(success, noise)


def pay(bandit: Bandit, actions: jax.Array, luck: Luck) -> jax.Array:
    """Rewards of the arms that were chosen, given what is random about them.

    Args:
      bandit: the bandit.
      actions: integer actions of any shape.
      luck: from `draw_luck`, of the same shape.

    Returns:
      Rewards of the shape of `actions`.

    Example:
      >>> pay(Bandit(jnp.array([1.0, 2.0])), jnp.array([1, 0]), Luck(None, None)).tolist()
      [2.0, 1.0]
    """
    rewards = bandit.rewards[actions]
    if bandit.success_probs is not None and luck.success is not None:
        rewards = jnp.where(luck.success < bandit.success_probs[actions], rewards, 0)
    if bandit.noise is not None and luck.noise is not None:
        rewards = rewards + bandit.noise * luck.noise
    return rewards


def reward_distribution(bandit: Bandit, probs: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Distribution of one reward under a policy.

    Args:
      bandit: the bandit, without noise.
      probs: [n] action probabilities.

    Returns:
      (rewards [n + 1], probabilities [n + 1]); the last outcome is the reward 0 of a failure.

    Raises:
      ValueError: a noisy bandit, whose rewards are infinitely many.

    Example:
      >>> half = Bandit(jnp.array([1.0, 4.0]), success_probs=jnp.array([1.0, 0.5]))
      >>> rewards, probs = reward_distribution(half, jnp.array([0.5, 0.5]))
      >>> rewards.tolist(), probs.tolist()
      ([1.0, 4.0, 0.0], [0.5, 0.25, 0.25])
    """
    if bandit.noise is not None:
        raise ValueError("noisy rewards have no finite distribution: set noise=None")
    chance = jnp.ones_like(probs) if bandit.success_probs is None else bandit.success_probs
    failure = jnp.sum(probs * (1 - chance))
    return jnp.append(bandit.rewards, 0), jnp.append(probs * chance, failure)


def policy_value(bandit: Bandit, probs: jax.Array, k: int | jax.Array) -> jax.Array:
    r"""Exact J_K = E[max of K iid rewards] of a policy.

    Args:
      bandit: the bandit, without noise.
      probs: [n] action probabilities.
      k: K, an int or a traced scalar.

    Returns:
      [] J_K, differentiable in `probs`.

    Raises:
      ValueError: a noisy bandit.

    Example:
      >>> coin = Bandit(jnp.array([1.0]), success_probs=jnp.array([0.5]))
      >>> policy_value(coin, jnp.array([1.0]), 2).tolist()
      0.75
    """
    return objectives.max_at_k(*reward_distribution(bandit, probs), k)
