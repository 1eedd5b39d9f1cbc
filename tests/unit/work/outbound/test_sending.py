"""One request and its answer, to a real server; and all the doors that must stay shut."""

from __future__ import annotations

import asyncio
import gzip
import socket
from pathlib import Path

import pytest
from aiohttp import web
from taskhub.work.outbound import sending
from taskhub.work.outbound.guard import NotAllowed
from taskhub.work.outbound.sending import EXCERPT, Unreachable

from tests.certificates import make_pair
from tests.unit.work.outbound.receiving import HERE, Receiver, names, request, sender


def redirecting(status: int, location: str) -> Receiver:
    """A receiver that sends `/first` elsewhere."""

    async def answer(got: web.Request) -> web.Response:
        if got.path == "/first":
            return web.Response(status=status, headers={"Location": location})
        return web.Response(text=f"here at {got.path}")

    return Receiver(answer)


async def refused(url: str, *allowed: str, redirects: int = 0) -> NotAllowed:
    """What the guard says to this URL."""
    async with sender(*allowed) as sends:
        with pytest.raises(NotAllowed) as caught:
            await sends.send(request(url, redirects=redirects))
    return caught.value


# ---- what goes out, what comes in ----


async def test_a_request_arrives_as_it_was_meant() -> None:
    """Method, headers, body; and nothing that we were not told to send."""
    async with Receiver().up() as receiver, sender(*HERE) as sends:
        answer = await sends.send(
            request(
                f"{receiver.url}/a?b=ä", method="PUT", headers={"X-A": "b"}, own={"User-Agent": "T"}
            )
        )

    (got,) = receiver.requests
    assert (answer.status, answer.body, answer.is_cut) == (200, "thanks", False)
    assert (got.method, got.path_qs, receiver.bodies) == ("PUT", "/a?b=%C3%A4", [b"x"])
    assert set(got.headers) == {
        *("Host", "X-A", "User-Agent", "Accept", "Accept-Encoding", "Content-Length"),
        "Connection",
    }


