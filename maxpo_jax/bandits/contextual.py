"""Many prompts with 0/1 rewards: the contextual bandit behind pass@k.

The policy of prompt x over its n answers is softmax(base_x + f_x^T W). With the features f_x of the
unit vectors this is a softmax table for each prompt; with few features all prompts share one
low-rank policy, and what is learned on one moves the others.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from maxpo_jax.bandits import policy as policies
from maxpo_jax.bandits.gradients import gradient_estimates
from maxpo_jax.estimators import Estimator
from maxpo_jax.training import Estimate, World


class ContextualBandit(NamedTuple):
    """ContextualBandit, each with its answers, and what the policy knows of them before training.

    Attributes:
      correct: [num_prompts, num_answers] whether an answer is right: the reward.
      base_logits: [num_prompts, num_answers] logits of the base policy.
      features: [num_prompts, rank] features of each prompt.
    """

    correct: jax.Array
    base_logits: jax.Array
    features: jax.Array


def make_contextual_bandit(
    key: jax.Array,
    success_probs: jax.Array,
    num_answers: int,
    rank: int | None = None,
    num_right: int = 1,
) -> ContextualBandit:
    """ContextualBandit of given difficulty.

    Args:
      key: a typed random key; it is consumed.
      success_probs: [num_prompts] success probability of the base policy, strictly in (0, 1).
      num_answers: n, at least 2. Static.
      rank: number of features, random of length 1; None for one table for each prompt. Static.
      num_right: right answers of each prompt, which the base policy holds equally likely. Static.

    Returns:
      The `ContextualBandit`; wrong answers have random base logits.

    Raises:
      ValueError: fewer than 2 answers; not at least one right and one wrong answer.

    Example:
      >>> bandit = make_contextual_bandit(jax.random.key(0), jnp.array([0.25, 0.5]), 4)
      >>> success_probabilities(bandit, initial_weights(bandit)).round(4).tolist()
      [0.25, 0.5]
    """
    if num_answers < 2:
        raise ValueError(f"num_answers is {num_answers}; a prompt has at least 2 answers")
    if not 1 <= num_right < num_answers:
        raise ValueError(
            f"num_right is {num_right}; of num_answers = {num_answers} answers, 1 to "
            f"{num_answers - 1} can be right"
        )
    num_prompts = success_probs.shape[0]
    answers_key, logits_key, features_key = jax.random.split(key, 3)
    first = jax.random.randint(answers_key, (num_prompts, 1), 0, num_answers)
    correct = (jnp.arange(num_answers)[None] - first) % num_answers < num_right
    wrong = jnp.where(correct, -jnp.inf, jax.random.normal(logits_key, correct.shape))
    odds = jnp.log(success_probs) - jnp.log1p(-success_probs)
    logit = odds + jax.nn.logsumexp(wrong, axis=-1) - math.log(num_right)
    base_logits = jnp.where(correct, logit[:, None], wrong)
    if rank is None:
        return ContextualBandit(correct, base_logits, jnp.eye(num_prompts))
    features = jax.random.normal(features_key, (num_prompts, rank))
    return ContextualBandit(
        correct, base_logits, features / jnp.linalg.norm(features, axis=-1, keepdims=True)
    )


def graded_success_probs(num_prompts: int, hardest: float, easiest: float) -> jax.Array:
    """Base success probabilities from hardest to easiest, evenly spaced in their logarithm.

    Args:
      num_prompts: how many.
      hardest: the first probability, positive.
      easiest: the last probability.

    Returns:
      [num_prompts] probabilities in float32.

    Example:
      >>> graded_success_probs(3, 0.01, 1.0).round(4).tolist()
      [0.01, 0.1, 1.0]
    """
    return jnp.asarray(np.geomspace(hardest, easiest, num_prompts), jnp.float32)


def initial_weights(bandit: ContextualBandit) -> jax.Array:
    """Weights of the base policy: zero.

    Args:
      bandit: the contextual bandit.

    Returns:
      [rank, num_answers] zeros.

    Example:
      >>> bandit = make_contextual_bandit(jax.random.key(0), jnp.array([0.25, 0.5]), 4, rank=3)
      >>> initial_weights(bandit).shape
      (3, 4)
    """
    return jnp.zeros((bandit.features.shape[1], bandit.base_logits.shape[1]))


def policy_logits(bandit: ContextualBandit, weights: jax.Array) -> jax.Array:
    """Logits of the policy.

    Args:
      bandit: the contextual bandit.
      weights: [rank, num_answers] weights of the policy.

    Returns:
      [num_prompts, num_answers] logits.

    Example:
      >>> bandit = make_contextual_bandit(jax.random.key(0), jnp.array([0.25, 0.5]), 4)
      >>> policy_logits(bandit, initial_weights(bandit)).shape
      (2, 4)
    """
    return bandit.base_logits + bandit.features @ weights


def success_probabilities(bandit: ContextualBandit, weights: jax.Array) -> jax.Array:
    """Exact probability that one try at each prompt succeeds.

    Args:
      bandit: the contextual bandit.
      weights: [rank, num_answers] weights of the policy.

    Returns:
      [num_prompts] probabilities.

    Example:
      >>> bandit = make_contextual_bandit(jax.random.key(0), jnp.array([0.001]), 4)
      >>> round(float(success_probabilities(bandit, initial_weights(bandit))[0]), 6)
      0.001
    """
    probs = jax.nn.softmax(policy_logits(bandit, weights), axis=-1)
    return jnp.sum(jnp.where(bandit.correct, probs, 0), axis=-1)


class Randomness(NamedTuple):
    """What is random about a group for each prompt.

    Attributes:
      actions: [num_prompts, group_size] independent uniform numbers in [0, 1) that choose answers.
      key_data: [num_prompts, ...] of the random keys for an estimator that is randomized, else
        None.
    """

    actions: jax.Array
    key_data: jax.Array | None = None


def make_world(bandit: ContextualBandit, *, estimator: Estimator, group_size: int) -> World:
    """The contextual bandit as a world: its parameters are the weights of the policy.

    Args:
      bandit: the contextual bandit.
      estimator: from `maxpo_jax.estimators.get`. Static.
      group_size: B, for each prompt. Static.

    Returns:
      The `World`, whose `draw` gives `Randomness` with a leading axis.

    Example:
      >>> from maxpo_jax import estimators
      >>> bandit = make_contextual_bandit(jax.random.key(0), jnp.array([0.25, 0.5]), 4)
      >>> world = make_world(bandit, estimator=estimators.get("maxpo"), group_size=8)
      >>> world.draw(jax.random.key(0), 3).actions.shape
      (3, 2, 8)
    """
    num_prompts = bandit.correct.shape[0]

    def draw(key: jax.Array, n: int) -> Randomness:
        actions_key, estimator_key = jax.random.split(key)
        # Drawn flat: the same numbers as for a shape of three axes, and compiled much faster.
        actions = jax.random.uniform(actions_key, (n * num_prompts * group_size,))
        # Keys travel as data: the check for reused ones does not follow keys through a scan.
        keys = jax.random.split(estimator_key, (n, num_prompts)) if estimator.randomized else None
        data = None if keys is None else jax.random.key_data(keys)
        return Randomness(actions.reshape(n, num_prompts, group_size), data)

    def estimate(randomness: Randomness, weights: jax.Array, k: jax.Array) -> Estimate:
        return group_gradient(randomness, bandit, weights, k, estimator=estimator)

    return World(draw, estimate)


def group_gradient(
    randomness: Randomness,
    bandit: ContextualBandit,
    weights: jax.Array,
    k: int | jax.Array,
    *,
    estimator: Estimator,
) -> Estimate:
    r"""Gradient estimate with respect to the weights of the policy, from one group per prompt.

    .. math:: g = \sum_x f_x \Bigl( \frac{K}{B} \sum_i A_{xi} (e_{a_{xi}} - \pi_x) \Bigr)^\top

    Args:
      randomness: of the groups.
      bandit: the contextual bandit.
      weights: [rank, num_answers] weights of the policy.
      k: K, an int or a traced integer scalar.
      estimator: from `maxpo_jax.estimators.get`. Static.

    Returns:
      The gradient [rank, num_answers], summed over prompts, and the rewards [num_prompts,
      group_size].

    Example:
      >>> from maxpo_jax import estimators
      >>> bandit = make_contextual_bandit(jax.random.key(0), jnp.array([0.25, 0.5]), 4)
      >>> randomness = Randomness(jnp.array([[0.1, 0.9, 0.4], [0.2, 0.3, 0.8]]))
      >>> estimate = group_gradient(
      ...     randomness, bandit, initial_weights(bandit), 2, estimator=estimators.get("maxpo"))
      >>> estimate.gradient.shape, estimate.rewards.shape
      ((2, 4), (2, 3))

    Unbiased for the gradient of the sum over prompts of what `estimator` is unbiased for.
    """
    probs = policies.probabilities(policy_logits(bandit, weights))
    actions = jax.vmap(policies.choose)(randomness.actions, probs)
    rewards = jnp.take_along_axis(bandit.correct, actions, axis=1).astype(probs.dtype)
    if randomness.key_data is None:
        advantages = estimator(rewards, k)
    else:
        advantages = jax.vmap(lambda group, key: estimator(group, k, key=key))(
            rewards, jax.random.wrap_key_data(randomness.key_data)
        )
    of_logits = jax.vmap(lambda a, i, p: gradient_estimates(a, i, p, k))(advantages, actions, probs)
    return Estimate(bandit.features.T @ of_logits, rewards)
