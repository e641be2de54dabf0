"""Flat rewards with group ids: every subset in rationals, in any order, for ids of any kind."""

import itertools
import uuid
from fractions import Fraction

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import optax
import oracles
import pytest

from maxpo_jax import estimators
from maxpo_jax.groups import GroupedAdvantages, grouped

ORACLES = {
    "maxpo": (oracles.maxpo, 1),  # and how many samples of a group k must leave
    "ei": (oracles.expected_improvement, 0),
    "pkpo_s": (oracles.u, 0),
}
DETERMINISTIC = [n for n in estimators.names() if not estimators.get(n).randomized]
COMPILED = ("maxpo", "rloo", "grpo", "verl_pass_at_k_std")  # others differ in formulas alone
RAGGED = (8, 7, 8, 3, 1, 5, 8)


def groups_of(sizes, seed=0):
    """Rewards with many ties, group numbers, and both shuffled."""
    rng = np.random.default_rng(seed)
    ids = np.repeat(np.arange(len(sizes)), sizes)
    rewards = rng.choice([0.0, 0.0, 1.0, 0.25, -2.0, 3.0], size=len(ids))
    order = rng.permutation(len(ids))
    return rewards[order], ids[order]


def expected(name, rewards, ids, k, where=None, spare=None):
    """The definition: each group on its own, in rationals."""
    advantages, weights = [Fraction(0)] * len(rewards), [Fraction(0)] * len(rewards)
    for one in set(ids):
        members = [
            i
            for i, other in enumerate(ids)
            if other == one and not np.isnan(rewards[i]) and (where is None or where[i])
        ]
        for oracle, left in (ORACLES[name], *([ORACLES[spare]] if spare else [])):
            if 1 <= k <= len(members) - left:
                found = oracle([rewards[i] for i in members], k)
                for i, advantage in zip(members, found, strict=True):
                    advantages[i], weights[i] = advantage, Fraction(k, len(members))
                break
    return np.array(advantages, float), np.array(weights, float)


def traced_form(name, num_groups=8, max_group_size=8, **keywords):
    return grouped(name, num_groups=num_groups, max_group_size=max_group_size, **keywords)


def assert_close(got, want, atol):
    for one, other in zip(got, want, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=atol)


@pytest.mark.parametrize("k", range(1, 8))
@pytest.mark.parametrize("name", ORACLES)
def test_both_forms_equal_every_subset_in_rationals(name, k):
    rewards, ids = groups_of(range(1, 9), seed=k)
    want = expected(name, rewards, ids, k)
    assert_close(grouped(name)(rewards, ids, k), want, atol=1e-13)
    got = traced_form(name)(rewards.astype(np.float32), ids, k)
    assert_close(got, want, atol=2e-6)


def identity(i):
    return i


