"""Secrets stay where they were put: a whole installation is made to talk, and nothing it says, or
leaves behind, or shows to others holds one of them in any form.
"""

from __future__ import annotations

import asyncio
import re
import signal
from base64 import b64encode
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest

from tests.acceptance.command_line import taskhub
from tests.acceptance.installation import KEY, Installation, token
from tests.acceptance.processes import below
from tests.valkey import ValkeyServer

REDIS = "canary-redis-3f9a/+ ä"
OTHER = "canary-other-77c1"
"""What is sent to the API, and what stands in wrong places of a configuration."""

MANY = f"{OTHER}-that-is-as-long-as-a-key-must-be"
SEGV = """
import os, signal
from taskhub import handler

@handler("segv", timeout=60)
def segv() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)

@handler("raise", timeout=60)
def fail() -> None:
    raise RuntimeError("no reason")
"""
WRONG = {
    "an unknown key": f'[redis]\npasword = "{OTHER}"\n',
    "a list for a text": f'[redis]\npassword = ["{OTHER}"]\n',
    "a table for a text": f'[redis.password]\nx = "{OTHER}"\n',
    "a number": "[redis]\npassword = 77123977123977123\n",
    "a URL with a password": f'[events]\nurl = "redis://:{OTHER}@127.0.0.1:1/0"\n',
    "a URL with an odd password": f'[events]\nurl = "redis://u:{OTHER}/x@127.0.0.1:1/0"\n',
    "a URL with options": f'[events]\nurl = "unix:///x.sock?password={OTHER}"\n',
    "a list of URLs": f'[events]\nurl = ["redis://:{OTHER}@127.0.0.1:1/0"]\n',
    "a database with a password": f'[store]\nurl = "mssql://sa:{OTHER}@db/x"\n',
    "an unknown section": f'[reddis]\npassword = "{OTHER}"\n',
    "no TOML in its line": f'[redis]\npassword = "{OTHER}\n',
    "no TOML after it": f'[redis]\npassword = "{OTHER}" "x"\n',
    "twice": f'[redis]\npassword = "{OTHER}"\npassword = "{OTHER}"\n',
}


VARIABLES: list[dict[str, str]] = [
    {"Redis__Pasword": OTHER, "Reddis__Password": OTHER, "Redis__Password__X": OTHER},
    {"Events__Url": f"redis://:{OTHER}@h", "Store__Url": f"postgres://u:{OTHER}@h/x"},
    {"Redis__Password": OTHER, "REDIS__PASS_WORD": MANY, "Jwt__IssuerSigningKey": OTHER},
]
COMMANDS = (
    *(("check",), ("config",), ("config", "--json"), ("status",)),
    *(("actors", "--json"), ("reload", "--json"), ("run", "--unit", "nobody")),
)


def forms(secret: str) -> list[bytes]:
    """How a secret may hide: as it is, escaped, in hex, in base64 at each of three offsets."""
    raw = secret.encode()
    packed = [b64encode(b"x" * n + raw).decode()[4:-4].encode() for n in range(3)]
    whole = [raw, raw.hex().encode(), quote(secret, safe="").encode()]
    return [*whole, secret.encode("unicode_escape"), *packed]


class Heard:
    """Everything that was said, by where it was heard."""

    def __init__(self, *secrets: str) -> None:
        self.secrets = list(secrets)
        self.said: list[tuple[str, bytes]] = []

    def hear(self, where: str, text: str | bytes) -> None:
        """Keep it."""
        self.said.append((where, text.encode() if isinstance(text, str) else text))

    def leaks(self) -> list[tuple[str, bytes]]:
        """Where a secret was heard, and what stood around it."""
        found = []
        for where, text in self.said:
            for secret in self.secrets:
                places = [at for form in forms(secret) if (at := text.find(form)) >= 0]
                found += [(where, text[max(0, at - 60) : at + 60]) for at in places[:1]]
        return found


