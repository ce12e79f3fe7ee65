"""IP addresses, in the notations that proxies and the `Host` header use."""

import ipaddress
import re

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_with_port = re.compile(
    r"(?:\[(?P<bracketed>[^][]*)\]|(?P<dotted>[0-9.]+))(?::(?:[0-9]+|_[\w.-]+))?", re.ASCII
)


def parse_address(text: str) -> Address | None:
    """Return the IP address in a text, or None if there is none.

    The text may have quotes, brackets, a port or a zone around the address. An IPv4-mapped IPv6
    address (`::ffff:192.0.2.1`) is returned as IPv4.
    """
    text = text.strip().strip('"')
    found = _with_port.fullmatch(text)
    if found:
        text = found["bracketed"] or found["dotted"] or ""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        return address.ipv4_mapped or address
    return address
