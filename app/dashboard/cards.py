"""Cards: the numbers of a period that stand at the top of a page."""

from typing import NamedTuple

from .tables import Change, change_of


class Card(NamedTuple):
    """A number, and how it changed."""

    title: str
    number: int | None
    """None: it is not known."""
    change: Change | None
    note: str = ""


def card_of(title: str, number: int | None, before: int | None, note: str = "") -> Card:
    """Return a card, with its change if both numbers are known."""
    return Card(title, number, change_of(number, before), note)
