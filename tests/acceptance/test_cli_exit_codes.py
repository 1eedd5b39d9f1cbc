"""Real processes: what a shell sees of the command when things go wrong."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from pathlib import Path

import pytest

from tests.acceptance.command_line import COMMAND, taskhub
from tests.acceptance.installation import free_port

CANARY = "canary-9c4d-canary-9c4d-canary-9c4d"


async def test_a_wrong_configuration_is_code_2_for_every_command_that_reads_it(
    tmp_path: Path,
) -> None:
    """Each says the same, and starts nothing."""
    (tmp_path / "supervisor.toml").write_text("[http]\nport = 'x'\n")

    for words in (
        ["run"],
        ["dev"],
        ["check"],
        ["config"],
        ["status"],
        ["reload"],
        ["db", "status"],
    ):
        ended = await taskhub(*words, folder=tmp_path)

        assert (ended.code, ended.out) == (2, ""), words
        assert "supervisor.toml:2: http.port: expected a whole number" in ended.err, words
        assert "Traceback" not in ended.err, words


async def test_run_refuses_what_its_unit_cannot_do(tmp_path: Path) -> None:
    """All of it at once, before anything is started."""
    ended = await taskhub("run", "--unit", "api", folder=tmp_path)

    assert ended.code == 2
    for key in ("events.url", "jwt.issuer_signing_key", "jwt.authority", "jwt.audience"):
        assert key in ended.err
    assert list(tmp_path.iterdir()) == []


async def test_a_taken_port_is_code_2_in_one_line(tmp_path: Path) -> None:
    """A mistake of the operator, not a bug."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = await taskhub(
            "dev",
            folder=tmp_path,
            environ={"Http__Port": port, "Supervisor__RuntimeDirectory": str(tmp_path / "run")},
        )

    assert ended.code == 2
    assert "http.port" in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("words", ["list", "status", "reload", "show x"])
async def test_nobody_there_is_code_3(tmp_path: Path, words: str) -> None:
    """For the API and for the processes of this machine."""
    environ = {
        "TASKHUB_URL": f"http://127.0.0.1:{free_port()}",
        "RUNTIME_DIRECTORY": str(tmp_path),
    }

    ended = await taskhub(*words.split(), folder=tmp_path, environ=environ)

    assert (ended.code, ended.out) == (3, "")


async def test_ctrl_c_is_quiet_and_code_130(tmp_path: Path) -> None:
    """A server that never answers, and somebody who has waited enough."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        mute.setblocking(False)
        port = mute.getsockname()[1]
        process = await asyncio.create_subprocess_exec(
            *COMMAND,
            "list",
            cwd=tmp_path,
            env={**os.environ, "TASKHUB_URL": f"http://127.0.0.1:{port}"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        line, _ = await asyncio.get_running_loop().sock_accept(mute)
        with line:
            process.send_signal(signal.SIGINT)
            out, err = await process.communicate()

    assert (process.returncode, out, err.strip()) == (130, b"", b"")


async def test_a_closed_pipe_is_no_traceback(tmp_path: Path) -> None:
    """`taskhub config | head -1`"""
    process = await asyncio.create_subprocess_shell(
        f"{COMMAND[0]} -m taskhub config | head -1",
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()

    assert (out, err) == (b"[units]\n", b"")


async def test_a_closed_stream_is_no_traceback(tmp_path: Path) -> None:
    """`taskhub config --json >&-`: whoever closes it does not want to read."""
    process = await asyncio.create_subprocess_shell(
        f"{COMMAND[0]} -m taskhub config --json >&-",
        cwd=tmp_path,
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await process.communicate()

    assert (process.returncode, err) == (0, b"")


async def test_no_secret_on_any_stream_of_any_local_command(tmp_path: Path) -> None:
    """In the environment, in a file, in the wrong place: it comes back nowhere."""
    environ = {"Jwt__IssuerSigningKey": CANARY, "Redis__Password": CANARY}
    (tmp_path / "supervisor.toml").write_text(f"[redis]\npasword = '{CANARY}'\n")
    (tmp_path / "good.toml").write_text("")

    for words in ("check", "config", "status", "reload", "token", "db status"):
        for config in ("supervisor.toml", "good.toml"):
            line = [*words.split(), "--config", config]
            ended = await taskhub(*line, folder=tmp_path, environ=environ)
            assert CANARY not in ended.out + ended.err, (words, config)
