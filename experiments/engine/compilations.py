"""How long JAX spent on compiling, where JAX is loaded and says so."""

import sys

EVENT = "/jax/core/compile/backend_compile_duration"
_seconds: list[float] = []
_listening: list[bool] = []


class Clock:
    """Seconds of compilation since the clock was made."""

    def __init__(self) -> None:
        _listen()
        self._first = len(_seconds)

    @property
    def seconds(self) -> float:
        """The seconds so far."""
        return sum(_seconds[self._first :])


def _listen() -> None:
    if _listening or "jax" not in sys.modules:
        return
    from jax import monitoring

    monitoring.register_event_duration_secs_listener(_record)
    _listening.append(True)


def _record(event: str, duration_secs: float, **details: str | int) -> None:
    if event == EVENT:
        _seconds.append(duration_secs)
