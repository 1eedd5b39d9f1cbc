"""What the doctor says of clock, files, services and processes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from taskhub.cli.doctor import clock, files, running, units
from taskhub.cli.doctor.finding import FAIL, OK, WARN, Finding
from taskhub.config.load import load
from taskhub.config.sections import Config

from tests.unit.cli.conftest import Hub
from tests.unit.cli.test_supervision import answering, process

SYSTEMCTL = "#!/bin/sh\ncat {told}\n"


# ---- clock


def test_a_clock_that_agrees_with_the_api(hub: Hub) -> None:
    """The `Date` of `GET /health`: it needs no token, and touches nothing."""
    hub.says(200, b"ok")

    (finding,) = clock.look(Config())
    assert (finding.state, hub.requests[0].path) == (OK, "/health")


@pytest.mark.parametrize(
    ("ahead", "state", "said"),
    [(1.0, OK, ""), (-4.0, WARN, "4 s behind"), (6.0, WARN, "6 s ahead"), (60, FAIL, "60 s ahead")],
)
def test_a_clock_that_is_off(ahead: float, state: str, said: str) -> None:
    """Past the leeway of tokens it is an error: they are refused, or taken too long."""
    finding = clock._judged(ahead, 5.0, "http://api:8080")

    assert finding.state == state
    assert said in finding.detail
    assert ("timedatectl" in finding.fix) == (state != OK)


def test_without_an_api_the_clock_is_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may stand on another machine: the advice names the variable."""
    monkeypatch.setenv("TASKHUB_URL", "http://user:canary@127.0.0.1:9")

    (finding,) = clock.look(Config())
    assert finding.state == WARN
    assert "TASKHUB_URL" in finding.fix
    assert "canary" not in repr(finding)


# ---- files


def looked_at(folder: Path, settings: str = "", **environ: str) -> dict[str, Finding]:
    """The findings about an installation in this folder."""
    path = folder / "supervisor.toml"
    path.write_text(f'[store]\nurl = "sqlite:///{folder}/data/taskhub.db"\n{settings}')
    return {finding.name: finding for finding in files.look(load(path, environ))}


@pytest.fixture
def data(folder: Path) -> Path:
    """The folder of data, as it should be."""
    (folder / "data").mkdir(mode=0o750)
    (folder / "data/taskhub.db").touch(mode=0o640)
    return folder / "data"


def test_files_that_are_as_they_should_be(folder: Path, data: Path) -> None:
    """Everything belongs to one account."""
    assert {finding.state for finding in looked_at(folder).values()} == {OK}


@pytest.mark.parametrize(
    ("path", "mode", "name", "fix"),
    [
        ("data", 0o777, "data", "chmod o-w"),
        ("data", 0o550, "data", "chmod u+rwx"),
        ("run", 0o755, "sockets", "chmod 700"),
    ],
)
def test_a_wrong_mode_is_told_with_its_cure(
    data: Path, path: str, mode: int, name: str, fix: str
) -> None:
    """Somebody has copied files by hand."""
    folder = data.parent
    (folder / path).chmod(mode)
    try:
        finding = looked_at(folder)[name]
    finally:
        (folder / path).chmod(0o700)

    assert finding.state == FAIL
    assert finding.fix.startswith(fix)


