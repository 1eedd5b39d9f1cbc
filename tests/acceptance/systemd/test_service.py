"""taskhub.service in a real systemd: started, killed, hung, reloaded, restarted, booted again."""

from __future__ import annotations

import re

import pytest

from tests.acceptance.installation import KEY, PATIENCE
from tests.acceptance.runbook import blocks
from tests.acceptance.systemd.asking import (
    Caller,
    begun,
    create,
    ended,
    request,
    shown,
    soon_watched,
    until_shown,
)
from tests.acceptance.systemd.guest import Guest
from tests.acceptance.systemd.installing import CONFIGURATION, SETTINGS
from tests.waiting import blocking_until

SERVICE = "taskhub.service"
KEY_FILE = "/etc/taskhub/jwt.key"
HASTY = "[Service]\nRestartSec=0.2\n"


@pytest.fixture(scope="module")
def running(machine: Guest) -> Guest:
    """The guest with the whole enabled and started, its socket too."""
    machine.write(f"/etc/systemd/system/{SERVICE}.d/hasty.conf", HASTY)
    machine.write("/etc/default/taskhub", f"Jwt__IssuerSigningKey_FILE={KEY_FILE}\n")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemd-sysusers")
    key(machine, KEY)
    machine.run("systemctl", "enable", "--now", "taskhub.socket", SERVICE)
    return machine


def key(guest: Guest, text: str) -> None:
    """Put the key for tokens where the service, and no other account, may read it."""
    guest.write(KEY_FILE, text, 0o600)
    guest.run("chown", "taskhub:", KEY_FILE)


def restarts(guest: Guest) -> int:
    """How often systemd has started it anew by itself."""
    return int(shown(guest, SERVICE, "NRestarts"))


def test_a_wrong_configuration_is_not_tried_again_and_again(machine: Guest) -> None:
    """Exit code 2 is for a person to mend; the journal says what, since no log is open yet."""
    machine.write(SETTINGS, "[http]\nprot = 1\n")

    assert machine.ended("systemctl", "start", SERVICE)[0] != 0
    assert shown(machine, SERVICE, "ActiveState") == "failed"
    assert shown(machine, SERVICE, "ExecMainStatus") == "2"
    assert shown(machine, SERVICE, "NRestarts") == "0"
    assert "http.prot" in machine.run("journalctl", "--unit", SERVICE)
    machine.write(SETTINGS, CONFIGURATION)


def test_it_starts_does_tasks_and_says_where_it_is(running: Guest) -> None:
    """Confined as it is: the event server, handlers in the loop and in a process, log files."""
    ids = [create(running, payload={"seconds": 0})]
    ids.append(create(running, type="transform", payload={"value": "it works"}))

    done = [ended(running, task) for task in ids]

    assert [task["status"] for task in done] == ["Done", "Done"]
    at = "the API is at http://127.0.0.1:8080"
    until_shown(running, SERVICE, StatusText=f"{at}; 0 running, 0 waiting, 1 worker")
    assert running.run("ps", "-o", "user=", "-C", "taskhub").split() == ["taskhub"]
    logs = running.run("ls", "/var/log/taskhub").split()
    assert sorted({name[:-12] for name in logs}) == ["api", "taskhub", "worker"]
    assert request(running, "GET", "/ready")[1]["status"] == "ok"
    assert running.ended("taskhub", "check") == (0, "ok")
    assert running.ended("taskhub", "status")[0] == 0


def test_its_own_systemd_finds_it_hardened(running: Guest) -> None:
    """What is in force, not what the file says: an exposure of at most 2.0."""
    code, told = running.ended("systemd-analyze", "security", "--threshold=20", SERVICE)

    assert code == 0, told


def test_killed_it_is_started_again_and_nothing_is_lost(running: Guest) -> None:
    """SIGKILL to the supervisor in the middle of tasks; its children go with it."""
    before = restarts(running)
    tasks = [create(running, payload={"seconds": 0.5}) for _ in range(6)]
    begun(running, tasks[0])

    running.run("systemctl", "kill", "--signal=KILL", "--kill-whom=main", SERVICE)
    until_shown(running, SERVICE, NRestarts=str(before + 1), ActiveState="active")

    found = [ended(running, task) for task in tasks]
    assert {task["status"] for task in found} == {"Done"}
    assert max(task["attempts"] for task in found) == 2


