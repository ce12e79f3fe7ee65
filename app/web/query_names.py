"""The names of query parameters, in all the forms in which clients write them."""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from urllib.parse import unquote

from ..validation.messages import shown

ALIKE = 0.88
"""From which similarity on a name is taken for another one that was misspelled."""

KNOWN = {
    *("type", "metrics_type", "limit", "all_or_nothing", "tenant_id", "tenant_ids", "env_id"),
    *("date_from", "date_to", "start_date", "end_date", "start_timestamp", "end_timestamp"),
}
"""The parameters of all operations: none of them is another one that was misspelled."""

_item = re.compile(r"([^\[\]]+)\[[0-9]{0,9}\]", re.ASCII)


def named(
    query: Mapping[str, list[str]], known: Iterable[str], lists: Iterable[str]
) -> tuple[dict[str, list[str]], list[str]]:
    """Return the values of known parameters, and what is wrong with the names.

    Clients also write a list as `name[]=a&name[]=b` or `name[0]=a&name[1]=b`. A name in other
    brackets, or one that is nearly a known one, is wrong: if it were ignored, its filter would be
    lost. Other unknown names are ignored (contract B.9).
    """
    known, lists = set(known), set(lists)
    values: dict[str, list[str]] = {}
    wrong = []
    for name, given in query.items():
        if name not in known:
            base = list_in(name)
            if base not in lists:
                if name not in KNOWN and (meant := _meant(name, known)):
                    wrong.append(f"{shown(name)}: is not known here; is {meant} meant?")
                continue
            name = base
        values.setdefault(name, []).extend(given)
    return values, wrong


def list_in(name: str) -> str:
    """Return the name of the list of which a parameter gives an item, else the name as it is."""
    found = _item.fullmatch(unquote(name))  # some clients encode the brackets twice
    return found[1] if found else name


def _meant(name: str, known: set[str]) -> str | None:
    """Return the known name that is in brackets in a name, or nearly the same."""
    if (base := re.split(r"[\[\]]", name, maxsplit=1)[0]) in known:
        return base
    plain = {re.sub("[^a-z0-9]", "", one.lower()): one for one in sorted(known)}
    letters = re.sub("[^a-z0-9]", "", name.lower())
    close = get_close_matches(letters, plain, n=1, cutoff=ALIKE)
    return plain[close[0]] if close else None
