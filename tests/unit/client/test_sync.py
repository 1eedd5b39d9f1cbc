"""SyncTaskHub: the same for scripts and threads, and nothing of it stays behind."""

from __future__ import annotations

import asyncio
import gc
import signal
import subprocess
import sys
import threading
from asyncio import StreamWriter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from taskhub.client import Status, SyncTaskHub
from taskhub.client import errors as e

from tests.unit.client.conftest import QUICK
from tests.unit.client.server import ID, Server, problem, running, silence, stream, task


@pytest.fixture
def far() -> Iterator[Server]:
    """A server in a thread of its own, as a script has none in its."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def done(coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(10)

    context = running()
    yield done(context.__aenter__())
    done(context.__aexit__(None, None, None))
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def hub(far: Server) -> Iterator[SyncTaskHub]:
    """A client of it."""
    with SyncTaskHub(far.url, "a.b.c", retries=QUICK) as client:
        yield client


def test_a_script_creates_and_waits(far: Server, hub: SyncTaskHub) -> None:
    """Plain calls, plain values."""
    far.says(503, problem(503, "busy"), Retry_After="0")
    far.says(201, task())
    far.says(200, task(status="Done"))

    made = hub.create("T", key="k", payload={"a": 1}, delay_seconds=2)

    assert hub.wait(made.id).status is Status.DONE
    assert far.requests[1].headers["idempotency-key"] == '"k"'
    assert far.requests[1].json == {"title": "T", "payload": {"a": 1}, "delaySeconds": 2}


def test_every_method_is_there(far: Server, hub: SyncTaskHub) -> None:
    """One face, two ways to call."""
    far.says(200, task())

    hub.get(ID, wait=1)
    hub.cancel(ID)
    hub.retry(ID)
    far.acts.clear()
    far.says(200, {"matched": 2, "changed": 2, "skipped": 0, "next": None, "sample": []})
    assert hub.bulk("cancel", "type:x").changed == 2
    assert [step.changed for step in hub.bulk_steps("retry", everything=True)] == [2]

    assert hub.ready()
    assert [path for _, path in far.asked] == [
        f"/tasks/{ID}?wait=1",
        f"/tasks/{ID}/cancel",
        f"/tasks/{ID}/retry",
        "/tasks/bulk/cancel",
        "/tasks/bulk/retry",
        "/ready",
    ]


def test_pages_and_streams_are_plain_iterators(far: Server, hub: SyncTaskHub) -> None:
    """Left early, they leave nothing open."""
    data = f'id: 1\ndata: {{"type":"TaskDone","id":"{ID}"}}\n\n'
    far.says(200, {"items": [task(id="a")], "next": "a"})
    far.says(200, {"items": [task(id="b")], "next": None})
    far.does(stream(data + data, ends=False))

    found = [each.id for each in hub.tasks("status:done")]
    events = hub.events()
    event = next(events)
    events.close()

    assert found == ["a", "b"]
    assert (event.seq, event.type) == (1, "TaskDone")


def test_errors_are_the_same(far: Server, hub: SyncTaskHub) -> None:
    """Typed, and raised where the call stands."""
    far.says(404, problem(404, "not-found"))

    with pytest.raises(e.NotFound):
        hub.get(ID)


def test_any_thread_may_call(far: Server, hub: SyncTaskHub) -> None:
    """At the same time."""
    far.says(200, task())

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: hub.get(ID).id, range(40)))

    assert found == [ID] * 40
    assert len(far.requests) == 40


def test_it_works_inside_a_program_with_a_loop(far: Server) -> None:
    """In a thread of that program: the two loops do not know each other."""
    far.says(200, task())

    def work() -> str:
        with SyncTaskHub(far.url) as hub:
            return hub.get(ID).id

    async def main() -> str:
        return await asyncio.to_thread(work)

    assert asyncio.run(main()) == ID


def test_what_is_closed_says_so(far: Server) -> None:
    """Closing twice does no harm."""
    hub = SyncTaskHub(far.url, "secret.token.x")
    hub.close()
    hub.close()

    with pytest.raises(RuntimeError, match="closed"):
        hub.get(ID)
    assert repr(hub) == f"SyncTaskHub({far.url!r})"


def test_what_is_forgotten_is_closed(far: Server) -> None:
    """A script that drops it leaves no thread and no connection (the suite's own check)."""
    far.says(200, task())
    hub = SyncTaskHub(far.url)
    hub.get(ID)

    del hub
    gc.collect()

    assert not [thread for thread in threading.enumerate() if thread.name == "taskhub-client"]


def test_a_token_that_needs_its_own_client_is_a_mistake_and_no_standstill(far: Server) -> None:
    """The function runs in the client's own thread, which cannot wait for itself."""
    far.says(200, task())
    with (
        SyncTaskHub(far.url, lambda: odd.get(ID).title) as odd,
        pytest.raises(RuntimeError, match="would wait for itself"),
    ):
        odd.get(ID)


def test_an_iterator_that_is_left_early_is_closed(far: Server, hub: SyncTaskHub) -> None:
    """By `break`, as everybody leaves a loop."""
    far.does(stream(f'id: 1\ndata: {{"type":"TaskDone","id":"{ID}"}}\n\n', ends=False))

    for event in hub.events():
        assert event.seq == 1
        break

    far.acts.clear()
    far.says(200, task())
    assert hub.get(ID).id == ID


def test_ctrl_c_in_the_middle_of_a_step_ends_it_and_nothing_else(
    far: Server, hub: SyncTaskHub
) -> None:
    """The iterator is closed, and the client goes on."""

    async def act(writer: StreamWriter) -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        await stream("", ends=False)(writer)

    far.does(act)

    with pytest.raises(KeyboardInterrupt):
        next(hub.events())

    far.acts.clear()
    far.says(200, task())
    assert hub.get(ID).id == ID


def test_closing_ends_what_other_threads_wait_for(far: Server) -> None:
    """They are told why; nobody hangs."""
    asked = threading.Event()

    async def act(writer: StreamWriter) -> None:
        asked.set()
        await silence(writer)

    far.does(act)
    hub = SyncTaskHub(far.url)

    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(hub.get, ID)
        assert asked.wait(10)
        hub.close()
        with pytest.raises(RuntimeError, match="closed"):
            found.result(10)


FORKS = """
import os, sys
from taskhub.client import SyncTaskHub
hub = SyncTaskHub("http://127.0.0.1:1")
if child := os.fork():
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
try:
    hub.get("x")
except RuntimeError as error:
    print(error)
"""


def test_a_process_that_has_forked_is_told_so() -> None:
    """Its thread is not there: the child would wait for ever."""
    command = (sys.executable, "-W", "ignore", "-c", FORKS)
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)

    assert (ended.returncode, ended.stderr) == (0, "")
    assert "has forked" in ended.stdout
