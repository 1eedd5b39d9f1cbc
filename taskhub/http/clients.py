"""Where a request came from: its peer, or whoever trusted proxies say that they speak for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import msgspec
from multidict import CIMultiDictProxy

UNIX = "unix"
"""Stands among the trusted proxies for whoever comes over a unix socket."""
FORWARDED, CHAIN = "Forwarded", "X-Forwarded-For"
RELAYED = (FORWARDED, CHAIN, "X-Real-IP")
"""A request with one of these fields has come through a proxy, or pretends to."""
HOPS_MOST = 32
"""Proxies that one request may have passed; what stands farther left is not read."""

_NODE = re.compile(r"(?:\[([0-9a-f:.]+)\]|([0-9.]+))(?::[0-9]{1,5})?|([0-9a-f:.]+)", re.IGNORECASE)
_PAIR = re.compile(r"""[\s,;]*([^\s=,;"]+)=("(?:[^"\\]|\\.)*"|[^\s,;"]*)\s*([,;]|\Z)""")
_SOCKET_NAME = re.compile(r"[/']")


class Client(msgspec.Struct, frozen=True):
    """Its address, as far as it can be known; empty on a unix socket.

    Not `is_sure`: the request came through a proxy that is not trusted, or that says nothing
    readable; the address is then the proxy's.
    """

    address: str
    is_sure: bool = True


def client_of(
    remote: str | None, headers: CIMultiDictProxy[str], proxies: tuple[str, ...]
) -> Client:
    """Who sent the request that `remote` has handed to us."""
    peer = "" if remote is None or _SOCKET_NAME.search(remote) else remote
    if not any(name in headers for name in RELAYED):
        return Client(peer)
    if not proxies or not _trusts(peer, proxies):
        return Client(peer, is_sure=False)
    found = {_behind(hops, proxies) for hops in _ways(headers)}
    # A proxy sets one of the fields; the other one may be a client's own invention.
    address = found.pop() if len(found) == 1 else None
    return Client(peer, is_sure=False) if address is None else Client(address)


@lru_cache(maxsize=256)
def is_inside(address: str, networks: tuple[str, ...]) -> bool:
    """Whether an address belongs to one of the networks; a unix socket's peer (empty) does."""
    if not address:
        return True
    try:
        peer = ip_address(address)
    except ValueError:
        return False
    return any(_plain(peer) in ip_network(network) for network in networks)


@lru_cache(maxsize=1_024)
def neighbourhood(address: str) -> str:
    """What counts as one client: an IPv4 address, or all of an IPv6 network of 64 bits."""
    try:
        found = _plain(ip_address(address))
    except ValueError:
        return address
    if found.version == 4:  # noqa: PLR2004 - of the protocol
        return str(found)
    return str(IPv6Address(int(found) >> 64 << 64)) + "/64"


@lru_cache(maxsize=1_024)
def _trusts(address: str, proxies: tuple[str, ...]) -> bool:
    if not address:
        return UNIX in proxies
    return is_inside(address, tuple(network for network in proxies if network != UNIX))


def _ways(headers: CIMultiDictProxy[str]) -> Iterator[list[str]]:
    """The hops that each field names, the nearest last."""
    if CHAIN in headers:
        yield [hop for hop in ",".join(headers.getall(CHAIN)).split(",") if hop.strip()]
    if FORWARDED in headers:
        yield _forwarded(",".join(headers.getall(FORWARDED)))


def _forwarded(text: str) -> list[str]:
    """The `for` of each element (RFC 7239, 4); nothing of a field that breaks the grammar.

    A quote that a client has left open swallows what the proxy has put after it.
    """
    text = text.rstrip(" \t,;")
    hops, here, position = list[str](), "", 0
    while position < len(text):
        pair = _PAIR.match(text, position)
        if pair is None:
            return []
        name, value, end = pair.groups()
        here = _unquoted(value) if name.lower() == "for" else here
        if end != ";":
            hops.append(here)
            here = ""
        position = pair.end()
    return hops


def _unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value


def _behind(hops: list[str], proxies: tuple[str, ...]) -> str | None:
    """The nearest hop that is no trusted proxy, or the farthest; None: it cannot be read."""
    address = None
    for hop in hops[: -HOPS_MOST - 1 : -1]:
        address = _address(hop.strip())
        if address is None or not _trusts(address, proxies):
            break
    return address


def _address(node: str) -> str | None:
    """The address of a hop without its port; None for `unknown`, hidden names, and nonsense."""
    matched = _NODE.fullmatch(node)
    if matched is None:
        return None
    try:
        return str(_plain(ip_address(matched[1] or matched[2] or matched[3])))
    except ValueError:
        return None


def _plain(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """IPv4 inside IPv6 is IPv4."""
    return getattr(address, "ipv4_mapped", None) or address