def test_hung_it_is_ended_by_the_watchdog_and_started_again(running: Guest) -> None:
    """A supervisor that does not turn feeds nothing: systemd ends it."""
    with soon_watched(running, SERVICE):
        running.run("systemctl", "restart", SERVICE)
        running.run("systemctl", "kill", "--signal=STOP", "--kill-whom=main", SERVICE)
        until_shown(running, SERVICE, NRestarts="1", ActiveState="active")

    assert "Watchdog timeout" in running.run("journalctl", "--unit", SERVICE)
    assert ended(running, create(running, payload={"seconds": 0}))["status"] == "Done"


def test_a_reload_is_applied_or_refused_and_the_status_says_so(running: Guest) -> None:
    """A wrong file changes nothing, and systemctl fails; a good one is in force when it returns."""
    pid = shown(running, SERVICE, "MainPID")

    def reload(settings: str) -> tuple[int, str]:
        running.write(SETTINGS, CONFIGURATION + settings)
        code, _ = running.ended("systemctl", "reload", SERVICE)
        return code, shown(running, SERVICE, "StatusText")

    refused, told = reload("[http]\nprot = 1\n")
    applied, forgotten = reload("[limits]\ncreate = '1/hour'\n")
    codes = [request(running, "POST", "/tasks", {"title": "x"})[0] for _ in range(3)]
    reload("")

    assert (refused, applied) == (1, 0)
    assert "a reload was refused, nothing has changed: " in told
    assert "refused" not in forgotten
    assert "supervisor.toml:" in told
    assert "http.prot" in told
    assert 429 in codes
    assert shown(running, SERVICE, "MainPID") == pid
    assert shown(running, SERVICE, "ActiveState") == "active"


def test_a_key_that_comes_by_a_file_changes_with_a_reload(running: Guest) -> None:
    """Credentials are fixed while a service runs; what rotates comes by `_FILE`."""

    def answers(status: int) -> bool:
        return request(running, "GET", "/tasks")[0] == status

    assert answers(200)
    key(running, "k" * 64)
    running.run("systemctl", "reload", SERVICE)
    blocking_until(lambda: answers(401), PATIENCE)
    key(running, KEY)
    running.run("systemctl", "reload", SERVICE)
    blocking_until(lambda: answers(200), PATIENCE)


def test_the_commands_of_the_runbook_for_systemd_work(running: Guest) -> None:
    """Where the page itself is tested, something stands in for systemctl and journalctl."""
    lines = [line for block in blocks() for line in block.commands.splitlines()]
    commands = dict.fromkeys(
        line for line in lines if re.search(r"\b(systemctl|journalctl) ", line)
    )
    assert len(commands) >= 5

    said = {command: running.run("bash", "-ec", command) for command in commands}

    assert " waiting, 1 worker" in said["systemctl status taskhub --no-pager"]
    assert "taskhub.service" in said["journalctl -u taskhub -n 20 --no-pager"]
    assert "StacksDumped" in running.run("sh", "-c", "cat /var/log/taskhub/taskhub*.log")
    until_shown(running, SERVICE, ActiveState="active")


def test_a_restart_refuses_no_connection(running: Guest) -> None:
    """Systemd holds the socket: who comes meanwhile waits and is answered."""
    caller = Caller(running)
    running.run("systemctl", "restart", SERVICE)

    good, bad = caller.answers()

    assert good > 0
    assert bad == []


def test_power_off_lets_tasks_finish_and_the_next_boot_starts_it(running: Guest) -> None:
    """The drain of a stop: what runs ends and is stored, and costs no second attempt."""
    task = create(running, payload={"seconds": 1})
    begun(running, task)

    running.power_off()
    running.boot()

    until_shown(running, SERVICE, ActiveState="active")
    found = ended(running, task)
    assert (found["status"], found["attempts"]) == ("Done", 1)
    assert restarts(running) == 0
