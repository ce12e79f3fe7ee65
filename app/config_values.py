"""Parsing the values of settings: each function returns the value, or raises ValueError."""

import ipaddress
import re
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from .addresses import parse_address
from .days import Calendar, date_of, parse_day

if TYPE_CHECKING:
    from limits import RateLimitItem


OUR_PATHS = (
    *("__double", "dashboard", "docs", "healthz", "ingest", "metrics", "ns", "openapi.json"),
    *("readyz", "robots.txt", "v1"),
)
"""First segments of this server's own paths; a prefix that began with one would be ambiguous."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def path(value: object) -> Path:
    """Return the path of a file."""
    if not isinstance(value, str | Path) or not str(value):
        raise ValueError("must be the path of a file")
    return Path(value)


def time_zone(value: object) -> str | None:
    """Return the IANA name of a time zone."""
    if value is None:
        return None
    return Calendar(str(value)).zone


def switch(value: object) -> bool:
    """Return whether a switch is on."""
    known = {True: True, False: False, "on": True, "off": False, "true": True, "false": False}
    known |= {"1": True, "0": False, "yes": True, "no": False}
    key = value.lower() if isinstance(value, str) else value
    if not isinstance(key, bool | str) or key not in known:
        raise ValueError("must be on or off")
    return known[key]


def optional_switch(value: object) -> bool | None:
    """Return whether a switch is on, or None if it was not given."""
    return None if value is None else switch(value)


def number(least: int, most: int) -> Callable[[object], int]:
    """Return a parser of whole numbers in a range."""

    def parse(value: object) -> int:
        try:
            number = int(value) if isinstance(value, str) else value
        except ValueError:
            number = None
        if isinstance(number, bool) or not isinstance(number, int) or not least <= number <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return number

    return parse


def days(value: object) -> int | None:
    """Return a number of days, at most a hundred years, or None if it was not given."""
    return None if value is None else number(1, 36_500)(value)


def optional_date(value: object) -> date | None:
    """Return a date written as YYYY-MM-DD, or None if it was not given."""
    return None if value is None else date_of(parse_day(str(value)))


def one_of(*choices: str) -> Callable[[object], str]:
    """Return a parser that accepts only the given words."""

    def parse(value: object) -> str:
        if value not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return str(value)

    return parse


def optional_text(value: object) -> str | None:
    """Return printable text that fits into a header, or None if it was not given."""
    if value is None:
        return None
    text = str(value)
    if not text.isprintable() or not text or text != text.strip() or "," in text:
        raise ValueError("must be printable text without spaces around it and without commas")
    return text


def _parts(value: object) -> tuple[str, ...]:
    """Return the parts of a text separated by commas, or of a list or tuple."""
    parts = value if isinstance(value, list | tuple) else str(value).split(",")
    return tuple(str(part).strip() for part in parts)


def networks(value: object) -> tuple[Network, ...] | None:
    """Return networks, given as text separated by commas or as a list."""
    if value is None:
        return None
    try:
        return tuple(_network(part) for part in _parts(value))
    except ValueError:
        raise ValueError("must be networks such as 10.0.0.0/8, separated by commas") from None


def _network(text: str) -> Network:
    """Return a network; an IPv4-mapped IPv6 network becomes IPv4, as in `parse_address`."""
    network = ipaddress.ip_network(text)
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped:
            return ipaddress.IPv4Network((mapped, network.prefixlen - 96))
    return network


def hosts(value: object) -> tuple[str, ...] | None:
    """Return names and addresses of a server, given as text separated by commas or as a list.

    They are normalized for comparison: lower case, without brackets and trailing dot.
    """
    if value is None:
        return None
    found = []
    for part in _parts(value):
        name = part.lower().removesuffix(".")
        address = parse_address(name)
        if address is None and not re.fullmatch(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?", name):
            raise ValueError(
                "must be names or addresses such as demo.test, without a scheme or port, separated "
                "by commas"
            )
        found.append(str(address or name))
    return tuple(found)


def origins(value: object) -> tuple[str, ...] | None:
    """Return origins of web pages, given as text separated by commas or as a list."""
    if value is None:
        return None
    parts = tuple(part.lower() for part in _parts(value))
    if not all(re.fullmatch(r"https?://[^/?#,;\s]+", part) for part in parts):
        raise ValueError("must be origins such as https://example.com, separated by commas")
    return parts


def prefix(value: object) -> str | None:
    """Return the path that precedes all paths of this server, without a trailing slash."""
    if value is None:
        return None
    text = str(value).removesuffix("/")
    if not text:
        return None
    first = text[1:].split("/")[0]
    if len(text) > 256 or not re.fullmatch(r"(/(?!\.\.?(/|$))[A-Za-z0-9._~-]+)+", text):
        raise ValueError(
            "must be a path such as /analytics, of letters, digits and . _ ~ - between slashes"
        )
    # The log redacts the segment after `dashboard/shared`, as if it were the token of a link.
    if first in OUR_PATHS or "/dashboard/shared" in text:
        raise ValueError(f"must not begin like a path of this server: {', '.join(OUR_PATHS)}")
    return text


def rate(value: object) -> str | None:
    """Return a rate in the notation of `parse_rate`, or None if there is no limit."""
    if value is None or value == "off":
        return None
    parse_rate(str(value))
    return str(value)


def seed(value: object) -> str | None:
    """Return a JSON document, or the path of a file that holds one."""
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip():
        raise ValueError("must be JSON, or the path of a JSON file")
    return value


YEAR = 366 * 86400
"""The longest window of a rate, in seconds."""


def parse_rate(notation: str) -> "set[RateLimitItem]":
    """Return the limits that a notation such as `10/second;5000/hour` names.

    Raises ValueError if it names none, or one that cannot be used.
    """
    # This takes 22 ms, which a start without rates saves.
    from limits import parse_many

    try:
        limits = set(parse_many(notation))
    except ValueError:
        limits = set()
    usable = all(limit.amount > 0 and limit.get_expiry() <= YEAR for limit in limits)
    if not limits or not usable:
        raise ValueError("must be a rate such as 600/minute or 10/second;5000/hour, or off")
    return limits
