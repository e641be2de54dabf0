r"""The policy gradient of groups of responses, and the tasks as a world to train in.

Each of some prompts gets a group of B responses; an estimator turns their rewards into advantages:

    g = mean over prompts of (K/B) sum_i A_i grad log pi(response i | prompt).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from maxpo_jax.estimators import Estimator
from maxpo_jax.tokens import policy as policies
from maxpo_jax.tokens.policy import Policy
from maxpo_jax.training import Estimate, World

Verifier = Callable[[Array, Array], Array]
"""(prompt, response) -> [] reward: a bool, or a number."""


class Randomness(NamedTuple):
    """What is random about one update: its prompts, and a group for each.

    Attributes:
      prompts: [prompts_per_update] which prompts, by their numbers.
      uniforms: [prompts_per_update, group_size, response_length] independent uniform numbers in
        [0, 1) that choose the tokens.
      key_data: [prompts_per_update, ...] of the random keys for an estimator that is randomized,
        else None.
    """

    prompts: Array
    uniforms: Array
    key_data: Array | None = None


def make_world(
    prompts: Array,
    *,
    verify: Verifier,
    estimator: Estimator,
    group_size: int,
    prompts_per_update: int,
    response_length: int,
) -> World:
    """The tasks as a world: its parameters are those of a `Policy`.

    Args:
      prompts: [num_prompts, prompt_length] what the prompts of an update are drawn from.
      verify: gives the reward of a response. Static.
      estimator: from `maxpo_jax.estimators.get`. Static.
      group_size: B, for each prompt. Static.
      prompts_per_update: prompts in an update. Static.
      response_length: tokens of a response at most. Static.

    Returns:
      The `World`, whose `draw` gives `Randomness` with a leading axis.

    Example:
      >>> from maxpo_jax import estimators
      >>> from maxpo_jax.tokens.verifier import verify
      >>> world = make_world(
      ...     jnp.zeros((100, 8), int), verify=verify, estimator=estimators.get("maxpo"),
      ...     group_size=16, prompts_per_update=32, response_length=8)
      >>> world.draw(jax.random.key(0), 2).uniforms.shape
      (2, 32, 16, 8)
    """

    def draw(key: Array, n: int) -> Randomness:
        prompts_key, tokens_key, estimator_key = jax.random.split(key, 3)
        shape = (n, prompts_per_update, group_size, response_length)
        # Drawn flat: the same numbers as for a shape of many axes, and compiled much faster.
        which = jax.random.randint(prompts_key, (n * prompts_per_update,), 0, prompts.shape[0])
        uniforms = jax.random.uniform(tokens_key, (n * prompts_per_update * group_size * shape[3],))
        # Keys travel as data: the check for reused ones does not follow keys through a scan.
        keys = jax.random.split(estimator_key, shape[:2]) if estimator.randomized else None
        data = None if keys is None else jax.random.key_data(keys)
        return Randomness(which.reshape(shape[:2]), uniforms.reshape(shape), data)

    def estimate(randomness: Randomness, policy: Policy, k: Array) -> Estimate:
        return group_gradient(randomness, prompts, policy, k, verify=verify, estimator=estimator)

    return World(draw, estimate)


def group_gradient(
    randomness: Randomness,
    prompts: Array,
    policy: Policy,
    k: int | Array,
    *,
    verify: Verifier,
    estimator: Estimator,
) -> Estimate:
    r"""Gradient estimate from one group of responses for each of some prompts.

    .. math:: g = \frac{1}{N} \sum_x \frac{K}{B} \sum_i A_{xi}
       \sum_t \nabla \log \pi(y_{xit} | x, y_{xi,<t})

    Args:
      randomness: of the update.
      prompts: [num_prompts, prompt_length] what its numbers of prompts refer to.
      policy: the policy.
      k: K, an int or a traced integer scalar.
      verify: gives the reward of a response. Static.
      estimator: from `maxpo_jax.estimators.get`. Static.

    Returns:
      The gradient, a `Policy`, and the rewards [prompts_per_update, group_size].

    Example:
      >>> from maxpo_jax import estimators
      >>> policy = policies.initial_policy(
      ...     jax.random.key(0), vocabulary_size=4, prompt_length=2, response_length=3, width=8)
      >>> uniforms = jnp.array([[[0.1, 0.9, 0.9], [0.9, 0.9, 0.9], [0.4, 0.1, 0.9]]])
      >>> estimate = jax.eval_shape(lambda policy: group_gradient(
      ...     Randomness(jnp.array([0]), uniforms), jnp.array([[1, 2]]), policy, 2,
      ...     verify=lambda prompt, response: response[0] == 3, estimator=estimators.get("maxpo")),
      ...     policy)
      >>> estimate.gradient.head.shape, estimate.rewards.shape
      ((8, 4), (1, 3))

    Unbiased for the gradient of the mean of J_K over prompts, or of what else `estimator` is
    unbiased for: the responses are the samples.
    """
    asked = prompts[randomness.prompts]
    responses = sample_groups(policy, asked, randomness.uniforms)
    verify_group = jax.vmap(verify, in_axes=(None, 0))
    rewards = jax.vmap(verify_group)(asked, responses).astype(policy.head.dtype)
    if randomness.key_data is None:
        advantages = estimator(rewards, k)
    else:
        advantages = jax.vmap(lambda group, key: estimator(group, k, key=key))(
            rewards, jax.random.wrap_key_data(randomness.key_data)
        )
    gradient = jax.grad(surrogate)(policy, asked, responses, advantages, k)
    return Estimate(gradient, rewards)


def sample_groups(policy: Policy, prompts: Array, uniforms: Array) -> Array:
    """A group of responses to each prompt, which is encoded once.

    Args:
      policy: the policy.
      prompts: [num_prompts, prompt_length] tokens.
      uniforms: [num_prompts, group_size, response_length] independent uniform numbers in [0, 1).

    Returns:
      [num_prompts, group_size, response_length] responses, `END` from their end on.

    Example:
      >>> policy = policies.initial_policy(
      ...     jax.random.key(0), vocabulary_size=4, prompt_length=2, response_length=3, width=8)
      >>> sample_groups(policy, jnp.array([[1, 2]]), jnp.array([[[0.9, 0.6, 0.1]]])).tolist()
      [[[3, 2, 0]]]
    """

    def of_prompt(prompt: Array, uniforms: Array) -> Array:
        memory = policies.encode(policy, prompt)
        return jax.vmap(lambda of_one: policies.sample(policy, memory, of_one)[0])(uniforms)

    return jax.vmap(of_prompt)(prompts, uniforms)


def surrogate(
    policy: Policy, prompts: Array, responses: Array, advantages: Array, k: int | Array
) -> Array:
    r"""The function of the policy whose gradient is the estimate.

    .. math:: \frac{1}{N} \sum_x \frac{K}{B} \sum_i A_{xi} \log \pi(y_{xi} | x)

    Args:
      policy: the policy.
      prompts: [num_prompts, prompt_length] tokens.
      responses: [num_prompts, group_size, response_length] tokens.
      advantages: [num_prompts, group_size].
      k: K, an int or a traced integer scalar.

    Returns:
      [] the value, which means nothing by itself.

    Example:
      >>> policy = policies.initial_policy(
      ...     jax.random.key(0), vocabulary_size=4, prompt_length=2, response_length=3, width=8)
      >>> value = surrogate(
      ...     policy, jnp.array([[1, 2]]), jnp.array([[[3, 2, 0]]]), jnp.array([[1.0]]), 1)
      >>> round(float(value), 1)
      -4.1
    """
    log_probs = jax.vmap(policies.group_log_probs, in_axes=(None, 0, 0))(policy, prompts, responses)
    weighted = advantages * jnp.sum(log_probs, axis=-1)
    return jnp.mean(weighted) * jnp.asarray(k).astype(weighted.dtype)
