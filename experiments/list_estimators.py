"""The facts of every registered estimator: `python -m experiments.list_estimators [--format=...]`.

`unbiased for`: the expected gradient is exactly c times the gradient of this, for every policy;
"nothing" where no constant c makes it so. `shift` and `scale`: whether adding a constant changes
nothing and scaling the rewards scales the advantages ("-" for 0/1 rewards). The tests hold each of
these to exact enumeration. `rspo = ei`: an alias, the same function under a name, a source and a
range of K of its own. "ratios": for samples of an older policy.
"""

import sys
from collections.abc import Sequence

from absl import flags

from experiments.common import command_line
from maxpo_jax import estimators
from maxpo_jax.estimators import Estimator

MODULE = "experiments.list_estimators"
FORMATS = ("text", "markdown")
EXAMPLE_SIZE = 8
HEAD = (
    "name",
    "unbiased for",
    f"c at B = {EXAMPLE_SIZE}",
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
    smallest, largest = entry.k_range.smallest(EXAMPLE_SIZE), entry.k_range.largest(EXAMPLE_SIZE)
    k = min(max(EXAMPLE_SIZE // 2, smallest), largest)
    return f"{entry.scale(EXAMPLE_SIZE, k):.4g} (K = {k})"


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
