"""The body of a command, in which a mistake, Ctrl-C and a full disk give one line, no traceback.

It imports next to nothing, so that Ctrl-C is answered while a command still loads its modules.
"""

import errno
import sys
from collections.abc import Callable
from typing import NoReturn

from experiments.common.errors import UserError

USER_ERROR = 2
INTERRUPTED = 130
OF_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def run_guarded(body: Callable[[], int], after_interrupt: Callable[[], str]) -> NoReturn:
    """Run a command and exit with its status.

    Args:
      body: the command; it imports what it needs.
      after_interrupt: what to say after Ctrl-C: what is kept, and how to go on.
    """
    try:
        status = body()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        status = USER_ERROR
    except OSError as error:
        if error.errno not in OF_DISK:
            raise
        print(
            f"error: {error.strerror}: what is finished is kept; free some space, and repeat the "
            "command",
            file=sys.stderr,
        )
        status = USER_ERROR
    except KeyboardInterrupt:
        print(f"\ninterrupted: {after_interrupt()}", file=sys.stderr)
        status = INTERRUPTED
    sys.exit(status)
