"""Is a response right? The rule of each family, as it is told, for one response.

It reads what the policy emitted and works it out; it knows no list of right answers.
"""

import jax
import jax.numpy as jnp

from maxpo_jax.tokens.vocabulary import END, IN, MINUS, OUT, PLUS, TASKS, TIMES


def verify(prompt: jax.Array, response: jax.Array) -> jax.Array:
    """Whether a response to a prompt is right.

    Args:
      prompt: [PROMPT_LENGTH] integer tokens.
      response: [RESPONSE_LENGTH] integer tokens; what comes after the first `END` is not read.

    Returns:
      [] bool; False where the response has no end, and for a prompt of no family.

    Example:
      >>> prompt = jnp.array([109, 24, 3, 8, 1, 105, 105, 105])  # countdown3: 24 from 3, 8, 1
      >>> bool(verify(prompt, jnp.array([8, 102, 3, 102, 1, 0, 0, 0])))  # 8 * 3 * 1
      True
      >>> bool(verify(prompt, jnp.array([8, 102, 3, 0, 0, 0, 0, 0])))  # the 1 is not used
      False
    """
    target, numbers = prompt[1], prompt[2:]
    ends = response == END
    length = jnp.where(jnp.any(ends), jnp.argmax(ends), -1)
    six = response[:6]
    reorders = (length == 6) & _same_set(six, numbers)
    verdicts = {
        "sort": reorders & jnp.all(six[1:] > six[:-1]),
        "arrange": reorders & (jnp.argmax(six) < jnp.argmin(six)),
        "pair": _comes_to(target, response[:3])
        & (length == 3)
        & jnp.any(response[0] == numbers)
        & jnp.any(response[2] == numbers)
        & (response[0] != response[2]),
        "countdown3": _comes_to(target, response[:5])
        & (length == 5)
        & _same_set(response[0:5:2], numbers[:3]),
        "subset": (length == 6)
        & jnp.all((six == IN) | (six == OUT))
        & (jnp.sum(jnp.where(six == IN, numbers, 0)) == target),
        "countdown4": _comes_to(target, response[:7])
        & (length == 7)
        & _same_set(response[0:7:2], numbers[:4]),
    }
    return jnp.any(jnp.stack([(prompt[0] == TASKS[name]) & ok for name, ok in verdicts.items()]))


def _same_set(tokens: jax.Array, numbers: jax.Array) -> jax.Array:
    return jnp.all(jnp.sort(tokens) == jnp.sort(numbers))


def _comes_to(target: jax.Array, expression: jax.Array) -> jax.Array:
    """Whether an expression is one, and comes to the target, worked out from left to right."""
    value, is_one = expression[0], jnp.bool_(True)
    for operator, operand in zip(expression[1::2], expression[2::2], strict=True):
        results = (value + operand, value - operand, value * operand)
        which = [operator == symbol for symbol in (PLUS, MINUS, TIMES)]
        is_one &= jnp.any(jnp.stack(which))
        value = jnp.select(which, results, value)
    return is_one & (value == target)
