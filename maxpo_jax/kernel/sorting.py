"""Sorting a group of rewards, and giving each sample the result of its rank.

Samples need not be carried along: a result that belongs to a rank belongs to every sample with
the reward of that rank, so that only values are sorted, and each sample looks its result up by
its own reward. Equal rewards so get equal results, whatever the order in which they were sorted.

| group size B | sort | look-up |
|---|---|---|
| up to `LONGEST_NETWORK` | network, all groups side by side | comparison with each rank |
| longer | of order-preserving integers, by the compiler | bisection |

Time of MaxPO on 100,000 groups over that of `jnp.argsort` on the same rewards, float32, on two
cores of an AMD EPYC (Zen 4), and the processor's seconds of compilation:

| group size B | network | integers | compiling the network | compiling the integers |
|---|---|---|---|---|
| 8 | 0.03 | 0.49 | 0.2 | 0.3 |
| 16 | 0.04 | 0.34 | 0.4 | 0.3 |
| 32 | 0.06 | 0.29 | 0.8 | 0.3 |
| 64 | 0.11 | 0.26 | 0.9 | 0.4 |
| 128 | 0.13 | 0.27 | 1.8 | 0.5 |

The network ends where what it still gains is not worth its compilation, which doubles with B.
"""

import jax
import jax.numpy as jnp

LONGEST_NETWORK = 64  # see the table above


