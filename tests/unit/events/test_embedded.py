"""The embedded event server as an actor: real processes, real signals."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from taskhub.events.embedded import EmbeddedServer, Pace, said_back
from taskhub.events.embedded_place import EmbeddedServerTaken, find_server
from taskhub.kernel.actor import ChildSpec, Context, ExpectedExit, RestartLimit
from taskhub.kernel.events import ActorReady, KernelEvent
from taskhub.kernel.process import ChildDied
from taskhub.kernel.supervisor import Supervisor
from taskhub.obs.telemetry import ServerSaid, Telemetry

from tests.valkey import ValkeyServer
from tests.waiting import Signal, blocking_until, until

SOON = Pace(ping=0.05, frozen=0.3, stop=0.5)
ORPHANED = """
import asyncio, sys
from pathlib import Path
from taskhub.events.embedded import EmbeddedServer
from taskhub.events.embedded_place import find_server
from taskhub.kernel.actor import Context

async def main():
    server = EmbeddedServer(find_server(), Path(sys.argv[1]), lambda event: None)
    ctx = Context("events-server", on_ready=lambda: print(server.pid, flush=True))
    await server.run(ctx)

asyncio.run(main())
"""


@pytest.fixture
def socket(tmp_path: Path) -> Path:
    """A socket in a folder that is not there yet."""
    return tmp_path / "state" / "events.sock"


@asynccontextmanager
async def running(server: EmbeddedServer) -> AsyncIterator[tuple[Context, asyncio.Task[None]]]:
    """The server as its supervisor runs it, from ready until a stop."""
    ctx = Context("events-server")
    run = asyncio.create_task(server.run(ctx))
    ready = asyncio.create_task(ctx.is_ready.wait())
    await asyncio.wait({run, ready}, return_when=asyncio.FIRST_COMPLETED)
    ready.cancel()
    yield ctx, run
    ctx.stopping.set()
    await asyncio.wait({run})


async def pong(socket: Path) -> bool:
    """Whether a server answers here."""
    return await said_back(socket, b"PING\r\n") == b"+PONG\r\n"


def is_alive(pid: int) -> bool:
    """Whether the process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_it_is_ready_when_it_answers_and_gone_after_a_stop(socket: Path) -> None:
    """The next actor in the list connects at once; a stop leaves neither process nor socket."""
    server = EmbeddedServer(find_server(), socket, lambda event: None)

    async with running(server) as (_, run):
        pid = server.pid
        assert pid is not None
        assert await pong(socket)
    await run

    assert not is_alive(pid)
    assert not socket.exists()
    assert server.pid is None


async def test_its_own_words_are_told_at_debug(socket: Path) -> None:
    """They matter only when it does not start."""
    said: list[Telemetry] = []
    async with running(EmbeddedServer(find_server(), socket, said.append)):
        pass

    lines = [event.text for event in said if isinstance(event, ServerSaid)]
    assert any("Ready to accept connections" in line for line in lines)


