"""The supervision socket: it answers while the loop is stuck, and nothing sent there breaks it."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from taskhub.kernel import keeper as keeper_module
from taskhub.kernel.call import Refused, Unreachable, call, call_blocking
from taskhub.kernel.child import ActorState, State
from taskhub.kernel.events import KernelEvent, LoopBlocked
from taskhub.kernel.keeper import MAX_REQUEST, Keeper
from taskhub.kernel.pulse import BLOCKED, Pulse

from tests.waiting import blocking_until

pytestmark = pytest.mark.both_loops


@contextmanager
def kept(path: Path, **tables: Any) -> Iterator[Keeper]:
    """A keeper of this very process."""
    pulse = Pulse()
    pulse.start(asyncio.get_running_loop())
    keeper = Keeper(path / "k.sock", pulse, **tables)
    keeper.start(asyncio.get_running_loop())
    try:
        yield keeper
    finally:
        keeper.close()
        pulse.stop()


async def test_ping_tells_who_it_is_and_how_the_loop_does(tmp_path: Path) -> None:
    """One look tells ready, draining and blocked apart."""
    with kept(tmp_path) as keeper:
        keeper.pulse.is_ready = True
        answer = await call(keeper.path, "ping")

    assert answer.pop("age") < BLOCKED
    assert answer == {"pid": os.getpid(), "ready": True, "draining": False, "overdue": False}


async def test_ping_and_quick_verbs_are_answered_in_a_blocked_loop(tmp_path: Path) -> None:
    """A handler may block the loop: its supervisor must still be able to ask."""
    with kept(tmp_path, quick={"metrics": lambda _: b"up 1\n"}) as keeper:
        keeper.pulse.deadline = lambda: 0.0

        blocking_until(lambda: call_blocking(keeper.path, "ping")["age"] > BLOCKED)
        answer = call_blocking(keeper.path, "ping")
        metrics = call_blocking(keeper.path, "metrics")

    assert answer["overdue"]
    assert metrics["body"] == b"up 1\n"


async def test_a_blocked_loop_is_reported_once_with_the_culprits_name(tmp_path: Path) -> None:
    """The log names the line that holds everything up."""
    told: list[KernelEvent] = []
    with kept(tmp_path, name="worker-1", emit=told.append) as keeper:
        a_bad_handler(told, keeper)

    (event,) = told
    assert isinstance(event, LoopBlocked)
    assert (event.name, event.seconds > BLOCKED) == ("worker-1", True)
    assert "a_bad_handler" in event.stack


def a_bad_handler(told: list[KernelEvent], keeper: Keeper) -> None:
    """Blocks the loop until it was seen, and three looks longer."""
    blocking_until(lambda: told)
    age = keeper.pulse.age()
    blocking_until(lambda: keeper.pulse.age() > age + 0.75)


async def test_other_verbs_run_on_the_loop_with_their_arguments(tmp_path: Path) -> None:
    """What touches actors is done where they live; data classes become objects."""

    async def tree(args: dict[str, Any]) -> dict[str, Any]:
        assert asyncio.get_running_loop() is loop
        return {"unit": args["unit"], "actors": [ActorState("a", State.READY, 1.0, 0)]}

    loop = asyncio.get_running_loop()
    with kept(tmp_path, verbs={"tree": tree}) as keeper:
        answer = await call(keeper.path, "tree", unit="api-1")

    assert answer["unit"] == "api-1"
    assert answer["actors"][0]["state"] == "ready"


async def test_stacks_name_every_task_and_thread(tmp_path: Path) -> None:
    """Where everybody waits is one question."""

    async def deep_down() -> None:
        await asyncio.Event().wait()

    async def waits_for_ever() -> None:
        await deep_down()

    task = asyncio.create_task(waits_for_ever(), name="a task of ours")
    with kept(tmp_path) as keeper:
        text = (await call(keeper.path, "stacks"))["stacks"]
    task.cancel()

    assert "a task of ours" in text
    assert "in deep_down" in text
    assert "thread keeper" in text


async def test_a_verb_that_fails_is_an_error_for_its_asker_alone(tmp_path: Path) -> None:
    """The keeper lives on."""

    async def bad(_: dict[str, Any]) -> dict[str, Any]:
        raise ValueError("no such key")

    with kept(tmp_path, verbs={"bad": bad}) as keeper:
        with pytest.raises(Refused, match="ValueError: no such key"):
            await call(keeper.path, "bad")
        with pytest.raises(Refused, match="unknown-verb"):
            await call(keeper.path, "worse")

        assert (await call(keeper.path, "ping"))["pid"] == os.getpid()


@pytest.mark.parametrize(
    "request_line",
    [
        b"\n",
        b"\xff\xfe\n",
        b"[]\n",
        b'"ping"\n',
        b"{}\n",
        b'{"verb": 5}\n',
        b'{"verb": ["ping"]}\n',
        b"[" * 100_000 + b"\n",
        b"x" * (MAX_REQUEST + 10) + b"\n",
    ],
    ids=["empty", "bytes", "list", "text", "no verb", "number", "list verb", "deep", "long"],
)
async def test_a_bad_request_gets_an_error_answer(tmp_path: Path, request_line: bytes) -> None:
    """Whatever comes is bounded and answered."""
    with kept(tmp_path) as keeper:
        reader, writer = await asyncio.open_unix_connection(keeper.path)
        writer.write(request_line)
        answer = await reader.readline()
        writer.transport.abort()

        assert b'"error": "bad-request"' in answer
        assert await call(keeper.path, "ping")


async def test_who_sends_nothing_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A silent client holds no place for ever."""
    monkeypatch.setattr(keeper_module, "REQUEST_WITHIN", 0.05)
    with kept(tmp_path) as keeper:
        reader, writer = await asyncio.open_unix_connection(keeper.path)
        answer = await reader.read()
        writer.transport.abort()

    assert b"did not come" in answer


