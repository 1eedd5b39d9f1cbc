"""`@schedule`: what code declares by the clock, and each mistake where it is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from taskhub import Job, handler, schedule
from taskhub.errors import ConfigError, ConfigProblem
from taskhub.schedules.schedule import Definition, Misfire, Overlap
from taskhub.work.registry import Registry, discover
from taskhub.work.scheduled import declared

HERE = __name__


def test_a_handler_may_have_several_schedules_in_any_order_of_marks() -> None:
    """What is not said is the handler's, or as usual."""

    @schedule(
        "0 6 * * MON-FRI",
        time_zone="Europe/Berlin",
        name="weekdays",
        title="The report",
        priority=3,
        payload={"days": 1},
        misfire="all",
        misfire_grace=5,
        overlap="queue",
    )
    @handler("report")
    @schedule("@monthly")
    def report(job: Job, days: int = 31) -> None: ...

    found = declared(Registry.of(report).values())

    monthly, weekdays = found[HERE]
    assert monthly == Definition(name="report", cron="@monthly", title="report", type="report")
    assert weekdays == Definition(
        name="weekdays",
        cron="0 6 * * MON-FRI",
        time_zone="Europe/Berlin",
        title="The report",
        type="report",
        priority=3,
        payload=msgspec.Raw(b'{"days":1}'),
        misfire=Misfire.ALL,
        misfire_grace=5,
        overlap=Overlap.QUEUE,
    )


def test_a_module_without_schedules_declares_that_there_are_none() -> None:
    """So that those of its last version go; our own modules say nothing."""

    @handler("plain")
    def plain() -> None: ...

    assert declared(Registry.of(plain).values()) == {HERE: []}
    assert declared(discover([]).values()) == {}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ({"cron": "61 * * * *"}, "cron: expected minutes of 0-59"),
        ({"cron": "@daily", "time_zone": "Mars"}, "time_zone: expected the name of a time zone"),
        ({"cron": "@daily", "name": "a b"}, "name: expected 1 to 100 letters"),
        ({"cron": "@daily", "title": "\n"}, "title: expected 1 to 200 characters"),
        ({"cron": "@daily", "priority": 101}, "priority: expected -100 to 100"),
        ({"cron": "@daily", "misfire": "some"}, "expected one of skip, once, all"),
        ({"cron": "@daily", "overlap": "run"}, "expected one of skip, queue, cancel"),
        ({"cron": "@daily", "misfire_grace": -1}, "misfire_grace: expected 0 to 604800 seconds"),
        ({"cron": "@daily", "payload": {1, object()}}, "expected a payload that JSON can say"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused_where_it_stands(
    words: dict[str, Any], expected: str
) -> None:
    """When the module is imported, with the expression that it is about."""
    with pytest.raises(ConfigProblem) as caught:
        schedule(**words)

    assert f"@schedule({words['cron']!r})" in caught.value.detail
    assert expected in caught.value.detail


def test_a_payload_must_fit_its_handler() -> None:
    """Or each of its tasks would fail, night after night; all mistakes at once."""

    @schedule("@daily", payload={"day": 1})
    @schedule("@hourly", name="other")
    @handler("report")
    def report(days: int) -> None: ...

    with pytest.raises(ConfigError) as caught:
        declared(Registry.of(report).values())

    details = [problem.detail for problem in caught.value.problems]
    assert len(details) == 2
    assert all("expected another payload" in detail for detail in details)
    assert "test_scheduled" in details[0]


def test_each_schedule_has_a_name_of_its_own() -> None:
    """Two of one handler, or of two."""

    @schedule("@daily")
    @schedule("@hourly")
    @handler("twice")
    def twice() -> None: ...

    @schedule("@daily", name="one")
    @handler("a")
    def first() -> None: ...

    @schedule("@daily", name="one")
    @handler("b")
    def second() -> None: ...

    for functions in ((twice,), (first, second)):
        with pytest.raises(ConfigError, match="a name of its own"):
            declared(Registry.of(*functions).values())


def test_a_schedule_without_a_handler_is_a_mistake(tmp_path: Path) -> None:
    """Nothing would ever run it."""
    text = "from taskhub import handler, schedule\n@handler('a')\ndef a(): ...\n"
    (tmp_path / "forgotten.py").write_text(f"{text}@schedule('@daily')\ndef b(): ...\n")

    with pytest.raises(ConfigError, match="expected @handler beside @schedule on b"):
        discover(["forgotten"], folder=tmp_path)
