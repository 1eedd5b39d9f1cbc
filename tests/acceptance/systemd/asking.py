"""Asks services in a guest: systemd of their state, the API of tasks; over its own loopback."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.acceptance.installation import PATIENCE, token
from tests.acceptance.systemd.guest import Guest
from tests.waiting import blocking_until

LOOK_EVERY = 0.1  # seconds: each look is a command in the guest, as dear as what it waits for
URL = "http://127.0.0.1:8080"
CALLER = """
import http.client, select, sys
good, bad = 0, []
while not select.select([sys.stdin], [], [], 0.01)[0]:
    try:
        line = http.client.HTTPConnection("127.0.0.1", 8080, timeout=30)
        line.request("GET", "/health")
        status = line.getresponse().status
        line.close()
        assert status == 200, status
        good += 1
    except (OSError, AssertionError, http.client.HTTPException) as error:
        bad.append(repr(error))
print(good, *bad[:5])
"""


def shown(guest: Guest, service: str, name: str) -> str:
    """One property of a service."""
    return guest.run("systemctl", "show", "--value", f"--property={name}", service)


def until_shown(guest: Guest, service: str, **wanted: str) -> None:
    """Wait until properties of a service have these values."""
    lines = {f"{name}={value}" for name, value in wanted.items()}
    command = ("systemctl", "show", f"--property={','.join(wanted)}", service)

    def look() -> bool:
        return set(guest.run(*command).splitlines()) == lines

    what = f"{service} never shows {', '.join(lines)}"
    blocking_until(look, PATIENCE, what, every=LOOK_EVERY)


def request(guest: Guest, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """Status and body of an answer; 0 when there is none."""
    command = ["curl", "-sS", "-m", "30", "-X", method, "-w", "\n%{http_code}"]
    command += ["-H", f"Authorization: Bearer {token(roles=['Admin'])}"]
    if body is not None:
        command += ["-H", "Content-Type: application/json", "-d", json.dumps(body)]
    text, _, status = guest.run(*command, URL + path, check=False).rpartition("\n")
    return int(status), json.loads(text) if text.startswith("{") else text


def create(guest: Guest, **body: Any) -> str:
    """The id of a task that must be accepted."""
    status, task = request(guest, "POST", "/tasks", {"title": "x", **body})
    assert status == 201, (status, task)
    found: str = task["id"]
    return found


def ended(guest: Guest, task: str) -> dict[str, Any]:
    """The task once it has ended."""
    found: dict[str, Any] = {}

    def look() -> bool:
        status, found["task"] = request(guest, "GET", f"/tasks/{task}?wait=10")
        return status == 200 and found["task"]["status"] in {"Done", "Failed", "Cancelled"}

    what = f"task {task} has not ended: {found}"
    blocking_until(look, PATIENCE, what, every=LOOK_EVERY)
    result: dict[str, Any] = found["task"]
    return result


def begun(guest: Guest, task: str) -> None:
    """Wait until a worker has claimed the task."""

    def look() -> bool:
        return bool(request(guest, "GET", f"/tasks/{task}")[1]["status"] == "Processing")

    blocking_until(look, PATIENCE, f"no worker claims {task}", every=LOOK_EVERY)


@contextmanager
def soon_watched(guest: Guest, service: str) -> Iterator[None]:
    """Its next process is ended after four silent seconds: a test cannot wait for half a minute.

    No longer than it must be so: on a busy machine anybody may be silent for a while.
    """
    place = f"/etc/systemd/system/{service}.d/watched.conf"
    guest.write(place, "[Service]\nWatchdogSec=4\n")
    guest.run("systemctl", "daemon-reload")
    try:
        yield
    finally:
        guest.run("rm", place)
        guest.run("systemctl", "daemon-reload")


class Caller:
    """Somebody in the guest who opens connection after connection until `answers` is asked."""

    def __init__(self, guest: Guest) -> None:
        self._process = subprocess.Popen(
            guest.command("python3", "-c", CALLER),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=sys.stderr,
            text=True,
        )

    def answers(self) -> tuple[int, list[str]]:
        """How many were answered, and what became of the first of the others."""
        told, _ = self._process.communicate("\n", timeout=PATIENCE)
        good, *bad = told.split(maxsplit=1)
        return int(good), bad
