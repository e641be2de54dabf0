"""Estimators named in a field or on a command line: registered, `module:f`, or `path/file.py:f`."""

import functools
import hashlib
from pathlib import Path

from experiments.common import function_spec
from experiments.common.errors import UserError
from maxpo_jax.estimators import Estimator
from maxpo_jax.estimators.wrapping import CannotCallError, bind, wrap


def resolve(spec: str, k: int | None = None) -> Estimator:
    """The estimator that a SPEC names.

    Equal specs of equal source give the same object, so that what was compiled for it is found
    again.

    Args:
      spec: a registered name, `package.module:function`, or `path/to/file.py:function`.
      k: the K at which it will be used, for a function that needs it as a Python int: then the
        estimator has this K bound, and the traced one that it is given is ignored.

    Returns:
      The `Estimator`, with the name of the function as its name.

    Raises:
      UserError: if there is no such name, module, file or function, or it fails on a first call.

    Example:
      >>> resolve("maxpo").name, resolve("maxpo", k=3) is resolve("maxpo")
      ('maxpo', True)
    """
    estimator = _resolve(spec, _digest(spec))
    return estimator if k is None or estimator.traced_k else _bind(estimator, k)


@functools.cache
def _resolve(spec: str, digest: str) -> Estimator:
    function, _ = function_spec.load(spec)
    try:
        return wrap(function)
    except CannotCallError as error:
        raise UserError(f"estimator {spec}: {error}") from error


_bind = functools.cache(bind)


def _digest(spec: str) -> str:
    """Digest of the file that a spec names, so that an edit of it is seen."""
    path = Path(spec.rpartition(":")[0])
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
