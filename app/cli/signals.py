"""Signals that end a command."""

import signal
import sys
from types import FrameType

_received: list[int] = []


def end_on_signals() -> None:
    """Make signals end the process by an exception, so that incomplete files are removed.

    The exit codes are those of a shell: 130 for SIGINT, 143 for SIGTERM, 129 for SIGHUP. Signals
    that are ignored, as with nohup, stay ignored.
    """
    for number in (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _end)


def raise_if_ended() -> None:
    """Exit if a signal came. SQLite swallows exceptions from callbacks, so this is called later."""
    if _received:
        sys.exit(128 + _received[0])


def _end(number: int, _frame: FrameType | None) -> None:
    _received.append(number)
    raise_if_ended()
