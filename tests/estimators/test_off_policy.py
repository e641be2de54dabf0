"""Off-policy max@K: every subset in rationals, facts by enumeration over the older policy."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest

from maxpo_jax import estimators
from maxpo_jax.bandits import exact
from maxpo_jax.groups import grouped

NAMES = estimators.names(off_policy=True)
ON_POLICY = {
    "off_policy_max_at_k": "pkpo_s",
    "off_policy_max_at_k_first_order": "pkpo_s",
    "off_policy_max_at_k_leave_one_out": "maxpo",
    "off_policy_max_at_k_centered": "maxpo",
}
REWARDS = [2.0, -0.5, 2.0, 0.25, 3.0, -0.5]
RATIOS = [0.5, 1.25, 2.0, 0.75, 1.0, 0.25]


@functools.cache
def program(name, shape, double=True):
    """One for every K, because they take a second each to compile."""
    function = estimators.get(name).function
    return jax.jit(lambda rewards, ratios, k: function(rewards, k, ratios=ratios))


def advantages(name, rewards, ratios, k):
    with jax.enable_x64(True):
        rewards, ratios = (np.asarray(x, np.float64) for x in (rewards, ratios))
        return np.asarray(program(name, rewards.shape)(rewards, ratios, k))


def allowed_ks(name, group_size):
    entry = estimators.get(name)
    return [k for k in range(1, group_size + 1) if not entry.why_not(k, group_size)]


def best_of_the_others(k):
    """V_i: every K-subset of the others holds K members, so the mean over members is over all."""
    pairs = [(oracles.without(REWARDS, i), oracles.without(RATIOS, i)) for i in range(6)]
    return [oracles.mean(oracles.weighted_subset_maxima(R, w, k)) for R, w in pairs]


def leave_one_out(k):
    with_sample = oracles.weighted_subset_maxima(REWARDS, RATIOS, k)
    ratios = oracles.rationals(RATIOS)
    triples = zip(with_sample, ratios, best_of_the_others(k), strict=True)
    return [best - ratio * of_others for best, ratio, of_others in triples]


def centered(k):
    pairs = zip(oracles.rationals(RATIOS), best_of_the_others(k), strict=True)
    excess = [(ratio - 1) * of_others for ratio, of_others in pairs]
    return [
        advantage + oracles.mean(oracles.without(excess, i))
        for i, advantage in enumerate(leave_one_out(k))
    ]


def first_order(k):
    R, w = oracles.rationals(REWARDS), oracles.rationals(RATIOS)

    def of_sample(i):
        others = [j for j in range(6) if j != i]
        return oracles.mean(
            [
                (1 + sum(w[j] - 1 for j in (i, *S))) * max(R[j] for j in (i, *S))
                for S in itertools.combinations(others, k - 1)
            ]
        )

    return [of_sample(i) for i in range(6)]


ORACLES = {
    "off_policy_max_at_k": lambda k: oracles.weighted_subset_maxima(REWARDS, RATIOS, k),
    "off_policy_max_at_k_leave_one_out": leave_one_out,
    "off_policy_max_at_k_centered": centered,
    "off_policy_max_at_k_first_order": first_order,
}


@pytest.mark.parametrize("name", NAMES)
def test_equals_the_sum_over_all_subsets_in_rationals(name):
    for k in allowed_ks(name, 6):
        expected = np.array(ORACLES[name](k), float)
        got = advantages(name, REWARDS, RATIOS, k)
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-13)


def test_the_centered_form_is_centered_in_rationals():
    for k in range(1, 6):
        assert sum(centered(k)) == 0 != sum(leave_one_out(k))


@pytest.mark.parametrize("name", NAMES)
def test_on_policy_they_are_the_estimators_they_extend(name):
    for k in (1, 3):
        expected = estimators.get(ON_POLICY[name])(jnp.array(REWARDS), k)
        got = advantages(name, REWARDS, [1.0] * 6, k)
        np.testing.assert_allclose(got, expected, rtol=2e-6, atol=2e-6)


# The facts, held to enumeration; see tests/fact_checks.py for samples of the current policy.


@dataclasses.dataclass(frozen=True)
class Case:
    """A bandit, the current policy and the older one that draws."""

    rewards: tuple[float, ...]
    logits: tuple[float, ...]
    old_logits: tuple[float, ...]

    @property
    def ratios(self):
        return softmax(self.logits) / softmax(self.old_logits)


CASES = (
    Case((0.5, 2.0, -1.0), (0.3, -0.4, 0.1), (1.2, -0.9, -0.2)),
    Case((0.0, 1.0, 0.0), (-0.2, 1.1, 0.4), (0.0, 0.0, 0.0)),
    Case((1.5, 0.5, 1.5), (-0.8, 0.6, 0.2), (0.9, 0.0, -0.7)),
)
SIZES = ((2, 1), (2, 2), (4, 1), (4, 2), (4, 3), (4, 4))


def softmax(logits):
    weights = np.exp(logits)
    return weights / weights.sum()


def sizes(entry):
    return [(B, K) for B, K in SIZES if not entry.why_not(K, B)]


def all_groups(group_size):
    return np.array(list(itertools.product(range(3), repeat=group_size)))


def of_all_groups(entry, case, group_size, k, shift=0.0, scale=1.0):
    groups = all_groups(group_size)
    rewards = scale * np.array(case.rewards) + shift
    return advantages(entry.name, rewards[groups], case.ratios[groups], k)


def expected_gradient(entry, case, group_size, k):
    """E g under the older policy, over all ordered groups; scores are of the current policy."""
    groups = all_groups(group_size)
    A = of_all_groups(entry, case, group_size, k)
    scores = np.eye(3) - softmax(case.logits)[None, :]
    g = k / group_size * np.einsum("gi,gia->ga", A, scores[groups])
    return softmax(case.old_logits)[groups].prod(axis=1) @ g


def check_unbiased(entry):
    worst, residual = 0.0, 0.0
    for B, K in sizes(entry):
        means = [expected_gradient(entry, case, B, K) for case in CASES]
        goals = [exact.gradient(case.logits, case.rewards, K) for case in CASES]
        mean, goal = np.concatenate(means), np.concatenate(goals)
        worst = max(worst, np.abs(mean - entry.scale(B, K) * goal).max())
        best_constant = mean @ goal / (goal @ goal)
        residual = max(residual, np.abs(mean - best_constant * goal).max())
    assert entry.target == "J_K"
    assert worst < 1e-12 if entry.unbiased else residual > 1e-3


def largest(entry, deviation):
    return max(np.abs(deviation(case, B, K)).max() for B, K in sizes(entry) for case in CASES)


def check_fact(entry, fact, deviation):
    value = largest(entry, deviation)
    assert value < 1e-12 if getattr(entry, fact) else value > 1e-3, (entry.name, fact, value)


def check_facts(entry):
    f = functools.partial(of_all_groups, entry)
    check_unbiased(entry)
    check_fact(entry, "centered", lambda *args: f(*args).sum(axis=-1))
    check_fact(entry, "shift_invariant", lambda *args: f(*args, shift=3.0) - f(*args))
    check_fact(entry, "scale_equivariant", lambda *args: f(*args, scale=4.0) - 4.0 * f(*args))


@pytest.mark.parametrize("name", NAMES)
def test_facts(name):
    entry = estimators.get(name)
    assert entry.off_policy
    check_facts(entry)
    denied = ("unbiased", "centered", "shift_invariant", "scale_equivariant")
    for fact in denied:
        with pytest.raises(AssertionError):
            check_facts(dataclasses.replace(entry, **{fact: not getattr(entry, fact)}))


def test_the_plain_mean_off_the_leave_one_out_form_would_bias_it():
    """Why the centered form takes off what it does, and not the mean."""
    entry = estimators.get("off_policy_max_at_k_leave_one_out")
    case, groups = CASES[0], all_groups(4)
    A = of_all_groups(entry, case, 4, 2)
    scores = (np.eye(3) - softmax(case.logits)[None, :])[groups]
    probs = softmax(case.old_logits)[groups].prod(axis=1)
    mean = 2 / 4 * probs @ np.einsum("gi,gia->ga", A - A.mean(axis=1, keepdims=True), scores)
    assert np.abs(mean - exact.gradient(case.logits, case.rewards, 2)).max() > 1e-2


def test_bias_of_the_first_order_falls_with_the_square_of_the_distance():
    entry, case = estimators.get("off_policy_max_at_k_first_order"), CASES[0]
    direction = np.array([0.9, -0.5, -0.3])
    goal = exact.gradient(case.logits, case.rewards, 3)

    def bias(step):
        old = dataclasses.replace(case, old_logits=case.logits + step * direction)
        return np.linalg.norm(expected_gradient(entry, old, 4, 3) - goal)

    biases = [bias(step) for step in (0.2, 0.1, 0.05)]
    assert 3.0 < biases[0] / biases[1] < 5.0
    assert 3.5 < biases[1] / biases[2] < 4.5


# The contract.


def example(shape, seed=0):
    rng = np.random.default_rng(seed)
    rewards = np.round(rng.normal(size=shape), 1).astype(np.float32)
    return rewards, np.exp(0.3 * rng.normal(size=shape)).astype(np.float32)


@pytest.mark.parametrize("name", NAMES)
def test_eager_jit_vmap_and_traced_k_agree_and_one_compilation_serves_every_k(name):
    function = estimators.get(name)
    rewards, ratios = example((3, 6))
    traces = []

    @jax.jit
    def traced(rewards, ratios, k):
        traces.append(k)
        return function(rewards, k, ratios=ratios)

    for k in allowed_ks(name, 6):
        got = traced(rewards, ratios, k)
        assert (got.shape, got.dtype) == (rewards.shape, rewards.dtype)
        expected = advantages(name, rewards, ratios, k)
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
    assert len(traces) == 1
    eager = function(rewards, 3, ratios=ratios)
    np.testing.assert_allclose(eager, traced(rewards, ratios, 3), rtol=1e-5, atol=1e-5)
    of_one = lambda r, w: function(r, 3, ratios=w)  # noqa: E731
    np.testing.assert_allclose(jax.vmap(of_one)(rewards, ratios), eager, rtol=1e-6, atol=1e-6)
    stacked = function(np.stack([rewards, rewards[::-1]]), 3, ratios=np.stack([ratios] * 2))
    np.testing.assert_allclose(stacked[0], eager, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_masked_group_is_the_group_of_its_valid_samples(name):
    function = estimators.get(name)
    rewards, ratios = example((4, 9))
    counts = np.array([9, 6, 2, 1])
    where = np.random.default_rng(1).permuted(np.arange(9) < counts[:, None], axis=1)
    rewards[~where], ratios[~where] = np.nan, np.nan
    run = jax.jit(lambda r, w, k, m: function(r, k, ratios=w, where=m))
    for k in (1, 2, 5):
        got = np.asarray(run(rewards, ratios, k, where))
        for row, valid in enumerate(where):
            assert not got[row, ~valid].any()
            if function.why_not(k, counts[row]):
                assert np.isnan(got[row, valid]).all()
            else:
                alone = advantages(name, rewards[row, valid], ratios[row, valid], k)
                np.testing.assert_allclose(got[row, valid], alone, rtol=1e-5, atol=1e-5)
    some = slice(0, 2)
    eager = function(rewards[some], 3, ratios=ratios[some], where=where[some])
    np.testing.assert_allclose(eager, run(rewards, ratios, 3, where)[some], rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match=r"has [12] valid samples, which does not fit k = 2"):
        function(rewards, 2, ratios=ratios, where=where)


@pytest.mark.parametrize("name", NAMES)
def test_inside_jit_a_bad_group_spoils_itself_alone(name):
    run = jax.jit(lambda r, w: estimators.get(name)(r, 2, ratios=w))
    rewards, ratios = example((3, 4))
    clean = np.asarray(run(rewards, ratios))
    for array, bad in ((rewards, np.nan), (rewards, np.inf), (ratios, np.nan), (ratios, -0.5)):
        spoiled = array.copy()
        spoiled[1, 2] = bad
        pair = (spoiled, ratios) if array is rewards else (rewards, spoiled)
        got = np.asarray(run(*pair))
        assert np.isnan(got[1]).all()
        np.testing.assert_array_equal(got[[0, 2]], clean[[0, 2]])


def test_dtypes():
    function = estimators.get("off_policy_max_at_k_centered")
    for dtype in (jnp.float16, jnp.bfloat16, jnp.float32):
        assert function(jnp.array([0, 1, 3], dtype), 1, ratios=jnp.ones(3)).dtype == dtype
    assert function(jnp.array([0, 1, 3]), 1, ratios=np.ones(3, int)).dtype == jnp.float32
    # Ratios keep their digits where rewards have few.
    rewards, ratios = jnp.array([64, 64], jnp.float16), jnp.array([1.0, 1.0 + 2**-11])
    got = estimators.off_policy_max_at_k_leave_one_out(rewards, 1, ratios=ratios)
    assert got[0] == np.float16(-(2**-5))


def test_large_groups_stay_finite_and_precise():
    rewards, ratios = example((3, 512))
    function = estimators.off_policy_max_at_k
    got = jax.jit(lambda r, w: function(r, 64, ratios=w ** (1 / 3)))(rewards, ratios)
    in_double = advantages("off_policy_max_at_k", rewards, ratios ** (1 / 3), 64)
    np.testing.assert_allclose(got, in_double, rtol=1e-3)


def test_no_gradient_flows_through_rewards_or_ratios():
    def total(rewards, ratios):
        return jnp.sum(estimators.off_policy_max_at_k_centered(rewards, 2, ratios=ratios) ** 2)

    gradients = jax.grad(total, argnums=(0, 1))(jnp.array(REWARDS), jnp.array(RATIOS))
    for gradient in gradients:
        np.testing.assert_array_equal(gradient, jnp.zeros(6))


R, W = jnp.array(REWARDS), jnp.array(RATIOS)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f: f(R, 2, ratios=W[:3]), r"ratios must have the shape of the rewards \(6,\)"),
        (lambda f: f(R, 7, ratios=W), "k = 7 does not fit group_size = 6"),
        (lambda f: f(R.at[1].set(jnp.nan), 2, ratios=W), r"finite, got nan at index \[1\]"),
        (lambda f: f(R, 2, ratios=W.at[0].set(-1.0)), r"ratios must be finite .* \[0\]; they are"),
        (lambda f: f(R, 0, ratios=W), "k = 0"),
        (lambda f: f(R, 2), r"pass ratios=exp\(log pi - log pi_old\).*current policy use 'maxpo'"),
    ],
)
@pytest.mark.parametrize("form", ["function", "estimator"])
def test_mistakes(call, message, form):
    name = "off_policy_max_at_k"
    with pytest.raises(ValueError, match=f"^{name}: .*{message}") as error:
        call(getattr(estimators, name) if form == "function" else estimators.get(name))
    assert "\n" not in str(error.value)


def test_estimators_of_the_current_policy_take_no_ratios():
    with pytest.raises(ValueError, match=r"maxpo .* takes no ratios: use one of off_policy_max"):
        estimators.get("maxpo")(R, 2, ratios=W)
    with pytest.raises(ValueError, match="needs the ratios of its samples, and grouped takes none"):
        grouped("off_policy_max_at_k")


def test_they_are_listed_apart_and_exported():
    assert not set(NAMES) & set(estimators.names())
    assert set(NAMES) == set(ORACLES) == {n for n in estimators.__all__ if n.startswith("off_")}
