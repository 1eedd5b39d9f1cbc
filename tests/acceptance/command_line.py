"""Runs the command `taskhub` as a shell would: a process of its own, its exit code, its streams."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.acceptance.installation import PATIENCE, free_port
from tests.waiting import until

COMMAND = (sys.executable, "-m", "taskhub")


@dataclass(frozen=True)
class Outcome:
    """What a command has answered."""

    code: int
    out: str
    err: str


async def taskhub(
    *words: str, folder: Path, environ: Mapping[str, str] | None = None, stdin: str = ""
) -> Outcome:
    """Run one command to its end."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *words,
        cwd=folder,
        env={**os.environ, **(environ or {})},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(PATIENCE):
        out, err = await process.communicate(stdin.encode())
    assert process.returncode is not None
    return Outcome(process.returncode, out.decode(), err.decode())


class Dev:
    """A `taskhub dev` in a folder, on ports of its own."""

    def __init__(self, folder: Path, process: asyncio.subprocess.Process, port: int) -> None:
        self.folder, self.process = folder, process
        self.url = f"http://127.0.0.1:{port}"

    @property
    def environ(self) -> dict[str, str]:
        """What the commands beside it are told."""
        return {"TASKHUB_URL": self.url, **places(self.folder)}

    def output(self) -> str:
        """What it has said."""
        return (self.folder / "dev.log").read_text(errors="replace")

    async def run(self, *words: str, **environ: str) -> Outcome:
        """A command in the same folder."""
        return await taskhub(*words, folder=self.folder, environ={**self.environ, **environ})

    async def ready(self) -> None:
        """Return when every actor of the root is ready."""
        await until(lambda: self.ended() or self._is_ready(), PATIENCE, "it was not ready")
        assert not self.ended(), self.output()

    def ended(self) -> bool:
        """Whether it has gone."""
        return self.process.returncode is not None

    async def stop(self, number: signal.Signals) -> int:
        """Send it a signal; its exit code."""
        self.process.send_signal(number)
        async with asyncio.timeout(PATIENCE):
            return await self.process.wait()

    def _is_ready(self) -> bool:
        from taskhub.kernel.call import Unreachable, call_blocking

        try:
            return bool(call_blocking(self.folder / "run/tree.sock", "ping", 2.0)["ready"])
        except Unreachable:
            return False


def places(folder: Path) -> dict[str, str]:
    """Where the sockets of a TaskHub in this folder stand."""
    return {"Supervisor__RuntimeDirectory": str(folder / "run")}


@asynccontextmanager
async def dev(folder: Path, **environ: str) -> AsyncIterator[Dev]:
    """A `taskhub dev` that has been started, and is gone afterwards."""
    port = free_port()
    own = {"Http__Port": str(port), "Metrics__Port": "0", **places(folder), **environ}
    with (folder / "dev.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *COMMAND,
            "dev",
            cwd=folder,
            env={**os.environ, **own},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    running = Dev(folder, process, port)
    try:
        yield running
    finally:
        if not running.ended():
            await running.stop(signal.SIGTERM)