async def test_silent_clients_do_not_keep_a_ping_from_its_answer(tmp_path: Path) -> None:
    """A stuck `taskhub top` must not get a worker killed as frozen."""
    with kept(tmp_path) as keeper:
        idle = [socket.socket(socket.AF_UNIX) for _ in range(10)]
        for line in idle:
            line.connect(str(keeper.path))

        assert await call(keeper.path, "ping", within=2.0)
        for line in idle:
            line.close()


async def test_a_stale_file_is_replaced_and_ours_is_taken_away(tmp_path: Path) -> None:
    """A process that was killed leaves its socket; its successor starts all the same."""
    (tmp_path / "k.sock").touch(mode=0o666)
    with kept(tmp_path) as keeper:
        assert keeper.path.stat().st_mode & 0o777 == 0o600
        assert await call(keeper.path, "ping")

    assert not keeper.path.exists()


async def test_a_path_that_is_too_long_is_named(tmp_path: Path) -> None:
    """Unix sockets have paths of at most 107 bytes."""
    keeper = Keeper(tmp_path / ("x" * 120), Pulse())

    with pytest.raises(OSError, match="x" * 120):
        keeper.start(asyncio.get_running_loop())


async def test_nobody_there_is_unreachable(tmp_path: Path) -> None:
    """One error for a missing socket, a dead one and one that does not answer."""
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(tmp_path / "dead.sock"))
    dead.close()
    mute = socket.socket(socket.AF_UNIX)
    mute.bind(str(tmp_path / "mute.sock"))
    mute.listen()
    for name in ("none.sock", "dead.sock", "mute.sock"):
        with pytest.raises(Unreachable):
            await call(tmp_path / name, "ping", within=0.05)
        with pytest.raises(Unreachable):
            call_blocking(tmp_path / name, "ping", timeout=0.05)
    mute.close()


@pytest.mark.parametrize(("ready", "status"), [(True, b"200"), (False, b"503")])
async def test_ready_is_a_page_too(tmp_path: Path, ready: bool, status: bytes) -> None:
    """Probes and curl speak HTTP, and ask while the loop stands still."""
    with kept(tmp_path, quick={"ready": lambda _: {"ready": ready, "parts": []}}) as keeper:
        fields = b"Host: x\r\nUser-Agent: curl\r\n\r\n"
        answer = await asyncio.to_thread(said, keeper.path, b"GET /ready HTTP/1.1\r\n" + fields)
        head = await asyncio.to_thread(said, keeper.path, b"HEAD /ready HTTP/1.1\r\n" + fields)

    fields, _, body = answer.partition(b"\r\n\r\n")
    assert fields.split()[1] == head.split()[1] == status
    assert json.loads(body) == {"ready": ready, "parts": []}
    assert f"Content-Length: {len(body)}".encode() in fields
    assert head.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("path", [b"/", b"/ping", b"/ready/", b"/\xff", b""])
async def test_no_other_page_is_there(tmp_path: Path, path: bytes) -> None:
    """The socket restarts and reloads: nothing of that is one GET away."""
    with kept(tmp_path, quick={"ready": lambda _: {"ready": True}}) as keeper:
        request = b"GET /" + path.removeprefix(b"/") + b" HTTP/1.1\r\n\r\n"
        answer = await asyncio.to_thread(said, keeper.path, request)

    assert answer.split()[1] == b"404"


def said(path: Path, request: bytes) -> bytes:
    """The whole answer to these bytes."""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(5)
        line.connect(str(path))
        line.sendall(request)
        with line.makefile("rb") as answer:
            return answer.read()
