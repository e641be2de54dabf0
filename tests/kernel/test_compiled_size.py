"""Guards of speed that time nothing: how often, how large and with how many sorts one compiles."""

import functools
import math
from collections.abc import Iterator

import jax
import jax.extend
import jax.numpy as jnp
import pytest

from maxpo_jax import estimators
from maxpo_jax.kernel.sorting import FEWEST_SIDE_BY_SIDE, LONGEST_LOOP, LONGEST_NETWORK

MAXPO = estimators.get("maxpo")
# What an estimator sorts beyond the one sort of its rewards, and which ones need no sort at all.
WITHOUT_SORT = {
    "bon_max_mean",
    "bon_max_second",
    "maxrl",
    "mahdavi_rloo",
    "mahdavi_grpo",
    "pass_at_k_training_analytic",
} | {name for name in estimators.names() if estimators.get(name).target == "J_1"}
TWO_SORTS = {
    "pass_at_k_training_full",
    "pass_at_k_training_full_std",
    "pass_at_k_training_bootstrap",
    "pass_at_k_training_bootstrap_std",
}


def lowered_lines(group_size: int, num_groups: int = 40) -> int:
    lowered = jax.jit(functools.partial(MAXPO, k=1)).lower(jnp.zeros((num_groups, group_size)))
    return len(lowered.as_text().splitlines())


def equations(jaxpr: jax.extend.core.Jaxpr) -> Iterator[jax.extend.core.JaxprEqn]:
    """All equations of a program, those of its functions once for each call."""
    for equation in jaxpr.eqns:
        yield equation
        for parameter in jax.tree.leaves(
            list(equation.params.values()), is_leaf=lambda leaf: hasattr(leaf, "jaxpr")
        ):
            inner = getattr(parameter, "jaxpr", parameter)
            if hasattr(inner, "eqns"):
                yield from equations(inner)


def number_of_sorts(name: str, group_size: int) -> int:
    estimator = estimators.get(name)
    k_range = estimator.k_range
    k = max(k_range.smallest(group_size), min(4, k_range.largest(group_size)))
    key = jax.random.key(0)
    program = jax.make_jaxpr(lambda rewards: estimator(rewards, k, key=key))(
        jnp.zeros((3, group_size))
    )
    return sum(equation.primitive.name == "sort" for equation in equations(program.jaxpr))


def test_program_of_short_groups_grows_no_faster_than_a_network():
    smallest, per_step = lowered_lines(2), 10
    for size in (*range(3, 17), 31, 32, 33, 48, LONGEST_NETWORK):
        allowed = smallest + per_step * size * math.log2(size) ** 2
        assert lowered_lines(size) <= allowed
    assert lowered_lines(LONGEST_NETWORK) <= 1_500


def test_program_of_long_groups_does_not_grow():
    sizes = (LONGEST_NETWORK + 1, 100, 250, 1_000, 30_000, 1_000_000)
    lines = [lowered_lines(size, num_groups=1) for size in sizes]
    assert max(lines) - min(lines) <= 5, dict(zip(sizes, lines, strict=True))
    assert max(lines) <= 500


def test_program_of_loops_does_not_grow():
    sizes = (LONGEST_NETWORK + 1, 100, 128, 250, LONGEST_LOOP)
    lines = [lowered_lines(size, num_groups=FEWEST_SIDE_BY_SIDE) for size in sizes]
    assert max(lines) - min(lines) <= 5, dict(zip(sizes, lines, strict=True))
    assert max(lines) <= 500


def test_program_does_not_grow_with_the_number_of_groups():
    padding_of_the_last_block = 10
    for group_size in (8, LONGEST_NETWORK + 1, LONGEST_LOOP + 1):
        lines = [lowered_lines(group_size, num_groups) for num_groups in (1_000, 1_024, 10_000)]
        assert max(lines) - min(lines) <= padding_of_the_last_block


def test_new_values_and_a_traced_k_compile_nothing_new():
    traces = []

    @jax.jit
    def advantages(rewards, k):
        traces.append(rewards.shape)
        return MAXPO(rewards, k)

    for k in (1, 2, 7):
        advantages(jnp.full((3, 8), float(k)), jnp.int32(k))
    assert len(traces) == 1


@pytest.mark.parametrize("name", estimators.names())
def test_short_groups_need_no_sort_of_the_compiler(name):
    if estimators.get(name).randomized:
        pytest.skip("it draws random permutations, which are sorts")
    if name in TWO_SORTS:
        assert number_of_sorts(name, LONGEST_NETWORK) <= 2
    else:
        assert number_of_sorts(name, LONGEST_NETWORK) == 0


@pytest.mark.parametrize("name", estimators.names())
def test_long_groups_need_one_sort(name):
    allowed = 0 if name in WITHOUT_SORT else 2 if name in TWO_SORTS else 1
    assert number_of_sorts(name, LONGEST_NETWORK + 1) == allowed


@pytest.mark.parametrize(
    ("group_size", "num_groups", "sorts"),
    [
        (LONGEST_NETWORK, 3, 0),
        (LONGEST_NETWORK + 1, FEWEST_SIDE_BY_SIDE, 0),
        (LONGEST_NETWORK + 1, FEWEST_SIDE_BY_SIDE - 1, 1),
        (LONGEST_LOOP + 1, FEWEST_SIDE_BY_SIDE, 1),
    ],
)
def test_compiler_adds_no_sort(group_size, num_groups, sorts):
    rewards = jnp.zeros((num_groups, group_size))
    program = jax.jit(functools.partial(MAXPO, k=2)).lower(rewards).compile().as_text()
    assert program.count(" sort(") == sorts
