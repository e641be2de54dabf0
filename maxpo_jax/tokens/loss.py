r"""The loss that trainers of language models know, for several updates on one batch of responses.

With the ratios r_t = pi(token t) / pi_old(token t) of the responses of a group and their advantages

    loss = -(K/B) sum_i sum_t w_it min(r_it A_i, clip(r_it) A_i) + kl_weight (1/B) sum_it w_it k3_it

averaged over prompts. At the old policy, where every ratio is 1, its gradient is minus the plain
estimate of `gradients.group_gradient`, whatever the clips, as long as `length` is "none" and
`kl_weight` is 0. These are the defaults, without clips: all else trades bias for something. PPO's
customary clips are 0.2 and 0.2, DAPO's 0.2 and 0.28.

The loss is a function of log-probabilities alone, so it serves any model; `update_on_batch` takes
the policy of this package through epochs of minibatches.
"""

from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax
from jax import Array

from maxpo_jax.tokens import policy as policies
from maxpo_jax.tokens.policy import Policy

LENGTHS = ("none", "response", "constant")
RATIOS = ("token", "sequence")


def policy_gradient_loss(
    log_probs: Array,
    old_log_probs: Array,
    advantages: Array,
    is_read: Array,
    k: int | Array,
    *,
    base_log_probs: Array | None = None,
    kl_weight: float = 0.0,
    ratio: str = "token",
    clip_low: float = 1.0,
    clip_high: float = jnp.inf,
    length: str = "none",
) -> Array:
    r"""The clipped loss of groups of responses, a function of their log-probabilities.

    .. math:: -\frac{K}{B} \sum_i \sum_t w_{it} \min\bigl(r_{it} A_i,
       \mathrm{clip}(r_{it}, 1 - \epsilon_{low}, 1 + \epsilon_{high}) A_i\bigr)
       + \frac{\beta}{B} \sum_i \sum_t w_{it} \bigl(q_{it} - 1 - \log q_{it}\bigr),
       \qquad q = \pi_{base} / \pi

    averaged over prompts. With a sequence ratio the first sum over t is one term, of the ratio
    exp(sum_t w_it log r_it); with `length` "response" that is GSPO.

    Args:
      log_probs: [num_prompts, group_size, response_length] of each token under the policy.
      old_log_probs: the same under the policy that drew the responses.
      advantages: [num_prompts, group_size].
      is_read: [num_prompts, group_size, response_length] bool, which tokens count: those up to and
        including the end of their response.
      k: K of max@K, an int or a traced integer scalar.
      base_log_probs: as `log_probs`, under the base policy; None where `kl_weight` is 0.
      kl_weight: beta, the weight of the k3 estimate of the divergence from the base policy. Static.
      ratio: "token", one ratio a token (PPO); or "sequence", one a response (GSPO). Static.
      clip_low: epsilon_low, in [0, 1]; 1 never clips.
      clip_high: epsilon_high, 0 or more; infinity never clips.
      length: the weight w of a token: "none" is 1, "response" is 1 / (tokens of its response), as
        in GRPO, and "constant" is 1 / response_length, as in Dr. GRPO. Static.

    Returns:
      [] the loss, to be minimized.

    Raises:
      ValueError: another ratio or length; a `kl_weight` without the base policy.
      AssertionError: shapes that do not fit.

    Example:
      >>> log_probs = jnp.log(jnp.array([[[0.5, 0.2], [0.4, 0.3]]]))
      >>> old = jnp.log(jnp.array([[[0.25, 0.2], [0.4, 0.3]]]))
      >>> advantages, is_read = jnp.array([[3.0, -1.0]]), jnp.ones((1, 2, 2), bool)
      >>> policy_gradient_loss(log_probs, old, advantages, is_read, 1).round(2).tolist()
      -3.5
      >>> policy_gradient_loss(
      ...     log_probs, old, advantages, is_read, 1, clip_high=0.5).round(2).tolist()
      -2.75

    Source: Schulman et al., 2017, arXiv:1707.06347, eq. 7, with two clips as Yu et al., 2025
    (DAPO), arXiv:2503.14476, and for sequences Zheng et al., 2025 (GSPO), arXiv:2507.18071; k3 as
    Schulman, 2020, "Approximating KL divergence", and Shao et al., 2024, arXiv:2402.03300, eq. 4;
    constant length as Liu et al., 2025, arXiv:2503.20783. optax has no such loss, and rlax one of
    one clip for one sequence.

    Unbiased for what the advantages are unbiased for, by its gradient at the old policy, under
    `length` "none" or (times a constant) "constant" and `kl_weight` 0, for every K; away from it
    token ratios and clips bias it. The k3 term is unbiased for the divergence; its gradient is not
    unbiased for the gradient of the divergence.
    """
    for name, value, known in (("ratio", ratio, RATIOS), ("length", length, LENGTHS)):
        if value not in known:
            raise ValueError(f"{name} {value!r} is unknown; choose one of {', '.join(known)}")
    if kl_weight and base_log_probs is None:
        raise ValueError(f"kl_weight is {kl_weight}: give base_log_probs with it, or leave it at 0")
    chex.assert_equal_shape([log_probs, old_log_probs, is_read])
    chex.assert_shape(advantages, log_probs.shape[:-1])
    weights = _token_weights(is_read, length, log_probs.dtype)
    log_ratios = jnp.where(is_read, log_probs - old_log_probs, 0)
    if ratio == "sequence":
        log_ratios = jnp.sum(weights * log_ratios, axis=-1, keepdims=True)
        weights = jnp.ones_like(log_ratios)
    ratios, gain_per_ratio = jnp.exp(log_ratios), advantages[..., None]
    clipped = jnp.clip(ratios, 1 - clip_low, 1 + clip_high)
    gains = jnp.minimum(ratios * gain_per_ratio, clipped * gain_per_ratio)
    loss = -jnp.asarray(k).astype(gains.dtype) * _mean_of_sums(weights * gains)
    if not kl_weight or base_log_probs is None:
        return loss
    log_base_ratios = jnp.where(is_read, base_log_probs - log_probs, 0)
    k3 = jnp.expm1(log_base_ratios) - log_base_ratios
    return loss + kl_weight * _mean_of_sums(_token_weights(is_read, length, k3.dtype) * k3)


