"""Signals that end a command."""

import signal
import sys
from types import FrameType

_received: list[int] = []


def end_on_signals() -> None:
    """Let signals end the process by an exception, so that what is half written is removed.

    The exit code is that by which a shell tells of such an end: 130 of SIGINT, 143 of SIGTERM, 129
    of SIGHUP. What is ignored, as with nohup, stays so.
    """
    for number in (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _end)


def raise_if_ended() -> None:
    """Exit if a signal came; SQLite does not pass on what is raised where it calls us back."""
    if _received:
        sys.exit(128 + _received[0])


def _end(number: int, _frame: FrameType | None) -> None:
    _received.append(number)
    raise_if_ended()
