"""The loop of the server: it waits for sockets, and looks at those where something happened."""

import socket
from collections import deque
from contextlib import suppress
from selectors import EVENT_READ, EVENT_WRITE, DefaultSelector
from threading import Lock
from typing import Any

from waitress import wasyncore


class Loop(dict[int, Any]):
    """The channels of waitress by file descriptor; it adds to them and deletes from them itself.

    waitress's own loop asks every channel before every wait what to wait for. Here a channel is
    watched for reading from its start on, and asked anew only when it was written to, when it
    cannot be read now, or when a thread says by `look_at` that it changed.
    """

    def __init__(self) -> None:
        super().__init__()
        self._selector = DefaultSelector()
        self._watched: dict[int, int] = {}
        self._changed: deque[Any] = deque()
        self._waker, self._woken = socket.socketpair()
        for end in (self._waker, self._woken):
            end.setblocking(False)
        self._selector.register(self._woken, EVENT_READ)
        self._guard = Lock()  # a thread may close a channel

    def __setitem__(self, number: int, channel: Any) -> None:
        super().__setitem__(number, channel)
        with self._guard:
            self._watch(number, channel, EVENT_READ)

    def __delitem__(self, number: int) -> None:
        with self._guard:
            self._watch(number, self.pop(number), 0)

    def poll(self, timeout: float) -> None:
        """Wait until something happens, at most so many seconds, and have it handled."""
        for key, events in self._selector.select(timeout):
            channel = key.data
            if channel is None:
                self._woken.recv(4096)
            elif not self._has(channel):
                continue  # closed by what was handled before it
            elif events & EVENT_WRITE:
                wasyncore.write(channel)
                self._ask(channel)
            elif channel.readable():
                wasyncore.read(channel)
            else:
                self._ask(channel)
        while self._changed:
            self._ask(self._changed.popleft())

    def look_at(self, channel: Any) -> None:
        """Have a channel watched for what it waits for now; from any thread."""
        watched = self._watched.get(channel._fileno, 0)
        if self._has(channel) and _wanted(channel) & ~watched:
            self._changed.append(channel)
            self.wake()

    def wake(self) -> None:
        """Let `poll` return; from any thread, and from a signal handler."""
        with suppress(OSError):  # it is full of such calls, or closed
            self._waker.send(b"\0")

    def close(self) -> None:
        """Let go of what the loop itself has opened."""
        self._selector.close()
        self._waker.close()
        self._woken.close()

    def _has(self, channel: Any) -> bool:
        return self.get(channel._fileno) is channel

    def _ask(self, channel: Any) -> None:
        """Watch a channel for what it waits for, and for nothing else."""
        with self._guard:
            while self._has(channel):
                wanted = _wanted(channel)
                if wanted == self._watched.get(channel._fileno, 0):
                    break
                # Asked again then: a thread that changed it before that has told nothing.
                self._watch(channel._fileno, channel, wanted)

    def _watch(self, number: int, channel: Any, events: int) -> None:
        before = self._watched.pop(number, 0)
        if events:
            self._watched[number] = events
        if before and events:
            self._selector.modify(number, events, channel)
        elif before:
            self._selector.unregister(number)
        elif events:
            self._selector.register(number, events, channel)


def _wanted(channel: Any) -> int:
    read = EVENT_READ if channel.readable() else 0
    return read | EVENT_WRITE if channel.writable() else read