def _token_weights(is_read: Array, length: str, dtype: Any) -> Array:
    """What each token counts; 0 after the end of its response."""
    counts = is_read.astype(dtype)
    if length == "response":
        return counts / jnp.sum(counts, axis=-1, keepdims=True)
    return counts / counts.shape[-1] if length == "constant" else counts


def _mean_of_sums(of_tokens: Array) -> Array:
    """Summed over the tokens of a response, averaged over responses."""
    return jnp.mean(jnp.sum(of_tokens, axis=-1))


class Batch(NamedTuple):
    """Groups of responses with what is known of them when they were drawn.

    Attributes:
      prompts: [num_prompts, prompt_length] tokens.
      responses: [num_prompts, group_size, response_length] tokens.
      advantages: [num_prompts, group_size].
      old_log_probs: [num_prompts, group_size, response_length] of each token under the policy that
        drew it.
      base_log_probs: the same under the base policy, where a `kl_weight` asks for them.
    """

    prompts: Array
    responses: Array
    advantages: Array
    old_log_probs: Array
    base_log_probs: Array | None = None


def update_on_batch(
    key: Array,
    policy: Policy,
    state: Any,
    batch: Batch,
    k: int | Array,
    *,
    optimizer: optax.GradientTransformation,
    num_epochs: int = 1,
    num_minibatches: int = 1,
    **options: Any,
) -> tuple[Policy, Any]:
    """Several updates on one batch: epochs over it, each in minibatches of whole groups.

    Args:
      key: a typed random key, which shuffles the prompts of each epoch; it is consumed.
      policy: the policy at the beginning.
      state: of the optimizer.
      batch: the groups.
      k: K of max@K, an int or a traced integer scalar.
      optimizer: minimizes, as `optax.adam(learning_rate)` does. Static.
      num_epochs: how often each group is used. Static.
      num_minibatches: updates an epoch; it divides the number of prompts. Static.
      **options: those of `policy_gradient_loss`.

    Returns:
      The policy and the state of the optimizer after num_epochs * num_minibatches updates.

    Raises:
      ValueError: minibatches that do not divide the prompts; and as `policy_gradient_loss`.

    Example:
      >>> policy = policies.initial_policy(
      ...     jax.random.key(0), vocabulary_size=4, prompt_length=2, response_length=3, width=8)
      >>> responses = jnp.zeros((6, 2, 3), int)
      >>> batch = Batch(jnp.ones((6, 2), int), responses, jnp.ones((6, 2)), jnp.zeros((6, 2, 3)))
      >>> sgd = optax.sgd(0.1)
      >>> update_on_batch(
      ...     jax.random.key(1), policy, sgd.init(policy), batch, 1, optimizer=sgd,
      ...     num_minibatches=4)
      Traceback (most recent call last):
      ValueError: 4 minibatches do not divide 6 prompts: choose a divisor

    Unbiased only in its first update; the later ones see what the first has changed, through ratios
    that `policy_gradient_loss` can clip.
    """
    num_prompts = batch.prompts.shape[0]
    if num_prompts % num_minibatches:
        raise ValueError(
            f"{num_minibatches} minibatches do not divide {num_prompts} prompts: choose a divisor"
        )

    def loss(policy: Policy, part: Batch) -> Array:
        log_probs = jax.vmap(policies.group_log_probs, in_axes=(None, 0, 0))
        return policy_gradient_loss(
            log_probs(policy, part.prompts, part.responses),
            part.old_log_probs,
            part.advantages,
            jax.vmap(jax.vmap(policies.is_read))(part.responses),
            k,
            base_log_probs=part.base_log_probs,
            **options,
        )

    def update(carry: tuple[Policy, Any], which: Array) -> tuple[tuple[Policy, Any], None]:
        policy, state = carry
        gradient = jax.grad(loss)(policy, jax.tree.map(lambda leaf: leaf[which], batch))
        with jax.numpy_dtype_promotion("standard"):  # optax relies on it
            step, state = optimizer.update(gradient, state, policy)
            return (optax.apply_updates(policy, step), state), None

    keys = jax.random.split(key, num_epochs)
    orders = jax.vmap(lambda of_epoch: jax.random.permutation(of_epoch, num_prompts))(keys)
    minibatches = orders.reshape(num_epochs * num_minibatches, -1)
    (policy, state), _ = jax.lax.scan(update, (policy, state), minibatches)
    return policy, state
