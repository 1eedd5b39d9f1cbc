"""The wire itself: broken framing, slow clients, hang-ups; everything over bare sockets."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from taskhub.obs.telemetry import RequestCrashed, RequestServed

from tests.unit.http.house import CONFIG, House, bearer, open_house, tuned
from tests.waiting import until

pytestmark = pytest.mark.wire

AUTH = bearer()["Authorization"]
BODY = b'{"title":"x"}'
HEAD = (
    f"POST /tasks HTTP/1.1\r\nHost: x\r\nAuthorization: {AUTH}\r\n"
    "Content-Type: application/json\r\n"
)
IS_EAGER = sys.version_info >= (3, 12)
"""Whether aiohttp begins a request in the step that has read it."""
SOON = 0.4
"""Seconds of the deadlines in these tests."""


@pytest.fixture
async def hasty(tmp_path: Path, empty_database: Path) -> AsyncIterator[House]:
    """An API with short deadlines."""
    config = tuned(CONFIG, header_timeout=SOON, body_timeout=SOON)
    async with open_house(tmp_path, empty_database, config) as house:
        yield house


def post(*lines: str, body: bytes = BODY) -> bytes:
    """A request with these header fields beside the usual ones."""
    return (
        HEAD.encode() + "".join(f"{line}\r\n" for line in lines).encode("latin-1") + b"\r\n" + body
    )


def chunked(*chunks: bytes) -> bytes:
    """A request whose body comes in these raw pieces."""
    return post("Transfer-Encoding: chunked", body=b"".join(chunks))


BROKEN: dict[str, bytes] = {
    "length and chunks": post("Content-Length: 13", "Transfer-Encoding: chunked"),
    "two lengths": post("Content-Length: 13", "Content-Length: 12"),
    "a list of lengths": post("Content-Length: 13, 13"),
    "plus": post("Content-Length: +13"),
    "underscore": post("Content-Length: 1_3"),
    "hexadecimal": post("Content-Length: 0x0d"),
    "negative": post("Content-Length: -1"),
    "no number": post("Content-Length: x"),
    "xchunked": post("Transfer-Encoding: xchunked"),
    "chunked, identity": post("Transfer-Encoding: chunked, identity"),
    "two encodings": post("Transfer-Encoding: chunked", "Transfer-Encoding: identity"),
    "vertical tab": post("Transfer-Encoding: \x0bchunked"),
    "space before the colon": post("Content-Length : 13"),
    "line feeds alone": b"POST /tasks HTTP/1.1\nHost: x\nContent-Length: 0\n\n",
    "a bare carriage return": post("X-A: a\rb", "Content-Length: 13"),
    "NUL in a value": post("X-A: a\x00b", "Content-Length: 13"),
    "a folded line": post("X-A: a", " b", "Content-Length: 13"),
    "chunk size 0xd": chunked(b"0xd\r\n", BODY, b"\r\n0\r\n\r\n"),
    "chunk size _d": chunked(b"_d\r\n", BODY, b"\r\n0\r\n\r\n"),
    "chunks of line feeds": chunked(b"d\n", BODY, b"\n0\n\n"),
    "a chunk too short": chunked(b"c\r\n", BODY, b"\r\n0\r\n\r\n"),
    "no host": b"GET /health HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "no version": b"GET /tasks\r\n\r\n",
    "another version": b"GET /health HTTP/3.0\r\nHost: x\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 50,
    "an unknown method": b"FOO /health HTTP/1.1\r\nHost: x\r\n\r\n",
    "a long line": b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "a long field": b"GET /health HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 9_000 + b"\r\n\r\n",
    "many fields": b"GET /health HTTP/1.1\r\nHost: x\r\n" + b"X-A: 1\r\n" * 1_000 + b"\r\n",
    "two encodings of chunks": post(
        "Transfer-Encoding: chunked", "Transfer-Encoding: chunked", body=b"d\r\n{}"
    ),
    "chunks twice": post("Transfer-Encoding: chunked, chunked", body=b"d\r\n{}"),
    "packed chunks": post(
        "Transfer-Encoding: gzip, chunked", body=b"d\r\n" + BODY + b"\r\n0\r\n\r\n"
    ),
    "chunks in HTTP/1.0": post(
        "Connection: keep-alive",
        "Transfer-Encoding: chunked",
        body=b"d\r\n" + BODY + b"\r\n0\r\n\r\n",
    ).replace(b"HTTP/1.1", b"HTTP/1.0"),
    "a length without a number": post("Content-Length:"),
    "a length of twenty digits": post(f"Content-Length: {10**20}"),
    "two types": post("Content-Type: text/plain", "Content-Length: 13"),
    "a folded line at once": b"GET /health HTTP/1.1\r\n Host: x\r\n\r\n",
    "a line folded by a tab": b"GET /health HTTP/1.1\r\nHost: x\r\nX-A: a\r\n\tb\r\n\r\n",
    "a field without a colon": b"GET /health HTTP/1.1\r\nHost: x\r\nevil-marker\r\n\r\n",
    "a field without a name": b"GET /health HTTP/1.1\r\nHost: x\r\n: evil-marker\r\n\r\n",
    "a control character": b"GET /health HTTP/1.1\r\nHost: x\r\nX-A: \x01\r\n\r\n",
    "a raw byte in the path": b"GET /tasks/\xff HTTP/1.1\r\nHost: x\r\n\r\n",
    "a small method": b"get /health HTTP/1.1\r\nHost: x\r\n\r\n",
    "a small version": b"GET /health http/1.1\r\nHost: x\r\n\r\n",
    "HTTP/0.9": b"GET /health HTTP/0.9\r\nHost: x\r\n\r\n",
    "no path": b"GET evil-marker HTTP/1.1\r\nHost: x\r\n\r\n",
    "an authority": b"GET evil-marker:80 HTTP/1.1\r\nHost: x\r\n\r\n",
    "an authority that is broken": b"GET http://[::1/health HTTP/1.1\r\nHost: x\r\n\r\n",
    "a star": b"GET * HTTP/1.1\r\nHost: x\r\n\r\n",
    "a long trailer": chunked(b"d\r\n", BODY, b"\r\n0\r\nX-T: ", b"a" * 9_000, b"\r\n\r\n"),
    "many trailers": chunked(b"d\r\n", BODY, b"\r\n0\r\n", b"X-T: a\r\n" * 1_000, b"\r\n"),
    "nonsense": b"\x00\xff\xfe evil-marker \r\n\r\n",
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN.keys())
async def test_broken_framing_is_refused_and_the_line_cut(house: House, data: bytes) -> None:
    """Two readers of one stream must never disagree about where a request ends."""
    answer = await house.raw(data)

    status, head, body = parts(answer)
    assert status in {400, 405, 431}
    assert "content-type: application/problem+json" in head.lower()
    assert "x-request-id: " in head.lower()
    assert msgspec.json.decode(body)["status"] == status
    assert b"evil-marker" not in answer
    assert answer.count(b"HTTP/1.1 ") == 1
    assert house.said(RequestCrashed) == []


def parts(answer: bytes) -> tuple[int, str, bytes]:
    """Status, head and body of the first answer in these bytes."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 "), answer
    return int(head[9:12]), head.decode("latin-1"), body


