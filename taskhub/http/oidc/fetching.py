"""Fetches one JSON document of a provider: over TLS, small, soon, and from nowhere else."""

from __future__ import annotations

import asyncio
import os
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from aiohttp import ClientResponse

SECONDS = 5.0
BYTES_LIMIT = 256 * 1_024
ACCEPT = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "taskhub"}
MOVED = frozenset({301, 302, 303, 307, 308})


class Unfit(Exception):
    """What the provider gave cannot be used; the text says why, for the operator."""


async def fetch(address: str) -> bytes:
    """The document at an address; raises Unfit, whatever goes wrong. No redirect is followed."""
    import aiohttp

    is_public = urlsplit(address).scheme == "https"
    try:
        async with (
            asyncio.timeout(SECONDS),
            aiohttp.ClientSession(auto_decompress=False, trust_env=is_public) as session,
            session.get(address, headers=ACCEPT, allow_redirects=False) as answer,
        ):
            return await _body(answer)
    except TimeoutError:
        raise Unfit(f"no answer within {SECONDS:g} s") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise Unfit(f"no answer: {_reason(error)}") from None


async def _body(answer: ClientResponse) -> bytes:
    if answer.status in MOVED:
        raise Unfit("it redirects: the address that it leads to must be configured itself")
    if answer.status != HTTPStatus.OK:
        raise Unfit(f"it answers {answer.status}")
    if answer.headers.get("Content-Encoding", "identity") != "identity":
        raise Unfit("it answers in an encoding that was not asked for")
    body = bytearray()
    async for piece in answer.content.iter_any():
        body += piece
        if len(body) > BYTES_LIMIT:
            raise Unfit(f"it answers with more than {BYTES_LIMIT} bytes")
    return bytes(body)


def _reason(error: Exception) -> str:
    """What the system said, without the address; a name of an error where it said nothing."""
    import aiohttp

    match error:
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError():
            return "its certificate is not trusted, or TLS failed"
        case aiohttp.ClientConnectorDNSError():
            return "the name of its host is not found"
        case aiohttp.ClientConnectorError(os_error=OSError(errno=int(number))):
            return os.strerror(number).lower()
        case aiohttp.ServerDisconnectedError():
            return "it hung up"
        case _:
            return "the connection broke" if isinstance(error, OSError) else "not HTTP"
