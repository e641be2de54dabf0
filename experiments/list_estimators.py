"""The facts of every registered estimator: `python -m experiments.list_estimators [--format=...]`.

`unbiased for`: the expected gradient is exactly c times the gradient of this, for every policy;
"nothing" where no constant c makes it so. `x floor`: the variance over the least that any estimator
has which is unbiased for the same and sees rewards alone; for 0/1 rewards and an infinity of
actions, at success probabilities 0.1, 0.5 and 0.9, and at the B and K of c; "-" for other targets
than J_K and J_1, and where draws or ratios add to the variance. `shift` and `scale`: whether adding
a constant changes nothing and scaling the rewards scales the advantages ("-" for 0/1 rewards). The
tests hold each of these to exact enumeration. `rspo = ei`: an alias, the same function under a
name, a source and a range of K of its own. "ratios": for samples of an older policy.
"""

import sys
from collections.abc import Sequence

import numpy as np
from absl import flags

from experiments.common import command_line
from maxpo_jax import estimators, exact
from maxpo_jax.estimators import Estimator

MODULE = "experiments.list_estimators"
FORMATS = ("text", "markdown")
EXAMPLE_SIZE = 8
EXAMPLE_SUCCESS_PROBS = np.array([0.1, 0.5, 0.9])
HEAD = (
    "name",
    "unbiased for",
    f"c at B = {EXAMPLE_SIZE}",
    "x floor",
    "centered",
    "shift",
    "scale",
    "K",
    "rewards",
    "source",
)


def row(entry: Estimator) -> tuple[str, ...]:
    """The facts of one estimator in the order of `HEAD`."""
    real = entry.reward_type == "real"
    return (
        f"{entry.name} = {entry.alias_of}" if entry.alias_of else entry.name,
        f"{entry.target}" if entry.unbiased else f"nothing (meant for {entry.target})",
        constant(entry) if entry.unbiased else "-",
        over_floor(entry),
        _mark(entry.centered),
        _mark(entry.shift_invariant) if real else "-",
        _mark(entry.scale_equivariant) if real else "-",
        entry.k_range.text.removesuffix(" with B >= 2"),
        ("real" if real else "0/1")
        + (", draws" if entry.randomized else ", ratios" if entry.off_policy else ""),
        f"{entry.citation}: {entry.equation}",
    )


def constant(entry: Estimator) -> str:
    """The constant c in E g = c grad target, in the middle of the allowed K of a group of 8."""
    if entry.scale is None:
        return "-"
    k = example_k(entry)
    return f"{entry.scale(EXAMPLE_SIZE, k):.4g} (K = {k})"


def example_k(entry: Estimator) -> int:
    """The K in the middle of those that are allowed for a group of 8."""
    smallest, largest = entry.k_range.smallest(EXAMPLE_SIZE), entry.k_range.largest(EXAMPLE_SIZE)
    return min(max(EXAMPLE_SIZE // 2, smallest), largest)


def over_floor(entry: Estimator) -> str:
    """The variance over the floor at each success probability of the example, or "-"."""
    of_one_objective = entry.unbiased and entry.target in ("J_K", "J_1")
    of_rewards_alone = not (entry.randomized or entry.off_policy)
    if not of_one_objective or entry.scale is None or not of_rewards_alone:
        return "-"
    k, rewards = example_k(entry), [0.0, 1.0]
    probs = np.stack([1 - EXAMPLE_SUCCESS_PROBS, EXAMPLE_SUCCESS_PROBS], axis=-1)
    order = k if entry.target == "J_K" else 1
    variance = exact.variance_orthogonal(entry, rewards, probs, EXAMPLE_SIZE, k)
    floor = exact.variance_floor_orthogonal(rewards, probs, EXAMPLE_SIZE, order)
    ratios = variance / entry.scale(EXAMPLE_SIZE, k) ** 2 / floor
    return ", ".join(f"{ratio:.3g}" for ratio in ratios)


def table(markdown: bool) -> str:
    """The facts of all registered estimators, one line each."""
    names = (*estimators.names(), *estimators.names(off_policy=True))
    rows = [row(estimators.get(name)) for name in names]
    if markdown:
        rows = [(f"`{name.replace(' = ', '` = `')}`", *facts) for name, *facts in rows]
        lines = [HEAD, ("---",) * len(HEAD), *rows]
        return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    lines = [HEAD, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True)).rstrip()
        for cells in lines
    )


def _mark(fact: bool | None) -> str:
    return "yes" if fact else "no"


def run(arguments: Sequence[str]) -> int:
    """Print the table; returns the exit status 0.

    Raises:
      UserError: on any mistake in the arguments.
    """
    values = flags.FlagValues()
    flags.DEFINE_boolean("help", False, "Show this help.", flag_values=values)
    flags.DEFINE_enum("format", "text", FORMATS, "How to print the table.", flag_values=values)
    command_line.parse(values, arguments)
    if values.help:
        print(f"{__doc__}\n{command_line.flag_help(values)}")
    else:
        print(table(markdown=values.format == "markdown"))
    return 0


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point; exits with status 0, or 2 on mistakes."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    command_line.run_guarded(lambda: run(arguments), lambda: "nothing was printed")


if __name__ == "__main__":
    main()