async def test_of_a_long_answer_only_the_beginning_is_read() -> None:
    """A megabyte a second from a stranger is not kept; its status counts all the same."""
    left = asyncio.Event()

    async def pour(got: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(got)
        try:
            while True:
                await response.write(b"x" * 65_536)
        finally:
            left.set()

    async with Receiver(pour).up() as receiver, sender(*HERE) as sends:
        answer = await sends.send(request(receiver.url))
        await left.wait()

    assert (answer.status, answer.body, answer.is_cut) == (200, "x" * EXCERPT, True)


async def test_a_body_that_never_ends_does_not_undo_the_status(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The receiver has said yes."""
    monkeypatch.setattr(sending, "BODY_WITHIN", 0.05)
    done = asyncio.Event()

    async def dawdle(got: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(got)
        await response.write(b"ye")
        await done.wait()
        return response

    async with Receiver(dawdle).up() as receiver, sender(*HERE) as sends:
        answer = await sends.send(request(receiver.url))
        done.set()

    assert (answer.status, answer.body, answer.is_cut) == (200, "ye", True)


async def test_a_bomb_is_not_opened() -> None:
    """200 MB in 200 kB: who sends what we did not ask for is not read."""
    bomb = gzip.compress(bytes(20_000_000))

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=bomb, headers={"Content-Encoding": "gzip"})

    async with Receiver(answer).up() as receiver, sender(*HERE) as sends:
        got = await sends.send(request(receiver.url))

    assert (got.status, got.body, got.is_cut) == (200, "", True)


async def test_what_is_no_text_is_made_printable() -> None:
    """It goes into a result, a terminal, a console."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=b"a\x00\x1b[31m\xff\n\xe2\x82\xac")

    async with Receiver(answer).up() as receiver, sender(*HERE) as sends:
        got = await sends.send(request(receiver.url))

    assert got.body == "a��[31m�\n€"


# ---- no answer ----


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"", "it closed the connection without an answer"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "it did not answer in HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "it did not answer"),
        (b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 100_000 + b"\r\n", "it did not answer in HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", "it did not answer in HTTP"),
    ],
)
async def test_who_does_not_speak_http_has_not_answered(said: bytes, why: str) -> None:
    """Whatever listens there."""

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, sender(*HERE) as sends:
        with pytest.raises(Unreachable, match=why):
            await sends.send(request(f"http://127.0.0.1:{port}/"))


async def test_a_port_where_nobody_listens_cannot_be_reached() -> None:
    """And the error names no address."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with sender(*HERE) as sends:
        with pytest.raises(Unreachable) as caught:
            await sends.send(request(f"http://127.0.0.1:{port}/"))

    assert str(caught.value) == "it cannot be reached"


async def test_who_does_not_answer_in_time_has_not_answered() -> None:
    """The time is that of the whole request."""
    done = asyncio.Event()

    async def wait(_: web.Request) -> web.Response:
        await done.wait()
        return web.Response()

    async with Receiver(wait).up() as receiver, sender(*HERE) as sends:
        with pytest.raises(Unreachable, match=r"no answer within 0\.05 s"):
            await sends.send(request(receiver.url, timeout=0.05))
        done.set()


async def test_a_name_that_nobody_knows_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slip of the pen, mostly."""

    def unknown(*_: object) -> list[object]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    async with sender() as sends:
        with pytest.raises(Unreachable, match="its name is not known"):
            await sends.send(request("http://nobody.example/"))


async def test_a_certificate_that_nobody_has_signed_is_not_trusted(tmp_path: Path) -> None:
    """Whoever sits between could be anybody."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    path = make_pair(tmp_path)
    context.load_cert_chain(path, path.with_suffix(".key"))
    server = await asyncio.start_server(
        lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context
    )
    port = server.sockets[0].getsockname()[1]
    async with server, sender(*HERE) as sends:
        with pytest.raises(Unreachable, match="its certificate is not trusted"):
            await sends.send(request(f"https://127.0.0.1:{port}/"))


# ---- doors ----


async def test_a_name_is_looked_up_once_and_its_checked_address_is_dialled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rebinding: what the name stands for a moment later is not asked."""
    async with Receiver().up() as receiver, sender("127.0.0.1/32") as sends:
        port = receiver.url.rpartition(":")[2]
        with names(monkeypatch, ["127.0.0.1"], ["169.254.169.254"]) as asked:
            answer = await sends.send(request(f"http://rebinding.example:{port}/"))

    assert (answer.status, asked) == (200, ["rebinding.example"])
    assert receiver.requests[0].host == f"rebinding.example:{port}"


async def test_each_request_looks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """No connection and no address is kept from one that was allowed."""
    async with Receiver().up() as receiver, sender("127.0.0.1/32") as sends:
        url = f"http://rebinding.example:{receiver.url.rpartition(':')[2]}/"
        with names(monkeypatch, ["127.0.0.1"], ["10.0.0.1"]):
            await sends.send(request(url))
            with pytest.raises(NotAllowed):
                await sends.send(request(url))


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["93.184.216.34", "10.0.0.1"],
        ["::ffff:127.0.0.1"],
        ["fe80::1%2"],
        ["2002::1"],
    ],
)
async def test_a_name_with_a_forbidden_address_is_forbidden(
    addresses: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also beside a public one: who answers so is up to something. Nobody is dialled."""
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("it was dialled"))
    with names(monkeypatch, addresses) as asked:
        await refused("http://innocent.example/")

    assert asked == ["innocent.example"]


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "0177.0.0.1", "127.1", "localhost"])
async def test_odd_ways_to_write_an_address_are_still_that_address(host: str) -> None:
    """The system's own resolver is asked, as it would be."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        listener.settimeout(0.05)
        async with sender() as sends:
            with pytest.raises((NotAllowed, Unreachable)):
                await sends.send(request(f"http://{host}:{port}/"))
        with pytest.raises(TimeoutError):
            listener.accept()


async def test_the_last_look_is_at_the_socket_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Should all else be passed by, the address that is dialled is what counts."""
    from taskhub.work.outbound.guard import Guard

    monkeypatch.setattr(Guard, "url", lambda _, text: __import__("yarl").URL(text))
    async with Receiver().up() as receiver:
        await refused(receiver.url)

    assert receiver.requests == []


async def test_no_proxy_and_no_netrc_of_the_environment_is_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A proxy would dial for us, past the guard."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login ada password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    async with Receiver().up() as proxy, Receiver().up() as receiver, sender(*HERE) as sends:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        await sends.send(request(receiver.url))

    assert proxy.requests == []
    assert "Authorization" not in receiver.requests[0].headers


# ---- redirects ----


async def test_a_redirect_is_not_followed_unless_asked_for() -> None:
    """The answer is the redirect."""
    async with redirecting(307, "/second").up() as receiver, sender(*HERE) as sends:
        answer = await sends.send(request(f"{receiver.url}/first"))

    assert (answer.status, len(receiver.requests)) == (307, 1)


@pytest.mark.parametrize("status", [307, 308])
async def test_a_redirect_that_keeps_the_method_keeps_the_body_too(status: int) -> None:
    """It is the same request, elsewhere."""
    async with redirecting(status, "/second").up() as receiver, sender(*HERE) as sends:
        answer = await sends.send(request(f"{receiver.url}/first", redirects=1))

    assert (answer.status, answer.body) == (200, "here at /second")
    assert receiver.bodies == [b"x", b"x"]


@pytest.mark.parametrize("status", [301, 302, 303])
async def test_a_redirect_that_would_lose_the_body_is_not_followed(status: int) -> None:
    """Clients make a GET of it, and nobody notices that nothing was sent."""
    async with redirecting(status, "/second").up() as receiver, sender(*HERE) as sends:
        answer = await sends.send(request(f"{receiver.url}/first", redirects=3))
        got = await sends.send(
            request(f"{receiver.url}/first", redirects=3, method="GET", body=b"")
        )

    assert (answer.status, got.status) == (status, 200)


async def test_redirects_end_after_as_many_hops_as_were_asked_for() -> None:
    """A circle has no end of its own."""
    async with redirecting(308, "/first").up() as receiver, sender(*HERE) as sends:
        answer = await sends.send(request(f"{receiver.url}/first", redirects=3))

    assert (answer.status, len(receiver.requests)) == (308, 4)


@pytest.mark.parametrize(
    "location",
    [
        *("http://127.0.0.2:{port}/", "http://169.254.169.254/latest/", "http://[::1]:{port}/"),
        *("file:///etc/passwd", "http://user@127.0.0.1:{port}/", "http://127.0.0.1:22/"),
        *("//127.0.0.2:{port}/", "http://[::1", "gopher://127.0.0.1:{port}/_x"),
    ],
)
async def test_each_hop_is_checked_as_the_first(location: str) -> None:
    """A public page that sends us home."""
    async with Receiver().up() as other:
        place = location.replace("{port}", other.url.rpartition(":")[2])
        async with redirecting(308, place).up() as receiver:
            await refused(f"{receiver.url}/first", "127.0.0.1/32", redirects=3)

    assert other.requests == []


async def test_a_redirect_to_a_name_that_is_private_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Names are looked up at each hop."""
    async with redirecting(308, "http://internal.example:8080/").up() as receiver:
        with names(monkeypatch, ["127.0.0.1"], ["10.0.0.1"]) as asked:
            port = receiver.url.rpartition(":")[2]
            url = f"http://public.example:{port}/first"
            await refused(url, "127.0.0.1/32", redirects=3)

    assert asked == ["public.example", "internal.example"]


async def test_the_task_s_headers_stay_with_its_host() -> None:
    """A token for one is none for another."""
    headers = {"Authorization": "Bearer x", "content-type": "text/xml"}
    own = {"webhook-id": "1"}
    async with Receiver().up() as other, sender(*HERE) as sends:
        sending = redirecting(307, f"{other.url}/x")
        async with sending.up():
            url = f"{sending.url}/first"
            await sends.send(request(url, headers=headers, own=own, redirects=1))

    assert sending.requests[0].headers["Authorization"] == "Bearer x"
    assert "Authorization" not in other.requests[0].headers
    assert other.requests[0].headers["webhook-id"] == "1"
    assert other.requests[0].headers["Content-Type"] == "text/xml"
