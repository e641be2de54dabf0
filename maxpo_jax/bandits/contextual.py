"""Many prompts with 0/1 rewards: the contextual bandit behind pass@k.

The policy of prompt x over its n answers is softmax(base_x + f_x^T W). With the features f_x of the
unit vectors this is a softmax table for each prompt; with few features all prompts share one
low-rank policy, and what is learned on one moves the others.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Prompts(NamedTuple):
    """Prompts, each with its answers, and what the policy knows of them before training.

    Attributes:
      correct: [num_prompts, num_answers] whether an answer is right: the reward.
      base_logits: [num_prompts, num_answers] logits of the base policy.
      features: [num_prompts, rank] features of each prompt.
    """

    correct: jax.Array
    base_logits: jax.Array
    features: jax.Array


def make_prompts(
    key: jax.Array, success_probs: jax.Array, num_answers: int, rank: int | None = None
) -> Prompts:
    """Prompts of given difficulty with one right answer each.

    Args:
      key: a typed random key; it is consumed.
      success_probs: [num_prompts] success probability of the base policy, strictly in (0, 1).
      num_answers: n, at least 2. Static.
      rank: number of features, random of length 1; None for one table for each prompt. Static.

    Returns:
      The `Prompts`; wrong answers have random base logits.

    Raises:
      ValueError: fewer than 2 answers.

    Example:
      >>> prompts = make_prompts(jax.random.key(0), jnp.array([0.25, 0.5]), 4)
      >>> success_probabilities(prompts, initial_weights(prompts)).round(4).tolist()
      [0.25, 0.5]
    """
    if num_answers < 2:
        raise ValueError(f"num_answers is {num_answers}; a prompt has at least 2 answers")
    num_prompts = success_probs.shape[0]
    answers_key, logits_key, features_key = jax.random.split(key, 3)
    right = jax.random.randint(answers_key, (num_prompts, 1), 0, num_answers)
    correct = jnp.arange(num_answers)[None] == right
    wrong = jnp.where(correct, -jnp.inf, jax.random.normal(logits_key, correct.shape))
    odds = jnp.log(success_probs) - jnp.log1p(-success_probs)
    logit = odds + jax.nn.logsumexp(wrong, axis=-1)
    base_logits = jnp.where(correct, logit[:, None], wrong)
    if rank is None:
        return Prompts(correct, base_logits, jnp.eye(num_prompts))
    features = jax.random.normal(features_key, (num_prompts, rank))
    return Prompts(
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


def initial_weights(prompts: Prompts) -> jax.Array:
    """Weights of the base policy: zero.

    Args:
      prompts: the prompts.

    Returns:
      [rank, num_answers] zeros.

    Example:
      >>> prompts = make_prompts(jax.random.key(0), jnp.array([0.25, 0.5]), 4, rank=3)
      >>> initial_weights(prompts).shape
      (3, 4)
    """
    return jnp.zeros((prompts.features.shape[1], prompts.base_logits.shape[1]))


def policy_logits(prompts: Prompts, weights: jax.Array) -> jax.Array:
    """Logits of the policy.

    Args:
      prompts: the prompts.
      weights: [rank, num_answers] weights of the policy.

    Returns:
      [num_prompts, num_answers] logits.

    Example:
      >>> prompts = make_prompts(jax.random.key(0), jnp.array([0.25, 0.5]), 4)
      >>> policy_logits(prompts, initial_weights(prompts)).shape
      (2, 4)
    """
    return prompts.base_logits + prompts.features @ weights


def success_probabilities(prompts: Prompts, weights: jax.Array) -> jax.Array:
    """Exact probability that one try at each prompt succeeds.

    Args:
      prompts: the prompts.
      weights: [rank, num_answers] weights of the policy.

    Returns:
      [num_prompts] probabilities.

    Example:
      >>> prompts = make_prompts(jax.random.key(0), jnp.array([0.001]), 4)
      >>> round(float(success_probabilities(prompts, initial_weights(prompts))[0]), 6)
      0.001
    """
    probs = jax.nn.softmax(policy_logits(prompts, weights), axis=-1)
    return jnp.sum(jnp.where(prompts.correct, probs, 0), axis=-1)