async def test_a_smuggled_request_is_not_answered(house: House) -> None:
    """What stands behind a broken request is nobody's request."""
    answer = await house.raw(
        BROKEN["length and chunks"] + b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
    )

    assert answer.count(b"HTTP/1.1 ") == 1
    assert not answer.endswith(b"ok")


@pytest.mark.parametrize("method", ["TRACE", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT"])
async def test_another_method_is_405_and_names_the_right_ones(house: House, method: str) -> None:
    """`Allow` is what a client reads (RFC 9110, 15.5.6)."""
    data = f"{method} /tasks HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

    status, head, _ = parts(await house.raw(data.encode()))

    assert status in ({400, 404, 405} if method == "CONNECT" else {405})
    assert status != 405 or "Allow: GET,HEAD,POST" in head


async def test_the_absolute_form_is_this_server_too(house: House) -> None:
    """RFC 9112, 3.2.2: whatever host stands there, it is ours to answer."""
    data = b"GET http://evil.example/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

    status, head, body = parts(await house.raw(data))

    assert (status, body) == (200, b"ok")
    assert "evil" not in head


async def test_an_old_client_is_answered(house: House) -> None:
    """HTTP/1.0, with and without a kept connection."""
    once = await house.raw(b"GET /health HTTP/1.0\r\n\r\n")
    kept = await house.raw(
        b"GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /health HTTP/1.0\r\n\r\n"
    )

    assert "Connection: close" in parts(once)[1]
    assert "Connection: keep-alive" in parts(kept)[1]
    assert kept.count(b"ok") == 2


async def test_pipelined_requests_are_answered_in_order(house: House) -> None:
    """Each with its own answer, and bodies where they belong."""
    first = post(f"Content-Length: {len(BODY)}", "X-Request-Id: one")
    second = b"GET /health HTTP/1.1\r\nHost: x\r\nX-Request-Id: two\r\nConnection: close\r\n\r\n"

    answer = await house.raw(first + second)

    assert answer.index(b"X-Request-Id: one") < answer.index(b"X-Request-Id: two")
    assert answer.startswith(b"HTTP/1.1 201 ")
    assert answer.endswith(b"ok")


async def test_a_client_that_asks_first_is_told_to_go_on(house: House) -> None:
    """`Expect: 100-continue`: yes to who may, no to who may not, before the body is sent."""
    head = post(f"Content-Length: {len(BODY)}", "Expect: 100-continue", body=b"")
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    writer.write(head)
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(BODY)
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 201 ")
    writer.close()

    refused = await house.raw(head.replace(b"Bearer ", b"Basic "), until_closed=False)
    assert refused.startswith(b"HTTP/1.1 401 ")


async def test_half_a_head_is_cut_off_with_a_reason(hasty: House) -> None:
    """The head has a deadline of its own, shorter than that of an idle connection."""
    status, head, body = parts(await hasty.raw(HEAD.encode()))

    assert status == 408
    assert "Connection: close" in head
    assert msgspec.json.decode(body)["type"] == "urn:taskhub:problem:too-slow"


async def test_a_head_that_drips_is_cut_off_all_the_same(hasty: House) -> None:
    """However often a byte comes: the whole head has one deadline, counted from its first."""
    _, writer = await asyncio.open_connection("127.0.0.1", hasty.port)
    writer.write(b"GET /")

    def is_cut() -> bool:
        if not writer.is_closing():
            writer.write(b"a")
        return bool(hasty.said(RequestServed))

    await until(is_cut)
    writer.transport.abort()

    assert [event.status for event in hasty.said(RequestServed)] == [408]


async def test_half_a_body_is_cut_off_with_a_reason(hasty: House) -> None:
    """Aiohttp has no such deadline of its own."""
    answer = await hasty.raw(post("Content-Length: 13", body=b'{"tit'))

    assert parts(answer)[0] == 408


async def test_a_silent_connection_is_closed(hasty: House) -> None:
    """Without a word: nobody has asked for anything."""
    assert await hasty.raw(b"") == b""


async def test_many_slow_clients_hold_nobody_up(hasty: House) -> None:
    """Three hundred half heads and half bodies: others are answered, then all are cut."""
    halves = [b"GET /health HT", post("Content-Length: 13", body=b"{")] * 150
    slow = []
    for data in halves:
        reader, writer = await asyncio.open_connection("127.0.0.1", hasty.port)
        writer.write(data)
        slow.append((reader, writer))

    replies = await asyncio.gather(
        *(hasty.ask("POST", "/tasks", json={"title": "x"}) for _ in range(20))
    )
    async with asyncio.timeout(20):
        answers = await asyncio.gather(*(reader.read() for reader, _ in slow))
    for _, writer in slow:
        writer.close()

    assert {reply.status for reply in replies} == {201}
    assert {answer[9:12] for answer in answers} == {b"408"}


async def test_who_does_not_read_is_cut_off(hasty: House) -> None:
    """A long answer in our memory for a client that takes nothing: not for long."""
    for number in range(3):
        await hasty.create(title=str(number), payload="x" * 1_000_000)
    before = connections(hasty)
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(client, ("127.0.0.1", hasty.port))

    await loop.sock_sendall(
        client, f"GET /tasks HTTP/1.1\r\nHost: x\r\nAuthorization: {AUTH}\r\n\r\n".encode()
    )
    await until(lambda: connections(hasty) == before + 1)
    await until(lambda: connections(hasty) == before, within=20)
    client.close()


def connections(house: House) -> int:
    """How many established connections the server's port has."""
    port = f":{house.port:04X}"
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    ours = [line.split() for line in lines]
    return sum(line[1].endswith(port) and line[3] == "01" for line in ours)


async def test_a_hang_up_leaves_no_trace(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """Clients come and go: no traceback, and what was committed stays."""
    caplog.set_level(logging.DEBUG)
    starts = [
        b"",
        b"GET /hea",
        HEAD.encode(),
        post("Content-Length: 13", body=b"{"),
        post("Transfer-Encoding: chunked", body=b"d\r\n{"),
        post("Content-Length: 13"),
    ]

    for data in starts * 5:
        _, writer = await asyncio.open_connection("127.0.0.1", house.port)
        writer.write(data)
        await writer.drain()
        writer.transport.abort()
    stored = f"[{len(starts)}]"

    await until(lambda: len(house.said(RequestServed)) >= 5)
    assert (await house.ask("GET", "/health")).status == 200
    assert house.said(RequestCrashed) == []
    ours = [record for record in caplog.records if record.name.startswith("aiohttp")]
    assert ours == [], stored


async def test_the_commit_outlives_the_client(house: House) -> None:
    """A hang-up cancels the client's own wait only."""
    _, writer = await asyncio.open_connection("127.0.0.1", house.port)
    writer.write(post(f"Content-Length: {len(BODY)}"))
    await writer.drain()
    await until(lambda: house.box.posted == 1)
    writer.transport.abort()

    async def stored() -> list[Any]:
        items: list[Any] = (await house.ask("GET", "/tasks")).json["items"]
        return items

    async with asyncio.timeout(10):
        while not await stored():
            pass


async def test_a_foreign_request_id_is_taken_only_when_it_is_harmless(house: House) -> None:
    """It stands in logs and answers: letters, digits and three signs, at most 64."""
    for given in ("abc-1._X", "a" * 64):
        reply = await house.ask("GET", "/health", headers={"X-Request-Id": given})
        assert reply.headers["X-Request-Id"] == given
    for given in ("", "a" * 65, "a b", '{"level":"error"}', "\u00e4", "a\t"):
        lines = (
            f"GET /health HTTP/1.1\r\nHost: x\r\nX-Request-Id: {given}!\r\nConnection: close\r\n"
        )
        _, head, _ = parts(await house.raw(f"{lines}\r\n".encode("latin-1")))
        assert re.search(r"X-Request-Id: [0-9a-f]{10}-[0-9a-f]+\r", head)


async def test_every_answer_has_the_usual_fields(house: House) -> None:
    """Good ones and bad ones alike."""
    for path in ("/health", "/nowhere", "/tasks", "/tasks?x=1", "/openapi.json"):
        reply = await house.ask("GET", path)
        for name in ("X-Request-Id", "Date", "Cache-Control", "X-Content-Type-Options"):
            assert reply.headers[name]
        assert reply.headers["Server"] == "taskhub"


async def test_requests_are_told_of_by_their_template(house: House) -> None:
    """Ten thousand paths, methods and ids are one series, not ten thousand."""
    await house.ask("GET", "/tasks/019aa1d2-8c6e-7b53-9a43-1d3c5a0f9e21")
    await house.ask("GET", "/nowhere/1")
    await house.ask("DELETE", "/tasks")
    await house.raw(b"nonsense\r\n\r\n")

    told = {(event.method, event.route, event.status) for event in house.said(RequestServed)}
    assert told == {
        ("GET", "/tasks/{id}", 404),
        ("GET", "", 404),
        ("DELETE", "", 405),
        ("", "", 400),
    }


async def test_too_many_connections_are_sent_away(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a reason, at once: files are for the database too."""
    monkeypatch.setattr("taskhub.http.server.CONNECTIONS", 64)
    async with open_house(house.store._path.parent / "..", house.store._path) as small:
        held = [await asyncio.open_connection("127.0.0.1", small.port) for _ in range(64)]
        status, head, _ = parts(await small.raw(b""))
        for _, writer in held:
            writer.close()

    assert status == 503
    assert "Retry-After: 1" in head


async def test_a_head_is_bounded_as_a_whole(house: House) -> None:
    """A hundred lines of eight thousand bytes are each allowed; together they are a flood."""
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\n")
    line = b"X-A: " + b"a" * 8_000 + b"\r\n"

    answer = asyncio.ensure_future(reader.read())
    for _ in range(100):
        if answer.done():
            break
        writer.write(line)
        await asyncio.wait({answer}, timeout=0.01)
    status, head, _ = parts(await answer)
    writer.close()

    assert status == 431
    assert "Connection: close" in head


async def test_a_head_behind_a_request_at_work_is_bounded_too(house: House) -> None:
    """Who waits for an answer may not fill our memory meanwhile."""
    made = await house.create()
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    waits = f"GET /tasks/{made['id']}?wait=60 HTTP/1.1\r\nHost: x\r\nAuthorization: {AUTH}\r\n\r\n"
    writer.write(waits.encode())
    line = b"X-A: " + b"a" * 8_000 + b"\r\n"

    answer = asyncio.ensure_future(reader.read())
    writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\n")
    for _ in range(100):
        if answer.done():
            break
        writer.write(line)
        await asyncio.wait({answer}, timeout=0.01)
    writer.close()

    assert parts(await answer)[0] == 431


async def test_a_body_is_no_head(house: House) -> None:
    """Half a megabyte of title, a piece at a time, is judged as a body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    body = b'{"title":"x","payload":"' + b"a" * 500_000 + b'"}'
    writer.write(post(f"Content-Length: {len(body)}", "Connection: close", body=b""))
    for start in range(0, len(body), 50_000):
        writer.write(body[start : start + 50_000])
        await writer.drain()
    status, _, _ = parts(await reader.read())
    writer.close()

    assert status == 201


@pytest.mark.parametrize(
    ("data", "statuses"),
    [
        (b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n", [200]),
        (b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n" * 3, [200, 200, 200]),
        (post("Content-Length: 13"), [201]),
        (post("Content-Length: 13", body=b'{"ti'), [400]),
        (chunked(b"d\r\n", BODY, b"\r\n"), [400]),
        (b"GET /hea", []),
        (b"", []),
    ],
    ids=["get", "pipelined", "post", "half a body", "half the chunks", "half a head", "nothing"],
)
async def test_a_client_that_has_said_all_gets_its_answer(
    house: House, data: bytes, statuses: list[int]
) -> None:
    """A half-closed connection (`nc -N`) is one that still listens; then we hang up as well.

    What takes no time is answered before that end is heard where tasks begin at once (3.12).
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    writer.write(data)
    writer.write_eof()
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()

    assert [int(found) for found in re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", answer)] == statuses
    is_answered_before = IS_EAGER and data.startswith(b"GET /health")
    assert answer.count(b"Connection: close") == (bool(statuses) and not is_answered_before)
    assert house.said(RequestCrashed) == []


@pytest.mark.parametrize(
    "target",
    [
        *("/%00", "/tasks/%00", "/tasks/%2e%2e", "/tasks/..%2fhealth", "/tasks/../health"),
        *("/./health", "//health", "/health/", "/HEALTH", "/tasks/a%2Fb", "/tasks/%ff"),
        *("/tasks/%zz", "/health;x=1", "/tasks/-1", "/tasks/%d9%a1", "/\\health", "/health%20"),
        "/tasks/%0d%0aX-Evil:1",
    ],
)
async def test_odd_paths_are_nowhere(house: House, target: str) -> None:
    """No dot segment is resolved, no case folded, no byte believed: never a 5xx, never an echo."""
    data = f"GET {target} HTTP/1.1\r\nHost: x\r\nAuthorization: {AUTH}\r\nConnection: close\r\n\r\n"

    status, head, body = parts(await house.raw(data.encode()))

    assert status == 404
    assert "X-Evil" not in head
    assert target.strip("/").encode() not in body


async def test_a_letter_may_be_written_as_a_number(house: House) -> None:
    """RFC 3986, 6.2.2.2: the same path."""
    data = b"GET /%68ealth HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

    assert parts(await house.raw(data))[::2] == (200, b"ok")


@pytest.mark.parametrize("path", ["/health", "/tasks", "/nowhere", "/openapi.json"])
async def test_head_is_get_without_the_body(house: House, path: str) -> None:
    """The same status and fields, its length too (RFC 9110, 9.3.2)."""
    got = await house.ask("GET", path)
    asked = f"HEAD {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {AUTH}\r\nConnection: close\r\n\r\n"
    status, head, body = parts(await house.raw(asked.encode()))

    assert (status, body) == (got.status, b"")
    names = {line.partition(":")[0].lower() for line in head.splitlines()[1:]} - {"connection"}
    assert names == {name.lower() for name in got.headers}
    if path == "/tasks":
        assert f"Content-Length: {len(got.body)}" in head


async def test_the_whole_server_says_what_it_can(house: House) -> None:
    """`OPTIONS *` is about no path (RFC 9110, 9.3.7)."""
    data = b"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

    status, head, body = parts(await house.raw(data))

    assert (status, body) == (204, b"")
    assert "Allow: DELETE,GET,HEAD,POST,PUT" in head


@pytest.mark.parametrize("protocol", ["websocket", "h2c"])
async def test_no_other_protocol_is_spoken(house: House, protocol: str) -> None:
    """An upgrade is an offer: the answer is plain HTTP/1.1, and so is the next one."""
    upgrade = (
        f"GET /health HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    for _ in range(2):
        writer.write(upgrade.encode())
        assert (await reader.readuntil(b"\r\n\r\nok")).startswith(b"HTTP/1.1 200 OK")
    writer.close()


async def test_a_thousand_pipelined_requests_are_answered_in_order(house: House) -> None:
    """However many wait: one after the other, and reading pauses meanwhile."""
    many = [
        f"GET /health HTTP/1.1\r\nHost: x\r\nX-Request-Id: n{number}\r\n" for number in range(1_000)
    ]
    data = "\r\n".join([*many, "GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"])

    answer = await house.raw(data.encode())

    found = [int(number) for number in re.findall(rb"X-Request-Id: n([0-9]+)\r", answer)]
    assert found == list(range(1_000))


async def test_a_body_that_nobody_asked_for_is_read_past(house: House) -> None:
    """A GET with a body, then another request: each its own."""
    first = b"GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
    second = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

    answer = await house.raw(first + second)

    assert answer.count(b"HTTP/1.1 200 OK") == 2


@pytest.mark.parametrize("path", ["/health", "/tasks"])
async def test_a_promised_body_that_never_comes_holds_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """The answer is there at once, be it 200 or 401; the line is cut soon after."""
    monkeypatch.setattr("taskhub.http.server.LINGER", 0.1)
    data = f"GET {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"

    answer = await house.raw(data.encode())

    assert parts(answer)[0] in {200, 401}


async def test_a_packed_body_is_refused_however_it_is_hidden(house: House) -> None:
    """Of two Content-Encoding fields both count."""
    data = post(
        "Content-Encoding: identity",
        "Content-Encoding: gzip",
        "Content-Length: 13",
        "Connection: close",
    )

    assert parts(await house.raw(data))[0] == 415


async def test_a_kept_connection_is_closed_when_it_is_silent(hasty: House) -> None:
    """After its answers too: without a word, after three header deadlines."""
    answer = await hasty.raw(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")

    assert answer.count(b"HTTP/1.1 ") == 1


async def test_a_second_head_that_stops_is_cut_off_too(hasty: House) -> None:
    """The deadline is one for each head, not for each connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", hasty.port)
    writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
    await reader.readuntil(b"\r\n\r\nok")
    writer.write(b"GET /hea")
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()

    assert parts(answer)[0] == 408
