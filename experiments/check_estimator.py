"""The report card of any advantage estimator.

    python -m experiments.check_estimator --estimator=maxpo --claims=unbiased,centered
    python -m experiments.check_estimator --estimator=package.module:mine --group_size=8 --k=4
    python -m experiments.check_estimator --estimator=path/to/file.py:mine --figure=card.png

The function is any `f(rewards, k)`, or `f(rewards, k, key)`; it needs to import nothing from here.
Exit status: 0 if every claim was judged and holds, 1 with a card on which one does not, 2 if it
cannot be loaded or called. What the function raises on some groups, `sys.exit` too, is a verdict.
"""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from experiments.common import command_line, function_spec
from experiments.common.errors import UserError, did_you_mean
from maxpo_jax.report_card import CLAIMS, CannotCallError, Card, RewardType, report_card

MODULE = "experiments.check_estimator"
HOLDS, BROKEN = 0, 1


def check(spec: str, group_size: int, k: int, reward_type: RewardType | None = None) -> Card:
    """The card of the function that a SPEC names.

    Args:
      spec: see `function_spec.load`.
      group_size: B.
      k: K.
      reward_type: rewards to judge it on; default what it accepts.

    Returns:
      The card.

    Raises:
      UserError: if the SPEC or the sizes are wrong, or the function fails on an ordinary group.
    """
    function, path = function_spec.load(spec)
    name = Path(spec).name if path else spec
    try:
        return report_card(function, group_size, k, name=name, reward_type=reward_type)
    except CannotCallError as error:
        where = f"{spec} at group_size = {group_size}, k = {k}"
        if not path:
            raise UserError(str(error.__cause__ or error)) from None
        if error.__cause__ is None:
            raise UserError(f"{where}: {error}") from None
        own = function_spec.trimmed_traceback(error.__cause__, path)
        raise UserError(f"{where} fails on an ordinary group:\n{own}") from error
    except ValueError as error:
        raise UserError(str(error)) from error
    except Exception as error:  # status 1 says that a claim does not hold, and nothing else
        raise UserError(f"{spec} cannot be judged: {type(error).__name__}: {error}") from error


def claims_text(card: Card, claims: Sequence[str]) -> str:
    """What became of the claims, with the counterexample of each that does not hold."""
    lines = []
    for claim in claims:
        verdict = card.verdicts[claim]
        lines.append(f"claim {claim}: {'holds' if verdict.holds else 'DOES NOT HOLD'}")
        if not verdict.holds:
            lines.append(f"  {verdict.sentence}")
            if verdict.counterexample is not None:
                lines.append(f"  smallest counterexample: {verdict.counterexample}")
    return "\n".join(lines)


def run(arguments: Sequence[str]) -> int:
    """Check what the arguments say and print the card; returns the exit status, 0 or 1.

    Raises:
      UserError: on any mistake in the arguments, and for a function that cannot be checked.
    """
    values = _flags()
    command_line.parse(values, arguments)
    chosen: dict[str, Any] = values.flag_values_dict()
    if chosen["help"]:
        print(f"{__doc__}\n{command_line.flag_help(values)}\n\nclaims:")
        print("\n".join(f"  {name}: {text}" for name, text in CLAIMS.items()))
        return HOLDS
    if not chosen["estimator"]:
        raise UserError(f"--estimator=SPEC is missing: {function_spec.FORMS}")
    claims = [claim.strip() for claim in chosen["claims"] if claim.strip()]
    for claim in claims:
        if claim not in CLAIMS:
            raise UserError(f"unknown claim {claim!r}: {did_you_mean(claim, CLAIMS)}")
    reward_type = None if chosen["reward_type"] == "auto" else chosen["reward_type"]
    card = check(chosen["estimator"], chosen["group_size"], chosen["k"], reward_type)
    print(card.text())
    if claims:
        print("\n" + claims_text(card, claims))
    _store(card, claims, chosen["json"], chosen["figure"])
    return BROKEN if card.broken(claims) else HOLDS


def _store(card: Card, claims: Sequence[str], json_path: str, figure_path: str) -> None:
    if json_path:
        text = json.dumps(card.as_json() | {"claims": list(claims)}, indent=1) + "\n"
        _write(json_path, lambda path: path.write_text(text, encoding="utf-8"))
    if figure_path:
        from experiments import report_card_figure

        figure = report_card_figure.draw(card)
        _write(figure_path, lambda path: figure.savefig(path, dpi=200))


def _write(path: str, write: Callable[[Path], Any]) -> None:
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        write(Path(path))
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error
    except ValueError as error:  # a format that Matplotlib does not know
        raise UserError(f"cannot write {path}: {error}") from error


def _flags() -> flags.FlagValues:
    values = flags.FlagValues()
    flags.DEFINE_boolean("help", False, "Show this help.", flag_values=values)
    flags.DEFINE_string(
        "estimator", "", f"What to check: {function_spec.FORMS}.", flag_values=values
    )
    flags.DEFINE_integer("group_size", 5, "B, samples in a group.", flag_values=values)
    flags.DEFINE_integer("k", 2, "K of max@K.", flag_values=values)
    flags.DEFINE_list("claims", [], "Claims that must hold, see below.", flag_values=values)
    flags.DEFINE_enum(
        "reward_type",
        "auto",
        ("auto", "real", "binary"),
        "Rewards to judge it on; auto takes what it accepts.",
        flag_values=values,
    )
    flags.DEFINE_string("json", "", "Path to write the card to as JSON.", flag_values=values)
    flags.DEFINE_string(
        "figure", "", "Path to draw the card to: .png, .pdf or .svg.", flag_values=values
    )
    return values


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point; exits with status 0, 1 if a claim does not hold, 2 on mistakes."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    command_line.run_guarded(lambda: run(arguments), lambda: "nothing was written")


if __name__ == "__main__":
    main()
