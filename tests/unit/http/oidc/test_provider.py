"""When an issuer is asked for its keys, who waits for them and how long: on a virtual clock."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from taskhub.config.issuers import issuers
from taskhub.config.sections import JwtSection
from taskhub.errors import KeysAway
from taskhub.http.oidc import provider as module
from taskhub.http.oidc.fetching import Unfit
from taskhub.http.oidc.provider import COOL_DOWN, PATIENCE, REFRESH, Provider
from taskhub.obs.telemetry import KeysAsked, StateChanged, Telemetry

from tests.unit.http.oidc.publisher import Publisher
from tests.virtual_clock import pass_time
from tests.waiting import turns

pytestmark = pytest.mark.virtual_clock
AUTHORITY = "https://id.example"


class Line:
    """A line to an issuer that answers when and what the test wants."""

    def __init__(self) -> None:
        self.publisher, self.looks = Publisher(), list[float]()
        self.publisher.url = AUTHORITY
        self.is_cut, self.seconds = False, 0.0
        self.told: list[Telemetry] = []
        (issuer,) = issuers(JwtSection(authority=AUTHORITY, audience="taskhub"))
        self.provider = Provider(issuer, self.told.append, self.fetch)

    async def fetch(self, address: str) -> bytes:
        """What the issuer answers, as it was when it was asked."""
        path = address.removeprefix(AUTHORITY)
        if path != "/jwks":
            self.looks.append(asyncio.get_running_loop().time())
        answer = json.dumps(self.publisher.document(path)).encode()
        await asyncio.sleep(self.seconds)  # noqa: TID251 - the virtual clock
        if self.is_cut:
            raise Unfit("no answer: connection refused")
        return answer

    @property
    def kid(self) -> str:
        """The newest key's id."""
        return list(self.publisher.keys)[-1]

    def said(self, kind: type[Any]) -> list[Any]:
        """What was told of one kind."""
        return [event for event in self.told if type(event) is kind]


@asynccontextmanager
async def running(line: Line) -> AsyncIterator[None]:
    """Its provider at work."""
    task = asyncio.create_task(line.provider.run())
    try:
        await turns()
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_keys_are_renewed_again_and_again() -> None:
    """A key that was withdrawn is believed for so long at most."""
    line = Line()
    async with running(line):
        await pass_time(4 * REFRESH)

    assert 5 <= len(line.looks) <= 6
    pauses = [b - a for a, b in zip(line.looks, line.looks[1:], strict=False)]
    assert all(0.9 * REFRESH <= pause <= REFRESH for pause in pauses)


async def test_strangers_cause_one_look_a_cool_down() -> None:
    """Ten a second ask for keys that there never were."""
    line = Line()
    async with running(line):
        tasks = []
        for number in range(300):
            tasks.append(asyncio.create_task(line.provider.renewed(f"made-up-{number}")))
            await pass_time(0.1)
        await asyncio.gather(*tasks)

    assert len(line.looks) <= 1 + 30 / COOL_DOWN + 1


async def test_a_key_that_is_published_just_after_a_look_is_waited_for() -> None:
    """The last look is a moment old: the next one is waited for, and there is no false 401."""
    line = Line()
    async with running(line):
        line.publisher.add()
        await line.provider.renewed(line.kid)

        assert line.provider.keys.has(line.kid)
        assert asyncio.get_running_loop().time() == COOL_DOWN


async def test_a_key_that_is_published_during_a_look_is_waited_for() -> None:
    """The answer that is under way was written before the key was there."""
    line = Line()
    async with running(line):
        await pass_time(COOL_DOWN)
        line.seconds = 1.0
        first = asyncio.create_task(line.provider.renewed("made-up"))
        await turns()
        await pass_time(1.5)  # the document is there, the keys are being written
        line.publisher.add()
        await line.provider.renewed(line.kid)
        await first

        assert line.provider.keys.has(line.kid)


async def test_the_same_unknown_key_does_not_wait_twice() -> None:
    """It was asked for a moment ago: the answer is there at once, and costs no look."""
    line = Line()
    async with running(line):
        await line.provider.renewed("made-up")
        now, looks = asyncio.get_running_loop().time(), len(line.looks)
        await line.provider.renewed("made-up")

        assert (asyncio.get_running_loop().time(), len(line.looks)) == (now, looks)
        await pass_time(COOL_DOWN)
        await line.provider.renewed("made-up")
        assert len(line.looks) == looks + 1