@pytest.fixture
def heard() -> Heard:
    """With every secret of this file, and each token that is sent."""
    return Heard(KEY, REDIS, OTHER)


def test_the_search_finds_what_it_looks_for(heard: Heard) -> None:
    """The control: each form, at each place."""
    for form in forms(OTHER):
        heard.hear("here", b'{"x":"' + form + b'"}')

    assert len(heard.leaks()) == len(forms(OTHER))


async def everything(hub: Installation, heard: Heard) -> None:
    """Files that were left behind, and what /proc shows of every process of the tree."""
    assert hub.process is not None
    children = below(hub.process.pid)
    for pid in {hub.process.pid, *children}:
        heard.hear(f"command line of {pid}", read(f"/proc/{pid}/cmdline"))
        limits = re.search(
            r"Max core file size +(\d+) +(\d+)", read(f"/proc/{pid}/limits").decode()
        )
        assert limits is not None
        assert {limits[1], limits[2]} <= {"0", "1"}, "a crash would write the memory to a file"
    for pid in children:
        heard.hear(f"environment of {pid}", read(f"/proc/{pid}/environ"))
    for path in hub.folder.rglob("*"):
        if path.is_file() and path.name not in {"supervisor.toml", "redis.secret"}:
            heard.hear(str(path), path.read_bytes())


def read(path: str) -> bytes:
    """A file of /proc whose process may just have ended."""
    try:
        return Path(path).read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


async def ask(hub: Installation, heard: Heard, path: str, **options: Any) -> int:
    """One request; all of its answer is heard."""
    method = options.pop("method", "GET")
    async with aiohttp.request(method, f"{hub.url}{path}", **options) as answer:
        heard.hear(f"{method} {path[:40]}", repr(answer.headers))
        heard.hear(f"{method} {path[:40]}", await answer.read())
        return answer.status


