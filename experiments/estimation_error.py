"""Error of the mean of N gradient estimates against N: the paper's Figure 1, left."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from ml_collections import ConfigDict

from experiments import bandit_runs, experiment
from experiments.drawings import estimation_error as drawing
from maxpo_jax import estimators
from maxpo_jax.bandits import exact, gradients
from maxpo_jax.bandits.bandit import REWARD_FAMILIES, Bandit, make_bandit


def problem(config: ConfigDict, family: str) -> tuple[jax.Array, jax.Array]:
    """Logits [n] of the policy and arm rewards [n] of one bandit."""
    key = jax.random.fold_in(jax.random.key(config.seed), list(REWARD_FAMILIES).index(family))
    logits_key, rewards_key = jax.random.split(key)
    rewards = make_bandit(rewards_key, family, config.num_actions).rewards
    return jax.random.normal(logits_key, rewards.shape), rewards


@functools.partial(jax.jit, static_argnames=("names", "group_size", "block_size"))
def running_means(
    keys: jax.Array,
    logits: jax.Array,
    rewards: jax.Array,
    num_draws: jax.Array,
    k: jax.Array,
    *,
    names: tuple[str, ...],
    group_size: int,
    block_size: int,
) -> jax.Array:
    """Means [points, replicates, estimators, n] of the first num_draws [points] estimates.

    The draws are those of `gradients.bandit_moments`, worked off in blocks; num_draws must be
    multiples of the block size.
    """
    members = tuple(estimators.get(name) for name in names)

    def block_mean(key: jax.Array, block: jax.Array) -> jax.Array:
        moments = gradients.bandit_moments(
            jax.random.fold_in(key, block),
            logits,
            Bandit(rewards),
            jnp.broadcast_to(k, (len(members),)),
            estimators=members,
            group_size=group_size,
            num_draws=block_size,
        )
        return moments.mean

    def add_block(block: jax.Array, means: jax.Array) -> jax.Array:
        fresh = jax.vmap(lambda key: block_mean(key, block))(keys)
        return means + (fresh - means) / (block + 1).astype(means.dtype)

    def up_to(
        carry: tuple[jax.Array, jax.Array], stop: jax.Array
    ) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
        start, means = carry
        means = jax.lax.fori_loop(start, stop, add_block, means)
        return (stop, means), means

    nothing = jnp.zeros((keys.shape[0], len(names), logits.shape[0]))
    _, means = jax.lax.scan(up_to, (jnp.zeros_like(num_draws[0]), nothing), num_draws // block_size)
    return means


def measured(config: ConfigDict, family: str, names: tuple[str, ...]) -> xr.Dataset:
    """Relative errors of one bandit, sampled, and what they must be exactly."""
    logits, rewards = problem(config, family)
    place = list(REWARD_FAMILIES).index(family)
    key = jax.random.fold_in(jax.random.key(config.seed + 1), place)
    keys = jax.random.split(key, config.num_replicates)
    means = running_means(
        keys,
        logits,
        rewards,
        jnp.array(config.num_draws),
        jnp.asarray(config.k),
        names=names,
        group_size=config.group_size,
        block_size=config.num_draws[0],
    )
    truth = exact.gradient(logits, rewards, config.k)
    size = np.linalg.norm(truth)
    errors = np.linalg.norm(np.asarray(means, np.float64) - truth, axis=-1) / size
    moments = [
        exact.moments(estimators.get(name), logits, rewards, config.group_size, config.k)
        for name in names
    ]
    cosines = [m.mean @ truth / (np.linalg.norm(m.mean) * size) for m in moments]
    plateaus = [np.linalg.norm(m.mean - truth) / size for m in moments]
    deviations = [np.sqrt(np.trace(m.covariance)) / size for m in moments]
    total = config.num_draws[-1] * config.num_replicates * len(names)
    return xr.Dataset(
        {
            "error": (("num_draws", "replicate", "estimator"), errors),
            "exact_bias": ("estimator", np.array(plateaus)),
            "exact_cosine": ("estimator", np.array(cosines)),
            "exact_deviation": ("estimator", np.array(deviations)),
        },
        coords={"estimator": list(names)},
        attrs={"gradient_draws": total},
    )


def parts(config: ConfigDict) -> dict[str, Callable[[], xr.Dataset]]:
    """One part per reward family; estimators for 0/1 rewards only where rewards are such."""
    bandit_runs.check_estimators(config.estimators, (config.k,), config.group_size)
    for family in config.reward_families:
        make_bandit(jax.random.key(0), family, 1)
    if any(n % config.num_draws[0] for n in config.num_draws):
        raise ValueError(f"num_draws must be multiples of the first, {config.num_draws[0]}")
    return {
        family: functools.partial(measured, config, family, suited(config, family))
        for family in config.reward_families
    }


def suited(config: ConfigDict, family: str) -> tuple[str, ...]:
    """Estimators that are defined for the rewards of the family."""
    return tuple(
        name
        for name in config.estimators
        if family == "bernoulli" or estimators.get(name).reward_type == "real"
    )


def combine(config: ConfigDict, pieces: dict[str, xr.Dataset]) -> xr.Dataset:
    """Errors [reward_family, num_draws, replicate, estimator]; NaN where one is not defined."""
    filled = [
        pieces[family].reindex(estimator=list(config.estimators))
        for family in config.reward_families
    ]
    dataset = xr.concat(filled, dim="reward_family", combine_attrs="drop").assign_coords(
        reward_family=list(config.reward_families),
        num_draws=list(config.num_draws),
        unbiased=("estimator", [is_unbiased(name) for name in config.estimators]),
    )
    relative = "relative to the norm of the exact gradient of J_K"
    names = {
        "error": f"distance of the mean estimate from the exact gradient of J_K, {relative}",
        "exact_bias": f"norm of the exact bias of the estimate, {relative}",
        "exact_cosine": "cosine between the exact mean estimate and the exact gradient of J_K",
        "exact_deviation": f"root of the exact total variance of the estimate, {relative}",
    }
    for name, long_name in names.items():
        dataset[name].attrs.update(long_name=long_name, units="1")
    return dataset


def is_unbiased(name: str) -> bool:
    """Whether the estimator is registered as unbiased for grad J_K."""
    estimator = estimators.get(name)
    return bool(estimator.unbiased) and estimator.target == "J_K"


EXPERIMENT = experiment.Experiment(
    name="estimation_error",
    parts=parts,
    combine=combine,
    draw=drawing.draw,
    claims=drawing.claims,
    caption=drawing.caption,
)

if __name__ == "__main__":
    experiment.main(EXPERIMENT)
