"""Groups of any shape: flat rewards with the id of their group, as trainers hold them."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from maxpo_jax.estimators import checks
from maxpo_jax.estimators.contract import Estimator, get
from maxpo_jax.estimators.host import advantages_on_host
from maxpo_jax.estimators.wrapping import wrap

SmallGroups = Literal["zero", "ei"]


class GroupedAdvantages(NamedTuple):
    """What every sample counts: a loss is `-sum(weights * advantages * log_prob)`.

    Its negative gradient is the sum over groups of g = (K/B) sum_i A_i grad log pi(x_i), each with
    the B of its own group.

    Attributes:
      advantages: [N] advantages; 0 where a sample is not used.
      weights: [N] K over the number B of used samples of its group; 0 where a sample is not used.
    """

    advantages: Any
    weights: Any


def grouped(
    estimator: str | Estimator | Callable[..., Any],
    *,
    num_groups: int | None = None,
    max_group_size: int | None = None,
    small_groups: SmallGroups = "zero",
) -> "HostGroups | TracedGroups":
    r"""An estimator for flat rewards with group ids: groups of any size, in any order.

    .. math:: (R_i, \text{id}_i)_{i=1}^N \mapsto (A_i, \; K / B_{\text{id}_i})_{i=1}^N

    with B the number of usable samples of a group. A sample whose reward is NaN, or that `where`
    leaves out, is not used, and its group is that of the others. **A group with too few samples for
    k is not used**: its advantages and weights are 0. k is never lowered: the mean of such a group
    would point elsewhere than that of the others. To permute the samples permutes the results, to
    the last bit.

    Without further arguments it computes on the host, in float64 by NumPy, and compiles nothing
    whatever the sizes (a function that needs JAX is called once for each distinct size). With
    `num_groups` and `max_group_size` it is made for `jax.jit`: one program serves all groups of up
    to these numbers.

    Args:
      estimator: a registered name, an `Estimator`, or a function `f(rewards, k)`, which is tried
        out first (see `estimators.wrap`). Not one that draws random numbers or needs ratios.
      num_groups: G of the traced form; group ids are then integers 0..G-1.
      max_group_size: the largest number of samples that a group may have in the traced form.
      small_groups: what becomes of a group with too few samples: "zero", or "ei" for `ei` where
        that is defined, which is for k = B as well; for estimators that are unbiased for J_K.

    Returns:
      A function `(rewards [N], group_ids [N], k, *, where=None) -> GroupedAdvantages`; see
      `HostGroups` and `TracedGroups`. Equal calls give equal functions, which share programs.

    Raises:
      ValueError: an unknown name, an estimator with draws or ratios, one of `num_groups` and
        `max_group_size` without the other, or "ei" where it would mix two targets.

    Example:
      >>> rewards = np.array([0.0, 1.0, 3.0, 5.0, 9.0])
      >>> prompts = ["tea", "cup", "tea", "cup", "tea"]
      >>> advantages, weights = grouped("maxpo")(rewards, prompts, k=2)
      >>> advantages.tolist()
      [-3.0, 0.0, -3.0, 0.0, 6.0]
      >>> (3 * weights).tolist()
      [2.0, 0.0, 2.0, 0.0, 2.0]

    Source: made here, for what trainers hold.

    Unbiased for the sum over the used groups of what the estimator is unbiased for, if samples are
    left out for reasons that have nothing to do with them. Failures that are left out bias it: give
    them the reward of a failure.
    """
    entry = wrap(estimator)
    if entry.randomized:
        raise ValueError(
            f"grouped: {entry.name} draws random numbers, and grouped takes no key: use a "
            "deterministic estimator such as 'maxpo', or pack the groups and call it yourself."
        )
    if entry.off_policy:
        raise ValueError(
            f"grouped: {entry.name} needs the ratios of its samples, and grouped takes none: pack "
            "the groups and call it yourself, with where= for those that are smaller."
        )
    if small_groups not in ("zero", "ei"):
        raise ValueError(f"grouped: small_groups must be 'zero' or 'ei', got {small_groups!r}.")
    if small_groups == "ei" and not (entry.unbiased and entry.target == "J_K"):
        raise ValueError(
            f"grouped: small_groups='ei' estimates grad J_K, which {entry.name} is not known to be "
            "unbiased for: leave small groups at 'zero', or use an estimator such as 'maxpo'."
        )
    spare = get("ei") if small_groups == "ei" else None
    if num_groups is None and max_group_size is None:
        return HostGroups(entry, spare)
    largest = _positive("num_groups", num_groups), _positive("max_group_size", max_group_size)
    return TracedGroups(entry, spare, *largest)


@dataclasses.dataclass(frozen=True)
class HostGroups:
    """`grouped` on the host.

    Attributes:
      estimator: for groups that it is defined for.
      spare: for the others, or None to leave them at 0.
    """

    estimator: Estimator
    spare: Estimator | None

    def __call__(
        self, rewards: Any, group_ids: Any, k: Any, *, where: Any = None
    ) -> GroupedAdvantages:
        """Advantages and weights of flat samples.

        Args:
          rewards: [N] rewards, anything that NumPy can read; NaN or None for a missing one.
          group_ids: [N] ids of their groups, hashable: integers, strings, tuples, UUIDs.
          k: K of max@K, one integer for all groups.
          where: [N] boolean, samples to use; all by default.

        Returns:
          NumPy arrays [N] in the dtype of the rewards (float32 for integers).

        Raises:
          ValueError: wrong arguments, infinite rewards, or no group with samples enough for k.
        """
        name = f"grouped({self.estimator.name})"
        if checks.is_traced(rewards, group_ids, k, where):
            raise ValueError(
                f"{name}: it computes on the host and cannot be traced; for jax.jit say how large "
                "it gets: grouped(estimator, num_groups=..., max_group_size=...)."
            )
        values, dtype = _host_rewards(name, rewards)
        index = _group_index(name, group_ids, len(values))
        usable = _host_mask(name, where, len(values)) & ~np.isnan(values)
        count = _one_k(name, k)
        if np.isinf(values[usable]).any():
            at = int(np.flatnonzero(usable & np.isinf(values))[0])
            raise ValueError(
                f"{name}: rewards must be finite, got {values[at]} at index {at}; NaN stands for a "
                "reward that is missing."
            )
        sizes = np.bincount(index[usable], minlength=index.max() + 1)
        advantages, weights = np.zeros_like(values), np.zeros_like(values)
        done = np.zeros(len(sizes), bool)
        for estimator in self.estimators:
            now = _fits(estimator, count, sizes) & ~done
            done |= now
            for samples in _samples_by_size(values, index, usable & now[index], sizes):
                advantages[samples] = advantages_on_host(estimator, values[samples], count)
                weights[samples] = count / samples.shape[-1]
        if not done.any():
            raise ValueError(f"{name}: {self.why_none(count, sizes)}")
        with np.errstate(over="ignore"):
            return GroupedAdvantages(advantages.astype(dtype), weights.astype(dtype))

    @property
    def estimators(self) -> list[Estimator]:
        """Those to try for a group, in this order."""
        return [self.estimator] if self.spare is None else [self.estimator, self.spare]

    def why_none(self, k: int, sizes: np.ndarray) -> str:
        """Why no group can be used, and what to do."""
        if not sizes.any():
            return "there is no sample to use: every reward is NaN or masked, or there are none."
        k_range = (self.spare or self.estimator).k_range
        return (
            f"no group fits k = {k}: allowed are {k_range.text}, and the {len(sizes)} groups have "
            f"{sizes.min()} to {sizes.max()} usable samples each. {k_range.advice}"
        )


@dataclasses.dataclass(frozen=True)
class TracedGroups:
    """`grouped` for `jax.jit`.

    Attributes:
      estimator: for groups that it is defined for.
      spare: for the others, or None to leave them at 0.
      num_groups: G; ids are 0..G-1.
      max_group_size: the largest number of samples of a group.
    """

    estimator: Estimator
    spare: Estimator | None
    num_groups: int
    max_group_size: int

    def __call__(
        self, rewards: Any, group_ids: Any, k: Any, *, where: Any = None
    ) -> GroupedAdvantages:
        """Advantages and weights of flat samples; never NaN.

        Inside jit, where nothing can be refused, samples with an infinite reward or an id out of
        range are not used, and neither are groups of more than `max_group_size` samples.

        Args:
          rewards: [N] rewards; NaN for a missing one.
          group_ids: [N] integers 0..num_groups-1.
          k: K of max@K, one integer for all groups; may be traced.
          where: [N] boolean, samples to use; all by default. Padding may have any id.

        Returns:
          Arrays [N] in the dtype of the rewards (float32 for integers), without gradient.

        Raises:
          ValueError: wrong arguments; k beyond every group; outside jit, also what is left out
            inside.
        """
        name = f"grouped({self.estimator.name})"
        if np.ndim(rewards) != 1 or np.size(rewards) == 0:
            raise ValueError(f"{name}: {_FLAT.format(np.shape(rewards))}")
        values = jax.lax.stop_gradient(checks.rewards_array(name, rewards))
        ids = group_ids if isinstance(group_ids, jax.Array) else np.asarray(group_ids)
        if ids.shape != values.shape or not jnp.issubdtype(ids.dtype, jnp.integer):
            raise ValueError(
                f"{name}: group_ids must be integers 0..{self.num_groups - 1} of shape "
                f"{values.shape}, got {ids.dtype} of shape {ids.shape}; number other ids by "
                "np.unique(ids, return_inverse=True)[1], or compute on the host."
            )
        ids = jnp.asarray(ids, jnp.int32)
        mask = checks.mask_array(name, where, values)
        if mask is None:
            mask = jnp.ones(values.shape, bool)
        usable = mask & ~jnp.isnan(values)
        count = _one_k(name, k)
        if isinstance(count, int):
            k_range = (self.spare or self.estimator).k_range
            checks.check_k(name, count, k_range, self.max_group_size, masked=True)
        if not checks.is_traced(values, ids, usable, count):
            self._check_values(name, np.asarray(values), np.asarray(ids), np.asarray(usable), count)
        compute = _compute if self.estimator.traced_k else _compute_for_k
        return compute(self, values, ids, usable, count)

    def _check_values(
        self, name: str, values: np.ndarray, ids: np.ndarray, usable: np.ndarray, k: int
    ) -> None:
        """Refuse what only a look at the numbers can show."""
        if np.isinf(values[usable]).any():
            raise ValueError(f"{name}: rewards must be finite; NaN stands for a missing one.")
        if ((ids < 0) | (ids >= self.num_groups))[usable].any():
            raise ValueError(f"{name}: group_ids must be 0..{self.num_groups - 1}, num_groups - 1.")
        sizes = np.bincount(ids[usable], minlength=self.num_groups)
        if sizes.max() > self.max_group_size:
            raise ValueError(
                f"{name}: group {sizes.argmax()} has {sizes.max()} samples, more than "
                f"max_group_size = {self.max_group_size}."
            )
        both = HostGroups(self.estimator, self.spare)
        if not any(_fits(e, k, sizes).any() for e in both.estimators):
            raise ValueError(f"{name}: {both.why_none(k, sizes)}")

    def _advantages(
        self, values: jax.Array, ids: jax.Array, usable: jax.Array, k: Any
    ) -> GroupedAdvantages:
        """One group a row, each in the order of its rewards, so that positions mean nothing."""
        G, B = self.num_groups, self.max_group_size
        usable &= jnp.isfinite(values) & (ids >= 0) & (ids < G)
        group = jnp.where(usable, ids, G)  # G: of those that are not used
        values = jnp.where(usable, values, jnp.zeros((), values.dtype))
        sample = jnp.lexsort((values, group))
        group = group[sample]
        sizes = jnp.zeros(G + 1, jnp.int32).at[group].add(1)
        position = jnp.arange(len(group), dtype=jnp.int32) - (jnp.cumsum(sizes) - sizes)[group]
        grid = jnp.zeros((G, B), values.dtype).at[group, position].set(values[sample], mode="drop")
        where = jnp.arange(B, dtype=jnp.int32)[None] < sizes[:G, None]
        advantages, used = jnp.zeros((G, B), values.dtype), jnp.zeros(G, bool)
        for estimator in HostGroups(self.estimator, self.spare).estimators:
            now = _fits(estimator, k, sizes[:G]) & (sizes[:G] <= B) & ~used
            used |= now
            # A group that is not to be used is a full one of zeros, for which no NaN is made.
            rewards = jnp.where(now[:, None], grid, jnp.zeros((), grid.dtype))
            found = estimator(rewards, k, where=where | ~now[:, None])
            advantages = jnp.where(now[:, None], found, advantages)
        counts = jnp.append(used, False)[group]
        size = jnp.maximum(sizes[group], 1).astype(values.dtype)
        weight = jnp.asarray(k).astype(values.dtype) / size
        found = advantages.at[group, position].get(mode="fill", fill_value=0)
        zeros = jnp.zeros_like(values)
        return GroupedAdvantages(
            zeros.at[sample].set(jnp.where(counts, found, zeros)),
            zeros.at[sample].set(jnp.where(counts, weight, zeros)),
        )


_compute = jax.jit(TracedGroups._advantages, static_argnums=0)
_compute_for_k = jax.jit(TracedGroups._advantages, static_argnums=(0, 4))

_FLAT = (
    "rewards must be flat, shape [N] with N >= 1, got {}; for rewards [groups, group_size] call "
    "the estimator itself, or flatten them and repeat the id of each group."
)


def _positive(name: str, value: int | None) -> int:
    if not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(
            f"grouped: {name} must be a positive integer, got {value!r}: the traced form needs "
            "num_groups and max_group_size; leave both out to compute on the host."
        )
    return int(value)


def _fits(estimator: Estimator, k: Any, sizes: Any) -> Any:
    """Which groups have samples that k fits."""
    return estimator.k_range.contains(k, sizes) & (sizes > 0)


def _samples_by_size(
    values: np.ndarray, index: np.ndarray, used: np.ndarray, sizes: np.ndarray
) -> Sequence[np.ndarray]:
    """Indices [groups, B] of the used samples, for each B; a group in the order of its rewards.

    So neither the order of samples nor that of groups can be seen in a result.
    """
    samples = np.flatnonzero(used)
    samples = samples[np.argsort(index[samples])]
    size = sizes[index[samples]]
    groups = [samples[size == one].reshape(-1, one) for one in np.flatnonzero(np.bincount(size))]
    orders = [np.argsort(values[some], axis=-1) for some in groups]
    return [np.take_along_axis(*pair, axis=-1) for pair in zip(groups, orders, strict=True)]


def _one_k(name: str, k: Any) -> Any:
    if np.ndim(k) > 0:
        raise ValueError(
            f"{name}: k must be one integer for all groups, got shape {np.shape(k)}: call it once "
            "for each k, with where= the samples of the groups that it is for, and add the results."
        )
    return checks.integer_k(name, k)


def _host_rewards(name: str, rewards: Any) -> tuple[np.ndarray, np.dtype]:
    """Rewards [N] in float64, and the dtype of what is made of them."""
    values = np.asarray(rewards)
    if values.dtype == object:  # None for a missing one
        values = values.astype(np.float64)
    if values.ndim != 1 or values.size == 0:
        raise ValueError(f"{name}: {_FLAT.format(values.shape)}")
    if values.dtype.kind in "biu":
        return values.astype(np.float64), np.dtype(np.float32)
    if not jnp.issubdtype(values.dtype, jnp.floating):
        raise ValueError(f"{name}: rewards must be real numbers, got dtype {values.dtype}.")
    return values.astype(np.float64), values.dtype


def _host_mask(name: str, where: Any, length: int) -> np.ndarray:
    if where is None:
        return np.ones(length, bool)
    mask = np.asarray(where)
    if mask.dtype != bool or mask.shape != (length,):
        raise ValueError(
            f"{name}: where must be a boolean mask of the shape of the rewards ({length},), got "
            f"{mask.dtype} of shape {mask.shape}."
        )
    return mask


def _group_index(name: str, group_ids: Any, length: int) -> np.ndarray:
    """Numbers [N] of the groups from 0 on."""
    if hasattr(group_ids, "__array__"):
        group_ids = np.asarray(group_ids)
        if group_ids.ndim != 1:
            raise ValueError(
                f"{name}: group_ids must hold one id for each sample, shape ({length},), got "
                f"{group_ids.shape}; make an id of several columns by map(tuple, ids.tolist())."
            )
    ids = group_ids if isinstance(group_ids, np.ndarray) else list(group_ids)
    if len(ids) != length:
        raise ValueError(f"{name}: got {len(ids)} group_ids for {length} rewards.")
    if isinstance(ids, np.ndarray) and ids.dtype != object:
        return np.unique(ids, return_inverse=True)[1]
    # Scalars of an array library hash by what they are, not by their value.
    plain = (one.item() if hasattr(one, "item") else one for one in ids)
    numbers: dict[Any, int] = {}
    try:
        return np.array([numbers.setdefault(one, len(numbers)) for one in plain])
    except TypeError as error:
        raise ValueError(
            f"{name}: group_ids must be hashable, such as integers, strings or tuples: {error}."
        ) from None
