"""What every test gets: a clean environment, a clock that can jump, and no way to leave a mess."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping

import pytest

from tests import leaks
from tests.virtual_clock import VirtualLoop

ENDS_WITHIN = 5.0  # seconds that a task, thread or process may need to end by itself
OURS = re.compile(
    r"TASKHUB_(?!TEST_)|[A-Z]+__|NOTIFY_SOCKET|WATCHDOG_|LISTEN_|CREDENTIALS_DIRECTORY|"
    r"NO_COLOR|FORCE_COLOR|CLICOLOR",
    re.IGNORECASE,
)


def pytest_configure(config: pytest.Config) -> None:
    """The marks we know, an environment that says nothing to TaskHub, and a Ctrl-C that works."""
    config.addinivalue_line("markers", "virtual_clock: time in this test is made of jumps")
    for name in [name for name in os.environ if OURS.match(name)]:
        del os.environ[name]
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # so a shell starts what runs behind it
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """One loop for each asynchronous test: the virtual one where it is asked for."""
    wanted = "virtual_loop" in getattr(item, "fixturenames", ())
    if wanted or item.get_closest_marker("virtual_clock"):
        return {"virtual": VirtualLoop}
    return {"real": asyncio.new_event_loop}


@pytest.fixture
async def virtual_loop() -> VirtualLoop:
    """The loop of a test on the virtual clock."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return loop


@pytest.fixture(autouse=True)
def no_leaked_threads_or_processes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test starts must have ended with it: the next one would be blamed."""
    token = uuid.uuid4().hex
    monkeypatch.setenv(leaks.TOKEN, token)
    threads, before = set(threading.enumerate()), leaks.pids()
    yield
    left = {
        "processes": leaks.still_running(before, token, ENDS_WITHIN),
        "threads": leaks.threads_left(threads, ENDS_WITHIN),
        "zombies": leaks.never_reaped(before, token),
    }
    if any(left.values()):
        pytest.fail(f"left behind: {left}", pytrace=False)


@pytest.fixture(autouse=True)
def no_leaked_tasks(request: pytest.FixtureRequest, no_leaked_threads_or_processes: None) -> None:
    """Asks for the check below where the test has a loop (else there would be one for each)."""
    if request.node.get_closest_marker("asyncio"):
        request.getfixturevalue("_tasks_end")


@pytest.fixture
async def _tasks_end() -> AsyncIterator[None]:
    """Every task that a test starts ends before its loop does."""
    yield
    left = asyncio.all_tasks() - {asyncio.current_task()}
    if left:
        _, left = await asyncio.wait(left, timeout=ENDS_WITHIN)
    if left:
        pytest.fail(f"left behind: tasks {sorted(map(repr, left))}", pytrace=False)
