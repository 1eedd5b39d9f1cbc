"""What strangers send to a real API process: memory stays, logs stay whole, secrets stay in."""

from __future__ import annotations

import asyncio
import gzip
import json
from pathlib import Path

from tests.acceptance.installation import KEY, Installation, token

MEGABYTE = 1_048_576


async def raw(hub: Installation, *pieces: bytes) -> bytes:
    """Bytes to the API's port; the first bytes of its answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", hub.port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        return await reader.read(65_536)
    except ConnectionError:  # it has answered and hung up while we were still sending
        return await reader.read(65_536)
    finally:
        writer.close()


def head(*lines: str) -> bytes:
    """The head of a new task with a good token."""
    usual = ("POST /tasks HTTP/1.1", "Host: x", f"Authorization: Bearer {token()}")
    return "\r\n".join([*usual, "Content-Type: application/json", *lines, "", ""]).encode()


def resident(pid: int) -> int:
    """Bytes of memory that a process holds."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1_024


async def test_large_bodies_and_bombs_cost_no_memory(hub: Installation) -> None:
    """100 MB in chunks or beside them, 200 MB packed in 200 kB, 20 MB announced: nothing kept."""
    await hub.start()
    pid = await hub.until(lambda: hub.pid("tree/api-1"))
    await hub.post()
    before = resident(pid)
    bomb = gzip.compress(b"\0" * (200 * MEGABYTE), compresslevel=9)
    packed = head("Content-Encoding: gzip", f"Content-Length: {len(bomb)}") + bomb
    chunk = f"{MEGABYTE:x}\r\n".encode() + b" " * MEGABYTE + b"\r\n"

    bombs = await asyncio.gather(*(raw(hub, packed) for _ in range(8)))
    endless = await raw(hub, head("Transfer-Encoding: chunked"), *([chunk] * 100))
    padding = b"1;" + b"a" * MEGABYTE + b"\r\n \r\n"
    padded = await raw(hub, head("Transfer-Encoding: chunked"), *([padding] * 50), b"0\r\n\r\n")
    announced = await raw(hub, head(f"Content-Length: {20 * MEGABYTE}"))

    assert {answer[:13] for answer in bombs} == {b"HTTP/1.1 415 "}
    assert endless[:13] in {b"HTTP/1.1 413 ", b""}  # the answer may be lost to the hang-up
    assert padded[:13] == b"HTTP/1.1 400 "  # blanks are no JSON; what stood beside them is gone
    assert announced[:13] == b"HTTP/1.1 413 "
    assert resident(pid) - before < 20 * MEGABYTE
    assert (await hub.post())["status"] == "Pending"


async def test_logs_stay_whole_and_secrets_stay_in(hub: Installation) -> None:
    """A forged line in a title, a path, a header: one object a line; no token, no key."""
    hub.configure('[logs]\nformat = "clef"\nlevel = "debug"\n')
    hub.config.write_text(hub.config.read_text().replace('[logs]\nformat = "clef"\n', "", 1))
    await hub.start()
    forged = '"}\n{"@m":"forged"}\u2028\x1b[31m'
    bad = token() + "x"

    await hub.request("POST", "/tasks", {"title": forged})
    task = await hub.post(title='"} {"@m":"forged"} \u2028', type="fail", maxAttempts=1)
    await hub.ended(task["id"])
    await hub.request("GET", "/%0a%7b%22@m%22:%22forged%22%7d")
    await hub.request("GET", f"/tasks?access_token={token()}")
    await hub.request("GET", "/tasks", None, Authorization=f"Bearer {bad}")
    await raw(hub, b'GET / HTTP/1.1\r\nHost: x\r\nX-Request-Id: a\x1b[31m"}\r\n\r\n')
    await hub.stop()

    output = hub.output()
    lines = [line for line in output.split("\n") if line]
    assert all(isinstance(json.loads(line), dict) for line in lines)
    assert not [line for line in lines if json.loads(line).get("@m") == "forged"]
    assert "\x1b" not in output
    for secret in (KEY, token()[:30], bad):  # all tokens begin with the same header
        assert secret not in output
