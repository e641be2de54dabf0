"""The ascent loop against NumPy, and its extra groups, in a world that shows what it was given."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from maxpo_jax import training
from maxpo_jax.training import OPTIMIZERS, Estimate, World

START = np.array([1.0, -2.0])


def show(randomness, params, k):
    """A "gradient" that is known from outside: it shows K and the parameters it was given."""
    return Estimate(params * 0.1 + k.astype(params.dtype), randomness)


def shake(randomness, params, k):
    """A gradient with noise of variance 4 in each component."""
    return Estimate(2 * randomness - params + k.astype(params.dtype), randomness)


SHOWN = World(draw=lambda key, n: jnp.zeros(n), estimate=show)
SHAKEN = World(draw=lambda key, n: jax.random.normal(key, (n * 2,)).reshape(n, 2), estimate=shake)


@functools.partial(
    jax.jit, static_argnames=("world", "optimizer", "updates_per_record", "extra_groups")
)
def train(key, ks, learning_rate, world, optimizer, updates_per_record, extra_groups=0):
    return training.train(
        key,
        jnp.asarray(START, jnp.float32),
        ks,
        learning_rate,
        world=world,
        optimizer=OPTIMIZERS[optimizer],
        record=lambda window: window,
        updates_per_record=updates_per_record,
        extra_groups=extra_groups,
    )


@pytest.mark.parametrize("extra_groups", [0, 1, 5])  # none, in the loop, and at once
def test_plain_ascent_is_the_recursion_of_its_definition(extra_groups):
    ks = np.array([3, 3, 2, 1])
    last, windows = train(jax.random.key(0), jnp.asarray(ks), 0.5, SHOWN, "sgd", 2, extra_groups)
    params, gradients, records = START, [], []
    for k in ks:
        gradient = 0.1 * params + k
        params = params + 0.5 * gradient
        gradients.append(gradient)
        records.append(params)
    np.testing.assert_allclose(last, params, rtol=1e-6)
    np.testing.assert_allclose(windows.params, records[1::2], rtol=1e-6)
    found = windows.estimates.gradient.reshape(4, 2)
    np.testing.assert_allclose(found, gradients, rtol=1e-6)
    # The extra groups see the parameters after the window, and the K of its last update.
    truth = 0.1 * np.array(records[1::2]) + ks[1::2, None]
    extra = np.broadcast_to(truth[:, None], (2, extra_groups, 2))
    np.testing.assert_allclose(windows.extra.gradient, extra, rtol=1e-6)


@pytest.mark.parametrize("extra_groups", [0, 2])
def test_adam_and_its_proxy_are_the_textbook_ones(extra_groups):
    ks = np.array([5, 1, 2, 7, 3, 3])
    last, windows = train(jax.random.key(0), jnp.asarray(ks), 0.1, SHOWN, "adam", 3, extra_groups)
    params, m, v = START, np.zeros(2), np.zeros(2)
    for step, k in enumerate(ks, start=1):
        gradient = 0.1 * params + k
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        m_hat, v_hat = m / (1 - 0.9**step), v / (1 - 0.999**step)
        params = params + 0.1 * m_hat / (np.sqrt(v_hat) + 1e-8)
    np.testing.assert_allclose(last, params, rtol=1e-5)
    state = jax.tree.map(lambda leaf: leaf[-1], windows.optimizer_state)
    proxy = training.adam_variance_proxy(state)
    assert proxy == pytest.approx((v_hat - m_hat**2).sum(), rel=1e-4)


def test_extra_groups_train_nothing_and_are_fresh():
    """Training is the same to the bit, however many they are and however they are computed."""
    ks = jnp.full(40, 1)
    runs = {n: train(jax.random.key(3), ks, 0.1, SHAKEN, "sgd", 4, n) for n in (0, 3, 4, 9)}
    for last, windows in runs.values():
        np.testing.assert_array_equal(last, runs[0][0])
        np.testing.assert_array_equal(windows.estimates.rewards, runs[0][1].estimates.rewards)
    noise = np.asarray(runs[9][1].extra.rewards)
    used = np.asarray(runs[0][1].estimates.rewards)
    both = np.concatenate([noise.ravel(), used.ravel()])
    assert len(np.unique(both)) == both.size
    # The first extra groups are the same, too, one after the other or all at once.
    np.testing.assert_array_equal(runs[4][1].extra.rewards, noise[:, :4])
    np.testing.assert_allclose(
        runs[4][1].extra.gradient, runs[9][1].extra.gradient[:, :4], rtol=1e-6
    )


def test_the_variance_by_extra_groups_is_unbiased():
    _, windows = train(jax.random.key(0), jnp.full(4000, 1), 0.0, SHAKEN, "sgd", 4, 3)
    variances = np.asarray(jax.vmap(training.total_variance)(windows.extra.gradient), np.float64)
    assert abs(variances.mean() - 8) < 4 * variances.std(ddof=1) / variances.size**0.5
    assert np.isnan(training.total_variance(jnp.zeros((1, 2))))


def test_runs_are_the_same_alone_and_beside_others():
    rates = jnp.array([0.1, 0.2, 0.3])
    keys = jax.random.split(jax.random.key(0), 3)
    together = jax.vmap(lambda key, rate: train(key, jnp.full(8, 2), rate, SHAKEN, "sgd", 4)[0])(
        keys, rates
    )
    keys = jax.random.split(jax.random.key(0), 3)
    alone = train(keys[1], jnp.full(8, 2), rates[1], SHAKEN, "sgd", 4)[0]
    np.testing.assert_array_equal(together[1], alone)


@pytest.mark.parametrize(
    ("updates_per_record", "extra_groups", "message"),
    [
        (2, 0, "must divide the number of updates"),
        (0, 0, "must divide the number of updates"),
        (1, -1, "extra_groups is -1"),
    ],
)
def test_impossible_windows_are_refused(updates_per_record, extra_groups, message):
    with pytest.raises(ValueError, match=message):
        train(
            jax.random.key(0), jnp.full(5, 1), 0.1, SHOWN, "sgd", updates_per_record, extra_groups
        )


def test_any_optimizer_of_optax_is_taken():
    last, _ = training.train(
        jax.random.key(0),
        jnp.asarray(START, jnp.float32),
        jnp.full(2, 1),
        1.0,
        world=SHOWN,
        optimizer=optax.clip(0.5),
        record=lambda window: (),
        updates_per_record=1,
    )
    np.testing.assert_allclose(last, START + 1, rtol=1e-6)


def test_a_policy_of_several_arrays_is_trained_like_one_of_one():
    """Adam and both variances look at each parameter by itself, however they are held."""

    def in_two(world):
        def estimate(randomness, params, k):
            whole = jnp.concatenate([params["a"], params["b"]])
            gradient, rewards = world.estimate(randomness, whole, k)
            return Estimate({"a": gradient[:1], "b": gradient[1:]}, rewards)

        return World(world.draw, estimate)

    def measured(world, params):
        last, windows = training.train(
            jax.random.key(0),
            params,
            jnp.full(6, 1),
            0.1,
            world=world,
            optimizer=OPTIMIZERS["adam"],
            record=lambda window: (
                training.adam_variance_proxy(window.optimizer_state),
                training.total_variance(window.extra.gradient),
            ),
            updates_per_record=3,
            extra_groups=2,
        )
        return jnp.concatenate(jax.tree.leaves(last)), *windows

    start = jnp.asarray(START, jnp.float32)
    together = measured(SHAKEN, start)
    apart = measured(in_two(SHAKEN), {"a": start[:1], "b": start[1:]})
    for one, other in zip(together, apart, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)
