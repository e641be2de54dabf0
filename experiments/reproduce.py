"""Bring every figure up to date: `python -m experiments.reproduce [--only=a,b] [--mode=smoke]`.

What is stored already is not computed again. At the end stand the findings, in the terminal and in
`OUT_DIR/findings.json`, and the gallery `OUT_DIR/README.md`. A curve of your own in every figure,
another axis, another field:

    python -m experiments.reproduce --only=gradient_variance,bandit_learning \
        --add_estimator=path/to/my.py:half_baseline --out_dir=mine
    python -m experiments.reproduce --only=gradient_variance --grid.by_k.k=2,4,8 --run.group_size=32

`--mode=smoke` makes everything small and quick, in results/smoke. Whatever differs from the configs
goes to results/figures, so that the committed figures stay what they are.
"""

import sys
from collections.abc import Sequence

from experiments.common import command_line
from experiments.engine import reproduction

MODULE = "experiments.reproduce"

# Modules of `experiments.analysis`, in the order of the gallery.
FIGURES: tuple[str, ...] = (
    "estimation_error",
    "gradient_variance",
    "variance_floor",
    "variance_map",
    "variance_learning",
    "order_statistics",
    "bandit_learning",
    "adam_variance",
    "k_sensitivity",
    "pass_at_k",
    "token_pass_at_k",
    "token_support",
    "token_k_sensitivity",
    "token_adam_variance",
    "maze_map",
    "maze_learning",
    "maze_scaling",
)


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point; exits with status 0, 1 if a figure failed, 2 on mistakes, 130 on Ctrl-C."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    command_line.run_guarded(
        lambda: reproduction.run(FIGURES, arguments, str(__doc__)),
        lambda: _what_is_kept(arguments),
    )


def _what_is_kept(arguments: Sequence[str]) -> str:
    again = command_line.command(MODULE, command_line.without_flags(arguments, "force"))
    return f"what is finished is kept; resume by: {again}"


if __name__ == "__main__":
    command_line.leave(main)
