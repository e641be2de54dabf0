"""The contract that every registered estimator keeps; a new one is tested by being registered."""

import inspect
import itertools
import pathlib
import pickle
import re

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import maxpo_jax
from maxpo_jax import estimators

GROUP_SIZE = 6


@pytest.fixture(params=estimators.names())
def estimator(request):
    return estimators.get(request.param)


def allowed_ks(estimator, group_size: int = GROUP_SIZE) -> list[int]:
    return [k for k in range(1, group_size + 1) if not estimator.why_not(k, group_size)]


def example_rewards(estimator) -> jax.Array:
    binary = jnp.array([[0, 1, 0, 0, 1, 0], [1, 0, 1, 1, 1, 1], [0, 0, 0, 0, 0, 1]], jnp.float32)
    real = jnp.array([[2.0, -1.0, 0.5, 7.0, 3.0, 4.0], [1, 1, 2, 3, 3, 0], [5, 0, 0, 0, 0, 0]])
    return binary if estimator.reward_type == "binary" else jnp.concatenate([binary, real])


def test_names_a_source_that_exists(estimator):
    bibliography = pathlib.Path(maxpo_jax.__file__).with_name("references.bib").read_text("utf-8")
    assert estimator.citation in re.findall(r"^@\w+\{([^,]+),", bibliography, re.MULTILINE)
    assert estimator.equation


def test_allows_some_k(estimator):
    assert allowed_ks(estimator)


def test_finite_of_the_shape_and_dtype_of_the_rewards(estimator):
    rewards = example_rewards(estimator)
    for k in allowed_ks(estimator):
        advantages = estimator(rewards, k, key=jax.random.key(7))
        assert advantages.shape == rewards.shape
        assert advantages.dtype == rewards.dtype
        assert np.isfinite(advantages).all()


def test_eager_jit_vmap_and_traced_k_agree_and_one_compilation_serves_every_k(estimator):
    rewards = example_rewards(estimator)
    atol = 2e-6 * float(jnp.abs(rewards).max())  # sums of rewards are as precise as the largest
    traces = []

    @jax.jit
    def traced(rewards, k):
        traces.append(k)
        return estimator(rewards, k, key=jax.random.key(7))

    for k in allowed_ks(estimator):
        eager = estimator(rewards, k, key=jax.random.key(7))
        np.testing.assert_allclose(traced(rewards, k), eager, rtol=2e-6, atol=atol)
    assert len(traces) == 1
    jitted = jax.jit(lambda r: estimator(r, k, key=jax.random.key(7)))(rewards)
    np.testing.assert_allclose(jitted, eager, rtol=2e-6, atol=atol)
    if not estimator.randomized:
        mapped = jax.vmap(lambda r: estimator(r, k))(rewards)
        np.testing.assert_allclose(mapped, eager, rtol=2e-6, atol=atol)


def test_leading_axes_are_batch_axes(estimator):
    if estimator.randomized:
        pytest.skip("the draws depend on the shape")
    rewards = example_rewards(estimator)
    k = allowed_ks(estimator)[-1]
    stacked = estimator(jnp.stack([rewards, rewards[::-1]]), k)
    np.testing.assert_array_equal(stacked[0], estimator(rewards, k))
    np.testing.assert_array_equal(stacked[1], estimator(rewards, k)[::-1])


def test_no_gradient_flows_through_the_rewards(estimator):
    k = allowed_ks(estimator)[0]
    rewards = example_rewards(estimator)[0]
    gradient = jax.grad(lambda r: jnp.sum(estimator(r, k, key=jax.random.key(7)) ** 2))(rewards)
    np.testing.assert_array_equal(gradient, jnp.zeros_like(rewards))


def test_centered_as_stated(estimator):
    rewards = example_rewards(estimator)
    sums = [
        float(jnp.abs(jnp.sum(estimator(rewards, k, key=jax.random.key(7)), axis=-1)).max())
        for k in allowed_ks(estimator)
    ]
    assert (max(sums) < 1e-5) == estimator.centered


def test_shift_invariant_as_stated(estimator):
    if estimator.reward_type == "binary":
        pytest.skip("a shifted 0/1 reward is none")
    rewards = example_rewards(estimator)

    def change(k):
        shifted = estimator(rewards + 8, k, key=jax.random.key(7))
        return float(jnp.abs(shifted - estimator(rewards, k, key=jax.random.key(7))).max())

    changes = [change(k) for k in allowed_ks(estimator)]
    assert (max(changes) < 1e-4) == estimator.shift_invariant