async def test_it_knows_none_of_our_secrets(socket: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server needs no key of ours, and its environment can be read by its user."""
    monkeypatch.setenv("Jwt__IssuerSigningKey", "canary")
    server = EmbeddedServer(find_server(), socket, lambda event: None)
    async with running(server):
        assert b"canary" not in Path(f"/proc/{server.pid}/environ").read_bytes()
        assert b"canary" not in Path(f"/proc/{server.pid}/cmdline").read_bytes()
        assert os.getsid(server.pid or 0) == server.pid  # a Ctrl-C does not reach it


async def test_its_death_is_nobodys_bug(socket: Path) -> None:
    """Anybody may kill it as often as they like: the tree goes on."""
    server = EmbeddedServer(find_server(), socket, lambda event: None)
    async with running(server) as (_, run):
        os.kill(server.pid or 0, signal.SIGKILL)

        with pytest.raises(ExpectedExit, match="killed by signal 9"):
            await run


async def test_a_frozen_server_is_killed(socket: Path) -> None:
    """It would hold its socket and its clients for as long as it is frozen."""
    server = EmbeddedServer(find_server(), socket, lambda event: None, SOON)
    async with running(server) as (_, run):
        pid = server.pid or 0
        os.kill(pid, signal.SIGSTOP)

        with pytest.raises(ExpectedExit, match="killed by signal 9"):
            await run

    assert not is_alive(pid)


async def test_a_frozen_server_does_not_hold_up_a_stop(socket: Path) -> None:
    """It hears no SIGTERM."""
    server = EmbeddedServer(find_server(), socket, lambda event: None, Pace(stop=0.1))
    async with running(server) as (_, run):
        pid = server.pid or 0
        os.kill(pid, signal.SIGSTOP)
    await run

    assert not is_alive(pid)


async def test_a_cancelled_actor_leaves_no_server(socket: Path) -> None:
    """A supervisor out of patience gives no time to say goodbye."""
    server = EmbeddedServer(find_server(), socket, lambda event: None)
    async with running(server) as (_, run):
        pid = server.pid or 0
        run.cancel()
        await asyncio.wait({run})

        assert run.cancelled()
        assert not is_alive(pid)


@pytest.mark.parametrize("script", ["exit 3", "exec sleep 60"])
async def test_a_server_that_does_not_start_counts(
    script: str, socket: Path, tmp_path: Path
) -> None:
    """A wrong program will not get better by itself: its restarts are counted."""
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    server = EmbeddedServer(program, socket, lambda event: None, Pace(start=0.3))

    with pytest.raises(ChildDied):
        await server.run(Context("events-server"))


async def test_a_socket_left_by_a_killed_server_is_replaced(socket: Path) -> None:
    """After a power cut or kill -9 it starts like any other day."""
    for _ in range(2):
        server = EmbeddedServer(find_server(), socket, lambda event: None)
        async with running(server) as (_, run):
            assert await pong(socket)
            os.kill(server.pid or 0, signal.SIGKILL)
            await asyncio.wait({run})
        assert socket.exists()


async def test_a_server_left_over_is_ended_first(tmp_path: Path) -> None:
    """Where nothing ties it to its parent it may outlive it, with clients that hear nothing."""
    async with ValkeyServer(tmp_path) as old:
        server = EmbeddedServer(find_server(), old.socket, lambda event: None)
        async with running(server):
            await until(lambda: not is_alive(old.pid))
            assert await pong(old.socket)


async def test_a_second_one_on_the_same_socket_is_refused(socket: Path) -> None:
    """It would cut off every process of the first."""
    async with running(EmbeddedServer(find_server(), socket, lambda event: None)) as (_, run):
        with pytest.raises(EmbeddedServerTaken):
            await EmbeddedServer(find_server(), socket, lambda event: None).run(Context("second"))

        assert await pong(socket)
        assert not run.done()


async def test_a_killed_server_is_back_and_nothing_escalates(socket: Path) -> None:
    """With no restart allowed at all, each death is followed by a new life."""
    ready = Signal[int]()
    live: list[EmbeddedServer] = []

    def build() -> EmbeddedServer:
        live.append(EmbeddedServer(find_server(), socket, lambda event: None))
        return live[-1]

    def tell(event: KernelEvent) -> None:
        if isinstance(event, ActorReady) and event.name.endswith("events-server"):
            ready(live[-1].pid or 0)

    root = Supervisor([ChildSpec("events-server", build)], RestartLimit(intensity=0), tell)
    ctx = Context("root")
    run = asyncio.create_task(root.run(ctx))
    for _ in range(3):
        os.kill(await ready.next(within=10), signal.SIGKILL)
    await ready.next(within=10)
    ctx.stopping.set()
    await run


def test_it_dies_with_its_parent(socket: Path) -> None:
    """Also when that one gets kill -9: nobody is left to tell it."""
    command = [sys.executable, "-c", ORPHANED, str(socket)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_alive(pid)

        parent.kill()

    blocking_until(lambda: not is_alive(pid), what="the server outlives its parent")
