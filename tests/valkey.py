"""A real Valkey server for tests, that can be killed, frozen and started again; no mocks of it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from asyncio.subprocess import DEVNULL, Process
from contextlib import suppress
from pathlib import Path
from typing import Self

from taskhub.events.embedded import options
from taskhub.events.embedded_place import find_server, socket_url

from tests.waiting import until


class ValkeyServer:
    """On a unix socket (a path that lives as long as the folder); `async with` starts and kills it.

    `settings` are words of the server's command line, such as `--requirepass`, `secret`.
    """

    def __init__(self, folder: Path, *settings: str) -> None:
        self.socket = folder / "valkey.sock"
        self.url = socket_url(self.socket)
        self._settings = settings
        self._process: Process | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.kill()

    @property
    def pid(self) -> int:
        """The process, while it runs."""
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Start it, empty, and return when it listens."""
        self.socket.unlink(missing_ok=True)
        command = (str(find_server()), *options(self.socket), *self._settings)
        self._process = await asyncio.create_subprocess_exec(*command, stdout=DEVNULL)
        await until(self._listens, what="the server does not start")

    async def kill(self) -> None:
        """End it at once, frozen or not; what it held is lost."""
        if self._process is not None:
            with suppress(ProcessLookupError):  # it has ended by itself
                self._process.kill()
            await self._process.wait()
            self._process = None

    async def freeze(self) -> None:
        """It keeps its connections and takes new ones, but says nothing any more."""
        os.kill(self.pid, signal.SIGSTOP)

    async def thaw(self) -> None:
        """It goes on where it was."""
        os.kill(self.pid, signal.SIGCONT)

    def _listens(self) -> bool:
        with socket.socket(socket.AF_UNIX) as line:
            return line.connect_ex(str(self.socket)) == 0