def test_scale_equivariant_as_stated(estimator):
    if estimator.reward_type == "binary":
        pytest.skip("a scaled 0/1 reward is none")
    rewards = example_rewards(estimator)

    def change(k):
        scaled = estimator(4 * rewards, k, key=jax.random.key(7))
        return float(jnp.abs(scaled - 4 * estimator(rewards, k, key=jax.random.key(7))).max())

    changes = [change(k) for k in allowed_ks(estimator)]
    assert (max(changes) < 1e-4) == estimator.scale_equivariant


@hypothesis.settings(max_examples=20, deadline=None, derandomize=True)
@hypothesis.given(
    rewards=st.lists(st.integers(0, 3), min_size=GROUP_SIZE, max_size=GROUP_SIZE),
    order=st.permutations(range(GROUP_SIZE)),
    data=st.data(),
)
def test_permutation_equivariant(rewards, order, data):
    estimator = estimators.get(data.draw(st.sampled_from(estimators.names())))
    if estimator.randomized:
        return
    values = jnp.asarray(rewards, jnp.float32)
    if estimator.reward_type == "binary":
        values = jnp.minimum(values, 1.0)
    k = data.draw(st.sampled_from(allowed_ks(estimator)))
    permutation = jnp.asarray(order)
    np.testing.assert_allclose(
        estimator(values[permutation], k), estimator(values, k)[permutation], rtol=1e-6, atol=1e-6
    )


ALIASES = {
    "bon_mean": "zscore_maxpo",
    "pkpo_binary": "pkpo_s",
    "pkpo_sloo_minus_one": "ei",
    "rspo": "ei",
    "tang_leave_one_out": "ei",
    "verl_pass_at_k": "ei",
}


def test_aliases_are_those_that_are_meant():
    entries = [estimators.get(name) for name in estimators.names()]
    assert {entry.name: entry.alias_of for entry in entries if entry.alias_of} == ALIASES


@pytest.mark.parametrize("name", ALIASES)
def test_an_alias_is_one_function_under_its_own_name(name):
    entry, original = estimators.get(name), estimators.get(ALIASES[name])
    public = getattr(estimators, name)
    assert entry.function is public
    assert inspect.unwrap(public) is inspect.unwrap(original.function)
    assert pickle.loads(pickle.dumps(public)) is public  # found where it says it is
    for part in (f"`{original.name}`", "Args:", "Returns:", "Raises:", "Source:", "iased for grad"):
        assert part in public.__doc__, part
    rewards = example_rewards(entry)
    for k in allowed_ks(entry):
        np.testing.assert_array_equal(entry(rewards, k), original(rewards, k))
    with pytest.raises(ValueError, match=f"^{name}: k = 9 does not fit group_size = 6"):
        entry(rewards, 9)


def test_no_two_estimators_are_the_same_unless_one_is_an_alias():
    """Only `canonical` is a second route to another, on purpose; `maxrl` is one on 0/1 rewards."""
    rewards = example_rewards(estimators.get("maxpo"))

    def everywhere(entry):
        with jax.enable_x64(True):
            return {k: np.asarray(entry(np.asarray(rewards, float), k)) for k in allowed_ks(entry)}

    entries = map(estimators.get, estimators.names())
    own = [e for e in entries if not (e.alias_of or e.randomized or e.reward_type == "binary")]
    tables = {entry.name: everywhere(entry) for entry in own}

    def are_same(one, other):
        shared = tables[one].keys() & tables[other].keys()
        pairs = ((tables[one][k], tables[other][k]) for k in shared)
        return shared and all(np.allclose(x, y, rtol=1e-9, atol=1e-9) for x, y in pairs)

    same = [
        {one, other} for one, other in itertools.combinations(tables, 2) if are_same(one, other)
    ]
    assert same == [{"maxpo", "canonical"}]


def test_only_registered_estimators_have_aliases():
    facts = {"citation": "", "equation": "", "note": "", "source": ""}
    with pytest.raises(ValueError, match="of a registered estimator only"):
        estimators.alias("mine", of=lambda rewards, k: rewards, **facts)
    with pytest.raises(ValueError, match="'rspo' is registered already"):
        estimators.alias("rspo", of=estimators.ei, **facts)
