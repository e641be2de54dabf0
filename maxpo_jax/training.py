r"""Gradient ascent on an estimated policy gradient, the same in every world.

    theta <- theta + learning_rate * optimizer(g),   g = (K/B) sum_i A_i grad log pi(x_i)

A world says how the randomness of a group is drawn and what gradient estimate a group gives; the
loop knows no world by name. The whole of training is one `lax.scan` over windows of updates. K (a
schedule of it), the learning rate, the first parameters and the key are traced, so that `jax.vmap`
over any of them sweeps them in one program.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array


class Estimate(NamedTuple):
    """What one group says.

    Attributes:
      gradient: of the structure of the parameters, the gradient estimate.
      rewards: the rewards of the group.
    """

    gradient: Any
    rewards: Array


class World(NamedTuple):
    """What there is to learn, with the estimator that learns it.

    Attributes:
      draw: `(key, n) -> randomness` of n groups, drawn at once: a pytree with leading axes [n],
        the first of which do not depend on n. One call for many groups, because a random key for
        each group takes several times as long to compile and to run.
      estimate: `(randomness of one group, params, k) -> Estimate`, a pure function.
    """

    draw: Callable[[Array, int], Any]
    estimate: Callable[[Any, Any, Array], Estimate]


class Window(NamedTuple):
    """What happened during a few updates.

    Attributes:
      params: the parameters after the last of them.
      optimizer_state: the state of the optimizer after the last of them.
      estimates: `Estimate` with leading axes [updates_per_record], one group for each update.
      extra: `Estimate` with leading axes [extra_groups], of groups at `params`.
    """

    params: Any
    optimizer_state: Any
    estimates: Estimate
    extra: Estimate


OPTIMIZERS = {"sgd": optax.identity(), "adam": optax.scale_by_adam()}
"""Name -> what turns gradients into directions: plain gradient ascent, or Adam."""


def train(
    key: Array,
    params: Any,
    ks: Array,
    learning_rate: float | Array,
    *,
    world: World,
    optimizer: optax.GradientTransformation,
    record: Callable[[Window], Any],
    updates_per_record: int,
    extra_groups: int = 0,
) -> tuple[Any, Any]:
    """Stochastic gradient ascent, one update for each entry of the schedule of K.

    Args:
      key: a typed random key; it is consumed.
      params: the parameters at the beginning: an array, or any pytree of arrays.
      ks: [num_updates] integer K of each update; constant, or annealed.
      learning_rate: [] float; may be traced.
      world: draws groups and estimates gradients from them. Static.
      optimizer: turns gradients into directions: one of `OPTIMIZERS`, or any other that takes the
        gradient alone. Static.
      record: turns a `Window` into what is kept of it. Static.
      updates_per_record: updates in a window; it must divide num_updates. Static.
      extra_groups: further groups at the parameters after each window, which measure the variance
        of the gradient and are used for nothing else: training is the same without. Static.

    Returns:
      (parameters after the last update, records with leading axes [num_updates /
      updates_per_record]).

    Raises:
      ValueError: windows that do not divide the number of updates.

    Example:
      >>> uphill = World(
      ...     draw=lambda key, n: jnp.zeros(n),
      ...     estimate=lambda nothing, params, k: Estimate(jnp.ones_like(params), nothing))
      >>> params, records = train(
      ...     jax.random.key(0), jnp.zeros(2), jnp.full(4, 1), 0.5, world=uphill,
      ...     optimizer=OPTIMIZERS["sgd"], record=lambda window: window.params,
      ...     updates_per_record=2)
      >>> params.tolist(), records.tolist()
      ([2.0, 2.0], [[1.0, 1.0], [2.0, 2.0]])
    """
    num_updates = ks.shape[0]
    if updates_per_record < 1 or num_updates < 1 or num_updates % updates_per_record:
        raise ValueError(
            f"{num_updates} updates are not made of windows of {updates_per_record}: "
            "updates_per_record must divide the number of updates"
        )
    if extra_groups < 0:
        raise ValueError(f"extra_groups is {extra_groups}; it must be 0 or more")

    # Few extra groups go through the loop that learns, which is compiled anyway; many are worth a
    # program of their own that takes them all at once.
    looped_extra = extra_groups if extra_groups <= updates_per_record else 0
    learns = jnp.arange(updates_per_record + looped_extra) < updates_per_record

    def update(carry: tuple[Any, Any], inputs: tuple[Any, Array, Array]) -> tuple[Any, Estimate]:
        params, state = carry
        randomness, k, learns = inputs
        estimate = world.estimate(randomness, params, k)
        with jax.numpy_dtype_promotion("standard"):  # optax relies on it
            direction, new_state = optimizer.update(estimate.gradient, state, params)
        moved = jax.tree.map(lambda leaf, step: leaf + learning_rate * step, params, direction)
        new = moved, new_state
        return jax.tree.map(functools.partial(jnp.where, learns), new, carry), estimate

    def window(carry: tuple[Any, Any], inputs: tuple[Array, Array]) -> tuple[Any, Any]:
        number, ks = inputs
        # The first numbers of a draw do not depend on how many are drawn, so that extra groups
        # change nothing about those that learn.
        groups = world.draw(jax.random.fold_in(key, number), updates_per_record + extra_groups)
        looped = jax.tree.map(lambda leaf: leaf[: learns.size], groups)
        of_loop = jnp.concatenate([ks, jnp.broadcast_to(ks[-1], (looped_extra,))])
        carry, estimates = jax.lax.scan(update, carry, (looped, of_loop, learns))
        params, state = carry
        extra = jax.tree.map(lambda leaf: leaf[updates_per_record:], estimates)
        if looped_extra < extra_groups:
            rest = jax.tree.map(lambda leaf: leaf[updates_per_record:], groups)
            extra = jax.vmap(world.estimate, in_axes=(0, None, None))(rest, params, ks[-1])
        learned = jax.tree.map(lambda leaf: leaf[:updates_per_record], estimates)
        return carry, record(Window(params, state, learned, extra))

    windows = num_updates // updates_per_record
    (params, _), records = jax.lax.scan(
        window,
        (params, optimizer.init(params)),
        (jnp.arange(windows), ks.reshape(windows, updates_per_record)),
    )
    return params, records


def total_variance(estimates: Any) -> Array:
    """Trace of the sample covariance of gradient estimates.

    Args:
      estimates: [num_draws, ...] independent estimates at the same parameters; or a pytree of such
        arrays.

    Returns:
      [] unbiased estimate of the trace of the covariance; NaN where there are fewer than 2 draws.

    Example:
      >>> total_variance(jnp.array([[0.0, 1.0], [2.0, 1.0]])).tolist()
      2.0
    """

    def of(leaf: Array) -> Array:
        if leaf.shape[0] < 2:
            return jnp.full((), jnp.nan, leaf.dtype)
        return jnp.sum(jnp.var(leaf, axis=0, ddof=1))

    return jax.tree.reduce(jnp.add, jax.tree.map(of, estimates))


def adam_variance_proxy(state: optax.ScaleByAdamState, b1: float = 0.9, b2: float = 0.999) -> Array:
    r"""What Adam's own moments say about the variance of the gradient.

    .. math:: \sum_j \hat v_j - \hat m_j^2, \qquad
       \hat m = \frac{m}{1 - \beta_1^t}, \quad \hat v = \frac{v}{1 - \beta_2^t}

    Args:
      state: state of `optax.scale_by_adam(b1, b2)` after t updates.
      b1: decay of the first moment.
      b2: decay of the second moment.

    Returns:
      [] the proxy.

    Example:
      >>> adam = optax.scale_by_adam()
      >>> _, state = adam.update(jnp.array([1.0, 2.0]), adam.init(jnp.zeros(2)))
      >>> print(abs(adam_variance_proxy(state)).round(4))
      0.0

    For gradients of constant mean and covariance its expectation tends to (1 - (1-b1)/(1+b1)) times
    the trace of the covariance; while they change it lags behind by about 1/(1-b2) updates.
    """

    def of(mu: Array, nu: Array) -> Array:
        step = state.count.astype(mu.dtype)
        first, second = mu / (1 - b1**step), nu / (1 - b2**step)
        return jnp.sum(second - jnp.square(first))

    return jax.tree.reduce(jnp.add, jax.tree.map(of, state.mu, state.nu))