def test_a_file_of_another_account_is_told(
    folder: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who restores a backup as root leaves a database that the service cannot write."""
    if os.getuid():
        pytest.skip("only root can give a file away")
    os.chown(data / "taskhub.db", 1, 1)

    finding = looked_at(folder)["data files"]
    assert finding.state == FAIL
    assert finding.fix.startswith("chown root ")


def test_secrets_are_named_by_their_places_alone(folder: Path, data: Path) -> None:
    """Where a value comes from answers most questions about it."""
    secret = folder / "password"
    secret.touch(mode=0o600)
    secret.write_text("canary")

    finding = looked_at(folder, Redis__Password_FILE=str(secret))["secrets"]
    assert finding.detail == "redis.password (Redis__Password_FILE)"


# ---- services


def services(folder: Path, monkeypatch: pytest.MonkeyPatch, *blocks: str) -> list[Finding]:
    """The findings where systemd says this of the services."""
    (folder / "told").write_text("\n\n".join(blocks))
    program = folder / "systemctl"
    program.write_text(SYSTEMCTL.format(told=folder / "told"))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setattr(units, "BOOTED", folder)
    return list(units.look(Config()))


def block(name: str, **properties: str) -> str:
    """What `systemctl show` says of one service."""
    told = {"Id": name, "LoadState": "loaded", "ActiveState": "active", "NRestarts": "0"}
    told |= {"UnitFileState": "enabled", "NeedDaemonReload": "no", **properties}
    return "\n".join(f"{name}={value}" for name, value in told.items())


@pytest.mark.parametrize(
    ("properties", "state", "fix"),
    [
        ({}, OK, ""),
        ({"ActiveState": "failed"}, FAIL, "journalctl -u taskhub.service"),
        ({"NeedDaemonReload": "yes"}, WARN, "systemctl daemon-reload"),
        ({"UnitFileState": "disabled"}, WARN, "systemctl enable"),
        ({"NRestarts": "3"}, WARN, "journalctl -u taskhub.service"),
    ],
)
def test_how_a_service_stands(
    folder: Path, monkeypatch: pytest.MonkeyPatch, properties: Any, state: str, fix: str
) -> None:
    """What systemd knows, and what to type."""
    (finding,) = services(folder, monkeypatch, block("taskhub.service", **properties))

    assert (finding.name, finding.state) == ("taskhub.service", state)
    assert finding.fix.startswith(fix)


def test_the_whole_and_a_part_side_by_side(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One installation, run twice: somebody forgot to disable the other."""
    both = (block("taskhub.service"), block("taskhub-worker.service"))
    first, *_ = services(folder, monkeypatch, *both)

    assert first.state == FAIL
    assert first.fix == "systemctl disable --now taskhub-worker.service"


def test_a_machine_without_our_services(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be a laptop."""
    (finding,) = services(folder, monkeypatch)

    assert finding.state == OK


# ---- processes


def states(config: Config) -> dict[str, Finding]:
    """The findings about processes by name."""
    return {finding.name: finding for finding in running.look(config)}


def test_what_is_merely_away_is_doubtful(folder: Path) -> None:
    """Work goes on without the event server: nobody need get up, and somebody should know."""
    away = {"name": "events", "state": "degraded", "detail": "it does not answer"}
    with process(folder / "run/tree.sock", ready=answering(ready=True, parts=[away])):
        finding = states(Config())["processes"]

    assert (finding.state, finding.detail) == (WARN, "tree: events: it does not answer")


def test_no_process_runs(folder: Path) -> None:
    """Perhaps it was not started yet."""
    findings = states(Config())

    assert findings["processes"].state == WARN
    assert findings["versions"].state == OK


def test_a_process_of_another_version_and_one_that_is_not_ready(folder: Path) -> None:
    """After an upgrade somebody has to restart it."""

    async def metrics(_: dict[str, Any]) -> bytes:
        return b'taskhub_build_info{python="3.11.7",unit="tree",version="0.0.1"} 1.0\n'

    why = [{"name": "store", "state": "failed", "detail": "the disk is full"}]
    with process(
        folder / "run/tree.sock", metrics=metrics, ready=answering(ready=False, parts=why)
    ):
        findings = states(Config())

    assert findings["versions"].fix == "systemctl restart taskhub"
    assert "0.0.1 runs" in findings["versions"].detail
    assert findings["processes"].state == FAIL
    assert "the disk is full" in findings["processes"].detail
    assert findings["open files"].state in {OK, WARN}


@pytest.mark.parametrize(
    ("used", "most", "state"), [(10, 65_536, OK), (10, 1_024, WARN), (60_000, 65_536, FAIL)]
)
def test_how_many_files_may_be_open(
    monkeypatch: pytest.MonkeyPatch, used: int, most: int, state: str
) -> None:
    """Each client of a stream is one."""
    monkeypatch.setattr(running, "_room", lambda _: (used, most))

    finding = running._files([1])
    assert finding.state == state
    assert ("LimitNOFILE" in finding.fix) == (state != OK)
