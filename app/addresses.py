"""IP addresses, however proxies and the `Host` header write them."""

import ipaddress
import re

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_with_port = re.compile(
    r"(?:\[(?P<bracketed>[^][]*)\]|(?P<dotted>[0-9.]+))(?::(?:[0-9]+|_[\w.-]+))?", re.ASCII
)


def parse_address(text: str) -> Address | None:
    """Return the IP address that a text holds, or None.

    The text may have quotes, brackets, a port or a zone around the address. An IPv6 address that
    stands for an IPv4 one (`::ffff:192.0.2.1`) is returned as that one.
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