async def raw(hub: Installation, heard: Heard, text: str) -> None:
    """Bytes to the socket, and what comes back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", hub.port)
    writer.write(text.encode())
    heard.hear("raw", await reader.read())
    writer.close()


async def requests(hub: Installation, heard: Heard) -> None:
    """Tokens, good and bad, in all the places where clients put them."""
    good = {"Authorization": f"Bearer {token(roles=['Admin'])}"}
    heard.secrets.append(good["Authorization"].rpartition(".")[2])
    for path in ("/tasks", "/actors", "/audit", "/metrics", "/ready", "/openapi.json", "/docs"):
        assert await ask(hub, heard, path, headers=good) == 200
    forged = f"{good['Authorization'].rpartition('.')[0]}.{MANY}"
    for bad in (f"Bearer {MANY}", f"Basic {MANY}", MANY, f"Bearer a.b.{MANY}", forged):
        assert await ask(hub, heard, "/tasks", headers={"Authorization": bad}) == 401
    assert await ask(hub, heard, f"/tasks?access_token={MANY}", headers=good) == 400
    assert await ask(hub, heard, "/tasks", headers={"Cookie": f"token={MANY}"}) == 401
    assert await ask(hub, heard, "/", headers={"Authorization": f"Bearer {MANY}"}) == 404
    many = {"Authorization": f"Bearer {MANY * 2_000}"}
    assert await ask(hub, heard, "/tasks", headers=many) in {400, 431}
    line = f"Authorization: Bearer {MANY}\r\n"
    await raw(
        hub, heard, f"GET /tasks HTTP/1.1\r\nHost: x\r\n{line}{line}Connection: close\r\n\r\n"
    )
    await raw(hub, heard, f"GET /tasks HTTP/9\r\nHost: x\r\n{line}\r\n")
    await raw(hub, heard, f"{MANY} /tasks\r\n\r\n")
    await raw(hub, heard, f"POST /tasks HTTP/1.1\r\n{line}Transfer-Encoding: x\r\n\r\n")
    body = {"title": "x", "payload": {"seconds": MANY}}
    assert await ask(hub, heard, "/tasks", method="POST", json=body, headers=good) == 422
    assert await ask(hub, heard, "/tasks", method="POST", json=MANY, headers=good) == 400


async def commands(
    hub: Installation, heard: Heard, *commands: tuple[str, ...], **environ: str
) -> list[int]:
    """Commands with this configuration; their exit codes."""
    codes = []
    for words in commands:
        command = (*words, "--config", str(hub.config))
        done = await taskhub(*command, folder=hub.folder, environ=environ)
        heard.hear(f"{words}", done.out + done.err)
        codes.append(done.code)
    return codes


async def test_no_secret_is_heard_of_a_tree_that_works_fails_and_crashes(
    hub: Installation, tmp_path: Path, heard: Heard
) -> None:
    """Requests, dumps, commands, reloads, crashes of each kind; then all of it is read."""
    secret = hub.folder / "redis.secret"
    secret.touch(mode=0o600)
    secret.write_text(f"{REDIS}\n")
    environ = {"Redis__Password_FILE": str(secret), "Jwt__IssuerSigningKey": KEY}
    environ |= {"Http__AccessLog": "true", "Logs__Level": "debug"}
    async with ValkeyServer(tmp_path, "--requirepass", REDIS) as valkey:
        work = f"[work]\n{hub.handlers(SEGV)}"
        hub.configure(f'[events]\nurl = "{valkey.url}"\n{work}')
        await hub.start(environ=environ)

        await requests(hub, heard)
        tasks = [await hub.post(type=name, maxAttempts=1) for name in ("segv", "raise")]
        await hub.all_ended([task["id"] for task in tasks])
        hub.send(signal.SIGUSR1)
        await hub.until(lambda: _told(hub, "StacksDumped", "api-1"))
        assert await commands(hub, heard, *COMMANDS, **environ) == [0] * 6 + [2]
        looks = (("doctor", "--json"), ("top", "--once", "--every", "0.1", "--json"))
        assert set(await commands(hub, heard, *looks, **environ)) <= {0, 5}
        await everything(hub, heard)
        await hub.kill("tree/api-1", signal.SIGSEGV)
        await hub.kill("tree/worker-1", signal.SIGABRT)
        await hub.until(lambda: _up(hub))
        await valkey.kill()
        await hub.until(lambda: _told(hub, "StateChanged", "api-1"))
        assert await hub.stop() == 0

    for path in hub.folder.rglob("*"):
        if path.is_file() and path.name not in {"supervisor.toml", "redis.secret"}:
            heard.hear(str(path), path.read_bytes())
    assert not [path for path in hub.folder.rglob("core*") if path.is_file()]
    assert heard.leaks() == []
    assert len(heard.said) > 60


async def _told(hub: Installation, event: str, unit: str) -> bool:
    return any(line["unit"] == unit for line in hub.told(event))


async def _up(hub: Installation) -> bool:
    return await hub.pid("tree/worker-1") is not None and (
        (await hub.request("GET", "/ready"))[0] == 200
    )


async def test_no_secret_is_heard_of_a_configuration_that_is_wrong(
    hub: Installation, heard: Heard
) -> None:
    """Found at a start, by each command, and by a reload: named, and not shown."""
    await hub.start()
    right = hub.config.read_text()
    for wrong in WRONG.values():
        hub.config.write_text(f"{right}\n{wrong}")
        hub.send(signal.SIGHUP)
        assert await commands(hub, heard, ("check",)) == [2], wrong
    hub.config.write_text(right)
    for environ in VARIABLES:
        await commands(hub, heard, ("config",), **environ)
    secret = f"redis.password={OTHER}"
    await commands(hub, heard, ("check", "--set", secret), ("reload", "--set", secret))
    await hub.until(lambda: _told(hub, "ReloadRefused", "tree"))
    assert await hub.stop() == 0

    heard.hear("log", hub.output())
    assert heard.leaks() == []
    assert all(b"mistake" in text or b"secret" in text for _, text in heard.said[:-1])
