"""Fetching one document: over which lines, through which redirects, of what size."""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
from pathlib import Path

import pytest
from aiohttp import web
from taskhub.http.oidc.documents import ask
from taskhub.http.oidc.fetching import BYTES_LIMIT, Unfit, fetch

from tests.acceptance.installation import free_port
from tests.certificates import make_pair
from tests.unit.http.oidc.publisher import Publisher, publishing
from tests.unit.http.oidc.test_provider import Line


async def reason(address: str) -> str:
    """Why a fetch fails."""
    with pytest.raises(Unfit) as raised:
        await fetch(address)
    return str(raised.value)


async def test_a_certificate_that_nobody_vouches_for_is_not_trusted(tmp_path: Path) -> None:
    """Whoever stands between could give keys of their own."""
    path = make_pair(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(path, path.with_suffix(".key"))
    async with publishing(tls) as publisher:
        said = await reason(f"{publisher.url}/jwks")

        assert said == "no answer: its certificate is not trusted, or TLS failed"
        assert publisher.asked == []


async def test_what_the_system_says_is_told_without_the_address() -> None:
    """The operator knows the address; the log says what is wrong with it."""
    nobody = f"http://127.0.0.1:{free_port()}/"

    assert await reason(nobody) == "no answer: connection refused"
    unknown = "https://nowhere.invalid/"
    assert await reason(unknown) == "no answer: the name of its host is not found"


async def test_a_server_that_hangs_up_gives_no_answer(publisher: Publisher) -> None:
    """In the middle of its document, too."""

    async def half(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Length": "100"})
        await answer.prepare(request)
        await answer.write(b"{")
        assert request.transport is not None
        request.transport.abort()
        return answer

    publisher.misdeed = half

    assert (await reason(publisher.url)).startswith("no answer: ")


async def test_a_document_of_exactly_the_limit_is_taken(publisher: Publisher) -> None:
    """One byte more is not."""

    async def long(request: web.Request) -> web.StreamResponse:
        return web.Response(body=b" " * int(request.path[1:]))

    publisher.misdeed = long

    assert len(await fetch(f"{publisher.url}/{BYTES_LIMIT}")) == BYTES_LIMIT
    assert "more than" in await reason(f"{publisher.url}/{BYTES_LIMIT + 1}")


async def test_no_redirect_is_followed(publisher: Publisher) -> None:
    """Not even to the same server: it would choose whom TaskHub asks within its own network."""

    async def moved(_: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": "/there"})

    publisher.misdeed = moved

    assert (await reason(f"{publisher.url}/here")).startswith("it redirects")
    assert publisher.asked == ["/here"]


async def test_an_authority_of_ones_own_is_named_in_the_environment(tmp_path: Path) -> None:
    """`SSL_CERT_FILE`, as for every program that uses OpenSSL; read when a process starts."""
    path = make_pair(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(path, path.with_suffix(".key"))
    async with publishing(tls) as publisher:
        address = f"{publisher.url}/jwks"
        code = (
            "import asyncio; from taskhub.http.oidc.fetching import fetch; "
            f"asyncio.run(fetch({address!r}))"
        )
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, env=os.environ | {"SSL_CERT_FILE": str(path)}
        )

        assert await process.wait() == 0
        assert publisher.asked == ["/jwks"]


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (b"[]", "something else than the JSON"),
        (b'{"issuer":5}', "something else than the JSON"),
        (b"\xff", "something else than the JSON"),
        (b"[" * 100_000, "something else than the JSON"),
        (b'{"jwks_uri":"https://id.example/jwks"}', "it calls itself : jwt.authority"),
        (b'{"issuer":"https://id.example"}', "no safe address"),
        (b'{"issuer":"https://id.example","jwks_uri":"http://127.0.0.1/"}', "no safe address"),
        (b'{"issuer":"https://id.example","jwks_uri":"/jwks"}', "no safe address"),
        (b'{"keys":[]}', "no key that can be used"),
        (b'{"keys":5}', "something else than the JSON"),
        (b'{"issuer":"https://{tenantid}","jwks_uri":"x"}', "it calls itself https://{tenantid}"),
        (b'{"issuer":"https://x\\u001b[2J"}', r"it calls itself https://x\x1b[2J:"),
    ],
)
async def test_a_document_that_is_none_says_why(document: bytes, why: str) -> None:
    """In the words of whoever must mend it, and nothing that could move a terminal."""
    issuer = Line().provider.issuer

    async def answer(_: str) -> bytes:
        return document

    with pytest.raises(Unfit) as raised:
        await ask(issuer, answer)

    assert why in str(raised.value)
    assert str(raised.value).isprintable()


async def test_a_key_set_may_stand_at_the_address_itself() -> None:
    """Some issuers publish keys and describe nothing."""
    line = Line()

    async def answer(_: str) -> bytes:
        return await line.fetch("https://id.example/jwks")

    found = await ask(line.provider.issuer, answer)

    assert (found.name, [key.kid for key in found.keys]) == ("https://id.example", [line.kid])
