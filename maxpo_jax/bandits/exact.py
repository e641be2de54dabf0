"""Exact truth about an estimator: the mean and covariance of its gradient, without sampling noise.

On a softmax bandit with n actions the policy gradient of one group is

    g = (K/B) sum_i A_i grad log pi(a_i),

a function of the group alone, so its moments are finite sums over groups. An advantage that does
not care about the order of the samples needs only the C(B+n-1, n-1) multisets of actions, with
multinomial weights; another one needs all n**B ordered outcomes, which are taken also where they
are few, so that nothing need be assumed. All arithmetic is float64,
whatever the global setting. Nothing here knows any estimator: it takes a function `f(rewards, k)`,
of one group or of batches, in JAX or in NumPy.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import ArrayLike

from maxpo_jax.bandits import multisets
from maxpo_jax.estimators import checks
from maxpo_jax.estimators.contract import Estimator as WrappedEstimator
from maxpo_jax.estimators.wrapping import wrap

Estimator = Callable[..., Any] | str
"""A function `f(rewards, k)` that `estimators.wrap` takes, or a registered name."""

MAX_GROUPS = 5_000_000
"""The largest enumeration that `moments` starts: under a minute on two cores for small groups."""

MAX_ORDERED = 10_000
"""Up to so many ordered outcomes no symmetry is asked for: they take about as long as asking, and
under a second also for a function that computes one group after the other."""

_GROUPS_TRIED = 1_024
"""How many groups at least are permuted before the order of the samples is taken to be nothing."""

_CHUNK_ELEMENTS = 2**17


class Moments(NamedTuple):
    """Exact moments of the gradient of one group.

    Attributes:
      mean: [n] E[g].
      covariance: [n, n] E[(g - E g)(g - E g)^T]; its trace is the variance.
    """

    mean: np.ndarray
    covariance: np.ndarray


def moments(
    estimator: Estimator, logits: ArrayLike, rewards: ArrayLike, group_size: int, k: int
) -> Moments:
    """Exact mean and covariance of g = (K/B) sum_i A_i grad log pi(a_i) on a softmax bandit.

    Sums over all n**B ordered outcomes where these are no more than `MAX_ORDERED`: nothing is
    assumed then. Elsewhere it sums over the multisets of actions, C(B+n-1, n-1) of them, which is
    right if the order of the samples does not change g. That is tried on a thousand groups of
    this bandit or more, on all multisets where these are no more, each in a random order: g has
    to stay the same when the first two samples change places and when all move on by one, the
    two moves that generate every permutation. If it does not, all ordered outcomes count. So what
    is assumed is that order, if it matters at all, matters in one of the groups tried.

    A randomized estimator has to be given as a function without a key: with one key bound in, the
    moments are those under that key alone, and with its draws averaged inside, the mean is that
    over groups and draws, but the covariance lacks the part that the draws add.

    Args:
      estimator: `f(rewards [B], k) -> advantages [B]`, or of batches, in JAX or NumPy, or a
        registered name; static. It gets float64, and is compiled if it can be traced.
      logits: [n] finite logits of the policy.
      rewards: [n] finite reward of each action.
      group_size: B; static.
      k: K; static.

    Returns:
      Moments(mean [n], covariance [n, n]), float64 NumPy.

    Raises:
      ValueError: if there are more than `MAX_GROUPS` groups to enumerate (the message says how
        many, and what fits), or if the estimator returns another shape than it was given.

    Example:
      >>> first_minus_mean = lambda rewards, k: rewards - rewards.mean(-1, keepdims=True)
      >>> m = moments(first_minus_mean, np.zeros(2), np.array([0.0, 1.0]), group_size=2, k=1)
      >>> m.mean.round(4).tolist(), m.covariance.round(4).tolist()
      ([-0.125, 0.125], [[0.0156, -0.0156], [-0.0156, 0.0156]])
    """
    logits, rewards = _check_bandit(logits, rewards)
    n = len(logits)
    _check_size(multisets.num_multisets(n, group_size), n, group_size)
    log_probs = _log_softmax(logits)
    all_ordered = multisets.num_ordered(n, group_size) <= MAX_ORDERED
    if all_ordered:
        at_once = multisets.num_ordered(n, group_size)
    else:
        at_once = max(multisets.num_multisets(n, group_size), _GROUPS_TRIED)
    chunk = min(at_once, max(1, _CHUNK_ELEMENTS // group_size))
    evaluate = _compiled(estimator, (chunk, group_size), k)

    def gradients(actions: np.ndarray) -> np.ndarray:
        found = evaluate(rewards[actions])
        return k / group_size * _score_sums(found, actions, np.exp(log_probs))

    if all_ordered or _order_matters(gradients, log_probs, group_size, chunk):
        return _sum_ordered(gradients, log_probs, group_size, chunk, estimator)
    total = multisets.num_multisets(n, group_size)
    return _accumulate(gradients, multisets.multisets, total, log_probs, group_size, chunk)


def gradient(logits: ArrayLike, rewards: ArrayLike, k: float) -> np.ndarray:
    """Exact gradient in the logits of J_K = E[max of K iid rewards] on a softmax bandit.

    With rewards sorted, spacings d_m, and F_m the probability of the m lowest, J_K = R_max - sum_m
    d_m F_m^K. So dJ/dpi_a = -K sum_{m >= rank of a} d_m F_m^{K-1} =: q_a up to a constant, and

        dJ/dtheta_a = pi_a (q_a - sum_b pi_b q_b).

    Args:
      logits: [n] finite logits of the policy.
      rewards: [n] finite reward of each action; ties are fine.
      k: K > 0, an integer or any real number.

    Returns:
      [n] float64 NumPy.

    Example:
      >>> gradient(np.zeros(2), np.array([0.0, 1.0]), k=2).tolist()
      [-0.25, 0.25]
    """
    return _gradient_by_spacings(logits, rewards, lambda at_most: k * at_most ** (k - 1))


def order_statistic_gradient(
    logits: ArrayLike, rewards: ArrayLike, coefficients: ArrayLike
) -> np.ndarray:
    r"""Exact gradient in the logits of J_c = E[sum_m c_m R_(m:K)] on a softmax bandit.

    With rewards sorted, spacings d_m, and F_m the probability of the m lowest, a reward above
    spacing m in place of one below gains d_m times the coefficient of its rank among K - 1 others,

        dJ/dpi_a = K sum_{m < rank of a} d_m E[c_(1+S_m)],    S_m ~ Binomial(K - 1, F_m),

    up to a constant, a Bernstein polynomial in F_m that is computed by means of means.

    Args:
      logits: [n] finite logits of the policy.
      rewards: [n] finite reward of each action; ties are fine.
      coefficients: [K] c, for the smallest of K rewards first; finite. See
        `maxpo_jax.coefficients`.

    Returns:
      [n] float64 NumPy.

    Raises:
      ValueError: coefficients that are empty, not finite or not one-dimensional.

    Example:
      >>> order_statistic_gradient(np.zeros(2), np.array([0.0, 1.0]), [1.0, 0.0]).tolist()
      [-0.25, 0.25]
    """
    known = np.array(checks.coefficients_tuple("order_statistic_gradient", coefficients))

    def slope(at_most: np.ndarray) -> np.ndarray:
        means = np.repeat(known[:, None], len(at_most), axis=1)
        while len(means) > 1:
            means = (1 - at_most) * means[:-1] + at_most * means[1:]
        return len(known) * means[0]

    return _gradient_by_spacings(logits, rewards, slope)


def _gradient_by_spacings(
    logits: ArrayLike, rewards: ArrayLike, slope: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """The gradient, from what a spacing is worth to an action above it at F_m [n - 1]."""
    logits, rewards = _check_bandit(logits, rewards)
    probs = np.exp(_log_softmax(logits))
    order = np.argsort(rewards)
    at_most = np.cumsum(probs[order])[:-1]
    slopes = np.diff(rewards[order]) * slope(at_most)
    value = np.empty_like(probs)
    # Measured from the best reward down: for max@K all terms are positive, and nothing cancels.
    value[order] = -np.append(np.cumsum(slopes[::-1])[::-1], 0.0)
    return probs * (value - probs @ value)


def bias(
    estimator: Estimator, logits: ArrayLike, rewards: ArrayLike, group_size: int, k: int
) -> np.ndarray:
    """Exact bias E[g] - grad J_K of an estimator on a softmax bandit, [n] float64.

    Args:
      estimator: see `moments`.
      logits: [n] finite logits of the policy.
      rewards: [n] finite reward of each action.
      group_size: B; static.
      k: K; static.

    Returns:
      [n] float64 NumPy.

    Raises:
      ValueError: as `moments` does.

    Example:
      >>> raw_reward = lambda rewards, k: rewards
      >>> bias(raw_reward, np.zeros(2), np.array([0.0, 1.0]), group_size=2, k=1).tolist()
      [0.0, 0.0]
    """
    mean = moments(estimator, logits, rewards, group_size, k).mean
    return mean - gradient(logits, rewards, k)


def variance(
    estimator: Estimator, logits: ArrayLike, rewards: ArrayLike, group_size: int, k: int
) -> float:
    """Exact variance E|g - E g|^2 of an estimator on a softmax bandit: the trace of its covariance.

    Args:
      estimator: see `moments`.
      logits: [n] finite logits of the policy.
      rewards: [n] finite reward of each action.
      group_size: B; static.
      k: K; static.

    Returns:
      A float.

    Raises:
      ValueError: as `moments` does.

    Example:
      >>> raw_reward = lambda rewards, k: rewards
      >>> round(variance(raw_reward, np.zeros(2), np.array([0.0, 1.0]), group_size=2, k=1), 6)
      0.0625
    """
    return float(np.trace(moments(estimator, logits, rewards, group_size, k).covariance))


def advantages(estimator: Estimator, rewards: ArrayLike, k: int) -> np.ndarray:
    """Advantages in float64, whatever the global setting.

    Args:
      estimator: see `moments`.
      rewards: [groups, B] finite rewards.
      k: K; static.

    Returns:
      [groups, B] float64 NumPy.

    Raises:
      ValueError: whatever the estimator refuses, or if it returns another shape.

    Example:
      >>> advantages("ei", [[0.0, 3.0, 9.0]], k=2).tolist()
      [[0.0, 1.5, 7.5]]
    """
    rewards = np.asarray(rewards, np.float64)
    with jax.enable_x64(True):
        return np.asarray(_wrapped(estimator, rewards.shape[-1], k)(rewards, k), np.float64)


def advantages_by_successes(
    estimator: Estimator, group_size: int, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The two advantages of a group of 0/1 rewards, by how many of its samples succeeded.

    Args:
      estimator: see `moments`; one that gives equal rewards equal advantages.
      group_size: B.
      k: K.

    Returns:
      (advantage [B + 1] of a success, advantage [B + 1] of a failure), float64; 0 where a group has
      none.

    Raises:
      ValueError: if equal rewards of a group have different advantages.

    Example:
      >>> of_success, of_failure = advantages_by_successes("rloo", 2, 1)
      >>> of_success.tolist(), of_failure.tolist()
      ([0.0, 1.0, 0.0], [0.0, -1.0, 0.0])
    """
    successes = np.arange(group_size + 1)
    groups = (np.arange(group_size) < successes[:, None]).astype(np.float64)
    found = advantages(estimator, groups, k)
    of_success = np.where(successes > 0, found[:, 0], 0.0)
    of_failure = np.where(successes < group_size, found[:, -1], 0.0)
    expected = np.where(groups > 0, of_success[:, None], of_failure[:, None])
    if not np.allclose(found, expected, rtol=1e-9, atol=1e-12, equal_nan=True):
        raise ValueError(
            "the estimator gives equal rewards of a group different advantages; enumerate its "
            "groups with maxpo_jax.exact.variance"
        )
    return of_success, of_failure


