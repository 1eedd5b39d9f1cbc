"""Which URLs and addresses may be called for a task: pure rules, no name is looked up here.

A URL comes from whoever may create tasks, our network stands open to us: without these rules a task
could reach what only we can (SSRF). What a name stands for is checked by the one who dials it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING

from taskhub.config.webhooks import URL_LIMIT, URL_PATTERN

if TYPE_CHECKING:
    from yarl import URL

WEB_PORTS = frozenset({80, 443})
FIRST_FREE_PORT = 1_024
"""Below it, only the ports of the web: nobody shall speak to a mail server through us."""

UNICAST = ip_network("2000::/3")
"""Everything else of IPv6 is local, reserved, multicast, or IPv4 in disguise (mapped, NAT64)."""
REFUSED = [
    ip_network(text)
    for text in (
        "168.63.129.16/32",  # what a cloud tells its machines, at an address that looks public
        "192.0.0.0/24",
        "192.88.99.0/24",  # the way into 6to4
        "2001::/23",  # Teredo and others: IPv4 in disguise
        "2001:db8::/32",
        "2002::/16",  # 6to4: IPv4 in disguise
        "3fff::/20",
    )
]
"""Ranges that no Python's `is_global` knows, or not every one's."""

NOT_ALLOWED = "its address is private, local or reserved; [outbound] allow does not name it"


class NotAllowed(OSError):
    """The guard forbids it. An OSError, since only those come through whoever dials."""

    @property
    def text(self) -> str:
        """Why, in words for whoever made the task."""
        return str(self.args[0])


class Guard:
    """The rules, with the networks that are allowed though they are not public."""

    __slots__ = ("_allowed",)

    def __init__(self, allowed: Sequence[str] = ()) -> None:
        self._allowed = tuple(map(ip_network, allowed))

    def url(self, text: str) -> URL:
        """The URL that may be called, as far as can be told without its addresses.

        Raises NotAllowed.
        """
        if len(text) > URL_LIMIT or not re.match(URL_PATTERN, text):
            raise NotAllowed("expected a URL such as https://example.com/path, no user before it")
        from yarl import URL

        try:
            url = URL(text).with_fragment(None)
            host, port = url.host, url.port
        except ValueError:
            raise NotAllowed("expected a URL with a host and a port that exist") from None
        if not host or port is None:
            raise NotAllowed("expected a URL with a host")
        if port < FIRST_FREE_PORT and port not in WEB_PORTS:
            raise NotAllowed("expected port 80, 443, or one from 1024 on")
        if (literal := _literal(host)) is not None:
            self._check(literal)
        return url

    def address(self, text: str) -> None:
        """Raises NotAllowed unless this IP address may be dialled."""
        literal = _literal(text)
        if literal is None:
            raise NotAllowed(NOT_ALLOWED)
        self._check(literal)

    def _check(self, address: IPv4Address | IPv6Address) -> None:
        if not (_is_public(address) or any(address in network for network in self._allowed)):
            raise NotAllowed(NOT_ALLOWED)


def _literal(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    if any(address in network for network in REFUSED):
        return False
    if isinstance(address, IPv6Address):
        return address in UNICAST and address.is_global
    return address.is_global and not address.is_multicast
