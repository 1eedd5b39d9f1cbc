"""A whole TaskHub in a folder of its own: real processes, a real event server, real signals."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, BinaryIO

import aiohttp
import jwt
from taskhub.config.runtime import socket_path
from taskhub.kernel.call import Refused, Unreachable, call

KEY = "an acceptance test's key, 32 bytes long or more"
ISSUER, AUDIENCE = "https://issuer.test", "taskhub"
PATIENCE = 60.0  # seconds until a test that waits for a fact gives up

HAND_OVER = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ |= {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}
os.execv(sys.argv[2], sys.argv[2:])
"""
"""Becomes the program, with the socket as descriptor 3: sd_listen_fds(3)."""

Task = dict[str, Any]


def token(
    *,
    roles: Sequence[str] = ("Operator",),
    subject: str = "tester",
    scope: str = "tasks.read tasks.write",
) -> str:
    """What an issuer would give to a client, with both scopes unless it shall have others."""
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": subject,
        "exp": int(time.time()) + 3_600,
        "scope": scope,
        "roles": list(roles),
    }
    return jwt.encode(claims, KEY, algorithm="HS256")


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def separate(folder: Path, events: str, work: str = "") -> str:
    """The settings of processes that share one file and one event server."""
    return (
        f'[store]\nurl = "sqlite:///{folder}/shared.db"\n'
        f'[events]\nurl = "{events}"\n'
        f"[work]\n{work}\n"
    )


