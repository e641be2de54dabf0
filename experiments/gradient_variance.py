"""Total variance of the gradient estimate on softmax bandits: the paper's Figures 1, 4 and 5."""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from ml_collections import ConfigDict

from experiments import experiment
from experiments.drawings import gradient_variance as drawing
from maxpo_jax import estimators
from maxpo_jax.bandits import exact, gradients
from maxpo_jax.bandits.bandit import REWARD_FAMILIES, Bandit, make_bandit

LOGITS = ("uniform", "gaussian")
PADDING = -jnp.inf  # logit of an action that does not exist


@functools.partial(
    jax.jit, static_argnames=("names", "group_size", "num_draws", "block_size", "noise")
)
def total_variances(
    keys: jax.Array,
    logits: jax.Array,
    rewards: jax.Array,
    ks: jax.Array,
    *,
    names: tuple[str, ...],
    group_size: int,
    num_draws: int,
    block_size: int,
    noise: float,
) -> jax.Array:
    """Monte Carlo variances [instances, num_k, estimators] of bandit instances, one by one."""
    members = tuple(estimators.get(name) for name in names)

    def of_instance(instance: tuple[jax.Array, jax.Array, jax.Array]) -> jax.Array:
        key, theta, arm_rewards = instance
        bandit = Bandit(arm_rewards, jnp.asarray(noise, arm_rewards.dtype) if noise else None)
        moments = gradients.bandit_moments(
            key,
            theta,
            bandit,
            jnp.repeat(ks, len(members)),
            estimators=members * ks.shape[0],
            group_size=group_size,
            num_draws=num_draws,
            block_size=block_size,
        )
        return moments.total_variance.reshape(ks.shape[0], len(members))

    return jax.lax.map(of_instance, (keys, logits, rewards))


def instances(
    config: ConfigDict, family: str, num_actions: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Keys for the draws, logits [instances, n] and arm rewards [instances, n] of one setting."""
    place = (list(REWARD_FAMILIES).index(family), num_actions)
    key = functools.reduce(jax.random.fold_in, place, jax.random.key(config.seed))
    draws_key, logits_key, rewards_key = jax.random.split(key, 3)
    reward_keys = jax.random.split(rewards_key, config.num_instances)
    rewards = jax.vmap(lambda k: make_bandit(k, family, num_actions).rewards)(reward_keys)
    logits = jnp.zeros_like(rewards)
    if config.logits == "gaussian":
        logits = jax.random.normal(logits_key, rewards.shape)
    return jax.random.split(draws_key, config.num_instances), logits, rewards


def sampled(
    config: ConfigDict, family: str, num_actions: int, ks: Sequence[int], padded: int
) -> xr.Dataset:
    """Monte Carlo variances of one setting; arms are padded so that sizes share one program."""
    keys, logits, rewards = instances(config, family, num_actions)
    pad = ((0, 0), (0, padded - num_actions))
    variances = total_variances(
        keys,
        jnp.pad(logits, pad, constant_values=PADDING),
        jnp.pad(rewards, pad),
        jnp.array(ks),
        names=tuple(config.estimators),
        group_size=config.group_size,
        num_draws=config.num_draws,
        block_size=config.block_size,
        noise=config.noise,
    )
    values = xr.DataArray(np.asarray(variances), dims=("instance", "k", "estimator"))
    draws = config.num_draws * variances.size
    return xr.Dataset({"variance": values}, attrs={"gradient_draws": draws})


def enumerated(config: ConfigDict, family: str, num_actions: int) -> xr.Dataset:
    """Exact variances of the same instances."""
    _, logits, rewards = instances(config, family, num_actions)
    values = [
        [
            exact.variance(estimators.get(name), theta, arms, config.group_size, config.k)
            for name in config.estimators
        ]
        for theta, arms in zip(np.asarray(logits), np.asarray(rewards), strict=True)
    ]
    return xr.Dataset({"variance": (("instance", "estimator"), np.array(values))})


def parts(config: ConfigDict) -> dict[str, Callable[[], xr.Dataset]]:
    """One part per reward family and action-space size of each panel."""
    _check(config)
    pieces: dict[str, Callable[[], xr.Dataset]] = {}
    for family in config.reward_families:
        for n in config.num_actions:
            pieces[f"size,{family},n={n}"] = functools.partial(
                sampled, config, family, n, (config.k,), max(config.num_actions)
            )
        for n in config.num_actions_of_k_sweep:
            pieces[f"k,{family},n={n}"] = functools.partial(
                sampled, config, family, n, config.ks, max(config.num_actions_of_k_sweep)
            )
        for n in config.exact_num_actions:
            pieces[f"exact,{family},n={n}"] = functools.partial(enumerated, config, family, n)
    return pieces


def _check(config: ConfigDict) -> None:
    if config.logits not in LOGITS:
        raise ValueError(f"logits is {config.logits!r}; choose one of {', '.join(LOGITS)}")
    for family in config.reward_families:
        make_bandit(jax.random.key(0), family, 1)
    for name in config.estimators:
        k_range = estimators.get(name).k_range
        for k in (config.k, *config.ks):
            if not k_range.contains(k, config.group_size):
                raise ValueError(
                    f"k = {k} does not fit estimator {name} at group_size {config.group_size}; "
                    f"allowed are {k_range.text}"
                )
    if config.noise and config.exact_num_actions:
        raise ValueError("enumeration knows no noise: set exact_num_actions=() or noise=0")


def combine(config: ConfigDict, pieces: dict[str, xr.Dataset]) -> xr.Dataset:
    """One dataset with the three sets of variances, axes named."""

    def stack(kind: str, sizes: Sequence[int], axis: str) -> xr.DataArray:
        families = [
            xr.concat([pieces[f"{kind},{family},n={n}"].variance for n in sizes], dim=axis)
            for family in config.reward_families
        ]
        return xr.concat(families, dim="reward_family")

    labels = {"long_name": "trace of the covariance of the gradient estimate", "units": "1"}
    variables = {
        "variance_by_size": stack("size", config.num_actions, "num_actions").isel(k=0),
        "variance_by_k": stack("k", config.num_actions_of_k_sweep, "num_actions_of_k_sweep"),
    }
    if config.exact_num_actions:
        variables["exact_variance"] = stack("exact", config.exact_num_actions, "exact_num_actions")
    dataset = xr.Dataset({name: v.assign_attrs(labels) for name, v in variables.items()})
    return dataset.assign_coords(
        reward_family=list(config.reward_families),
        num_actions=list(config.num_actions),
        num_actions_of_k_sweep=list(config.num_actions_of_k_sweep),
        exact_num_actions=list(config.exact_num_actions),
        k=list(config.ks),
        estimator=list(config.estimators),
    )


EXPERIMENT = experiment.Experiment(
    name="gradient_variance",
    parts=parts,
    combine=combine,
    draw=drawing.draw,
    claims=drawing.claims,
    caption=drawing.caption,
)

if __name__ == "__main__":
    experiment.main(EXPERIMENT)
