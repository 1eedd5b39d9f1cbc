"""Reloads of a whole installation at work: nothing that runs is touched, and secrets rotate."""

from __future__ import annotations

import signal
from pathlib import Path

import jwt

from tests.acceptance.installation import Installation

IN_FLIGHT, RELOADS = 1_000, 100

DEEDS = """
import asyncio
from taskhub import handler

OPEN, STARTS = asyncio.Event(), []

@handler("wait", timeout=100, attempts=1)
async def wait() -> str:
    STARTS.append("wait")
    await OPEN.wait()
    return "to the end"

@handler("open")
async def open_them() -> int:
    OPEN.set()
    return len(STARTS)
"""


def log_as(hub: Installation, settings: str) -> None:
    """Add settings to `[logs]`."""
    text = hub.config.read_text(encoding="utf-8")
    hub.config.write_text(text.replace("[logs]\n", f"[logs]\n{settings}\n"), encoding="utf-8")


def private(path: Path, text: str) -> str:
    """A file that its owner alone may read; its path."""
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")
    return str(path)


async def test_a_hundred_reloads_interrupt_none_of_a_thousand_running_tasks(
    hub: Installation,
) -> None:
    """Limits fall far below what runs and rise again, leases and levels change: all go on."""
    common = f"[limits]\nmailbox = 8192\n[work]\n{hub.handlers(DEEDS)}\n"
    hub.configure(f"{common}concurrency = 1001")
    await hub.start()
    tasks = [{"title": "x", "type": "wait"}] * IN_FLIGHT
    _, made = await hub.request("POST", "/tasks/batch", {"tasks": tasks})
    ids = [item["id"] for item in made["items"]]
    await hub.until(lambda: _started(hub, IN_FLIGHT))

    for number in range(RELOADS):
        level = "debug" if number % 10 == 0 else "info"
        hub.configure(f"{common}concurrency = {8 + number % 2}\nlease = {10 + number % 3}\n")
        log_as(hub, f'level = "{level}"\nkeep_days = {1 + number % 2}')
        answer = await hub.ask("reload")
        assert (answer["problems"], bool(answer["changes"])) == ([], True)
    hub.configure(f"{common}concurrency = 1001")
    assert (await hub.ask("reload"))["applied"]
    opened = await hub.ended((await hub.post(type="open"))["id"])
    ended = await hub.all_ended(ids)

    assert opened["result"] == IN_FLIGHT, "none was started twice"
    assert {(task["status"], task["attempts"], task["result"]) for task in ended} == {
        ("Done", 1, "to the end")
    }
    assert len(hub.told("Reloaded")) == RELOADS + 1


async def _started(hub: Installation, count: int) -> bool:
    return len(hub.told("TaskStarted")) >= count


async def test_a_reload_reads_secrets_anew_and_opens_log_files_anew(hub: Installation) -> None:
    """`_FILE` alone has changed: the old key's token is refused then, and neither is ever shown.

    The folder of the logs was moved away meanwhile: every process of the tree makes its file anew.
    """
    keys = [f"the {word} key of a test, longer than 32 bytes" for word in ("first", "second")]
    path, logs = private(hub.folder / "key", keys[0]), hub.folder / "logs"
    log_as(hub, f"directory = '{logs}'")
    configured = hub.config.read_text(encoding="utf-8")
    lines = [line for line in configured.splitlines() if not line.startswith("issuer_signing_key")]
    hub.config.write_text("\n".join(lines), encoding="utf-8")
    await hub.start(environ={"Jwt__IssuerSigningKey_FILE": path})
    assert await _statuses(hub, keys) == [200, 401]
    before = {each.name for each in logs.iterdir()}

    private(Path(path), keys[1])
    away = logs.rename(hub.folder / "away")
    told = await hub.ask("reload")

    assert told["changes"] == ["jwt.issuer_signing_key: *** -> *** (another) (in-place)"]
    assert await _statuses(hub, keys) == [401, 200]
    hub.send(signal.SIGUSR1)  # then each of them says something
    await hub.until(lambda: _are_there(logs, before))
    texts = [each.read_text() for each in (*logs.iterdir(), *away.iterdir())]
    assert any("jwt.issuer_signing_key: *** -> ***" in text for text in texts)
    assert not any(key in text for key in keys for text in (hub.output(), *texts))


async def _statuses(hub: Installation, keys: list[str]) -> list[int]:
    """What a request gets with a token of each key."""
    return [(await hub.request("GET", "/tasks", Authorization=_bearer(key)))[0] for key in keys]


def _bearer(key: str) -> str:
    claims = {"iss": "https://issuer.test", "aud": "taskhub", "sub": "ada", "exp": 1 << 33}
    return f"Bearer {jwt.encode(claims | {'scope': 'tasks.read'}, key, algorithm='HS256')}"


async def _are_there(folder: Path, names: set[str]) -> bool:
    return folder.is_dir() and names <= {path.name for path in folder.iterdir()}
