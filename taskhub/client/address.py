"""Where a TaskHub is, which token is shown there, and which proxy leads there; opens nothing."""

from __future__ import annotations

import inspect
import ipaddress
import urllib.request
from collections.abc import Awaitable, Callable
from urllib.parse import SplitResult, quote, urlencode, urlsplit

Token = str | Callable[[], str | Awaitable[str]] | None
"""A bearer token, or what gives one: it is asked before each request and keeps its own cache."""


def address_of(url: str) -> SplitResult:
    """The parts of a base URL; raises ValueError, which does not repeat it: it may hold secrets."""
    try:
        parts = urlsplit(url)
        fits = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
        is_plain = parts.netloc.isascii() and not set(parts.netloc) & set(' @%\\"<>')
        if fits and is_plain and not parts.query and not parts.fragment:
            return parts
    except ValueError:
        pass
    raise ValueError("the url must be like http://127.0.0.1:8080")


def origin_of(address: SplitResult) -> str:
    """Scheme, host and port, for messages."""
    return f"{address.scheme}://{address.netloc}"


def target(address: SplitResult, path: str, query: dict[str, str]) -> str:
    """The whole URL of a route."""
    base = f"{origin_of(address)}{quote(address.path.rstrip('/'), safe='/%')}{path}"
    return f"{base}?{urlencode(query)}" if query else base


def proxy_for(address: SplitResult) -> str | None:
    """What HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY say; nothing of this machine itself."""
    known = urllib.request.getproxies_environment()
    proxy = known.get(address.scheme) or known.get("all")
    if not proxy or is_loopback(address.hostname or "") or _is_direct(address.netloc, known):
        return None
    if not proxy.startswith(("http://", "https://")):
        raise ValueError("the proxy of the environment must be http://... or https://...")
    return proxy


def is_loopback(host: str) -> bool:
    """Whether what is sent there stays on this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_direct(host: str, known: dict[str, str]) -> bool:
    """What NO_PROXY says; `proxy_bypass` would ask the registry of some systems too."""
    bypass: Callable[[str, dict[str, str]], bool]
    bypass = urllib.request.proxy_bypass_environment  # type: ignore[attr-defined] # typeshed
    return bypass(host, known)


async def shown(token: Token) -> str:
    """The token to send now; raises ValueError for what cannot be one, without repeating it."""
    found = token() if callable(token) else token or ""
    text = await found if inspect.isawaitable(found) else found
    return checked(text)


def checked(token: str) -> str:
    """A token that fits into a header field."""
    token = token.strip()
    if not token.isascii() or not token.isprintable() or " " in token:
        raise ValueError("that is no token: it has odd characters")
    return token
