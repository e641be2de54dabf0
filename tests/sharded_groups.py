"""Estimators on four devices, in a process of their own: prints one line for each failure."""

import functools
import os
import traceback
import zlib

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"
os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from maxpo_jax import estimators, expected_max_at_k
from maxpo_jax.kernel import spacings

LENGTHS = (8, 70)
COMPILED = ("maxpo", "zscore_ei", "pass_at_k_training_full", "pass_at_k_training_analytic")
EXPLICIT = jax.make_mesh((4,), ("groups",), axis_types=(AxisType.Explicit,))
AUTO = jax.make_mesh((4,), ("groups",), axis_types=(AxisType.Auto,))
BY_GROUP = PartitionSpec("groups", None)


def example(shape, reward_type):
    rng = np.random.default_rng(zlib.crc32(str(shape).encode()))
    rewards = rng.integers(0, 2 if reward_type == "binary" else 5, size=shape)
    where = rng.random(shape) < 0.8
    where[..., : shape[-1] // 2] = True
    return rewards.astype(np.float32), where


def explicitly(array, spec=BY_GROUP):
    return jax.device_put(array, NamedSharding(EXPLICIT, spec))


def ks_of(estimator, size):
    k_range = estimator.k_range
    return int((k_range.smallest(size) + k_range.largest(size)) // 2)


def same(got, expected):
    np.testing.assert_array_equal(np.asarray(got), np.asarray(expected))


def check_explicit(name, size, jit):
    """Static K without a mask and traced K with one, outside and inside jit."""
    estimator = estimators.get(name)
    rewards, where = example((8, size), estimator.reward_type)
    k, key = ks_of(estimator, size), jax.random.key(0)
    wrap = jax.jit if jit else (lambda function: function)
    got = wrap(lambda r: estimator(r, k, key=key))(explicitly(rewards))
    same(got, wrap(lambda r: estimator(r, k, key=key))(rewards))
    assert "groups" in str(jax.typeof(got).sharding.spec), jax.typeof(got)
    if jit and estimator.k_range.text not in ("k = B with B >= 2",):
        k = 1 + size // 4
        traced = jax.jit(lambda r, k, w: estimator(r, k, where=w, key=key))
        same(traced(explicitly(rewards), k, explicitly(where)), traced(rewards, k, where))


def check_shard_map(name, size):
    estimator = estimators.get(name)
    rewards, _ = example((8, size), estimator.reward_type)
    k, key = ks_of(estimator, size), jax.random.key(0)
    one_device = lambda r: estimator(r, k, key=key)  # noqa: E731
    sharded = jax.shard_map(one_device, mesh=AUTO, in_specs=BY_GROUP, out_specs=BY_GROUP)
    expected = [jax.jit(one_device)(part) for part in np.split(rewards, 4)]
    same(jax.jit(sharded)(rewards), np.concatenate(expected))


def check_masked_shard_map():
    rewards, where = example((8, 70), "real")
    maxpo = lambda r, w, k: estimators.maxpo(r, k, where=w)  # noqa: E731
    sharded = jax.shard_map(
        maxpo, mesh=AUTO, in_specs=(BY_GROUP, BY_GROUP, PartitionSpec()), out_specs=BY_GROUP
    )
    k = jnp.int32(9)
    same(jax.jit(sharded)(rewards, where, k), jax.jit(maxpo)(rewards, where, k))


def check_blocks(size):
    """More samples than fit in a block, on each device and all the more on one."""
    num_groups = 4 * (spacings.SAMPLES_OF_SHORT_GROUPS // size + 1)
    rewards, _ = example((num_groups, size), "real")
    maxpo = jax.jit(functools.partial(estimators.maxpo, k=3))
    same(maxpo(explicitly(rewards)), maxpo(rewards))


def check_more_axes():
    rewards, where = example((3, 8, 70), "real")
    spec = PartitionSpec(None, "groups")  # as users write it, the last axis left out
    maxpo = lambda r, w: estimators.maxpo(r, 4, where=w)  # noqa: E731
    same(maxpo(explicitly(rewards, spec), where), maxpo(rewards, where))
    same(maxpo(rewards, explicitly(where, spec)), maxpo(rewards, where))
    same(expected_max_at_k(explicitly(rewards, spec), 4), expected_max_at_k(rewards, 4))
    with jax.set_mesh(EXPLICIT):
        same(
            jax.jit(maxpo)(explicitly(rewards, spec), explicitly(where, spec)),
            maxpo(rewards, where),
        )


def check_off_policy(name):
    """Static K without a mask, traced K with one; each device computes what one would alone."""
    function = getattr(estimators, name)
    rewards, where = example((8, 6), "real")
    ratios = np.random.default_rng(0).uniform(0.5, 2, size=rewards.shape).astype(np.float32)

    def by_parts(run, *arrays):
        return np.concatenate([run(*parts) for parts in zip(*map(in_four, arrays), strict=True)])

    in_four = functools.partial(np.split, indices_or_sections=4)
    run = jax.jit(lambda r, w: function(r, 3, ratios=w))
    expected = by_parts(run, rewards, ratios)
    same(run(explicitly(rewards), explicitly(ratios)), expected)
    sharded = jax.shard_map(run, mesh=AUTO, in_specs=(BY_GROUP, BY_GROUP), out_specs=BY_GROUP)
    same(sharded(rewards, ratios), expected)
    program = jax.jit(lambda r, w, m, k: function(r, k, ratios=w, where=m))
    traced = lambda *arrays: program(*arrays, 2)  # noqa: E731
    explicit = [explicitly(array) for array in (rewards, ratios, where)]
    same(traced(*explicit), by_parts(traced, rewards, ratios, where))


def check_group_axis(name):
    estimator = estimators.get(name)
    rewards, _ = example((8, 8), estimator.reward_type)
    sharded = explicitly(rewards, PartitionSpec(None, "groups"))
    k = ks_of(estimator, 8)

    def advantages(rewards):
        return estimator(rewards, k, key=jax.random.key(0))

    for run in (advantages, jax.jit(advantages)):
        try:
            run(sharded)
        except ValueError as error:
            message = str(error)
            assert message.startswith(f"{name}: the last axis"), message
            assert "'groups'" in message, message
            assert "jax.sharding.reshard" in message, message
            assert "\n" not in message.split("\n----")[0], message
        else:
            raise AssertionError("no error")


def check_traces(name, size):
    """What JAX refuses, it refuses while tracing: every estimator, without compiling any."""
    estimator = estimators.get(name)
    rewards, where = example((8, size), estimator.reward_type)
    k = jnp.int32(ks_of(estimator, size))
    run = lambda r, w, k: estimator(r, k, where=w, key=jax.random.key(0))  # noqa: E731
    sharded = jax.shard_map(
        run, mesh=AUTO, in_specs=(BY_GROUP, BY_GROUP, PartitionSpec()), out_specs=BY_GROUP
    )
    jax.jit(sharded).trace(rewards, where, k)
    jax.jit(run).trace(explicitly(rewards), explicitly(where), k)
    jax.jit(lambda r: run(r, None, int(k))).trace(explicitly(rewards))


def checks():
    for name in estimators.names():
        for size in LENGTHS:
            yield f"traces {name} {size}", functools.partial(check_traces, name, size)
        yield f"group axis {name}", functools.partial(check_group_axis, name)
    for name in COMPILED:
        for size in LENGTHS:
            yield f"explicit {name} {size}", functools.partial(check_explicit, name, size, True)
            yield f"shard_map {name} {size}", functools.partial(check_shard_map, name, size)
    for size in LENGTHS:
        yield f"outside jit {size}", functools.partial(check_explicit, "maxpo", size, False)
        yield f"blocks {size}", functools.partial(check_blocks, size)
    for name in estimators.names(off_policy=True):
        yield name, functools.partial(check_off_policy, name)
    yield "masked shard_map", check_masked_shard_map
    yield "more axes", check_more_axes


if __name__ == "__main__":
    for label, check in checks():
        try:
            check()
        except Exception as error:
            print(f"{label}: {type(error).__name__}: {str(error)[:300]!r}", flush=True)
            if os.environ.get("VERBOSE"):
                traceback.print_exc()
    print("done")
