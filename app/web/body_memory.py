"""The memory that the bodies of all requests may take at once, unpacked and parsed.

A small body can take much memory: the three bytes `{},` take 72 when parsed, and one byte of gzip
can unpack to a thousand. So the memory of a body is estimated before it is parsed, and all requests
share one budget: a request waits a moment for its share, and is refused if it does not get it.
"""

import re
from threading import Condition

from flask import Flask, g, has_request_context

from ..config import Settings
from ..errors import PayloadTooLarge, ServiceUnavailable
from .context import Extension, current_settings

BUDGET = Extension["Budget"]("body_memory")

WAIT_SECONDS = 1
"""How long a request waits for memory that other requests hold."""

FREE = 2**20
"""Bytes that each request may use outside the budget, so that small requests never wait."""

SHORT = 2**14
"""The most bytes of JSON that are sure to take less than `FREE` when parsed."""

MARK = 96
"""The most bytes that parsed values take for each `{`, `[`, `,` and `:` outside of strings.

Measured with CPython 3.11: 98 if all keys differ, 91 for objects with one key, 87 for short
strings, 49 for lists with one item, 40 for typical events.
"""


_astral = re.compile(b"[\xf0-\xf4]").search
"""Finds a character that takes four bytes in a `str`, and makes all others there take four too."""


class Budget:
    """A number of bytes that requests take, and give back."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._left = limit
        self._given_back = Condition()

    def take(self, amount: int) -> bool:
        """Take an amount, after waiting a moment if needed; return whether it was available."""
        with self._given_back:
            if not self._given_back.wait_for(lambda: amount <= self._left, WAIT_SECONDS):
                return False
            self._left -= amount
            return True

    def give_back(self, amount: int) -> None:
        """Give back an amount that was taken."""
        if not amount:
            return
        with self._given_back:
            self._left += amount
            self._given_back.notify_all()


def init_app(app: Flask, settings: Settings) -> None:
    """Set up an application's budget, and give back what a request took when it ends."""
    BUDGET.put(app, Budget(settings.body_memory))
    app.teardown_request(_give_back)


def hold(amount: int) -> None:
    """Reserve more bytes for the current request, if there is one, until it is answered.

    Raises PayloadTooLarge if the request then needs more than the whole budget, ServiceUnavailable
    if it needs more than other requests leave free.
    """
    if not has_request_context():
        return
    g.needed_memory = g.get("needed_memory", 0) + amount
    taken: int = g.get("taken_memory", 0)
    if g.needed_memory <= max(taken, FREE):
        return
    budget = BUDGET.current()
    settings = current_settings()
    if g.needed_memory > budget.limit:
        raise PayloadTooLarge(
            f"the body must not hold over {settings.max_records} records, or take over "
            f"{budget.limit} bytes of memory when it is parsed; send it in parts"
        )
    if not budget.take(g.needed_memory - taken):
        raise ServiceUnavailable("too many large bodies came at once; ask again later")
    g.taken_memory = g.needed_memory


def parsed_size(json: bytes) -> int:
    """Return about how many bytes a JSON text and its parsed values take at most, as objects.

    This is too much if strings contain the characters that are counted. That does not matter: usual
    bodies have about 13 bytes for each of them. It is also enough for parsing JSON that is inside
    these strings: its characters are either counted, or escaped, for which the width is enough.
    """
    if len(json) <= SHORT:
        return 0
    width = 1 if json.isascii() else 4 if _astral(json) else 2
    # One escaped character can make all of a string four bytes wide; parsing also holds a copy of
    # the narrow part before it.
    widest = 6 if b"\\" in json and b"\\u" in json else width
    marks = len(json) - len(json.translate(None, b"{[,:"))
    return len(json) * (width + widest) + marks * MARK


def _give_back(_: BaseException | None) -> None:
    budget = BUDGET.current()
    budget.give_back(g.pop("taken_memory", 0))
