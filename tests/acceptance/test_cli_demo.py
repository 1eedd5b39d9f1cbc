"""`taskhub demo` for real: it ends by itself, tells the truth, and leaves nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.command_line import COMMAND, taskhub
from tests.acceptance.installation import PATIENCE


@pytest.fixture
def temporary() -> Iterator[dict[str, str]]:
    """Where the demo makes its folder; short, for a socket lies deep in it."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        yield {"TMPDIR": name}


async def test_the_demo_shows_a_takeover_and_ends_by_itself(
    tmp_path: Path, temporary: dict[str, str]
) -> None:
    """A newcomer's first command."""
    ended = await taskhub("demo", folder=tmp_path, environ=temporary)

    assert ended.code == 0, ended.err
    assert "kill -9" in ended.out
    assert "the killed worker's task ran again after" in ended.out
    assert "Where to look next" in ended.out
    assert "\x1b" not in ended.out
    assert list(Path(temporary["TMPDIR"]).iterdir()) == []


async def test_the_demo_hears_nothing_of_our_environment(
    tmp_path: Path, temporary: dict[str, str]
) -> None:
    """Who has a configuration of his own can still look at it."""
    (tmp_path / "supervisor.toml").write_text("[http]\nport = 'x'\n")
    other = {"Store__Url": "sqlite:////nowhere/x.db", "TASKHUB_URL": "http://127.0.0.1:1"}

    ended = await taskhub("demo", folder=tmp_path, environ={**temporary, **other})

    assert ended.code == 0, ended.err


async def test_a_demo_that_cannot_run_says_why(tmp_path: Path, temporary: dict[str, str]) -> None:
    """The reason and the end of its log."""
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "sitecustomize.py").write_text(
        "import sys\nif 'dev' in sys.argv or 'dev' in sys.orig_argv:\n    raise SystemExit(9)\n"
    )

    ended = await taskhub("demo", folder=tmp_path, environ={**temporary, "PYTHONPATH": str(broken)})

    assert ended.code == 1
    assert "the demo failed: it ended with exit code" in ended.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
async def test_whoever_stops_the_demo_leaves_no_process(
    tmp_path: Path, temporary: dict[str, str], number: signal.Signals
) -> None:
    """Even kill -9: the tree dies with it. The fixture of every test looks for processes."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        "demo",
        cwd=tmp_path,
        env={**os.environ, **temporary},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE):
        while b"creating" not in (line := await process.stdout.readline()):
            assert line, "it ended before it began"
        process.send_signal(number)
        await process.stdout.read()
        code = await process.wait()

    assert code == (-signal.SIGKILL if number == signal.SIGKILL else 130)
    if number != signal.SIGKILL:
        assert list(Path(temporary["TMPDIR"]).iterdir()) == []
