"""The memory that the bodies of all requests may take at once, unpacked and parsed.

A few bytes of JSON can take many of memory: `{},` takes 72, and gzip makes a thousand bytes of one.
So what a body will take is estimated before it is parsed, and one budget holds for all requests
together: a request waits a moment for its part, and is refused if it does not get it.
"""

import re
from threading import Condition

from flask import Flask, g, has_request_context

from ..config import Settings
from ..errors import PayloadTooLarge, ServiceUnavailable
from .context import Extension, current_settings

BUDGET = Extension["Budget"]("body_memory")

WAIT_SECONDS = 1
"""How long a request waits for memory that others hold."""

FREE = 2**20
"""A request may take so many bytes beside the budget, so that small ones never wait."""

SHORT = 2**14
"""JSON of so many bytes takes less than `FREE`, whatever it says."""

MARK = 96
"""Bytes that values take at most for each `{`, `[`, `,` and `:` outside of strings.

Measured with CPython 3.11: 98 where all keys differ, 91 for objects of one key, 87 for short
strings, 49 for lists of one, 40 for usual events.
"""


_astral = re.compile(b"[\xf0-\xf4]").search
"""Finds a character that takes four bytes, and lets each one beside it take as many."""


class Budget:
    """A number of bytes that requests take from, and give back to."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._left = limit
        self._given_back = Condition()

    def take(self, amount: int) -> bool:
        """Take an amount, if need be after a moment; return whether there was so much."""
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
    """Give an application a budget, and back what each request has taken from it."""
    BUDGET.put(app, Budget(settings.body_memory))
    app.teardown_request(_give_back)


def hold(amount: int) -> None:
    """Let the current request, if there is one, hold so many bytes more until it is answered.

    Raises PayloadTooLarge if that is more than all requests may, ServiceUnavailable if it is more
    than the others leave.
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
            f"the body must not hold over {settings.max_records} records, nor so much in them that "
            f"it takes over {budget.limit} bytes of memory; send it in parts"
        )
    if not budget.take(g.needed_memory - taken):
        raise ServiceUnavailable("too many large bodies came at once; ask again later")
    g.taken_memory = g.needed_memory


def parsed_size(json: bytes) -> int:
    """Return about how many bytes a JSON text and the values in it take at most, both as objects.

    It is too much where strings hold the characters that are counted, which does not matter: what
    people send has about 13 characters for each of them. It is enough for JSON in these strings,
    too, should that be parsed: its characters are counted, or escaped, and then wide enough.
    """
    if len(json) <= SHORT:
        return 0
    width = 1 if json.isascii() else 4 if _astral(json) else 2
    # One escape makes each character of a string four bytes wide, beside the narrow ones before it.
    widest = 6 if b"\\" in json and b"\\u" in json else width
    marks = len(json) - len(json.translate(None, b"{[,:"))
    return len(json) * (width + widest) + marks * MARK


def _give_back(_: BaseException | None) -> None:
    budget = BUDGET.current()
    budget.give_back(g.pop("taken_memory", 0))
