"""Slowing those who try keys: an address that has sent many wrong ones has to wait."""

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
"""How many right keys are remembered, by address; the one that was used longest ago goes first."""


class BruteForceGuard:
    """Counts the wrong keys of each address, and refuses more than a rate without a look at them.

    A key that was right from an address goes on there, neither refused nor counted: who tries keys
    from the address of others, as behind a proxy, cannot keep out those that work. Where the
    address is not known, nothing is counted or refused.
    """

    def __init__(self, notation: str) -> None:
        self._notation = notation
        self._wrong: Rate | None = None
        self._right: dict[bytes, None] = {}
        self._lock = Lock()

    def watch(self, credential: str, find: Callable[[], Found | None]) -> Found | None:
        """Return what `find` makes of a credential. Raises TooManyRequests in its place."""
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
            self._check(network)  # so that it is refused like a key that was never right
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
        # Loaded with the first wrong key: a start does not wait for it.
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
    """Return what `find` makes of a credential: what an Authorization header has, or the like.

    Raises TooManyRequests if the address of the request has sent too many wrong ones. Where none
    was sent, nothing is counted.
    """
    guesses = BRUTE_FORCE_GUARD.current()
    return guesses.watch(credential, find) if guesses and credential else find()


def _mark(network: str, credential: str) -> bytes:
    """Return a hash that an address and a key have in all their requests, signed ones too."""
    key = re.sub("Sig=[^,]*", "", credential)
    return hashlib.sha256(f"{network} {key}".encode("utf-8", "replace")).digest()
