"""Sorting a group of rewards, and giving each sample the result of its rank.

Samples need not be carried along: a result that belongs to a rank belongs to every sample with
the reward of that rank, so that only values are sorted. Each sample looks its result up by its
own reward, or the exchanges that have sorted the values are undone on the results.

| group size B | sort | result of each sample |
|---|---|---|
| up to `LONGEST_NETWORK` | network, all groups side by side | comparison with each rank |
| up to `LONGEST_LOOP` | the same in a loop over its stages | exchanges undone, the last first |
| longer | of order-preserving integers, by the compiler | bisection |

Fewer than `FEWEST_SIDE_BY_SIDE` groups are sorted as integers, too, unless the network is short.

Processor time of MaxPO on a million rewards over that of `jnp.argsort` on the same, float32, on
two cores of an AMD EPYC (Zen 5), and the processor's seconds of compilation; the network keeps
both cores busy where the others, as `argsort` itself, keep one:

| group size B | network | loop | integers | compiling: network | loop | integers |
|---|---|---|---|---|---|---|
| 8 | 0.07 | 0.07 | 0.60 | 0.2 | 0.4 | 0.3 |
| 16 | 0.08 | 0.07 | 0.40 | 0.4 | 0.4 | 0.4 |
| 32 | 0.12 | 0.09 | 0.36 | 0.7 | 0.4 | 0.3 |
| 64 | 0.15 | 0.10 | 0.33 | 1.0 | 0.5 | 0.6 |
| 128 | 0.20 | 0.11 | 0.29 | 1.7 | 0.4 | 0.5 |
| 256 | | 0.12 | 0.28 | | 0.4 | 0.5 |
| 512 | | 0.13 | 0.28 | | 0.4 | 0.5 |
| 1024 | | 0.17 | 0.28 | | 0.5 | 0.4 |
| 2048 | | 0.37 | 0.28 | | 0.6 | 0.5 |

The network ends where the loop on one core takes about as long as the network on two. It also
serves a single group under `jax.vmap`, where the loop has no groups to put side by side. The loop
ends where the fewest groups that make it fast no longer fit into the cache of one core.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

LONGEST_NETWORK = 64  # see the table above
LONGEST_LOOP = 1024
FEWEST_SIDE_BY_SIDE = 40  # shorter rows the compiler unrolls, several times slower than vectors


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


class Exchanges(NamedTuple):
    """What a network has done to its rows.

    Attributes:
      distance: [S] of each stage, as bits: row i meets row `i ^ distance`.
      moved: [S, B, G] whether each value came from the other row.
    """

    distance: jax.Array
    moved: jax.Array


def sort_in_a_loop(values: jax.Array) -> tuple[jax.Array, Exchanges]:
    r"""Sort the first axis as `network_sort` does, in a program of the same size for every B.

    A row meets the one whose index differs in the bits of the stage: in all bits below 2h to merge
    sorted runs of h rows, in a single one to sort what has been merged. The smaller value goes to
    the smaller index, so that rows beyond the last, thought to be infinite, never move.

    Args:
      values: [B, G] values without NaN.

    Returns:
      [B, G] ascending along the first axis, and the exchanges that have led there.

    Example:
      >>> ranked, exchanges = sort_in_a_loop(jnp.array([[3.0], [1.0], [2.0]]))
      >>> ranked[:, 0].tolist(), exchanges.distance.tolist()
      ([1.0, 2.0, 3.0], [1, 3, 1])
    """

    def stage(rows: jax.Array, distance: jax.Array) -> tuple[jax.Array, jax.Array]:
        row, partner = _pairs(rows.shape[0], distance)
        other = rows.at[partner].get(mode="promise_in_bounds")
        is_first = (row < partner)[:, None]
        after = jnp.where(is_first, jnp.minimum(rows, other), jnp.maximum(rows, other))
        return after, after != rows

    distances = jnp.asarray(_distances(values.shape[0]), jnp.int32)
    ranked, moved = jax.lax.scan(stage, values, distances)
    return ranked, Exchanges(distances, moved)


def undo_exchanges(results: jax.Array, exchanges: Exchanges) -> jax.Array:
    """Bring results of ranks into the order that the values had before they were sorted.

    Args:
      results: [B, G] result of each rank, equal along ties.
      exchanges: what `sort_in_a_loop` has done.

    Returns:
      [B, G] result of each value.

    Example:
      >>> _, exchanges = sort_in_a_loop(jnp.array([[5.0], [2.0], [5.0]]))
      >>> undo_exchanges(jnp.array([[-1.0], [1.0], [1.0]]), exchanges)[:, 0].tolist()
      [1.0, -1.0, 1.0]
    """

    def stage(rows: jax.Array, exchange: Exchanges) -> tuple[jax.Array, None]:
        _, partner = _pairs(rows.shape[0], exchange.distance)
        other = rows.at[partner].get(mode="promise_in_bounds")
        return jnp.where(exchange.moved, other, rows), None

    return jax.lax.scan(stage, results, exchanges, reverse=True)[0]


def _distances(size: int) -> list[int]:
    """Of the stages of a bitonic network: merges of 1, 2, 4, ... rows, each sorted by halving."""
    distances = []
    for exponent in range(max(size - 1, 0).bit_length()):
        distances += [2 ** (exponent + 1) - 1, *(2**bit for bit in reversed(range(exponent)))]
    return distances


def _pairs(size: int, distance: jax.Array) -> tuple[jax.Array, jax.Array]:
    """All rows, and the row that each one meets: itself, where there is no other."""
    row = jnp.arange(size, dtype=jnp.int32)
    partner = row ^ distance
    return row, jnp.where(partner < size, partner, row)


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


def lowest_rank(values: jax.Array, ranked_integers: jax.Array) -> jax.Array:
    """Rank of the first equal of each value: the number of smaller ones, by bisection.

    Args:
      values: [G, B] floating-point values of G groups, without NaN.
      ranked_integers: [G, B] their `sortable_integers`, ascending. They become values again where
        they are looked at, so that a long group is not held once more in memory.

    Returns:
      [G, B] int32 ranks from 0, equal along ties.

    Example:
      >>> values = jnp.array([[5.0, 2.0, 5.0]])
      >>> lowest_rank(values, jnp.sort(sortable_integers(values))).tolist()
      [[1, 0, 1]]
    """
    size, start, flat = values.shape[-1], group_starts(values), ranked_integers.reshape(-1)
    num_steps = size.bit_length()

    def bisect(step: int, smaller: jax.Array) -> jax.Array:
        reached = smaller + (1 << (num_steps - 1 - step))
        at = flat.at[start + jnp.minimum(reached, size) - 1].get(mode="promise_in_bounds")
        is_smaller = values_of(at, values.dtype) < values
        return jnp.where((reached <= size) & is_smaller, reached, smaller)

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
