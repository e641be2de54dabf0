"""Ctrl-C in the first seconds of a command, while its modules are imported: one line as well."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

INTERRUPTED = 130


def watch() -> None:
    """Answer Ctrl-C with one line, until `hand_over`, if this process is a command's own."""
    if sys.argv[:1] == ["-m"] and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, _end)


def hand_over() -> None:
    """Let Ctrl-C raise KeyboardInterrupt again."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextlib.contextmanager
def ignored() -> Iterator[None]:
    """Ignore Ctrl-C, where it can be."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _end(number: int, frame: FrameType | None) -> None:
    os.write(2, b"\ninterrupted: nothing was computed yet\n")
    os._exit(INTERRUPTED)
