r"""The policy gradient of a group on a softmax bandit: the world to train in, and its moments.

    g = (K/B) sum_i A_i grad log pi(a_i) = (K/B) sum_i A_i (e_{a_i} - pi)

Monte Carlo moments of g stream through constant memory, for any number of estimators at once.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from maxpo_jax.bandits import policy as policies
from maxpo_jax.bandits.bandit import Bandit, Luck, draw_luck, pay, sample_rewards
from maxpo_jax.estimators import Estimator
from maxpo_jax.training import Estimate, World


class Randomness(NamedTuple):
    """What is random about a group.

    Attributes:
      actions: [group_size] independent uniform numbers in [0, 1) that choose the arms.
      luck: what is random about what they pay.
      key_data: of the random key for an estimator that is randomized, else None.
    """

    actions: jax.Array
    luck: Luck
    key_data: jax.Array | None = None


def make_world(bandit: Bandit, *, estimator: Estimator, group_size: int) -> World:
    """The bandit as a world: its parameters are the logits of the policy.

    Args:
      bandit: the bandit.
      estimator: from `maxpo_jax.estimators.get`. Static.
      group_size: B. Static.

    Returns:
      The `World`, whose `draw` gives `Randomness` with a leading axis.

    Example:
      >>> from maxpo_jax import estimators
      >>> world = make_world(
      ...     Bandit(jnp.array([0.0, 1.0])), estimator=estimators.get("maxpo"), group_size=4)
      >>> world.draw(jax.random.key(0), 2).actions.shape
      (2, 4)
    """

    def draw(key: jax.Array, n: int) -> Randomness:
        actions_key, luck_key, estimator_key = jax.random.split(key, 3)
        # Drawn flat: the same numbers as for a shape of two axes, and compiled much faster.
        actions = jax.random.uniform(actions_key, (n * group_size,), bandit.rewards.dtype)
        # Keys travel as data: the check for reused ones does not follow keys through a scan.
        keys = jax.random.split(estimator_key, n) if estimator.randomized else None
        return Randomness(
            actions.reshape(n, group_size),
            draw_luck(luck_key, bandit, (n, group_size)),
            None if keys is None else jax.random.key_data(keys),
        )

    def estimate(randomness: Randomness, logits: jax.Array, k: jax.Array) -> Estimate:
        return group_gradient(randomness, bandit, logits, k, estimator=estimator)

    return World(draw, estimate)


def group_gradient(
    randomness: Randomness,
    bandit: Bandit,
    logits: jax.Array,
    k: int | jax.Array,
    *,
    estimator: Estimator,
) -> Estimate:
    """Gradient estimate with respect to the logits of a softmax policy, from one group.

    Args:
      randomness: of the group.
      bandit: the bandit with n arms.
      logits: [n] logits of the policy.
      k: K, an int or a traced integer scalar.
      estimator: from `maxpo_jax.estimators.get`. Static.

    Returns:
      The gradient [n] and the rewards [group_size].

    Example:
      >>> from maxpo_jax import estimators
      >>> estimate = group_gradient(
      ...     Randomness(jnp.array([0.1, 0.2, 0.9]), Luck(None, None)),
      ...     Bandit(jnp.array([0.0, 1.0])), jnp.zeros(2), 2, estimator=estimators.get("maxpo"))
      >>> estimate.rewards.tolist(), estimate.gradient.tolist()
      ([0.0, 0.0, 1.0], [-0.666, 0.666])

    Unbiased for what `estimator` is unbiased for: the samples are independent.
    """
    probs = policies.probabilities(logits)
    actions = policies.choose(randomness.actions, probs)
    rewards = pay(bandit, actions, randomness.luck)
    data = randomness.key_data
    key = None if data is None else jax.random.wrap_key_data(data)
    advantages = estimator(rewards, k, key=key)
    return Estimate(gradient_estimates(advantages, actions, probs, k), rewards)


class StreamingMoments(NamedTuple):
    """Running moments of gradient estimates g, for any number of estimators at once.

    Attributes:
      num_draws: [] number of draws of g.
      mean: [..., n] mean of g.
      squared_deviation: [...] sum over draws of ||g - mean||^2.
    """

    num_draws: jax.Array
    mean: jax.Array
    squared_deviation: jax.Array

    @property
    def total_variance(self) -> jax.Array:
        """[...] trace of the sample covariance of g."""
        return self.squared_deviation / (self.num_draws - 1)


def gradient_estimates(
    advantages: jax.Array, actions: jax.Array, probs: jax.Array, k: int | jax.Array
) -> jax.Array:
    r"""Policy-gradient estimates with respect to the logits of a softmax policy.

    .. math:: g = \frac{K}{B} \sum_i A_i \nabla_\theta \log \pi_\theta(a_i)
       = \frac{K}{B} \sum_i A_i (e_{a_i} - \pi)

    Args:
      advantages: [..., B] advantages of the samples of each group.
      actions: [..., B] integer actions of the same samples.
      probs: [n] action probabilities.
      k: K, an int or a traced integer scalar.

    Returns:
      [..., n] one gradient estimate per group.

    Example:
      >>> probs = jnp.array([0.5, 0.5])
      >>> gradient_estimates(jnp.array([1.0, -1.0]), jnp.array([0, 1]), probs, k=2).tolist()
      [1.0, -1.0]
    """
    flat = advantages.reshape(-1, advantages.shape[-1])
    credit = jax.vmap(lambda a, i: jnp.zeros_like(probs).at[i].add(a))(
        flat, actions.reshape(flat.shape)
    )
    scores = credit - jnp.sum(flat, axis=-1, keepdims=True) * probs[None]
    return (_per_sample(k, advantages) * scores).reshape(*advantages.shape[:-1], -1)


def merge(first: StreamingMoments, second: StreamingMoments) -> StreamingMoments:
    """Moments of two sets of draws together (Chan, Golub and LeVeque, 1979).

    Args:
      first: moments of some draws.
      second: moments of other draws.

    Returns:
      Moments of all of them.

    Example:
      >>> one = StreamingMoments(jnp.array(1.0), jnp.array([0.0]), jnp.array(0.0))
      >>> two = StreamingMoments(jnp.array(1.0), jnp.array([2.0]), jnp.array(0.0))
      >>> merge(one, two).total_variance.tolist()
      2.0
    """
    count = first.num_draws + second.num_draws
    share = second.num_draws / count
    step = second.mean - first.mean
    between = jnp.sum(jnp.square(step), axis=-1) * (first.num_draws * share)
    return StreamingMoments(
        count,
        first.mean + share * step,
        first.squared_deviation + second.squared_deviation + between,
    )


def block_moments(
    advantages: jax.Array, actions: jax.Array, probs: jax.Array, k: jax.Array
) -> StreamingMoments:
    r"""Moments of the gradient estimates of a block of draws, without forming them.

    The squared norm of an estimate is a quadratic form in the advantages: its matrix holds the
    inner products of the scores of the samples,

    .. math:: \|g\|^2
       = \frac{K^2}{B^2} \sum_{ij} A_i A_j \langle e_{a_i} - \pi, e_{a_j} - \pi \rangle, \qquad
       \langle e_a - \pi, e_b - \pi \rangle = 1[a = b] - \pi_a - \pi_b + \|\pi\|^2,

    so that the cost of a draw does not grow with the number of actions.

    Args:
      advantages: [..., D, B] advantages in D draws, for any number of estimators.
      actions: [D, B] integer actions of the draws.
      probs: [n] action probabilities.
      k: [...] K of each estimator, an integer array.

    Returns:
      `StreamingMoments` with leading axes [...].

    Example:
      >>> probs = jnp.array([0.5, 0.5])
      >>> advantages = jnp.array([[1.0, -1.0], [3.0, 1.0]])
      >>> block_moments(advantages, jnp.array([[0, 1], [0, 0]]), probs, jnp.int32(2)).mean.tolist()
      [1.5, -1.5]
    """
    leading, draws = advantages.shape[:-2], actions.shape[0]
    flat = advantages.reshape(-1, *actions.shape)
    chosen = probs[actions]
    same = (actions[:, :, None] == actions[:, None, :]).astype(flat.dtype)
    scores = same - chosen[:, :, None] - chosen[:, None, :] + jnp.sum(jnp.square(probs))
    squares = jnp.einsum("edi,edi->e", flat, jnp.einsum("dij,edj->edi", scores, flat))

    by_sample = flat.reshape(flat.shape[0], -1).T
    credit = jax.ops.segment_sum(by_sample, actions.reshape(-1), probs.shape[0]).T
    mean = (credit - jnp.sum(credit, axis=-1, keepdims=True) * probs[None]) / draws

    scale = _per_sample(k, advantages).reshape(-1)
    mean = scale[:, None] * mean
    squared = jnp.square(scale) * squares
    deviation = squared - draws * jnp.sum(jnp.square(mean), axis=-1)
    return StreamingMoments(
        jnp.asarray(draws, flat.dtype), mean.reshape(*leading, -1), deviation.reshape(leading)
    )


def bandit_moments(
    key: jax.Array,
    logits: jax.Array,
    bandit: Bandit,
    ks: jax.Array,
    *,
    estimators: tuple[Estimator, ...],
    group_size: int,
    num_draws: int,
    block_size: int = 4000,
) -> StreamingMoments:
    """Moments of the gradient estimates of estimators, each at a K of its own, on the same draws.

    Draw d has the random key `fold_in(key, d)`: neither the draws nor what is estimated depend on
    the size of the blocks in which they are worked off, and memory does not grow with their number.
    Sharing the draws makes the comparison of estimators and of K a paired one.

    Args:
      key: a typed random key; it is consumed.
      logits: [n] logits of the policy; -inf for actions that do not exist.
      bandit: the bandit with n arms.
      ks: [num_points] integer K of each entry of `estimators`, traced.
      estimators: the estimators; one that stands there several times, at several K, is compiled
        once. Static.
      group_size: B. Static.
      num_draws: number of gradient estimates of each. Static.
      block_size: draws that are held in memory at a time. Static.

    Returns:
      `StreamingMoments` with leading axis [num_points].

    Example:
      >>> from maxpo_jax import estimators
      >>> moments = bandit_moments(
      ...     jax.random.key(0), jnp.zeros(2), Bandit(jnp.array([0.0, 1.0])), jnp.array([1, 2, 3]),
      ...     estimators=(estimators.get("maxpo"),) * 3, group_size=4, num_draws=100)
      >>> moments.mean.shape, moments.total_variance.shape
      ((3, 2), (3,))
    """
    probs = policies.probabilities(logits)
    block_size = min(block_size, num_draws)

    def moments_of(draws: jax.Array) -> StreamingMoments:
        # In a loop of its own, or the compiler samples again in everything that uses the samples.
        actions, rewards, estimator_keys = jax.lax.map(
            lambda draw: _sample_group(jax.random.fold_in(key, draw), probs, bandit, group_size),
            draws,
            batch_size=-(-block_size // 2),
        )
        advantages = _advantages(estimators, rewards, ks, estimator_keys)
        return block_moments(advantages, actions, probs, ks)

    num_blocks, rest = divmod(num_draws, block_size)
    zeros = jnp.zeros((ks.shape[0], probs.shape[0]), probs.dtype)
    none = StreamingMoments(jnp.zeros((), probs.dtype), zeros, zeros[..., 0])
    blocks = jnp.arange(num_blocks * block_size).reshape(num_blocks, block_size)

    def work_off(so_far: StreamingMoments, draws: jax.Array) -> tuple[StreamingMoments, None]:
        return merge(so_far, moments_of(draws)), None

    total, _ = jax.lax.scan(work_off, none, blocks)
    if rest:
        total = merge(total, moments_of(jnp.arange(num_draws - rest, num_draws)))
    return total


def _sample_group(
    key: jax.Array, probs: jax.Array, bandit: Bandit, group_size: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    action_key, noise_key, estimator_key = jax.random.split(key, 3)
    actions = policies.sample(action_key, probs, (group_size,))
    return actions, sample_rewards(noise_key, bandit, actions), estimator_key


def _advantages(
    estimators: tuple[Estimator, ...], rewards: jax.Array, ks: jax.Array, keys: jax.Array
) -> jax.Array:
    """Advantages [num_points, D, B] of D groups; a random key per group where one is needed."""

    def advantages(estimator: Estimator, k: jax.Array) -> jax.Array:
        if not estimator.randomized:
            return estimator(rewards, k)
        return jax.vmap(lambda group, key: estimator(group, k, key=key))(rewards, keys)

    # An estimator at many K is one piece of program: the rewards are sorted once for all of them.
    places = {
        estimator: np.flatnonzero([other == estimator for other in estimators])
        for estimator in dict.fromkeys(estimators)
    }
    of_each = [
        jax.vmap(functools.partial(advantages, estimator))(ks[points])
        for estimator, points in places.items()
    ]
    order = np.argsort(np.concatenate(list(places.values())))
    return jnp.concatenate(of_each)[order]


def _per_sample(k: int | jax.Array, advantages: jax.Array) -> jax.Array:
    return jnp.asarray(k).astype(advantages.dtype) / advantages.shape[-1]
