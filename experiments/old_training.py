r"""Superseded by maxpo_jax.training; goes with the experiments that still use it.

    theta <- theta + learning_rate * optimizer(g),   g = (K/B) sum_i A_i grad log pi(a_i)

The whole of training is one `lax.scan`. K (a schedule of it), the learning rate, the first
parameters and the key are traced, so that `jax.vmap` over any of them sweeps them in one program.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from experiments import old_lottery as lotteries
from experiments.old_lottery import Lottery
from maxpo_jax.bandits import contextual as contexts
from maxpo_jax.bandits import policy as policies
from maxpo_jax.bandits.contextual import ContextualBandit
from maxpo_jax.bandits.gradients import gradient_estimates
from maxpo_jax.estimators import Estimator

GradientEstimate = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]
"""`(key, params, k) -> g` of the shape of `params`, a random estimate of a gradient."""


Carry = tuple[jax.Array, jax.Array, Any]  # key, parameters, state of the optimizer


class History(NamedTuple):
    """What happened during training, recorded after every window of updates.

    Attributes:
      params: [num_records, ...] parameters.
      gradient_norm: [num_records] norm of the gradient estimate, averaged over the window.
      optimizer_state: state of the optimizer, each leaf with a leading axis [num_records].
    """

    params: jax.Array
    gradient_norm: jax.Array
    optimizer_state: Any


def train(
    key: jax.Array,
    params: jax.Array,
    ks: jax.Array,
    learning_rate: float | jax.Array,
    *,
    gradient_estimate: GradientEstimate,
    optimizer: optax.GradientTransformation,
    updates_per_record: int,
) -> History:
    """Stochastic gradient ascent, one update for each entry of the schedule of K.

    Args:
      key: a typed random key; it is consumed.
      params: the parameters at the beginning.
      ks: [num_updates] integer K of each update; constant, or annealed.
      learning_rate: [] float; may be traced.
      gradient_estimate: draws a gradient estimate. Static.
      optimizer: turns gradients into directions: `optax.identity()` for plain gradient ascent,
        `optax.scale_by_adam()` for Adam. Static.
      updates_per_record: updates in a window; it must divide num_updates. Static.

    Returns:
      The `History`, with num_updates / updates_per_record records.

    Raises:
      ValueError: windows that do not divide the number of updates.

    Example:
      >>> uphill = lambda key, params, k: jnp.ones_like(params)
      >>> history = train(
      ...     jax.random.key(0), jnp.zeros(2), jnp.full(4, 1), 0.5,
      ...     gradient_estimate=uphill, optimizer=optax.identity(), updates_per_record=2)
      >>> history.params.tolist()
      [[1.0, 1.0], [2.0, 2.0]]
    """
    num_updates = ks.shape[0]
    if updates_per_record < 1 or num_updates % updates_per_record:
        raise ValueError(
            f"{num_updates} updates are not made of windows of {updates_per_record}: "
            "updates_per_record must divide the number of updates"
        )

    def update(carry: Carry, k: jax.Array) -> tuple[Carry, jax.Array]:
        key, params, state = carry
        key, update_key = jax.random.split(key)
        gradient = gradient_estimate(update_key, params, k)
        with jax.numpy_dtype_promotion("standard"):  # optax relies on it
            direction, state = optimizer.update(gradient, state, params)
        return (key, params + learning_rate * direction, state), jnp.linalg.norm(gradient)

    def window(carry: Carry, ks: jax.Array) -> tuple[Carry, History]:
        carry, norms = jax.lax.scan(update, carry, ks)
        _, params, state = carry
        return carry, History(params, jnp.mean(norms), state)

    _, history = jax.lax.scan(
        window, (key, params, optimizer.init(params)), ks.reshape(-1, updates_per_record)
    )
    return history


def lottery_gradient(
    key: jax.Array,
    logits: jax.Array,
    k: int | jax.Array,
    *,
    lottery: Lottery,
    estimator: Estimator,
    group_size: int,
) -> jax.Array:
    """Gradient estimate with respect to the logits of a softmax bandit, from one group.

    Args:
      key: a typed random key; it is consumed.
      logits: [n] logits of the policy.
      k: K, an int or a traced integer scalar.
      lottery: the bandit.
      estimator: from `maxpo_jax.estimators.get`. Static.
      group_size: B. Static.

    Returns:
      [n] the estimate.

    Example:
      >>> from maxpo_jax import estimators
      >>> sure = Lottery(jnp.array([0.0, 1.0]), jnp.ones(2))
      >>> g = lottery_gradient(jax.random.key(0), jnp.zeros(2), 2, lottery=sure,
      ...                      estimator=estimators.get("maxpo"), group_size=4)
      >>> g.shape
      (2,)

    Unbiased for what `estimator` is unbiased for: the samples are independent.
    """
    probs = policies.probabilities(logits)
    action_key, reward_key, estimator_key = jax.random.split(key, 3)
    actions = policies.sample(action_key, probs, (group_size,))
    rewards = lotteries.pull(reward_key, lottery, actions)
    advantages = estimator(rewards, k, **({"key": estimator_key} if estimator.randomized else {}))
    return gradient_estimates(advantages, actions, probs, k)


def prompts_gradient(
    key: jax.Array,
    weights: jax.Array,
    k: int | jax.Array,
    *,
    prompts: ContextualBandit,
    estimator: Estimator,
    group_size: int,
) -> jax.Array:
    r"""Gradient estimate with respect to the weights of the policy, from one group per prompt.

    .. math:: g = \sum_x f_x \Bigl( \frac{K}{B} \sum_i A_{xi} (e_{a_{xi}} - \pi_x) \Bigr)^\top

    Args:
      key: a typed random key; it is consumed.
      weights: [rank, num_answers] the policy.
      k: K, an int or a traced integer scalar.
      prompts: the prompts.
      estimator: from `maxpo_jax.estimators.get`, not a randomized one. Static.
      group_size: B. Static.

    Returns:
      [rank, num_answers] the estimate, summed over the prompts.

    Example:
      >>> from maxpo_jax import estimators
      >>> prompts = contexts.make_contextual_bandit(jax.random.key(0), jnp.array([0.25, 0.5]), 4)
      >>> g = prompts_gradient(jax.random.key(1), contexts.initial_weights(prompts), 2,
      ...                      prompts=prompts, estimator=estimators.get("maxpo"), group_size=4)
      >>> g.shape
      (2, 4)

    Unbiased for the gradient of the sum over prompts of what `estimator` is unbiased for.
    """
    probs = policies.probabilities(contexts.policy_logits(prompts, weights))
    keys = jax.random.split(key, probs.shape[0])
    actions = jax.vmap(lambda key, p: policies.sample(key, p, (group_size,)))(keys, probs)
    rewards = jnp.take_along_axis(prompts.correct, actions, axis=1).astype(probs.dtype)
    advantages = estimator(rewards, k)
    of_logits = jax.vmap(lambda a, i, p: gradient_estimates(a, i, p, k))(advantages, actions, probs)
    return prompts.features.T @ of_logits


def total_variance(
    keys: jax.Array, params: jax.Array, k: int | jax.Array, gradient_estimate: GradientEstimate
) -> jax.Array:
    """Trace of the sample covariance of gradient estimates at fixed parameters.

    Args:
      keys: [num_draws] typed random keys; they are consumed.
      params: the parameters.
      k: K, an int or a traced integer scalar.
      gradient_estimate: draws a gradient estimate. Static.

    Returns:
      [] unbiased estimate of the trace of the covariance.

    Example:
      >>> noise = lambda key, params, k: 2 * jax.random.normal(key, params.shape)
      >>> keys = jax.random.split(jax.random.key(0), 10_000)
      >>> print(total_variance(keys, jnp.zeros(3), 1, noise).round(0))
      12.0
    """
    draws = jax.vmap(lambda key: gradient_estimate(key, params, jnp.asarray(k)))(keys)
    return jnp.sum(jnp.var(draws, axis=0, ddof=1))


def adam_variance_proxy(
    state: optax.ScaleByAdamState, b1: float = 0.9, b2: float = 0.999
) -> jax.Array:
    r"""What Adam's own moments say about the variance of the gradient.

    .. math:: \sum_j \hat v_j - \hat m_j^2, \qquad
       \hat m = \frac{m}{1 - \beta_1^t}, \quad \hat v = \frac{v}{1 - \beta_2^t}

    Args:
      state: state of `optax.scale_by_adam(b1, b2)` after t updates, one vector of parameters.
      b1: decay of the first moment.
      b2: decay of the second moment.

    Returns:
      [] the proxy.

    Example:
      >>> adam = optax.scale_by_adam()
      >>> _, state = adam.update(jnp.array([1.0, 2.0]), adam.init(jnp.zeros(2)))
      >>> print(abs(adam_variance_proxy(state)).round(4))
      0.0

    For gradients of constant mean and covariance its expectation tends to (1 - (1-b1)/(1+b1)) times
    the trace of the covariance; while they change it lags behind by about 1/(1-b2) updates.
    """
    step = state.count.astype(state.mu.dtype)
    first, second = state.mu / (1 - b1**step), state.nu / (1 - b2**step)
    return jnp.sum(second - jnp.square(first))
