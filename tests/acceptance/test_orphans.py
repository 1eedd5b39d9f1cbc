"""Ends of the root, good and bad: whatever ends it, no process of the tree is left behind."""

from __future__ import annotations

import asyncio
import os
import pty
import signal
from pathlib import Path
from typing import Self

import pytest

from tests.acceptance.command_line import COMMAND, Dev, places
from tests.acceptance.installation import PATIENCE, Installation, free_port
from tests.acceptance.processes import below, gone
from tests.waiting import until

DEEDS = """
import asyncio, os, pathlib, time
from taskhub import Job, handler

@handler("suspect", timeout=3600)
async def suspect(job: Job, place: str) -> str:
    # Kills its worker, then runs alone in a processor child until that is killed too.
    if job.attempt == 1:
        os._exit(9)
    if job.attempt == 2:
        pathlib.Path(place).write_text(str(os.getpid()))
        await asyncio.sleep(3600)
    return "at last"

def is_first(name: str) -> bool:
    # Whether this handler starts for the first time here.
    try:
        pathlib.Path(name).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True

@handler("stubborn", timeout=3600)
async def stubborn() -> str:
    first = is_first("stubborn.started")
    while first:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass
    return "at last"

@handler("deaf", timeout=3600)
def deaf() -> str:
    first = is_first("deaf.started")
    while first:
        time.sleep(3600)
    return "at last"
"""


async def test_a_root_that_is_killed_takes_its_whole_tree_along(hub: Installation) -> None:
    """Worker, API, event server, and the processor child two levels down; Ctrl-C is as thorough."""
    hub.configure(f"[work]\nlease = 3600\n{hub.handlers(DEEDS)}\n")
    await hub.start()
    assert hub.process is not None
    place = hub.folder / "processor.pid"
    task = await hub.post(type="suspect", payload={"place": str(place)})
    await until(lambda: place.exists() and place.read_text(), PATIENCE)

    names = ("tree/worker-1", "tree/api-1", "tree/events-server")
    known = {await hub.pid(name) for name in names} | {int(place.read_text())}
    tree = below(hub.process.pid)
    assert len(known) == 4
    assert known <= tree, "they are all ours, and not one and the same"
    assert await hub.stop(signal.SIGKILL) == -signal.SIGKILL
    await gone(tree)

    await hub.start()
    done = await hub.ended(task["id"])
    tree = below(hub.process.pid)
    assert await hub.stop(signal.SIGINT) == 0
    await gone(tree)

    assert (done["status"], done["attempts"]) == ("Done", 3)
    assert len(tree) >= 3


@pytest.mark.parametrize(("unit", "events"), [("tree", "embedded"), ("all", "local")])
async def test_a_second_sigterm_stops_at_once_whatever_the_handlers_do(
    hub: Installation, unit: str, events: str
) -> None:
    """With an hour of grace the first one waits; the second one does not, and loses nothing."""
    work = f"lease = 3600\n{hub.handlers(DEEDS)}\n"
    hub.configure(f'[events]\nurl = "{events}"\n[work]\n{work}')
    await hub.start(unit, environ={"Supervisor__Grace": "3600"})
    assert hub.process is not None
    tasks = [await hub.post(type=name) for name in ("stubborn", "deaf")]
    for name in ("stubborn", "deaf"):
        await until((hub.folder / f"{name}.started").exists, PATIENCE)
    tree = below(hub.process.pid)

    hub.send(signal.SIGTERM)
    await hub.until(lambda: _drains(hub, "worker-1" if unit == "tree" else unit))
    assert hub.process.returncode is None
    assert await hub.stop(signal.SIGTERM) == 0
    await gone(tree)
    await hub.start(unit)

    done = await hub.all_ended(task["id"] for task in tasks)
    assert [task["status"] for task in done] == ["Done"] * 2


async def _drains(hub: Installation, process: str) -> bool:
    return bool((await hub.ask("ping", process))["draining"])


class Terminal:
    """A `taskhub dev` on a real terminal of its own, read so that it never fills up."""

    def __init__(self, folder: Path) -> None:
        self.heard = bytearray()
        self.dev: Dev
        self._folder = folder
        self._ours, self._theirs = pty.openpty()

    async def __aenter__(self) -> Self:
        port = free_port()
        own = {"Http__Port": str(port), "Metrics__Port": "0", **places(self._folder)}
        process = await asyncio.create_subprocess_exec(
            *("setsid", "--ctty", *COMMAND, "dev"),
            cwd=self._folder,
            env={**os.environ, **own},
            stdin=self._theirs,
            stdout=self._theirs,
            stderr=self._theirs,
        )
        os.close(self._theirs)
        asyncio.get_running_loop().add_reader(self._ours, self._read)
        self.dev = Dev(self._folder, process, port)
        return self

    async def __aexit__(self, *error: object) -> None:
        self.hang_up()
        if not self.dev.ended():
            await self.dev.stop(signal.SIGKILL)

    def type(self, keys: bytes) -> None:
        """What a person types; the kernel makes signals of it."""
        os.write(self._ours, keys)

    def hang_up(self) -> None:
        """Close the window; may be done twice."""
        if self._ours >= 0:
            asyncio.get_running_loop().remove_reader(self._ours)
            os.close(self._ours)
            self._ours = -1

    def _read(self) -> None:
        try:
            self.heard += os.read(self._ours, 65_536)
        except OSError:  # EIO: nobody has it open on the other side
            asyncio.get_running_loop().remove_reader(self._ours)


async def test_ctrl_c_in_a_terminal_stops_dev_cleanly(tmp_path: Path) -> None:
    """The kernel sends it to the terminal's foreground processes: that must be the root alone."""
    async with Terminal(tmp_path) as terminal:
        await terminal.dev.ready()
        tree = below(terminal.dev.process.pid)
        terminal.type(b"\x03")
        code = await ended(terminal)
        await gone(tree)

    assert (code, len(tree)) == (0, 3)
    assert b"Traceback" not in terminal.heard
    assert terminal.heard.count(b"SIGINT") == 1, "nobody else was interrupted"


async def test_a_terminal_that_is_closed_stops_dev_cleanly(tmp_path: Path) -> None:
    """A SIGHUP, and standard streams that give errors from then on."""
    async with Terminal(tmp_path) as terminal:
        await terminal.dev.ready()
        tree = below(terminal.dev.process.pid)
        terminal.hang_up()
        code = await ended(terminal)
        await gone(tree)

    assert (code, len(tree)) == (0, 3)


async def ended(terminal: Terminal) -> int:
    """The exit code, once it has one."""
    async with asyncio.timeout(PATIENCE):
        return await terminal.dev.process.wait()
