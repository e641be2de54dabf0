"""The loss at the old policy and away from it, against NumPy, and several updates on a batch."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from maxpo_jax.tokens import gradients, loss
from maxpo_jax.tokens import policy as policies
from maxpo_jax.tokens.loss import Batch, policy_gradient_loss
from tests.tokens import tiny

PROMPTS = np.array([[1, 2], [3, 0], [2, 2], [0, 1]], np.int32)
NUM_READ = np.array([[3, 1, 3], [2, 3, 1], [3, 3, 2], [1, 2, 3]])
IS_READ = np.arange(3) < NUM_READ[..., None]
ADVANTAGES = np.random.default_rng(1).normal(size=(4, 3))
K = 2
WEIGHTS = {"none": np.ones((4, 3)), "response": 1 / NUM_READ, "constant": np.full((4, 3), 1 / 3)}


def log_probs(seed, distance=0.3):
    """[4, 3, 3] log-probabilities, some distance from those of seed 0."""
    start = np.log(np.random.default_rng(0).uniform(0.1, 0.6, (4, 3, 3)))
    return start + distance * np.random.default_rng(seed).normal(size=start.shape)


@functools.cache
def compiled(**options):
    return jax.jit(jax.value_and_grad(functools.partial(policy_gradient_loss, k=K, **options)))


def value_and_gradient(new, old, base=None, is_read=IS_READ, **options):
    """The loss, and its gradient [4, 3, 3] in the log-probabilities, in float64."""
    with jax.enable_x64(True):
        arrays = [jnp.asarray(x) for x in (new, old, ADVANTAGES, is_read)]
        base = None if base is None else jnp.asarray(base)
        value, gradient = compiled(**options)(*arrays, base_log_probs=base)
        return float(value), np.asarray(gradient)


@pytest.mark.parametrize("ratio", loss.RATIOS)
@pytest.mark.parametrize("length", loss.LENGTHS)
@pytest.mark.parametrize(("clip_low", "clip_high"), [(1.0, np.inf), (0.2, 0.28)])
def test_gradient_at_the_old_policy_is_the_plain_estimate(ratio, length, clip_low, clip_high):
    """Of (K/B) A_i for each token, times what the length says that it counts."""
    old = log_probs(1)
    _, found = value_and_gradient(
        old, old, ratio=ratio, length=length, clip_low=clip_low, clip_high=clip_high
    )
    truth = K / 12 * (ADVANTAGES * WEIGHTS[length])[..., None] * IS_READ
    np.testing.assert_allclose(-found, truth, rtol=0, atol=1e-14)


@pytest.mark.parametrize("ratio", loss.RATIOS)
@pytest.mark.parametrize("length", loss.LENGTHS)
def test_value_is_that_of_the_definition(ratio, length):
    """Token by token, away from the old policy, with clips that bite and k3."""
    new, old, base = log_probs(1), log_probs(2), log_probs(3)
    low, high, beta = 0.1, 0.3, 0.7
    value, _ = value_and_gradient(
        new, old, base, ratio=ratio, length=length, clip_low=low, clip_high=high, kl_weight=beta
    )
    truth, clipped = 0.0, 0
    for x, i in np.ndindex(4, 3):
        tokens, weight = slice(0, NUM_READ[x, i]), WEIGHTS[length][x, i]
        log_ratio = (new - old)[x, i, tokens]
        if ratio == "sequence":
            log_ratio = np.array([weight * log_ratio.sum()])
        for r in np.exp(log_ratio):
            gain = min(r * ADVANTAGES[x, i], np.clip(r, 1 - low, 1 + high) * ADVANTAGES[x, i])
            clipped += gain < r * ADVANTAGES[x, i]
            truth -= K / 12 * gain * (1 if ratio == "sequence" else weight)
        for q in (base - new)[x, i, tokens]:
            truth += beta / 12 * weight * (np.exp(q) - 1 - q)
    assert value == pytest.approx(truth, abs=1e-13)
    assert clipped > 0


def test_a_clipped_token_teaches_nothing():
    """Where it would gain beyond the clip; one that loses there is still held back."""
    new, old = log_probs(1), log_probs(2)
    _, found = value_and_gradient(new, old, clip_low=0.1, clip_high=0.3)
    ratios = np.exp(new - old)
    beyond = np.where(ADVANTAGES[..., None] > 0, ratios > 1.3, ratios < 0.9)
    truth = -K / 12 * np.where(beyond | ~IS_READ, 0, ratios * ADVANTAGES[..., None])
    np.testing.assert_allclose(found, truth, rtol=0, atol=1e-14)
    assert 0 < np.sum(beyond & IS_READ) < np.sum(IS_READ)


def test_nothing_that_is_not_read_matters():
    """Not even NaN."""
    options = {"length": "response", "kl_weight": 0.5, "clip_low": 0.1}
    arrays = [log_probs(seed) for seed in (1, 2, 3)]
    spoilt = [np.where(IS_READ, array, np.nan) for array in arrays]
    value, gradient = value_and_gradient(*arrays, **options)
    same_value, same_gradient = value_and_gradient(*spoilt, **options)
    assert value == same_value
    np.testing.assert_array_equal(gradient, same_gradient)


def test_k3_is_unbiased_for_the_divergence_from_the_base_policy():
    """Its expectation over all responses, token by token, is the divergence of whole responses."""
    with jax.enable_x64(True):
        listed, prompt = jnp.asarray(tiny.responses()), jnp.asarray(tiny.PROMPT)
        new, base = (
            policies.group_log_probs(tiny.policy(seed=seed), prompt, listed) for seed in (0, 1)
        )
        of_new, of_base = (np.asarray(jnp.sum(x, axis=1)) for x in (new, base))
        is_read = jax.vmap(policies.is_read)(listed)

        def of_response(new, base, is_read):
            arrays = (x[None, None] for x in (new, new))
            return policy_gradient_loss(
                *arrays,
                jnp.zeros((1, 1)),
                is_read[None, None],
                1,
                base_log_probs=base[None, None],
                kl_weight=1.0,
            )

        values = np.asarray(jax.vmap(of_response)(new, base, is_read))
    divergence = np.exp(of_new) @ (of_new - of_base)
    assert np.exp(of_new) @ values == pytest.approx(divergence, abs=1e-12)
    assert divergence > 0.01


def responses():
    """[4, 3, 3] of the lengths NUM_READ, with rubbish after their end."""
    found = np.random.default_rng(0).integers(1, 4, size=(4, 3, 3)).astype(np.int32)
    return np.where(np.arange(3) == NUM_READ[..., None] - 1, 0, found)


def test_updates_on_a_batch_begin_with_the_plain_estimate_and_then_see_what_changed():
    """By plain descent in two minibatches: the second has ratios that are not 1."""
    with jax.enable_x64(True):
        policy, written = tiny.policy(), jnp.asarray(responses())
        of_groups = jax.jit(jax.vmap(policies.group_log_probs, in_axes=(None, 0, 0)))
        prompts, advantages = jnp.asarray(PROMPTS), jnp.asarray(ADVANTAGES)
        batch = Batch(prompts, written, advantages, of_groups(policy, prompts, written))
        sgd, clips = optax.sgd(0.5), {"clip_low": 0.2, "clip_high": 0.28}
        update = functools.partial(loss.update_on_batch, optimizer=sgd, num_minibatches=2, **clips)
        found, _ = jax.jit(update)(jax.random.key(0), policy, sgd.init(policy), batch, K)

        def moved(policy, direction):
            return jax.tree.map(lambda leaf, step: leaf + 0.5 * step, policy, direction)

        order = jax.random.permutation(jax.random.split(jax.random.key(0), 1)[0], 4)
        first, second = order[:2], order[2:]
        plain = jax.jit(jax.grad(gradients.surrogate))
        once = moved(policy, plain(policy, prompts[first], written[first], advantages[first], K))

        @jax.jit
        @jax.grad
        def of_second(policy):
            log_probs = of_groups(policy, prompts[second], written[second])
            is_read = jax.vmap(jax.vmap(policies.is_read))(written[second])
            old = batch.old_log_probs[second]
            return -policy_gradient_loss(log_probs, old, advantages[second], is_read, K, **clips)

        slope = of_second(once)
        twice = tiny.vector(moved(once, slope))
        np.testing.assert_allclose(tiny.vector(found), twice, rtol=0, atol=1e-12)
        stale = plain(once, prompts[second], written[second], advantages[second], K)
    assert np.abs(tiny.vector(stale) - tiny.vector(slope)).max() > 1e-2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ratio": "tokens"}, r"^ratio 'tokens' is unknown; choose one of token, sequence$"),
        ({"length": "mean"}, r"^length 'mean' is unknown; choose one of none, response, constant$"),
        ({"kl_weight": 0.1}, r"^kl_weight is 0.1: give base_log_probs with it, or leave it at 0$"),
    ],
)
def test_bad_input_is_refused_in_one_line(options, message):
    zeros = jnp.zeros((4, 3, 3))
    with pytest.raises(ValueError, match=message):
        policy_gradient_loss(zeros, zeros, zeros[..., 0], zeros > 0, K, **options)
