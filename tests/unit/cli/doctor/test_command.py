"""The command `taskhub doctor`: its lines, its JSON, its exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from taskhub.cli.doctor import command
from taskhub.cli.doctor.finding import Finding, fail, ok, warn

from tests.unit.cli.conftest import Run

WELL = ok("clock", "agrees")
DOUBT = warn("disk", "500 MiB free", "make room")
ILL = fail("event server", "it\x1b refuses", "set redis.password")


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> list[Finding]:
    """What the looks find."""
    findings: list[Finding] = []
    monkeypatch.setattr(command, "_looks", lambda _: [("all", lambda: findings)])
    return findings


@pytest.mark.parametrize(
    ("found", "code"), [([WELL], 0), ([WELL, DOUBT], 5), ([WELL, ILL, DOUBT], 1)]
)
def test_the_exit_code_says_the_worst(
    run: Run, says: list[Finding], found: list[Finding], code: int
) -> None:
    """A monitor needs no more than that."""
    says += found

    assert run("doctor").code == code


def test_each_line_has_a_state_and_each_trouble_its_cure(run: Run, says: list[Finding]) -> None:
    """Nothing of what a server said can move the cursor."""
    says += [WELL, ILL]

    assert run("doctor").out.splitlines() == [
        "ok    clock         agrees",
        "fail  event server  it\\x1b refuses",
        "                    fix: set redis.password",
    ]


def test_the_same_as_json(run: Run, says: list[Finding]) -> None:
    """For programs."""
    says += [WELL, DOUBT]

    told = json.loads(run("doctor", "--json").out)
    assert told["worst"] == "warn"
    assert told["checks"][1] == {
        "name": "disk", "state": "warn", "detail": "500 MiB free", "fix": "make room",
    }  # fmt: skip


def test_a_wrong_configuration_is_a_finding(run: Run, folder: Path) -> None:
    """The rest cannot be looked at; everything that is wrong is said."""
    (folder / "supervisor.toml").write_text("[http]\nport = -1\nhots = 'x'\n")

    ended = run("doctor")
    assert ended.code == 1
    assert [line.split()[:2] for line in ended.out.splitlines()[::2]] == [
        ["fail", "configuration"]
    ] * 2


def test_a_place_that_cannot_be_looked_at_is_a_finding(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are looked at all the same."""

    def away() -> list[Finding]:
        raise PermissionError(13, "Permission denied")

    looks = [("database", away), ("clock", lambda: [WELL])]
    monkeypatch.setattr(command, "_looks", lambda _: looks)

    lines = run("doctor").out.splitlines()
    assert lines[0] == "fail  database  cannot be looked at: Permission denied"
    assert lines[2] == "ok    clock     agrees"


def test_a_whole_examination_before_the_first_start(run: Run, folder: Path) -> None:
    """Every look has its place; nothing is made, and no secret is said."""
    canary = "canary-canary-canary-canary-canary"
    (folder / "supervisor.toml").touch(mode=0o600)
    (folder / "supervisor.toml").write_text(f'[redis]\npassword = "{canary}"\n')

    ended = run("doctor", "--json")
    names = {check["name"] for check in json.loads(ended.out)["checks"]}
    assert names >= {
        *("configuration", "secrets", "data", "sockets", "database", "disk", "event server"),
        *("processes", "versions", "open files", "clock"),
    }
    assert canary not in ended.out + ended.err
    assert sorted(path.name for path in folder.iterdir()) == ["run", "supervisor.toml"]