def network_sort(values: jax.Array) -> jax.Array:
    r"""Sort the first axis by a bitonic network, element by element over all other axes.

    A stage compares rows at fixed distances and puts the smaller above the larger: a minimum and
    a maximum, with nothing that depends on the data. Merging two sorted halves, the second one
    reversed, leaves every small value above every large one; halving the distance sorts the rest.
    By the 0-1 principle (Knuth, The Art of Computer Programming 3, section 5.3.4), a network that
    sorts every sequence of zeros and ones sorts every sequence; the tests try all of them.

    Args:
      values: [B, ...] values without NaN.

    Returns:
      [B, ...] ascending along the first axis, by (log2 B)(log2 B + 1) / 2 stages.

    Example:
      >>> network_sort(jnp.array([3.0, 1.0, 2.0])).tolist()
      [1.0, 2.0, 3.0]
    """
    size, rest = values.shape[0], values.shape[1:]
    width = 1 << max(size - 1, 0).bit_length()
    largest = jnp.full((width - size, *rest), jnp.inf, values.dtype)
    rows = jnp.concatenate([values, largest])
    half = 1
    while half < width:
        pairs = rows.reshape(width // (2 * half), 2 * half, *rest)
        first, second = pairs[:, :half], pairs[:, half:][:, ::-1]
        small, large = jnp.minimum(first, second), jnp.maximum(first, second)
        rows = jnp.concatenate([small, large[:, ::-1]], axis=1).reshape(width, *rest)
        distance = half // 2
        while distance:
            pairs = rows.reshape(width // (2 * distance), 2, distance, *rest)
            small = jnp.minimum(pairs[:, 0], pairs[:, 1])
            large = jnp.maximum(pairs[:, 0], pairs[:, 1])
            rows = jnp.stack([small, large], axis=1).reshape(width, *rest)
            distance //= 2
        half *= 2
    return rows[:size]


def look_up_by_comparison(values: jax.Array, ranked: jax.Array, results: jax.Array) -> jax.Array:
    """Give each value the result of the last rank whose value it reaches, by comparing with all.

    Args:
      values: [B, ...] values, the group along the first axis.
      ranked: [B, ...] the same, ascending.
      results: [B, ...] result of each rank, equal along ties.

    Returns:
      [B, ...] result of each value.

    Example:
      >>> values, ranked = jnp.array([5.0, 2.0, 5.0]), jnp.array([2.0, 5.0, 5.0])
      >>> look_up_by_comparison(values, ranked, jnp.array([-1.0, 1.0, 1.0])).tolist()
      [1.0, -1.0, 1.0]
    """
    found = jnp.broadcast_to(results[:1], values.shape)
    for rank in range(1, values.shape[0]):
        this = slice(rank, rank + 1)
        found = jnp.where(values >= ranked[this], results[this], found)
    return found


def sortable_integers(values: jax.Array) -> jax.Array:
    """Integers in the order of the floating-point values, which a compiler sorts much faster.

    A non-negative float has the order of its bits. A negative one has it reversed, so that all
    bits but the sign are flipped. Minus zero becomes zero, which it equals.

    Args:
      values: floating-point values without NaN, any shape.

    Returns:
      Signed integers of the same width and shape.

    Example:
      >>> sortable_integers(jnp.array([-1.5, -0.0, 0.0, 1.5])).tolist()
      [-1069547521, 0, 0, 1069547520]
    """
    bits = _bits(jnp.where(values == 0, jnp.zeros((), values.dtype), values))
    return jnp.where(bits < 0, bits ^ jnp.iinfo(bits.dtype).max, bits)


def values_of(integers: jax.Array, dtype: jnp.dtype) -> jax.Array:
    """The floating-point values behind `sortable_integers`.

    Args:
      integers: what `sortable_integers` has made.
      dtype: the floating dtype it has made them from. Static.

    Returns:
      Values of the shape of `integers`.

    Example:
      >>> values_of(sortable_integers(jnp.array([-1.5, 2.0])), jnp.float32).tolist()
      [-1.5, 2.0]
    """
    bits = jnp.where(integers < 0, integers ^ jnp.iinfo(integers.dtype).max, integers)
    return jax.lax.bitcast_convert_type(bits, dtype)


def _bits(values: jax.Array) -> jax.Array:
    integer = {4: jnp.int32, 8: jnp.int64}[values.dtype.itemsize]
    return jax.lax.bitcast_convert_type(values, integer)


def lowest_rank(values: jax.Array, ranked: jax.Array) -> jax.Array:
    """Rank of the first equal of each value: the number of smaller ones, by bisection.

    Args:
      values: [G, B] values of G groups.
      ranked: [G, B] the same, ascending.

    Returns:
      [G, B] int32 ranks from 0, equal along ties.

    Example:
      >>> values, ranked = jnp.array([[5, 2, 5]]), jnp.array([[2, 5, 5]])
      >>> lowest_rank(values, ranked).tolist()
      [[1, 0, 1]]
    """
    size, start, flat = values.shape[-1], group_starts(values), ranked.reshape(-1)
    num_steps = size.bit_length()

    def bisect(step: int, smaller: jax.Array) -> jax.Array:
        reached = smaller + (1 << (num_steps - 1 - step))
        at = flat.at[start + jnp.minimum(reached, size) - 1].get(mode="promise_in_bounds")
        return jnp.where((reached <= size) & (at < values), reached, smaller)

    return jax.lax.fori_loop(0, num_steps, bisect, jnp.zeros_like(values, jnp.int32))


def look_up_by_rank(ranks: jax.Array, results: jax.Array) -> jax.Array:
    """Results [G, B] at the given ranks [G, B] of the same groups.

    Args:
      ranks: [G, B] integer ranks from 0.
      results: [G, B] result of each rank.

    Returns:
      [G, B] result at each of the given ranks.

    Example:
      >>> look_up_by_rank(jnp.array([[1, 0, 1]]), jnp.array([[-1.0, 1.0, 9.0]])).tolist()
      [[1.0, -1.0, 1.0]]
    """
    at = group_starts(ranks) + ranks
    return results.reshape(-1).at[at].get(mode="promise_in_bounds")


def group_starts(groups: jax.Array) -> jax.Array:
    """Index [G, B] of the first sample of each group among all G * B samples.

    Args:
      groups: [G, B] any array.

    Returns:
      [G, B] int32 indices.

    Example:
      >>> group_starts(jnp.zeros((2, 3))).tolist()
      [[0, 0, 0], [3, 3, 3]]
    """
    return jax.lax.broadcasted_iota(jnp.int32, groups.shape, 0) * groups.shape[-1]
