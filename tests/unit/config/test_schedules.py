"""`[[schedules]]`: each mistake with its line and what was expected, and what the store is told."""

from __future__ import annotations

import textwrap
from pathlib import Path

import msgspec
import pytest
from taskhub.config.diff import How, changes
from taskhub.config.load import load
from taskhub.config.schedules import definitions
from taskhub.config.sections import Config, ScheduleSection
from taskhub.config.snapshot import decode, encode
from taskhub.errors import ConfigError
from taskhub.schedules.schedule import Definition, Misfire, Overlap

WHOLE = """
[http]
port = 9000

[[schedules]]
name = "nightly.report"
cron = "0 6 * * MON-FRI"
time_zone = "Europe/Berlin"
title = "The report ü"
type = "report"
queue = "night"
priority = 5
payload = { kind = "daily", since = 2026-01-31T08:00:00Z, list = [1, 2.5, true] }
max_attempts = 2
timeout = 30
misfire = "all"
misfire_grace = 0
overlap = "queue"

[[schedules]]
cron = "@hourly"
name = "tidy"

[schedules.payload]
seconds = 1
"""


def read(folder: Path, text: str) -> Config:
    """The configuration that a file makes."""
    (folder / "supervisor.toml").write_text(textwrap.dedent(text))
    return load(None, {}).config


def mistakes(folder: Path, text: str) -> list[str]:
    """What is said of a file."""
    with pytest.raises(ConfigError) as caught:
        read(folder, text)
    return [problem.detail for problem in caught.value.problems]


def test_a_table_is_a_schedule(folder: Path) -> None:
    """Its payload is JSON; what it does not say is as usual. Keys beside it keep their places."""
    config = read(folder, WHOLE)

    report, tidy = definitions(config)
    assert report == Definition(
        name="nightly.report",
        cron="0 6 * * MON-FRI",
        time_zone="Europe/Berlin",
        title="The report ü",
        type="report",
        queue="night",
        priority=5,
        payload=msgspec.Raw(b'{"kind":"daily","since":"2026-01-31T08:00:00Z","list":[1,2.5,true]}'),
        max_attempts=2,
        timeout_seconds=30.0,
        misfire=Misfire.ALL,
        misfire_grace=0.0,
        overlap=Overlap.QUEUE,
    )
    assert tidy == Definition(
        name="tidy", cron="@hourly", title="tidy", payload=msgspec.Raw(b'{"seconds":1}')
    )
    assert config.http.port == 9000


def test_children_get_the_same(folder: Path) -> None:
    """The snapshot holds them, whatever is in a payload."""
    config = read(folder, WHOLE)

    assert definitions(decode(encode(config))) == definitions(config)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('cron = "61 * * * *"', "cron: expected minutes of 0-59"),
        ('cron = "0 0 30 2 *"', "cron: expected days of the month that are there"),
        ("cron = 5", "cron: expected a text"),
        ('time_zone = "Mars/Olympus"', "time_zone: expected the name of a time zone"),
        ('titel = "x"', "titel: unknown key; did you mean title?"),
        ('title = " "', "title: expected 1 to 200 characters"),
        ('type = "a b"', "type: expected 1 to 100 letters"),
        ('queue = "a/b"', "queue: expected 1 to 100 letters"),
        ("priority = 101", "priority: expected -100 to 100"),
        ("priority = 1.5", "priority: expected a whole number"),
        ("max_attempts = 101", "max_attempts: expected 1 to 100 starts"),
        ("timeout = 0.01", "timeout: expected 0.1 to 86400 seconds"),
        ("timeout = nan", "timeout: expected 0.1 to 86400 seconds"),
        ('misfire = "some"', "misfire: expected one of skip, once, all"),
        ("misfire_grace = -1", "misfire_grace: expected 0 to 604800 seconds"),
        ('overlap = "run"', "overlap: expected one of skip, queue, cancel"),
    ],
)
def test_a_mistake_is_named_with_its_place(folder: Path, line: str, expected: str) -> None:
    """The line is that of its name; a wrong value is not repeated."""
    cron = "" if line.startswith("cron") else 'cron = "@daily"'
    good = '[[schedules]]\nname = "a"\ncron = "@daily"\n'
    text = f'{good}\n[[schedules]]\n{cron}\nname = "b"\n{line}'

    (said,) = mistakes(folder, text)

    assert said.startswith("supervisor.toml:7: schedules.b: ")
    assert said.removeprefix("supervisor.toml:7: schedules.b: ").startswith(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[schedules]\ncron = "@daily"', "expected a table [[schedules]]"),
        ("schedules = 5", "expected a table [[schedules]]"),
        ('schedules = ["@daily"]', "expected a table [[schedules]]"),
        ('[[schedules]]\nname = "a"', "cron: expected"),
        ('[[schedules]]\ncron = "@daily"', "schedules.#1: name: expected"),
        ('[[schedules]]\ncron = "@daily"\nname = "a b"', "name: expected"),
        ("[[schedules]]\ncron = '@daily'\nname = 5", "schedules.#1: name: expected"),
        (
            "[[schedules]]\ncron = '@daily'\nname = 'a'\n[[schedules]]\ncron = '@daily'\nname='a'",
            "schedules.a: expected one of this name",
        ),
    ],
)
def test_what_is_no_schedule_is_refused(folder: Path, text: str, expected: str) -> None:
    """One mistake, one line."""
    (said,) = mistakes(folder, text)

    assert expected in said


def test_they_stand_in_the_file_alone(folder: Path) -> None:
    """A variable has no place for a table."""
    for environ in ({"Schedules__a__cron": "@daily"}, {"TaskHub__Schedules__a": "@daily"}):
        with pytest.raises(ConfigError, match=r"as \[\[schedules\]\]"):
            load(None, environ)
    with pytest.raises(ConfigError, match="expected a table"):
        load(None, {}, {"schedules.a": "@daily"})


def test_a_reload_takes_them_in_place() -> None:
    """Added, changed and removed ones; a change of a payload shows as one."""
    daily = ScheduleSection(cron="@daily")
    old = Config(schedules={"a": daily, "b": daily, "c": daily})
    new = Config(
        schedules={
            "a": daily,
            "b": msgspec.structs.replace(daily, payload={"x": 1}),
            "d": ScheduleSection(cron="0 6 * * *", time_zone="Europe/Berlin", type="report"),
        }
    )

    found = changes(old, new)

    assert {str(change) for change in found} == {
        "schedules.b: simulate at @daily (UTC) -> simulate at @daily (UTC) (in-place)",
        "schedules.c: simulate at @daily (UTC) -> (none) (in-place)",
        "schedules.d: (none) -> report at 0 6 * * * (Europe/Berlin) (in-place)",
    }
    assert all(change.how is How.IN_PLACE for change in found)
