"""The checks that watch over all other tests can fail, each for its own reason."""

from __future__ import annotations

from textwrap import dedent

import pytest

pytest_plugins = ["pytester"]

HEAD = """
    import asyncio, os, subprocess, threading
    kept = []
"""
LEAKS = {
    "tasks": """
        async def test_it():
            kept.append(asyncio.create_task(asyncio.Event().wait()))
    """,
    "threads": """
        def test_it():
            threading.Thread(target=threading.Event().wait, daemon=True).start()
    """,
    "processes": """
        def test_it():
            subprocess.run(["sh", "-c", "setsid sleep 60 >/dev/null 2>&1 &"], check=True)
    """,
    "zombies": """
        def test_it():
            os.fork() or os._exit(0)
    """,
}
ENDS = """
    async def test_tasks_that_end():
        kept.append(asyncio.create_task(asyncio.sleep(0.01)))

    async def test_executor_threads():
        await asyncio.to_thread(int)

    def test_waited_for():
        subprocess.run(["true"], check=True)
"""


def outcomes(pytester: pytest.Pytester, body: str) -> tuple[dict[str, int], str]:
    """Run these tests under our conftest; what pytest counted and said."""
    pytester.makeconftest(
        "from tests.conftest import *\nfrom tests.conftest import _tasks_end\n"
        "from tests import conftest\nconftest.ENDS_WITHIN = 0.5"
    )
    pytester.makeini(
        "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n"
    )
    pytester.makepyfile(dedent(HEAD) + dedent(body))
    result = pytester.runpytest_subprocess("-p", "no:valkey")
    return result.parseoutcomes(), result.stdout.str()


@pytest.mark.parametrize("kind", LEAKS)
def test_what_is_left_behind_fails_the_test_by_name(pytester: pytest.Pytester, kind: str) -> None:
    """A leak found three tests later costs an afternoon."""
    counts, said = outcomes(pytester, LEAKS[kind])

    assert counts == {"passed": 1, "errors": 1}
    assert "left behind" in said
    assert kind in said


def test_what_ends_by_itself_is_no_leak(pytester: pytest.Pytester) -> None:
    """Ends that only need a moment are waited for."""
    counts, _ = outcomes(pytester, ENDS)

    assert counts == {"passed": 3}
