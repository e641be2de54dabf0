r"""The exact truth about a policy: success probabilities, pass@k for every k, J_K, its gradient.

The right answers to a prompt can be listed, and the probability of each follows by teacher forcing:

    p(prompt) = sum over its right answers of pi(answer | prompt),   pass@k = 1 - (1 - p)^k.

No sample is drawn. Everything here is differentiable, and as precise as the dtype of the policy.
"""

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from maxpo_jax import objectives
from maxpo_jax.tokens import policy as policies
from maxpo_jax.tokens.families import Answers
from maxpo_jax.tokens.policy import Policy

ANSWERS_AT_ONCE = 4096
"""Answers whose probabilities are worked out together: enough to be fast, few for the memory."""


def answer_probabilities(policy: Policy, prompts: ArrayLike, answers: Answers) -> Array:
    r"""Probability of each right answer.

    .. math:: \pi(y | x), \quad y \text{ right}

    Args:
      policy: the policy.
      prompts: [num_prompts, prompt_length] tokens.
      answers: all right answers to them.

    Returns:
      [answers] probabilities.

    Raises:
      ValueError: answers that are longer than the policy writes.

    Example:
      >>> policy = policies.initial_policy(
      ...     jax.random.key(0), vocabulary_size=4, prompt_length=2, response_length=3, width=8)
      >>> answers = Answers(jnp.array([0, 0]), jnp.array([[3, 0, 0], [2, 1, 0]]))
      >>> answer_probabilities(policy, jnp.array([[1, 2]]), answers).round(2).tolist()
      [0.06, 0.02]
    """
    memory = jax.vmap(policies.encode, in_axes=(None, 0))(policy, jnp.asarray(prompts))

    def probability(answer: tuple[Array, Array]) -> Array:
        prompt, tokens = answer
        of_prompt = jax.tree.map(lambda leaf: leaf[prompt], memory)
        return jnp.exp(jnp.sum(policies.token_log_probs(policy, of_prompt, tokens)))

    listed = jnp.asarray(answers.prompt), jnp.asarray(answers.tokens)
    return jax.lax.map(probability, listed, batch_size=min(ANSWERS_AT_ONCE, listed[0].size))


def success_probabilities(policy: Policy, prompts: ArrayLike, answers: Answers) -> Array:
    r"""Probability that one response to each prompt is right.

    .. math:: p(x) = \sum_{y \text{ right}} \pi(y | x)

    Args:
      policy: the policy.
      prompts: [num_prompts, prompt_length] tokens.
      answers: all right answers to them.

    Returns:
      [num_prompts] probabilities.

    Raises:
      ValueError: answers that are longer than the policy writes.

    Example:
      >>> policy = policies.initial_policy(
      ...     jax.random.key(0), vocabulary_size=4, prompt_length=2, response_length=3, width=8)
      >>> answers = Answers(jnp.array([0, 0]), jnp.array([[3, 0, 0], [2, 1, 0]]))
      >>> success_probabilities(policy, jnp.array([[1, 2]]), answers).round(2).tolist()
      [0.08]
    """
    probs = answer_probabilities(policy, prompts, answers)
    return sum_by_prompt(probs, answers, jnp.shape(prompts)[0])


def sum_by_prompt(values: Array, answers: Answers, num_prompts: int) -> Array:
    """Sums over the right answers to each prompt.

    Args:
      values: [answers] what is summed.
      answers: the right answers.
      num_prompts: how many prompts there are. Static.

    Returns:
      [num_prompts] sums.

    Example:
      >>> answers = Answers(jnp.array([0, 0, 2]), jnp.zeros((3, 3), int))
      >>> sum_by_prompt(jnp.array([0.25, 0.5, 1.0]), answers, 3).tolist()
      [0.75, 0.0, 1.0]
    """
    return jnp.zeros(num_prompts, values.dtype).at[jnp.asarray(answers.prompt)].add(values)


def repeat_probabilities(probs: Array, answers: Answers, num_prompts: int) -> Array:
    r"""Probability that two right responses to a prompt are the same.

    .. math:: \sum_{y \text{ right}} \left( \frac{\pi(y | x)}{p(x)} \right)^2

    It is 1 where one answer is right, and small where many are about equally likely: its reciprocal
    is the effective number of right answers.

    Args:
      probs: [answers] of `answer_probabilities`.
      answers: the right answers.
      num_prompts: how many prompts there are. Static.

    Returns:
      [num_prompts] probabilities.

    Example:
      >>> answers = Answers(jnp.array([0, 0, 1]), jnp.zeros((3, 3), int))
      >>> repeat_probabilities(jnp.array([0.2, 0.2, 0.1]), answers, 2).round(2).tolist()
      [0.5, 1.0]
    """
    shares = probs / sum_by_prompt(probs, answers, num_prompts)[jnp.asarray(answers.prompt)]
    return sum_by_prompt(jnp.square(shares), answers, num_prompts)


def max_at_k(policy: Policy, prompts: ArrayLike, answers: Answers, k: int | Array) -> Array:
    r"""J_K, the mean over prompts of pass@K, as the rewards are 0 or 1.

    .. math:: J_K = \frac{1}{N} \sum_x 1 - (1 - p(x))^K

    Args:
      policy: the policy.
      prompts: [num_prompts, prompt_length] tokens.
      answers: all right answers to them.
      k: K, at least 1; a Python number or a traced scalar.

    Returns:
      [] J_K, differentiable in the policy.

    Raises:
      ValueError: answers that are longer than the policy writes; a known k that is not positive.

    Example:
      >>> policy = policies.initial_policy(
      ...     jax.random.key(0), vocabulary_size=4, prompt_length=2, response_length=3, width=8)
      >>> answers = Answers(jnp.array([0, 0]), jnp.array([[3, 0, 0], [2, 1, 0]]))
      >>> round(float(max_at_k(policy, jnp.array([[1, 2]]), answers, 8)), 1)
      0.5
    """
    return jnp.mean(objectives.pass_at_k(success_probabilities(policy, prompts, answers), k))


def gradient(policy: Policy, prompts: ArrayLike, answers: Answers, k: int | Array) -> Policy:
    """The gradient of J_K, by automatic differentiation: what estimates of it are held to.

    Args:
      policy: the policy.
      prompts: [num_prompts, prompt_length] tokens.
      answers: all right answers to them.
      k: K, at least 1; a Python number or a traced scalar.

    Returns:
      The gradient, a `Policy`.

    Raises:
      ValueError: as `max_at_k`.

    Example:
      >>> policy = policies.initial_policy(
      ...     jax.random.key(0), vocabulary_size=4, prompt_length=2, response_length=3, width=8)
      >>> answers = Answers(jnp.array([0]), jnp.array([[3, 0, 0]]))
      >>> jax.eval_shape(gradient, policy, jnp.array([[1, 2]]), answers, 2).head.shape
      (8, 4)
    """
    return jax.grad(max_at_k)(policy, prompts, answers, k)
