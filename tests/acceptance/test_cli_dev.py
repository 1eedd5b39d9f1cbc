"""`taskhub dev` for real: a newcomer's first minutes, and the end of them."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import stat
from pathlib import Path

import pytest

from tests.acceptance.command_line import Dev, dev

ROOT = Path(__file__).parents[2]


def first_task() -> list[str]:
    """The lines of the README that a newcomer types into the second terminal."""
    text = (ROOT / "README.md").read_text()
    (block,) = re.findall(r"```sh\n(export PATH.*?)```", text, re.DOTALL)
    return [line for line in block.splitlines() if "export PATH" not in line]


async def shell(running: Dev, line: str) -> tuple[int, str]:
    """One line in the second terminal: bash, and the command `taskhub` on its PATH."""
    path = f"{Path(shutil.which('taskhub', path=_bin()) or '').parent}:{os.environ['PATH']}"
    process = await asyncio.create_subprocess_exec(
        "bash",
        "-euc",
        line,
        cwd=running.folder,
        env={**os.environ, **running.environ, "PATH": path},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode()


def _bin() -> str:
    import sys

    return str(Path(sys.executable).parent)


async def test_the_readmes_first_task_works_line_by_line(tmp_path: Path) -> None:
    """What is written there is what people do first."""
    async with dev(tmp_path) as running:
        await running.ready()
        export, *lines = first_task()
        export = export.replace("http://127.0.0.1:8080", running.url)
        answers = [await shell(running, f"{export}\n{line}") for line in lines]

    outputs = "\n".join(out for _, out in answers)
    assert [code for code, _ in answers] == [0] * len(lines), outputs
    assert '"title":"Resize images"' in answers[0][1]
    assert '"items":[' in answers[1][1]
    assert '"IT WORKS"' in answers[2][1]
    assert "worker-1/pool" in answers[4][1]
    assert "taskhub_api_tasks_created_total" in answers[-1][1]


async def test_the_readmes_own_handler_works(tmp_path: Path) -> None:
    """The second thing that a newcomer does."""
    text = (ROOT / "README.md").read_text()
    (module,) = re.findall(r"```python\n# shop/tasks.py\n(.*?)```", text, re.DOTALL)
    (create,) = re.findall(r"^taskhub create 'A picture'.*$", text, re.MULTILINE)
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/tasks.py").write_text(module)

    async with dev(tmp_path, Work__Handlers="shop.tasks") as running:
        await running.ready()
        token = (await running.run("token")).out.strip()
        code, out = await shell(running, f"export TASKHUB_TOKEN={token}\n{create}")

    assert code == 0, out
    assert '{"width": 640}' in out


async def test_the_throw_away_key_is_private_and_stays(tmp_path: Path) -> None:
    """A token made before a restart is good after it."""
    async with dev(tmp_path) as running:
        await running.ready()
        key = tmp_path / "data/dev.key"
        first = key.read_text()
        token = (await running.run("token")).out.strip()
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
    async with dev(tmp_path) as running:
        await running.ready()
        listed = await running.run("list", TASKHUB_TOKEN=token)

    assert key.read_text() == first
    assert listed.code == 0
    assert first.strip() not in running.output()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_ctrl_c_and_a_closed_terminal_stop_it_cleanly(
    tmp_path: Path, number: signal.Signals
) -> None:
    """Nothing is left: the fixture of every test looks for processes."""
    async with dev(tmp_path) as running:
        await running.ready()
        code = await running.stop(number)

    assert code == 0, running.output()


async def test_its_log_goes_to_stderr_and_says_what_to_do_next(tmp_path: Path) -> None:
    """The address, a token, the next commands."""
    async with dev(tmp_path) as running:
        await running.ready()

    text = running.output()
    assert f"TaskHub starts at {running.url}" in text
    assert f"export TASKHUB_URL={running.url} TASKHUB_TOKEN=" in text


async def test_no_secret_is_in_the_environment_or_the_command_line_of_a_child(
    tmp_path: Path,
) -> None:
    """Your code runs in a worker: it must not find the key of all tokens there."""
    canary = "canary-2f7a-canary-2f7a-canary-2f7a"
    async with dev(tmp_path, Jwt__IssuerSigningKey=canary) as running:
        await running.ready()
        status = await running.run("status", "--json")
        pids = re.findall(r'"pid": (\d+)', status.out)
        lines = [(Path("/proc") / pid / "cmdline").read_bytes() for pid in pids]
        children = [pid for pid in pids if int(pid) != running.process.pid]
        environs = [(Path("/proc") / pid / "environ").read_bytes() for pid in children]

    assert len(children) >= 2
    assert not any(canary.encode() in text for text in [*lines, *environs])
    assert canary not in running.output()
