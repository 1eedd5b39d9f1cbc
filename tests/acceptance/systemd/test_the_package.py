"""The Debian package in the same guest: installed, used, upgraded, removed, purged."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.acceptance.installation import KEY
from tests.acceptance.systemd.asking import create, ended, shown
from tests.acceptance.systemd.guest import Guest
from tests.acceptance.systemd.installing import CONFIGURATION, ENVIRONMENT, SETTINGS

SERVICE = "taskhub.service"
SECRET = "/etc/credstore/taskhub.jwt.issuer_signing_key"
OURS = ["/etc/taskhub", "/var/lib/taskhub", "/var/log/taskhub", "/run/taskhub", "/usr/lib/taskhub"]
OURS += [SECRET, "/etc/default/taskhub", "/usr/bin/taskhub", f"/usr/lib/systemd/system/{SERVICE}"]
LEFT = f"find {' '.join(OURS)} /etc/systemd/system/ -name '*taskhub*' 2>/dev/null"


def install(guest: Guest, packages: Path) -> str:
    """What dpkg says of it."""
    (package,) = packages.glob("*.deb")
    shutil.copy(package, guest.files / "var/tmp/taskhub.deb")
    return guest.run("dpkg", "--force-unsafe-io", "--install", "/var/tmp/taskhub.deb")


@pytest.fixture(scope="module")
def bare(machine: Guest) -> Guest:
    """The guest with nothing of what was installed by hand."""
    machine.run("systemctl", "stop", "taskhub.service", "taskhub.target", "taskhub-api.socket")
    machine.run(
        "sh", "-c", "rm -rf /etc/systemd/system/taskhub* /etc/systemd/system/*.wants/taskhub*"
    )
    machine.run("rm", "-rf", *OURS, f"/{ENVIRONMENT}", "/usr/lib/sysusers.d/taskhub.conf")
    machine.run("userdel", "taskhub")
    machine.run("systemctl", "daemon-reload")
    return machine


def test_it_is_installed_and_starts_nothing(bare: Guest, packages: Path) -> None:
    """There is an account, a configuration to edit, the command; it says what comes next."""
    told = install(bare, packages)

    assert "systemctl enable --now taskhub.socket taskhub.service" in told
    assert bare.ended("systemctl", "is-enabled", SERVICE)[1] == "disabled"
    assert shown(bare, SERVICE, "ActiveState") == "inactive"
    assert bare.run("stat", "--format=%U:%G %a", SETTINGS) == "root:taskhub 640"
    assert " (commit " in bare.run("/usr/bin/taskhub", "--version")


def test_it_serves_and_an_upgrade_keeps_everything(bare: Guest, packages: Path) -> None:
    """What an administrator wrote stays; what runs is restarted; tasks are where they were."""
    mine = CONFIGURATION.replace('handlers = ["deeds"]', "") + "# mine\n"
    bare.write(SETTINGS, mine, 0o640)
    bare.write(SECRET, KEY, 0o600)
    bare.run("systemctl", "enable", "--now", "taskhub.socket", SERVICE)
    task, pid = create(bare, payload={"seconds": 0}), shown(bare, SERVICE, "MainPID")
    assert ended(bare, task)["status"] == "Done"

    install(bare, packages)

    assert shown(bare, SERVICE, "ActiveState") == "active"
    assert shown(bare, SERVICE, "MainPID") != pid
    assert bare.run("cat", SETTINGS).endswith("# mine")
    assert ended(bare, task)["status"] == "Done"


def test_removed_it_stops_and_keeps_data_and_purged_it_leaves_nothing(bare: Guest) -> None:
    """No task, no log, no secret, no link to a unit that is not there."""
    bare.run("dpkg", "--remove", "taskhub")
    assert bare.ended("systemctl", "is-active", SERVICE)[1] == "inactive"
    assert bare.ended("curl", "-sS", "http://127.0.0.1:8080/health")[0] == 7  # refused
    kept = bare.run("ls", SETTINGS, SECRET, "/var/lib/taskhub/taskhub.db").split()
    assert len(kept) == 3

    bare.run("dpkg", "--purge", "taskhub")

    assert bare.run("sh", "-c", LEFT, check=False) == ""
