"""The checks that watch over all other tests can fail, each for its own reason."""

from __future__ import annotations

import re
from textwrap import dedent

import pytest

pytest_plugins = ["pytester"]

TESTS = """
    import asyncio, os, subprocess, threading
    kept = []

    async def test_tasks():
        kept.append(asyncio.create_task(asyncio.Event().wait()))

    def test_threads():
        threading.Thread(target=threading.Event().wait, daemon=True).start()

    def test_processes():
        subprocess.run(["sh", "-c", "setsid sleep 60 >/dev/null 2>&1 &"], check=True)

    def test_zombies():
        os.fork() or os._exit(0)

    async def test_ends_of_tasks():
        kept.append(asyncio.create_task(asyncio.sleep(0.01)))

    async def test_ends_of_threads():
        await asyncio.to_thread(int)

    def test_ends_of_processes():
        subprocess.run(["true"], check=True)
"""
LEFT = {
    "tasks": 'tasks ["<Task pending',
    "threads": "'threads': ['Thread-",
    "processes": "'processes': ['",
    "zombies": "'zombies': ['python",
}
SAID = re.compile(r"ERROR at teardown of test_(\w+) _+\nleft behind: (.*)")


def test_what_is_left_behind_fails_the_test_by_name(pytester: pytest.Pytester) -> None:
    """A leak found three tests later costs an afternoon; what ends by itself is waited for."""
    pytester.makeconftest(
        "from tests.conftest import *\nfrom tests.conftest import _tasks_end\n"
        "from tests import conftest\nconftest.ENDS_WITHIN = 0.5"
    )
    pytester.makeini(
        "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n"
    )
    pytester.makepyfile(dedent(TESTS))

    result = pytester.runpytest_subprocess("-p", "no:valkey")

    assert result.parseoutcomes() == {"passed": 7, "errors": 4}
    told = SAID.findall(result.stdout.str())
    assert [test for test, _ in told] == list(LEFT)
    for test, said in told:
        assert LEFT[test] in said
