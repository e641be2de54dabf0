"""Adam's own variance proxy during training, and the true variance: the paper's Figure 3."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from ml_collections import ConfigDict

from experiments import bandit_runs, experiment
from experiments import old_training as training
from experiments.drawings import adam_variance as drawing
from experiments.old_lottery import Instance, make_instance
from maxpo_jax import estimators


@functools.partial(jax.jit, static_argnames=("estimator", "group_size", "num_draws"))
def true_variances(
    key: jax.Array,
    instance: Instance,
    logits: jax.Array,
    k: jax.Array,
    *,
    estimator: str,
    group_size: int,
    num_draws: int,
) -> jax.Array:
    """Monte Carlo variances of the gradient estimate at each of the policies [..., n]."""
    draw = functools.partial(
        training.lottery_gradient,
        lottery=instance.lottery,
        estimator=estimators.get(estimator),
        group_size=group_size,
    )
    flat = logits.reshape(-1, logits.shape[-1])
    keys = jax.random.split(key, flat.shape[0])
    variances = jax.lax.map(
        lambda one: training.total_variance(
            jax.random.split(one[0], num_draws), one[1], k, gradient_estimate=draw
        ),
        (keys, flat),
    )
    return variances.reshape(logits.shape[:-1])


def followed(config: ConfigDict, estimator: str) -> xr.Dataset:
    """Proxy and true variance [seed, update] along the runs of one estimator."""
    instance = make_instance(config.instance, config.num_actions)
    ks = np.full(config.num_updates, config.k)
    runs = bandit_runs.tuned_runs(config, instance, estimator, ks, config.k)
    proxy = jax.vmap(jax.vmap(training.adam_variance_proxy))(runs.history.optimizer_state)
    variances = true_variances(
        jax.random.fold_in(jax.random.key(config.seed), 1),
        instance,
        runs.history.params,
        jnp.asarray(config.k),
        estimator=estimator,
        group_size=config.group_size,
        num_draws=config.num_draws,
    )
    dims = ("seed", "update")
    return xr.Dataset(
        {
            "proxy": (dims, np.asarray(proxy)),
            "true_variance": (dims, np.asarray(variances)),
            "learning_rate": ((), runs.learning_rate),
        },
        attrs={
            "gradient_draws": bandit_runs.gradient_draws(config) + variances.size * config.num_draws
        },
    )


def parts(config: ConfigDict) -> dict[str, Callable[[], xr.Dataset]]:
    """One part per estimator."""
    bandit_runs.check(config, (config.k,))
    bandit_runs.check_instance(config)
    if config.optimizer != "adam":
        raise ValueError(f"optimizer is {config.optimizer!r}; the proxy is Adam's: use 'adam'")
    return {name: functools.partial(followed, config, name) for name in config.estimators}


def combine(config: ConfigDict, pieces: dict[str, xr.Dataset]) -> xr.Dataset:
    """Curves [estimator, seed, update]."""
    dataset = xr.concat(list(pieces.values()), dim="estimator", combine_attrs="drop")
    dataset = dataset.assign_coords(
        estimator=list(pieces),
        update=np.arange(
            config.updates_per_record, config.num_updates + 1, config.updates_per_record
        ),
    )
    names = {
        "proxy": "sum over parameters of v_hat - m_hat^2 of Adam's state",
        "true_variance": "trace of the covariance of the gradient estimate at the same parameters",
        "learning_rate": "learning rate, tuned for J_K after training",
    }
    for name, long_name in names.items():
        dataset[name].attrs.update(long_name=long_name, units="1")
    return dataset


EXPERIMENT = experiment.Experiment(
    name="adam_variance",
    parts=parts,
    combine=combine,
    draw=drawing.draw,
    claims=drawing.claims,
    caption=drawing.caption,
)

if __name__ == "__main__":
    experiment.main(EXPERIMENT)
