"""Slowing down brute force: an address that has sent many wrong keys has to wait."""

import hashlib
import re
from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING, TypeVar

from flask import g

from ..errors import TooManyRequests
from ..web.client_address import client_network
from ..web.context import Extension

BRUTE_FORCE_GUARD = Extension["BruteForceGuard | None"]("guesses")

if TYPE_CHECKING:
    from .rate_limit import Rate

Found = TypeVar("Found")

REMEMBERED = 10_000
"""How many right keys are remembered, with their addresses; the least recently used goes first."""


class BruteForceGuard:
    """Counts the wrong keys of each address, and refuses those over a rate without checking them.

    A key that was right from an address still works there, and is neither refused nor counted. So
    an attacker who shares an address with others, as behind a proxy, cannot lock them out. If the
    address is not known, nothing is counted or refused.
    """

    def __init__(self, notation: str) -> None:
        self._notation = notation
        self._wrong: Rate | None = None
        self._right: dict[bytes, None] = {}
        self._lock = Lock()

    def watch(self, credential: str, find: Callable[[], Found | None]) -> Found | None:
        """Return the result of `find` for a credential, or raise TooManyRequests without it."""
        network = client_network()
        if network is None:
            return find()
        mark = _mark(network, credential)
        was_right = mark in self._right
        if not was_right:
            self._check(network)
        found = find()
        if found:
            if "is_unverified" not in g:
                self._remember(mark)
        elif was_right:
            self._check(network)  # a key that is no longer right gets no special treatment
        else:
            self._count(network)
        return found

    def _check(self, network: str) -> None:
        seconds = self._wrong.wait(network) if self._wrong else 0
        if seconds:
            raise TooManyRequests(
                "too many wrong keys came from this address; ask again later", seconds
            )

    def _count(self, network: str) -> None:
        # This takes 22 ms, so it waits for the first wrong key.
        from .rate_limit import Rate

        with self._lock:
            self._wrong = self._wrong or Rate(self._notation)
        self._wrong.take(network)

    def _remember(self, mark: bytes) -> None:
        with self._lock:
            self._right.pop(mark, None)
            self._right[mark] = None
            if len(self._right) > REMEMBERED:
                del self._right[next(iter(self._right))]


def watch(credential: str | None, find: Callable[[], Found | None]) -> Found | None:
    """Return the result of `find` for a credential, such as the value of an Authorization header.

    Raises TooManyRequests if the address of the request has sent too many wrong credentials.
    Without a credential, nothing is counted.
    """
    guesses = BRUTE_FORCE_GUARD.current()
    return guesses.watch(credential, find) if guesses and credential else find()


def _mark(network: str, credential: str) -> bytes:
    """Return a hash of an address and a key, which is the same for all signatures with the key."""
    key = re.sub("Sig=[^,]*", "", credential)
    return hashlib.sha256(f"{network} {key}".encode("utf-8", "replace")).digest()
