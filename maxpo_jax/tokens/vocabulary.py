"""The tokens of prompts and responses.

Token 0 ends a response, and token n in 1, ..., 99 is the number n. A prompt is

    task, target, up to 6 numbers, padding                         [PROMPT_LENGTH]

and a response at most RESPONSE_LENGTH tokens, up to and including the first `END`; what comes after
it has no meaning.
"""

import numpy as np
from numpy.typing import ArrayLike

END = 0
PLUS, MINUS, TIMES = 100, 101, 102
OUT, IN = 103, 104
PADDING = 105
TASKS = {
    "sort": 106,
    "arrange": 107,
    "pair": 108,
    "countdown3": 109,
    "subset": 110,
    "countdown4": 111,
}
"""Name of a family of tasks -> the token that opens its prompts."""

SIZE = 112
LARGEST_NUMBER = 99
PROMPT_LENGTH = 8
RESPONSE_LENGTH = 8

_WORDS = {PLUS: "+", MINUS: "-", TIMES: "*", OUT: "out", IN: "in", PADDING: "_"} | {
    token: name for name, token in TASKS.items()
}


def spell(tokens: ArrayLike) -> str:
    """Tokens in words, for people.

    Args:
      tokens: [length] a prompt or a response.

    Returns:
      The words, up to the first `END`.

    Example:
      >>> spell([109, 24, 3, 8, 1, 105, 105, 105]), spell([3, 102, 8, 102, 1, 0, 7])
      ('countdown3 24 3 8 1 _ _ _', '3 * 8 * 1')
    """
    found = np.asarray(tokens).tolist()
    ended = found[: found.index(END)] if END in found else found
    return " ".join(_WORDS.get(token, str(token)) for token in ended)