class Installation:
    """Starts, asks, hurts and stops one TaskHub; what it says is in `lines()`."""

    def __init__(self, folder: Path, http: aiohttp.ClientSession) -> None:
        """Lay the files down; nothing runs yet."""
        self.folder, self._http = folder, http
        self.port, self.url = free_port(), ""
        self.runtime = folder / "run"
        self.config = folder / "supervisor.toml"
        self.process: asyncio.subprocess.Process | None = None
        self.adopts = -1
        """A listening socket that it is handed as systemd does it."""
        self.beside: list[Installation] = []
        self.program: Sequence[str] = (sys.executable, "-m", "taskhub")
        self.configure()

    def another(self) -> Installation:
        """A process of its own beside this one: same configuration, same runtime, own port."""
        folder = self.folder / f"beside-{len(self.beside) + 1}"
        folder.mkdir()
        other = Installation(folder, self._http)
        other.runtime, other.config = self.runtime, self.config
        self.beside.append(other)
        return other

    def configure(self, settings: str = "") -> None:
        """Write the configuration: ours, and `settings` (whole TOML tables) after it."""
        self.url = f"http://127.0.0.1:{self.port}"
        text = CONFIGURATION.format(
            issuer=ISSUER, audience=AUDIENCE, key=KEY, port=self.port, runtime=self.runtime
        )
        self.config.touch(mode=0o600)
        self.config.write_text(f"{text}\n{settings}\n", encoding="utf-8")

    def handlers(self, source: str) -> str:
        """Write a module of handlers; the setting that names it."""
        (self.folder / "deeds.py").write_text(source, encoding="utf-8")
        return 'handlers = ["deeds"]'

    # ---- life ---

    async def start(self, unit: str = "tree", environ: dict[str, str] | None = None) -> None:
        """Start it and wait until it says that it is ready."""
        notify = self.folder / "notify.sock"
        notify.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ears:
            ears.bind(str(notify))
            ears.setblocking(False)
            self.process = await self._spawn(
                unit, {"NOTIFY_SOCKET": str(notify), **(environ or {})}
            )
            await self._until_ready(ears)

    async def _spawn(self, unit: str, extra: dict[str, str]) -> asyncio.subprocess.Process:
        with self.speaks_into() as out:
            return await asyncio.create_subprocess_exec(
                *self._handing_over(),
                *(*self.program, "run", "--unit", unit),
                *("--config", str(self.config)),
                cwd=self.folder,
                env={**os.environ, "Http__Port": str(self.port), **extra},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                pass_fds=(self.adopts,) if self.adopts >= 0 else (),
            )

    def _handing_over(self) -> tuple[str, ...]:
        if self.adopts < 0:
            return ()
        return sys.executable, "-SEc", HAND_OVER, str(self.adopts)

    def speaks_into(self) -> BinaryIO:
        """Where its output goes; made anew for each start."""
        return (self.folder / "out.log").open("ab")

    async def _until_ready(self, ears: socket.socket) -> None:
        assert self.process is not None
        loop = asyncio.get_running_loop()
        gone = asyncio.ensure_future(self.process.wait())
        heard = asyncio.ensure_future(loop.sock_recv(ears, 4_096))
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    await asyncio.wait({heard, gone}, return_when=asyncio.FIRST_COMPLETED)
                    if gone.done():
                        raise AssertionError(f"it ended with {gone.result()}:\n{self.output()}")
                    if b"READY=1" in heard.result():
                        return
                    heard = asyncio.ensure_future(loop.sock_recv(ears, 4_096))
        finally:
            gone.cancel()
            heard.cancel()

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Signal the root and wait for its end; its exit code."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(number)
        async with asyncio.timeout(PATIENCE):
            return await self.process.wait()

    async def close(self) -> None:
        """Whatever happened, leave nothing running."""
        await asyncio.gather(*(other.close() for other in self.beside))
        if self.process is not None and self.process.returncode is None:
            try:
                await self.stop()
            except TimeoutError:
                await self.stop(signal.SIGKILL)

    def send(self, number: signal.Signals) -> None:
        """Signal the root."""
        assert self.process is not None
        self.process.send_signal(number)

    # ---- what its processes say ---

    async def ask(self, verb: str, unit: str = "tree", **args: Any) -> dict[str, Any]:
        """Ask a process over its supervision socket."""
        return await call(socket_path(self.runtime, unit), verb, 10.0, **args)

    async def forest(self) -> list[dict[str, Any]]:
        """A row per actor of every process."""
        rows: list[dict[str, Any]] = (await self.ask("forest"))["actors"]
        return rows

    async def pid(self, name: str) -> int | None:
        """The process id behind an actor such as `tree/worker-1`; None while it has none."""
        rows = [row for row in await self.forest() if row["name"] == name]
        return rows[0]["pid"] if rows else None

    async def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Signal the process behind an actor; its id."""
        pid = await self.until(lambda: self.pid(name))
        os.kill(pid, number)
        return int(pid)

    async def until(self, look: Any) -> Any:
        """Ask again and again until the answer is something; the system has no event for it."""
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    if found := await look():
                        return found
                except (Unreachable, Refused, aiohttp.ClientError):
                    pass
                await _breath()

    def output(self) -> str:
        """Everything it has printed."""
        return (self.folder / "out.log").read_text(errors="replace")

    def lines(self) -> list[dict[str, Any]]:
        """Its log so far, a dictionary a line."""
        whole, _, _ = self.output().rpartition("\n")  # the last line may be half written
        texts = whole.splitlines()
        return [json.loads(text) for text in texts if text.startswith("{")]

    def told(self, event: str) -> list[dict[str, Any]]:
        """The log lines of one kind of event."""
        return [line for line in self.lines() if line.get("@i") == event]

    # ---- its API ---

    async def request(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, Any]:
        """One request with a good token: the status and the decoded body."""
        fields = {"Authorization": f"Bearer {token()}", **headers}
        async with self._http.request(
            method, f"{self.url}{path}", json=body, headers=fields
        ) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if text.startswith(("{", "[")) else text

    async def post(self, title: str = "x", **body: Any) -> Task:
        """Create a task that must be accepted."""
        status, task = await self.request("POST", "/tasks", {"title": title, **body})
        assert status == 201, (status, task)
        found: Task = task
        return found

    async def ended(self, task_id: str) -> Task:
        """The task once it is Done, Failed or Cancelled."""
        async with asyncio.timeout(PATIENCE):
            while True:
                status, task = await self.request("GET", f"/tasks/{task_id}?wait=10")
                assert status == 200, (status, task)
                if task["status"] in {"Done", "Failed", "Cancelled"}:
                    found: Task = task
                    return found

    async def all_ended(self, ids: Iterable[str]) -> list[Task]:
        """All of them, waited for side by side."""
        return list(await asyncio.gather(*(self.ended(task_id) for task_id in ids)))

    async def started(self, task_id: str) -> Task:
        """The task once a worker has claimed it."""

        async def look() -> Task | None:
            _, task = await self.request("GET", f"/tasks/{task_id}")
            return task if task["status"] != "Pending" else None

        found: Task = await self.until(look)
        return found


async def _breath() -> None:
    """Let 20 ms of real time pass."""
    loop = asyncio.get_running_loop()
    passed = loop.create_future()
    timer = loop.call_later(0.02, passed.set_result, None)
    try:
        await passed
    finally:
        timer.cancel()


@asynccontextmanager
async def installed(folder: Path) -> AsyncIterator[Installation]:
    """A TaskHub that is gone afterwards."""
    connector = aiohttp.TCPConnector(limit=200)
    async with aiohttp.ClientSession(connector=connector) as http:
        installation = Installation(folder, http)
        try:
            yield installation
        finally:
            await installation.close()


CONFIGURATION = """
[supervisor]
runtime_directory = "{runtime}"
grace = 15

[jwt]
authority = "{issuer}"
audience = "{audience}"
issuer_signing_key = "{key}"

[http]
port = {port}

[metrics]
port = 0

[logs]
format = "clef"
"""
