"""Mistakes get one clear line; inside jit a bad group is NaN and its neighbors are untouched."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import maxpo_jax
from maxpo_jax import estimators

GROUP = jnp.array([0.0, 1.0, 3.0, 2.0])


@pytest.mark.parametrize(
    ("k", "parts"),
    [
        (0, ["k = 0", "group_size = 4", "1 <= k <= B - 1", "1..3"]),
        (-2, ["k = -2", "1..3"]),
        (4, ["k = 4", "1..3", "no exactly centered unbiased estimator", "'ei'"]),
        (9, ["k = 9", "1..3"]),
        (2.5, ["integer", "2.5", "objectives.max_at_k"]),
        (2.0, ["integer", "2.0"]),
        (True, ["integer", "True"]),
        ("2", ["integer", "'2'"]),
        (jnp.array([2]), ["integer", "shape [1]", "jax.vmap over rewards and k"]),
    ],
)
def test_wrong_k(k, parts):
    with pytest.raises(ValueError, match="maxpo: ") as error:
        maxpo_jax.maxpo(GROUP, k)
    assert "\n" not in str(error.value)
    for part in parts:
        assert part in str(error.value)


def test_k_beyond_the_group_has_no_way_out_but_a_larger_group():
    with pytest.raises(ValueError, match=r"ei: k = 5 .*1\.\.4.*Nothing is unbiased for k > B"):
        maxpo_jax.ei(GROUP, 5)


@pytest.mark.parametrize("k", [2, np.int64(2), jnp.int32(2), np.array(2)])
def test_every_kind_of_integer_k_is_taken(k):
    np.testing.assert_array_equal(maxpo_jax.maxpo(GROUP, k), maxpo_jax.maxpo(GROUP, 2))


@pytest.mark.parametrize(
    ("rewards", "message"),
    [
        (1.0, "group axis"),
        (jnp.zeros((3, 0)), "empty"),
        (jnp.array([1j, 2.0]), "real"),
        ([0.0, float("nan"), 1.0], r"finite, got nan at index \[1\].*where="),
        ([[0.0, 1.0, 2.0], [0.0, 1.0, float("-inf")]], r"finite, got -inf at index \[1, 2\]"),
    ],
)
def test_wrong_rewards(rewards, message):
    with pytest.raises(ValueError, match=message):
        maxpo_jax.maxpo(rewards, 1)


def test_a_group_of_one():
    with pytest.raises(ValueError, match="no k satisfies"):
        maxpo_jax.maxpo([1.0], 1)
    with pytest.raises(ValueError, match="'reinforce'"):
        maxpo_jax.rloo([1.0], 1)
    assert maxpo_jax.ei([1.0], 1).tolist() == [1.0]


@pytest.mark.parametrize("where", [[True, True, True], [1, 1, 1, 0], [[True, True, True, False]]])
def test_wrong_masks(where):
    with pytest.raises(ValueError, match="boolean mask of the shape of the rewards"):
        maxpo_jax.maxpo(GROUP, 1, where=jnp.array(where))


def test_a_mask_that_leaves_too_few_samples():
    rewards = jnp.zeros((2, 4))
    where = jnp.array([[True, True, True, True], [True, True, False, False]])
    with pytest.raises(ValueError, match=r"index \[1\] has 2 valid samples.*k = 2.*B - 1"):
        maxpo_jax.maxpo(rewards, 2, where=where)


def test_traced_k_must_be_an_integer_scalar():
    with pytest.raises(ValueError, match="integer scalar, got float32"):
        jax.jit(maxpo_jax.maxpo)(GROUP, 2.0)
    with pytest.raises(ValueError, match=r"integer scalar, got int32\[2\]; .* jax.vmap"):
        jax.jit(maxpo_jax.maxpo)(GROUP, jnp.array([2, 2]))


def test_the_way_out_for_a_k_of_each_group():
    rewards, ks = jnp.stack([GROUP, 2 * GROUP]), jnp.array([1, 3])
    mapped = jax.vmap(maxpo_jax.maxpo)(rewards, ks)
    for got, group, k in zip(mapped, rewards, ks, strict=True):
        np.testing.assert_allclose(got, maxpo_jax.maxpo(group, int(k)), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", estimators.names())
def test_inside_jit_a_bad_group_spoils_itself_alone(name):
    estimator = estimators.get(name)
    k = estimator.k_range.largest(4)
    clean = jnp.array([[0.0, 1.0, 1.0, 0.0], [1.0, 0.0, 0.0, 1.0], [0.0, 0.0, 1.0, 0.0]])

    @jax.jit
    def run(rewards):
        return estimator(rewards, k, key=jax.random.key(0))

    for bad in (jnp.nan, jnp.inf, -jnp.inf):
        spoiled = np.asarray(run(clean.at[1, 2].set(bad)))
        assert np.isnan(spoiled[1]).all()
        np.testing.assert_array_equal(spoiled[[0, 2]], np.asarray(run(clean))[[0, 2]])


def test_inside_jit_a_wrong_k_is_nan():
    run = jax.jit(maxpo_jax.maxpo)
    assert np.isnan(run(GROUP, 4)).all()
    assert np.isnan(run(GROUP, 0)).all()
    assert np.isfinite(run(GROUP, 3)).all()
    assert np.isnan(jax.jit(maxpo_jax.expected_max_at_k)(GROUP, 5))


def test_inside_jit_a_mask_that_leaves_too_few_samples_is_nan_for_that_group():
    rewards = jnp.array([[0.0, 1.0, 2.0, 3.0], [0.0, 1.0, 2.0, 3.0]])
    where = jnp.array([[True, True, True, True], [True, True, False, False]])
    advantages = np.asarray(jax.jit(lambda w: maxpo_jax.maxpo(rewards, 2, where=w))(where))
    np.testing.assert_allclose(advantages[0], maxpo_jax.maxpo(rewards[0], 2), rtol=1e-6)
    assert np.isnan(advantages[1, :2]).all()
    assert np.all(advantages[1, 2:] == 0)


@pytest.mark.parametrize("dtype", [jnp.int8, jnp.uint8, jnp.int16, jnp.uint32])
def test_a_traced_k_of_any_integer_type(dtype):
    run = jax.jit(maxpo_jax.maxpo)
    rewards = jnp.arange(300.0)
    for k in (1, 100):
        np.testing.assert_allclose(run(rewards, dtype(k)), maxpo_jax.maxpo(rewards, k), atol=1e-4)
    assert np.isnan(run(jnp.arange(100.0), dtype(100))).all()
    estimate = jax.jit(maxpo_jax.expected_max_at_k)
    np.testing.assert_allclose(
        estimate(rewards, dtype(100)), maxpo_jax.expected_max_at_k(rewards, 100), rtol=1e-6
    )


@pytest.mark.parametrize("name", estimators.names())
def test_a_batch_without_groups_has_no_advantages(name):
    estimator = estimators.get(name)

    def advantages(rewards, k, where=None):
        return estimator(rewards, k, where=where, key=jax.random.key(0))

    for shape in ((0, 4), (3, 0, 4), (0, 70)):
        k = int(estimator.k_range.largest(shape[-1]))
        rewards, mask = jnp.zeros(shape), jnp.ones(shape, bool)
        at_static_k = jax.eval_shape(lambda r, k=k: advantages(r, k), rewards)
        at_traced_k = jax.eval_shape(advantages, rewards, jnp.int32(k), mask)
        for result in (at_static_k, at_traced_k):
            assert (result.shape, result.dtype) == (shape, jnp.float32)
    assert advantages(rewards, k).size == 0


def test_other_estimates_of_a_batch_without_groups():
    rewards = jnp.zeros((3, 0, 4))
    assert maxpo_jax.expected_max_at_k(rewards, 2).shape == (3, 0)
    for name in estimators.names(off_policy=True):
        assert estimators.get(name)(rewards, 2, ratios=rewards).shape == (3, 0, 4)


def test_a_randomized_estimator_asks_for_a_key():
    for name in estimators.names():
        estimator = estimators.get(name)
        if estimator.randomized:
            with pytest.raises(
                ValueError, match=rf"{name} is randomized and needs a random key: pass"
            ):
                estimator(GROUP, 2)


def test_unknown_names_get_near_matches():
    with pytest.raises(ValueError, match="did you mean 'maxpo'"):
        estimators.get("maxp0")
    with pytest.raises(ValueError, match="Registered are maxpo, ei"):
        estimators.get("zzz")


def test_a_name_is_registered_once():
    with pytest.raises(ValueError, match="'maxpo' is registered already"):
        estimators.register("maxpo", citation="", equation="", unbiased=True, centered=True)