async def test_a_wait_has_an_end() -> None:
    """The issuer takes the connection and says nothing."""
    line = Line()
    async with running(line):
        line.seconds = 1e6
        with pytest.raises(KeysAway):
            await line.provider.renewed("made-up")

        assert asyncio.get_running_loop().time() <= PATIENCE
        assert line.provider.health.state == "degraded"


async def test_not_more_than_so_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others come back later, as the answer says; nobody fills the memory."""
    monkeypatch.setattr(module, "WAITERS", 3)
    line = Line()
    async with running(line):
        waits = [asyncio.create_task(line.provider.renewed(f"x{n}")) for n in range(10)]
        done = await asyncio.gather(*waits, return_exceptions=True)

    assert [type(each) for each in done] == [type(None)] * 3 + [KeysAway] * 7


async def test_an_outage_is_said_once_and_ends_by_itself() -> None:
    """A log that says it at each try hides everything else."""
    line = Line()
    async with running(line):
        line.is_cut = True
        await pass_time(2 * REFRESH)
        pauses = [b - a for a, b in zip(line.looks, line.looks[1:], strict=False)]
        assert max(pauses[2:]) <= 30.0
        assert line.provider.health.detail.endswith("those it gave before are used")
        line.is_cut = False
        await pass_time(31)

    assert [event.state for event in line.said(StateChanged)] == ["ok", "degraded", "ok"]
    assert {event.result for event in line.said(KeysAsked)} == {"ok", "failed"}


async def test_in_an_outage_nobody_waits_for_a_key_that_is_not_known() -> None:
    """The token may be good: whoever has it is told when to come back."""
    line = Line()
    async with running(line):
        line.is_cut = True
        await pass_time(REFRESH)
        with pytest.raises(KeysAway) as raised:
            await line.provider.renewed("unknown")

    assert 1 <= (raised.value.retry_after or 0) <= 30


async def test_a_look_that_finds_another_key_is_not_the_end_of_a_wait() -> None:
    """Two keys come soon after each other: the second one is waited for, too."""
    line = Line()
    async with running(line):
        await pass_time(COOL_DOWN)
        line.seconds = 1.0
        line.publisher.add()
        first = asyncio.create_task(line.provider.renewed(line.kid))
        await turns()
        await pass_time(1.5)  # the document is there, the keys are being written
        line.publisher.add()
        await line.provider.renewed(line.kid)
        await first

        assert line.provider.keys.has(line.kid)


async def test_an_outage_ends_sooner_for_those_who_ask() -> None:
    """The pause of an idle API is longer than its clients like."""
    line = Line()
    async with running(line):
        line.is_cut = True
        await pass_time(2 * REFRESH)
        line.is_cut = False
        with pytest.raises(KeysAway):
            await line.provider.renewed("unknown")
        await pass_time(COOL_DOWN)

        assert line.provider.health.state == "ok"


async def test_an_operator_need_not_wait_for_the_cool_down() -> None:
    """A key was stolen and is withdrawn: a reload asks at once, also while others wait."""
    line = Line()
    async with running(line):
        wait = asyncio.create_task(line.provider.renewed("made-up"))
        await turns()
        line.provider.hurry(at_once=True)
        await wait

        assert asyncio.get_running_loop().time() == 0.0
        await pass_time(COOL_DOWN + 1)
        assert len(line.looks) == 2


async def test_nobody_waits_when_the_server_stops() -> None:
    """A drain must not last as long as the patience with an issuer."""
    line = Line()
    async with running(line):
        wait = asyncio.create_task(line.provider.renewed("unknown"))
        await turns()
        line.provider.close()
        with pytest.raises(KeysAway):
            await wait


async def test_a_provider_goes_on_after_its_server_was_started_anew() -> None:
    """In the middle of a look, too."""
    line = Line()
    async with running(line):
        await pass_time(COOL_DOWN)
        line.seconds = 1.0
        line.provider.hurry()
        await turns()
    line.provider.close()
    async with running(line):
        line.publisher.add()
        await line.provider.renewed(line.kid)

        assert line.provider.keys.has(line.kid)
