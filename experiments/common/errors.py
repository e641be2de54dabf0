"""The mistakes of a user, told in one line and without a traceback."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake in what was asked; its message says what is wrong and what to do instead."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Suggestion of the nearest known names, or the list of all where none is near.

    Example:
      >>> did_you_mean("lerning_rate", ["k", "learning_rate"])
      'did you mean learning_rate?'
      >>> did_you_mean("zzz", ["learning_rate", "k"])
      'known: k, learning_rate'
    """
    known = sorted(known)
    near = difflib.get_close_matches(name, known)
    return f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known)}"