KINDS = {
    "integers": identity,
    "strings": lambda i: f"prompt {i}",
    "tuples": lambda i: (i // 2, "left" if i % 2 else "right"),
    "UUIDs": lambda i: uuid.UUID(int=i),
    "floats": lambda i: i / 2,
    "frozen sets": lambda i: frozenset({i, "x"}),
    "mixed": lambda i: str(i) if i % 2 else i,
    "scalars of NumPy": np.int64,
    "scalars of JAX": jnp.int32,
}


@pytest.mark.parametrize("kind", KINDS)
def test_ids_of_every_kind(kind):
    rewards, numbers = groups_of(RAGGED)
    want = grouped("maxpo")(rewards, numbers, 4)
    ids = [KINDS[kind](int(i)) for i in numbers]
    given = [ids, tuple(ids)]
    if kind in ("integers", "strings", "floats"):
        given += [np.array(ids), np.array(ids, object)]
    for some in given:
        got = grouped("maxpo")(rewards, some, 4)
        for one, other in zip(got, want, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("form", ["host", "traced"])
def test_small_groups_get_exactly_nothing_and_the_others_what_is_theirs(form):
    rewards, ids = groups_of(RAGGED)
    function = grouped("maxpo") if form == "host" else traced_form("maxpo")
    advantages, weights = map(np.asarray, function(rewards, ids, 4))
    small = np.isin(ids, (3, 4))
    assert not advantages[small].any()
    assert not weights[small].any()
    sizes = np.array(RAGGED)[ids]
    np.testing.assert_allclose(weights[~small], 4 / sizes[~small], rtol=1e-6)
    for one in (0, 1, 2, 5, 6):
        alone = estimators.maxpo(rewards[ids == one], 4)
        np.testing.assert_allclose(advantages[ids == one], alone, atol=2e-6)
    assert advantages[~small].any()


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_permuted_samples_give_permuted_results_to_the_last_bit(name):
    rng = np.random.default_rng(1)
    ids = np.repeat(np.arange(7), RAGGED)
    binary = estimators.get(name).reward_type == "binary"
    rewards = (rng.random(len(ids)) < 0.4) * 1.0 if binary else rng.normal(size=len(ids)).round(1)
    whole = estimators.get(name).k_range.text.startswith("k = B")
    k, order = 8 if whole else 4, rng.permutation(len(ids))
    traced = [traced_form(name, 7)] if name in COMPILED else []
    for function in (grouped(name), *traced):
        straight, mixed = function(rewards, ids, k), function(rewards[order], ids[order], k)
        assert np.asarray(straight.weights).any()
        for one, other in zip(straight, mixed, strict=True):
            np.testing.assert_array_equal(np.asarray(one)[order], other)


IN_JIT = jax.jit(traced_form("maxpo"))  # where nothing can be refused


@hypothesis.settings(max_examples=25, deadline=None, derandomize=True)
@hypothesis.given(
    sizes=st.lists(st.integers(1, 8), min_size=1, max_size=8),
    k=st.integers(1, 7),
    seed=st.integers(0, 99),
    missing=st.floats(0, 0.9),
)
def test_both_forms_agree_and_are_never_nan(sizes, k, seed, missing):
    rewards, ids = groups_of(sizes, seed)
    rng = np.random.default_rng(seed)
    rewards[rng.random(len(rewards)) < missing / 2] = np.nan
    where = rng.random(len(rewards)) >= missing / 2
    padding = 64 - len(rewards)  # one shape, one program
    rewards, ids = np.append(rewards, [np.nan] * padding), np.append(ids, [-1] * padding)
    where = np.append(where, [False] * padding)
    want = expected("maxpo", rewards, ids.tolist(), k, where)
    got = IN_JIT(rewards.astype(np.float32), ids, k, where=where)
    assert np.isfinite(np.concatenate(got)).all()
    assert_close(got, want, atol=1e-5)
    if want[1].any():
        assert_close(grouped("maxpo")(rewards, ids, k, where=where), want, atol=1e-12)
    else:
        with pytest.raises(ValueError, match=r"no group fits|no sample to use"):
            grouped("maxpo")(rewards, ids, k, where=where)


@pytest.mark.parametrize("missing", [None, np.nan])
def test_a_missing_reward_drops_the_sample_and_keeps_its_siblings(missing):
    rewards, ids = [0.0, missing, 3.0, 9.0, 1.0, 1.0, 1.0], [0, 0, 0, 0, 1, 1, 1]
    advantages, weights = grouped("maxpo")(rewards, ids, 2)
    assert advantages.tolist() == [-3.0, 0.0, -3.0, 6.0, 0.0, 0.0, 0.0]
    assert weights.tolist() == [2 / 3, 0.0, 2 / 3, 2 / 3, 2 / 3, 2 / 3, 2 / 3]


@pytest.mark.parametrize("form", ["host", "traced"])
def test_expected_improvement_for_small_groups(form):
    rewards, ids = groups_of(RAGGED, seed=3)
    for k in (3, 5, 8):
        maker = grouped if form == "host" else traced_form
        got = maker("maxpo", small_groups="ei")(rewards, ids, k)
        want = expected("maxpo", rewards, ids, k, spare="ei")
        assert_close(got, want, atol=2e-6)
        assert (want[1] > 0).sum() > (expected("maxpo", rewards, ids, k)[1] > 0).sum()


# Implementations with one defect each, in the words of the definition.


def right(rewards, ids, k, where=None, k_of_size=lambda k, size: k):
    result = np.zeros((2, len(rewards)))
    usable = np.ones(len(rewards), bool) if where is None else where
    for one in np.unique(ids):
        members = np.flatnonzero((ids == one) & usable)
        own_k = k_of_size(k, len(members))
        if 0 < own_k < len(members):
            result[0, members] = np.array(oracles.maxpo([*rewards[members]], own_k), float)
            result[1, members] = k / len(members)
    return result


def clamped_k(rewards, ids, k, where=None):
    return right(rewards, ids, k, where, k_of_size=lambda k, size: min(k, size - 1))


def raw_reward_of_a_group_of_one(rewards, ids, k, where=None):
    alone = np.bincount(ids)[ids] == 1
    raw = np.stack([rewards, np.full(len(ids), float(k))])
    return np.where(alone, raw, right(rewards, ids, k, where))


def ignored_mask(rewards, ids, k, where=None):
    return right(rewards, ids, k)


def grouping_by_position(rewards, ids, k, where=None):
    return right(rewards, np.sort(ids), k, where)


def check(function):
    """Both forms go through this; raises AssertionError for a defect."""
    rewards, ids = groups_of(RAGGED, seed=5)
    rewards[ids == 4] = 3.0  # a group of one
    where = np.random.default_rng(6).random(len(ids)) < 0.85
    for k, mask in itertools.product((1, 4), (None, where)):
        want = expected("maxpo", rewards, ids, k, mask)
        assert_close(function(rewards, ids, k, where=mask), want, atol=2e-6)


def test_what_is_right_passes():
    for function in (right, grouped("maxpo"), traced_form("maxpo")):
        check(function)


@pytest.mark.parametrize(
    "defect", [clamped_k, raw_reward_of_a_group_of_one, ignored_mask, grouping_by_position]
)
def test_planted_defects_are_caught(defect):
    with pytest.raises(AssertionError):
        check(defect)


def compilations(run):
    """Number of programs that XLA compiles while this runs."""
    compiled = []

    def listen(event, duration, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(duration)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        run()
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    return len(compiled)


def step_sizes(num_steps):
    rng = np.random.default_rng(2)
    return [rng.integers(1, 9, size=rng.integers(2, 9)) for _ in range(num_steps)]


def test_thirty_steps_of_changing_sizes_compile_nothing_on_the_host():
    def run():
        for seed, sizes in enumerate(step_sizes(30)):
            rewards, ids = groups_of([9, *sizes], seed)
            for name in ("maxpo", "ei", "grpo", "rloo"):
                grouped(name)(rewards.astype(np.float32), ids, 4)

    assert compilations(run) == 0
    assert compilations(lambda: jax.jit(lambda x: x * 3.0 + 1.5)(jnp.ones(37))) > 0


def test_thirty_steps_of_changing_sizes_compile_once_for_each_declared_size():
    traces = []

    def run(num_groups):
        @jax.jit
        def step(rewards, ids, k, where):
            traces.append(num_groups)
            return traced_form("maxpo", num_groups)(rewards, ids, k, where=where)

        for seed, sizes in enumerate(step_sizes(15)):
            rewards, ids = groups_of(sizes, seed)
            padded = np.zeros((2, 64), np.float32)
            padded[:, : len(ids)] = rewards, ids
            where = np.arange(64) < len(ids)
            advantages, _ = step(padded[0], padded[1].astype(int), 1 + seed % 4, where)
            assert np.isfinite(advantages).all()

    run(8)
    run(16)
    assert traces == [8, 16]


def test_eager_calls_of_the_traced_form_share_one_program():
    rewards, ids = groups_of(RAGGED, seed=8)
    traced_form("maxpo", 7, 9)(rewards, ids, 4)
    assert compilations(lambda: traced_form("maxpo", 7, 9)(rewards, ids, 2)) == 0


def test_an_adam_step_stays_finite_with_a_small_group():
    """Where the plain function makes NaN of a group, and Adam of every parameter."""
    rewards, ids = groups_of((4, 1, 8, 3), seed=9)
    features = np.random.default_rng(0).normal(size=(len(ids), 3)).astype(np.float32)
    optimizer = optax.adam(0.1)

    @jax.jit
    def step(params, state):
        def loss(params):
            log_prob = jax.nn.log_sigmoid(features @ params)
            advantages, weights = traced_form("maxpo", 4)(rewards, ids, 3)
            return -jnp.sum(weights * advantages * log_prob)

        updates, state = optimizer.update(jax.grad(loss)(params), state)
        return optax.apply_updates(params, updates), state

    params = jnp.zeros(3)
    with jax.numpy_dtype_promotion("standard"):  # optax relies on it
        after, _ = step(params, optimizer.init(params))
    assert np.isfinite(after).all()
    assert (np.asarray(after) != 0).all()


def test_dtypes():
    rewards, ids = groups_of(RAGGED)
    for dtype in (np.float16, np.float32, np.float64, jnp.bfloat16):
        got = grouped("maxpo")(rewards.astype(dtype), ids, 4)
        assert {one.dtype for one in got} == {np.dtype(dtype)}
    for integers in (rewards.astype(int), rewards > 0):
        assert {one.dtype for one in grouped("maxpo")(integers, ids, 4)} == {np.dtype(np.float32)}
        got = traced_form("maxpo")(integers, ids, 4)
        assert {one.dtype for one in got} == {np.dtype(np.float32)}
    got = traced_form("maxpo")(rewards.astype(np.float16), ids.astype(np.uint8), 4)
    assert {one.dtype for one in got} == {np.dtype(np.float16)}


def test_an_offset_costs_no_digits_on_the_host():
    rewards, ids = groups_of(RAGGED)
    shifted = grouped("maxpo")(rewards + 1e6, ids, 4)
    np.testing.assert_allclose(shifted.advantages, grouped("maxpo")(rewards, ids, 4).advantages)


def half_baseline(rewards, k):
    return rewards - rewards.mean() / 2


def best_in_jax(rewards, k):
    return jnp.where(rewards == rewards.max(), rewards, 0.0)


@pytest.mark.parametrize("function", [half_baseline, best_in_jax])
def test_a_function_of_ones_own(function):
    rewards, ids = groups_of(RAGGED)
    want = np.zeros(len(ids))
    for one in range(7):
        if RAGGED[one] >= 2:  # of a function nothing is known but that k samples are needed
            want[ids == one] = function(rewards[ids == one], 2)
    for form in (grouped(function), traced_form(function)):
        np.testing.assert_allclose(form(rewards, ids, 2).advantages, want, atol=2e-6)


def test_a_function_that_needs_k_as_a_python_int():
    def top(rewards, k):
        return jnp.sort(rewards) * (1.0 if k > 1 else 2.0)

    rewards, ids = groups_of((3, 3, 3))
    got = traced_form(top, 3, 3)(rewards, ids, 2).advantages
    assert sorted(got.tolist()) == sorted(rewards.tolist())


def test_the_function_of_a_registered_estimator_is_that_estimator():
    assert grouped(estimators.maxpo) == grouped("maxpo") == grouped(estimators.get("maxpo"))


def test_the_result_is_named():
    rewards, ids = groups_of(RAGGED)
    for form in (grouped("maxpo"), traced_form("maxpo")):
        assert isinstance(form(rewards, ids, 4), GroupedAdvantages)
    assert GroupedAdvantages._fields == ("advantages", "weights")


R, IDS = [0.0, 1.0, 2.0], [0, 0, 0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f: f(R, IDS, 3), r"maxpo.: no group fits k = 3: .*B - 1.* 3 to 3 usable.*'ei'"),
        (lambda f: f([np.nan] * 3, IDS, 1), "no sample to use"),
        (lambda f: f(R, IDS, 0), "no group fits k = 0"),
        (lambda f: f(R, IDS, 1.5), "k must be an integer, got 1.5"),
        (lambda f: f(R, IDS, [1, 1, 2]), r"one integer for all groups.*for each k, with where="),
        (lambda f: f([0.0, np.inf, 1.0], IDS, 1), "finite, got inf at index 1"),
        (lambda f: f([R], [IDS], 1), r"flat, shape \[N\].*got \(1, 3\).*call the estimator itself"),
        (lambda f: f([], [], 1), "flat, shape"),
        (lambda f: f([1j, 0, 0], IDS, 1), "real numbers, got dtype complex"),
        (lambda f: f(["a", "b", "c"], IDS, 1), "real numbers"),
        (lambda f: f(R, [0, 0], 1), "2 group_ids for 3 rewards"),
        (lambda f: f(R, np.zeros((3, 2)), 1), "one id for each sample.*map.tuple"),
        (lambda f: f(R, [[0], [0], [0]], 1), "must be hashable.*unhashable type: 'list'"),
        (lambda f: f(R, IDS, 1, where=[1, 1, 1]), "where must be a boolean mask"),
        (lambda f: f(R, IDS, 1, where=[True]), "where must be a boolean mask"),
        (lambda f: jax.jit(f, static_argnums=(1, 2))(jnp.ones(3), (0, 0, 0), 1), "num_groups=..."),
    ],
)
def test_mistakes_on_the_host(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call(grouped("maxpo"))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f: f(R, IDS, 4), r"k = 4 does not fit group_size = 4"),
        (lambda f: f(R, IDS, 3), "no group fits k = 3"),
        (lambda f: f(R, ["a", "a", "a"], 1), "must be integers"),
        (lambda f: f(R, [0.0, 0.0, 0.0], 1), "must be integers 0..1 of shape.*return_inverse"),
        (lambda f: f(R, [0, 0], 1), r"of shape \(3,\), got int64 of shape \(2,\)"),
        (lambda f: f(R, [0, 0, 2], 1), "group_ids must be 0..1"),
        (lambda f: f(R, [0, 0, -1], 1), "group_ids must be 0..1"),
        (lambda f: f([0.0] * 5, [1] * 5, 1), "group 1 has 5 samples, more than max_group_size = 4"),
        (lambda f: f([0.0, np.inf, 1.0], IDS, 1), "finite"),
        (lambda f: f(R, IDS, jnp.array([1, 2])), "one integer for all groups"),
        (lambda f: f([R], [IDS], 1), "flat, shape"),
        (lambda f: f(R, IDS, 1, where=[1, 1, 1]), "boolean mask"),
    ],
)
def test_mistakes_in_the_traced_form_outside_jit(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call(traced_form("maxpo", 2, 4))
    assert "\n" not in str(error.value)


def test_inside_jit_what_cannot_be_used_is_left_out():
    rewards = np.array([0.0, np.inf, 3.0, 9.0, 1.0, 2.0, 3.0, 4.0, 5.0, 7.0, 8.0])
    ids = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1, -1, 2])  # the second is too large, and one is no id
    advantages, weights = jax.jit(traced_form("maxpo", 2, 4))(rewards, ids, 2)
    assert advantages.tolist() == [-3.0, 0.0, -3.0, 6.0] + [0.0] * 7
    np.testing.assert_allclose(weights, np.array([1, 0, 1, 1] + [0] * 7) * 2 / 3, rtol=1e-6)


def test_no_gradient_flows_through_the_rewards():
    rewards, ids = groups_of(RAGGED)
    gradient = jax.grad(lambda r: jnp.sum(traced_form("maxpo")(r, ids, 4).advantages ** 2))(
        jnp.asarray(rewards, jnp.float32)
    )
    assert not gradient.any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("mapxo", {}), "did you mean 'maxpo'"),
        (("pass_at_k_training_full", {}), "draws random numbers.*'maxpo'"),
        (("maxpo", {"num_groups": 3}), "max_group_size must be a positive integer, got None"),
        (("maxpo", {"num_groups": 0, "max_group_size": 3}), "num_groups must be a positive"),
        (("maxpo", {"small_groups": "clamp"}), "must be 'zero' or 'ei', got 'clamp'"),
        (("grpo", {"small_groups": "ei"}), "estimates grad J_K, which grpo is not known"),
        ((half_baseline, {"small_groups": "ei"}), "half_baseline is not known"),
    ],
)
def test_mistakes_of_the_maker(arguments, message):
    estimator, keywords = arguments
    with pytest.raises(ValueError, match=message):
        grouped(estimator, **keywords)