def _check_bandit(logits: ArrayLike, rewards: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """The bandit as float64 NumPy vectors."""
    logits, rewards = np.asarray(logits, np.float64), np.asarray(rewards, np.float64)
    if logits.ndim != 1 or logits.shape != rewards.shape or not len(logits):
        raise ValueError(
            f"logits and rewards must both be [num_actions], got {logits.shape} and {rewards.shape}"
        )
    if not (np.isfinite(logits).all() and np.isfinite(rewards).all()):
        raise ValueError("logits and rewards must be finite; leave an impossible action out")
    return logits, rewards


def _check_size(total: int, num_actions: int, group_size: int) -> None:
    """Raises ValueError if there are too many multisets, naming the sizes that fit."""
    if group_size < 1:
        raise ValueError(f"group_size must be at least 1, got {group_size}")
    if total <= MAX_GROUPS:
        return
    fits_group = multisets.largest_size(
        lambda size: multisets.num_multisets(num_actions, size), group_size, MAX_GROUPS
    )
    fits_actions = multisets.largest_size(
        lambda n: multisets.num_multisets(n, group_size), num_actions, MAX_GROUPS
    )
    raise ValueError(
        f"{num_actions} actions and group_size {group_size} make {total:,} multisets of actions, "
        f"more than the {MAX_GROUPS:,} that are enumerated; with {num_actions} actions group_size "
        f"up to {fits_group} fits, with group_size {group_size} up to {fits_actions} actions fit"
    )


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    """Log-probabilities of the softmax policy."""
    shifted = logits - logits.max()
    return shifted - np.log(np.exp(shifted).sum())


def _compiled(
    estimator: Estimator, shape: tuple[int, int], k: int
) -> Callable[[np.ndarray], np.ndarray]:
    """The estimator as a function on float64 NumPy, compiled where JAX can trace it."""
    wrapped = _wrapped(estimator, shape[1], k)
    # K is an int here: the weights are made on the host, in float64.
    function = wrapped if wrapped.on_host else jax.jit(wrapped, static_argnums=1)

    def evaluate(rewards: np.ndarray) -> np.ndarray:
        with jax.enable_x64(True):
            return np.asarray(function(rewards, k), np.float64)

    return evaluate


@functools.lru_cache(maxsize=128)
def _wrapped(estimator: Estimator, group_size: int, k: int) -> WrappedEstimator:
    """The same object for the same function, so that it is tried and compiled once."""
    with jax.enable_x64(True):
        return wrap(estimator, group_size=group_size, k=k)


def _score_sums(found: np.ndarray, actions: np.ndarray, probs: np.ndarray) -> np.ndarray:
    """sum_i A_i grad log pi(a_i) of each group: the sum by action, less pi times the whole sum."""
    groups, n = len(actions), len(probs)
    bins = actions + n * np.arange(groups)[:, None]
    by_action = np.bincount(bins.ravel(), found.ravel(), groups * n).reshape(groups, n)
    return by_action - by_action.sum(axis=1, keepdims=True) * probs[None, :]


def _order_matters(
    gradients: Callable[[np.ndarray], np.ndarray],
    log_probs: np.ndarray,
    group_size: int,
    chunk: int,
) -> bool:
    """Whether a permutation of the samples changes the gradient of groups of this bandit.

    Tried are an exchange of the first two samples and a rotation of all, which together generate
    every permutation, on random orders of groups, and those orders against the sorted ones.
    """
    rng = np.random.default_rng(0)
    for actions in _groups_to_try(rng, log_probs, group_size, chunk):
        shuffled = rng.permuted(actions, axis=1)
        exchanged = np.concatenate([shuffled[:, 1::-1], shuffled[:, 2:]], axis=1)
        rotated = np.roll(shuffled, 1, axis=1)
        expected = gradients(shuffled)
        tolerance = 1e-9 * np.nan_to_num(np.abs(expected), posinf=0.0).max()
        for other in (actions, exchanged, rotated):
            g = gradients(other)
            if not np.allclose(g, expected, rtol=1e-9, atol=tolerance, equal_nan=True):
                return True
    return False


def _groups_to_try(
    rng: np.random.Generator, log_probs: np.ndarray, group_size: int, chunk: int
) -> Iterator[np.ndarray]:
    """Groups [chunk, B]: every multiset if a chunk holds them, else a spread and mixed ones."""
    num_actions = len(log_probs)
    total = multisets.num_multisets(num_actions, group_size)
    if total <= chunk:
        ranks = np.arange(chunk) % total
    else:
        ranks = np.linspace(0, total - 1, chunk).astype(np.int64)
        actions = np.tile(np.arange(num_actions), (chunk, 1))
        repeats = -(-group_size // num_actions)
        yield np.tile(rng.permuted(actions, axis=1), repeats)[:, :group_size]
    yield multisets.multisets(ranks, log_probs, group_size)[0]


def _sum_ordered(
    gradients: Callable[[np.ndarray], np.ndarray],
    log_probs: np.ndarray,
    group_size: int,
    chunk: int,
    estimator: Estimator,
) -> Moments:
    """The moments over all ordered outcomes, if there are not too many of them."""
    n = len(log_probs)
    total = multisets.num_ordered(n, group_size)
    if total > MAX_GROUPS:
        fits = multisets.largest_size(
            lambda size: multisets.num_ordered(n, size), group_size, MAX_GROUPS
        )
        name = getattr(estimator, "name", None) or getattr(estimator, "__name__", repr(estimator))
        raise ValueError(
            f"{name} depends on the order of the samples, so all {total:,} ordered outcomes of {n} "
            f"actions and group_size {group_size} count, more than the {MAX_GROUPS:,} that are "
            f"enumerated; with {n} actions group_size up to {fits} fits"
        )
    return _accumulate(gradients, multisets.ordered, total, log_probs, group_size, chunk)


def _accumulate(
    gradients: Callable[[np.ndarray], np.ndarray],
    unrank: Callable[[np.ndarray, np.ndarray, int], tuple[np.ndarray, np.ndarray]],
    total: int,
    log_probs: np.ndarray,
    group_size: int,
    chunk: int,
) -> Moments:
    """Weighted mean and covariance over all groups, a chunk at a time.

    Chunks are merged by their own means (Chan, Golub and LeVeque, 1983), because the difference of
    two raw moments would lose the digits of a small variance beside a large mean.
    """
    n = len(log_probs)
    weight, mean, scatter = 0.0, np.zeros(n), np.zeros((n, n))
    for start in range(0, total, chunk):
        ranks = np.arange(start, start + chunk)
        # The last chunk is filled up with weightless groups, so that every chunk has one shape.
        actions, log_weights = unrank(np.minimum(ranks, total - 1), log_probs, group_size)
        weights = np.where(ranks < total, np.exp(log_weights), 0.0)
        g = gradients(actions)
        chunk_weight = weights.sum()
        if chunk_weight == 0.0:  # every group underflowed
            continue
        chunk_mean = weights @ g / chunk_weight
        centered = g - chunk_mean[None, :]
        shift = chunk_mean - mean
        new_weight = weight + chunk_weight
        mean = mean + shift * (chunk_weight / new_weight)
        scatter = scatter + (centered * weights[:, None]).T @ centered
        scatter = scatter + np.outer(shift, shift) * (weight * chunk_weight / new_weight)
        weight = new_weight
    return Moments(mean, scatter / weight)
