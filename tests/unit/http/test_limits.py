"""Rate limits: who is counted, what every answer says, and what nobody can make them cost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any

import msgspec
import pytest
from taskhub.config.sections import CorsSection, HttpSection, LimitsSection
from taskhub.http.limits import CLIENTS_MOST, Asked, Limits
from taskhub.http.problems import RateLimited
from taskhub.obs import telemetry as t
from taskhub.rates import Rate, Reading

from tests.unit.http.house import CONFIG, House, Reply, bearer, open_house
from tests.waiting import turns

NEW = {"title": "x"}
PROXIED = HttpSection(trusted_proxies=("127.0.0.0/8",))


def limited(house: House, create: str = "", acts: str = "", bad_tokens: str = "") -> None:
    """Put these limits in force, as a reload does."""
    section = LimitsSection(create=create, acts=acts, bad_tokens=bad_tokens)
    house.context.limits.follow(section)


@pytest.fixture
async def proxied(tmp_path: Path, empty_database: Path) -> AsyncIterator[House]:
    """An API that believes its clients who they are: a proxy's."""
    config = msgspec.structs.replace(CONFIG, http=PROXIED)
    async with open_house(tmp_path, empty_database, config) as house:
        yield house


async def create(house: House, **headers: str) -> Reply:
    """A new task."""
    return await house.ask("POST", "/tasks", json=NEW, headers=headers)


async def test_without_limits_nothing_is_said_and_nothing_refused(house: House) -> None:
    """The default."""
    replies = [await create(house) for _ in range(20)]

    assert {reply.status for reply in replies} == {201}
    assert not [name for reply in replies for name in reply.headers if "RateLimit" in name]


async def test_every_answer_says_what_is_left(house: House) -> None:
    """A client that reads it is never refused."""
    limited(house, create="3/minute")

    first, wrong, last = await create(house), await house.ask("POST", "/tasks"), await create(house)

    assert (first.status, wrong.status, last.status) == (201, 415, 201)
    for reply, left in ((first, 2), (wrong, 1), (last, 0)):
        assert reply.headers["RateLimit-Policy"] == '"create";q=3;w=60'
        assert reply.headers["RateLimit"].startswith(f'"create";r={left};t=')
        assert 58 <= int(reply.headers["RateLimit"].partition("t=")[2]) <= 60


async def test_past_the_limit_the_answer_is_429_and_says_when_to_come_back(house: House) -> None:
    """As a problem, with the same time in both fields; nothing is stored."""
    limited(house, create="1/hour")
    await create(house)

    reply = await create(house)

    assert (reply.status, reply.json["type"]) == (429, "urn:taskhub:problem:rate-limited")
    assert reply.headers["Content-Type"] == "application/problem+json"
    wait = int(reply.headers["Retry-After"])
    assert 3_590 <= wait <= 3_600
    assert reply.headers["RateLimit"] == f'"create";r=0;t={wait}'
    assert len((await house.ask("GET", "/tasks")).json["items"]) == 1
    (told,) = house.said(t.RateLimited)
    assert (told.limit, told.who) == ("create", "sub:alice")


async def test_each_principal_has_its_own(house: House) -> None:
    """A new token for the same subject is no new client."""
    limited(house, create="1/hour")
    await create(house)

    again = await create(house, **bearer(jti="another token"))
    other = await create(house, **bearer(sub="bob"))

    assert (again.status, other.status) == (429, 201)


async def test_acts_count_apart_from_new_tasks_and_reading_not_at_all(house: House) -> None:
    """The route table says which limit a route counts against."""
    limited(house, acts="2/hour", create="100/hour")
    tasks = [await house.create() for _ in range(3)]

    acts = [await house.ask("POST", f"/tasks/{task['id']}/cancel") for task in tasks]
    read = await house.ask("GET", "/tasks")

    assert [act.status for act in acts] == [200, 200, 429]
    assert acts[0].headers["RateLimit-Policy"] == '"acts";q=2;w=3600'
    assert read.status == 200
    assert "RateLimit" not in read.headers


async def test_whom_the_token_does_not_name_is_counted_by_address(proxied: House) -> None:
    """Else each new token without a subject would be a new client."""
    limited(proxied, create="1/hour")
    nobody = bearer(sub=None)

    async def status(address: str, **claims: Any) -> int:
        fields = bearer(sub=None, **claims) | {"Forwarded": f'for="{address}"'}
        return (await create(proxied, **fields)).status

    assert (await create(proxied, **nobody)).status == 201
    assert (await create(proxied, **bearer(sub=None, jti="new"))).status == 429
    assert await status("192.0.2.1") == 201
    assert await status("[2001:db8:0:1::1]") == 201
    assert await status("[2001:db8:0:1:ffff::9]:77", jti="new") == 429
    assert await status("[2001:db8:0:2::1]") == 201


async def test_invented_addresses_and_subjects_of_refused_tokens_gain_nothing(house: House) -> None:
    """Only a trusted proxy names addresses; who may not in has no quota to use up."""
    limited(house, create="5/hour")
    fields = ("X-Forwarded-For", "Forwarded", "X-Real-IP")

    replies = [
        await create(house, **bearer(sub=None), **{fields[n % 3]: f"192.0.2.{n}"})
        for n in range(12)
    ]
    strangers = [await create(house, **bearer(exp=1)) for _ in range(9)]

    assert [reply.status for reply in replies] == [201] * 5 + [429] * 7
    assert {reply.status for reply in strangers} == {401}
    assert "RateLimit" not in strangers[0].headers


async def test_a_browser_may_read_the_fields(tmp_path: Path, empty_database: Path) -> None:
    """Of the 429 too."""
    app = "https://app.example.com"
    config = msgspec.structs.replace(
        CONFIG, cors=CorsSection(origins=(app,)), limits=LimitsSection(create="1/hour")
    )
    async with open_house(tmp_path, empty_database, config) as house:
        replies = [await create(house, Origin=app) for _ in range(2)]

    assert [reply.status for reply in replies] == [201, 429]
    for reply in replies:
        told = reply.headers["Access-Control-Expose-Headers"].split(",")
        assert {"RateLimit", "RateLimit-Policy", "Retry-After"} <= set(told)
        assert reply.headers["Access-Control-Allow-Origin"] == app


# ---- tokens that are refused


async def test_too_many_bad_tokens_from_one_address_are_not_looked_at(proxied: House) -> None:
    """Who guesses is stopped, also when the next guess is right; other addresses are not."""
    limited(proxied, bad_tokens="3/minute")

    async def status(address: str, **claims: Any) -> int:
        fields = bearer(**claims) | {"X-Forwarded-For": address}
        return (await proxied.ask("GET", "/tasks", headers=fields)).status

    assert [await status("192.0.2.1", aud=f"guess{n}") for n in range(5)] == [401] * 3 + [429] * 2
    assert await status("192.0.2.1", jti="right at last") == 429
    assert await status("192.0.2.2", aud="guess") == 401
    assert await status("192.0.2.2", jti="right at once") == 200
    assert {told.who for told in proxied.said(t.RateLimited)} == {"192.0.2.1"}


async def test_a_token_that_was_good_before_is_no_guess(house: House) -> None:
    """Others behind the same address go on while one of them is stopped."""
    limited(house, bad_tokens="1/minute")
    assert (await house.ask("GET", "/tasks")).status == 200

    bad = [await house.ask("GET", "/tasks", headers=bearer(exp=n)) for n in (1, 2)]

    assert [reply.status for reply in bad] == [401, 429]
    assert int(bad[1].headers["Retry-After"]) <= 60
    assert (await house.ask("GET", "/tasks")).status == 200


# ---- tables, clocks, reloads


class Clock:
    """A time that tests set."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def quiet(_: t.Telemetry) -> None:
    """Nobody listens."""


async def hits(limits: Limits, count: int, who: str = "sub:alice") -> list[bool]:
    """So many requests: which were taken."""
    taken = []
    for _ in range(count):
        try:
            await limits.take("create", who, "r-1")
        except RateLimited:
            taken.append(False)
        else:
            taken.append(True)
    return taken


async def test_a_flood_of_clients_grows_no_table_and_drives_nobody_out() -> None:
    """100,000 subjects, and as many networks with bad tokens: who has used much stays."""
    limits = Limits(LimitsSection(create="2/day", bad_tokens="2/day"), quiet)
    assert await hits(limits, 2) == [True, True]
    for _ in range(2):
        limits.count("bad_tokens", "192.0.2.1")

    for n in range(100_000):
        await limits.take("create", f"sub:{n}", "r-1")
        limits.count("bad_tokens", str(IPv6Address(n << 64)))

    assert {len(clients) for clients in limits._clients.values()} == {CLIENTS_MOST}
    assert await hits(limits, 1) == [False]
    with pytest.raises(RateLimited):
        limits.check("bad_tokens", "192.0.2.1", "r-1")


async def test_a_flood_of_clients_who_all_use_much_grows_no_table_either() -> None:
    """Nobody can be told from the others then: who was unseen for longest is forgotten."""
    limits = Limits(LimitsSection(create="1/day"), quiet)

    for n in range(CLIENTS_MOST + 100):
        assert await hits(limits, 1, f"sub:{n}") == [True]

    assert {len(clients) for clients in limits._clients.values()} == {CLIENTS_MOST}
    assert await hits(limits, 1, f"sub:{CLIENTS_MOST + 99}") == [False]


async def test_good_tokens_take_no_place_among_the_bad_ones(proxied: House) -> None:
    """However many addresses they come from."""
    limited(proxied, bad_tokens="3/minute")

    for n in range(3):
        fields = bearer(jti=str(n)) | {"X-Forwarded-For": f"192.0.2.{n}"}
        assert (await proxied.ask("GET", "/tasks", headers=fields)).status == 200

    assert [len(clients) for clients in proxied.context.limits._clients.values()] == [0]


async def test_a_reload_applies_at_once_and_keeps_what_was_counted(house: House) -> None:
    """A higher number lets more pass, a lower one fewer; another time begins anew."""
    limited(house, create="1/hour", acts="1/hour")
    task = await house.create()
    await house.ask("POST", f"/tasks/{task['id']}/cancel")

    limited(house, create="2/hour", acts="1/hour")

    assert [(await create(house)).status for _ in range(2)] == [201, 429]
    assert (await house.ask("POST", f"/tasks/{task['id']}/cancel")).status == 429
    limited(house, create="1/hour")
    assert (await create(house)).status == 429
    limited(house, create="1/minute")
    assert [(await create(house)).status for _ in range(2)] == [201, 429]
    limited(house)
    assert (await create(house)).status == 201


async def test_time_gives_the_quota_back() -> None:
    """After the time that was told, and one at a time."""
    clock = Clock()
    limits = Limits(LimitsSection(create="10/minute"), quiet, clock=clock)
    assert await hits(limits, 11) == [True] * 10 + [False]
    with pytest.raises(RateLimited) as refused:
        await limits.take("create", "sub:alice", "r-1")

    assert refused.value.retry_after is not None
    clock.now += refused.value.retry_after + 0.001

    assert await hits(limits, 2) == [True, False]


# ---- counts that are shared


class Shared:
    """Shared counts that answer what a test lets them."""

    def __init__(self) -> None:
        self.wanted = 0
        self.asked: list[asyncio.Future[Reading | None]] = []
        self.learn: list[Callable[[Reading], None]] = []
        self.told, self.is_there = 0, True

    def want(self) -> None:
        self.wanted += 1

    def hit(
        self,
        name: str,
        key: bytes,
        rate: Rate,
        learn: Callable[[Reading], None],
        *,
        times: int,
    ) -> Asked | None:
        if not self.is_there:
            return None
        self.learn.append(learn)
        self.asked.append(asyncio.get_running_loop().create_future())
        return self.asked[-1]

    def tell(
        self, name: str, key: bytes, rate: Rate, learn: Callable[[Reading], None], *, times: int
    ) -> bool:
        if self.is_there:
            self.told += 1
            self.learn.append(learn)
        return self.is_there

    async def run(self) -> None:
        raise NotImplementedError


async def ask(limits: Limits, shared: Shared, reading: Reading | None) -> bool:
    """One request that the shared counts answer like this."""
    request = asyncio.ensure_future(hits(limits, 1))
    before = len(shared.asked)
    await turns()
    assert len(shared.asked) == before + 1
    shared.asked[-1].set_result(reading)
    return (await request)[0]


async def test_the_shared_counts_decide_and_their_refusals_are_remembered() -> None:
    """A flood of refused requests costs the server nothing until there can be room again."""
    clock, shared = Clock(), Shared()
    limits = Limits(LimitsSection(create="10/minute"), quiet, shared, clock)

    assert await ask(limits, shared, Reading(is_taken=True, before=0, count=9, gone=30.0))
    assert not await ask(limits, shared, Reading(is_taken=False, before=0, count=10, gone=30.0))
    assert await hits(limits, 100) == [False] * 100
    assert len(shared.asked) == 2
    clock.now += 31.0
    assert await ask(limits, shared, Reading(is_taken=True, before=10, count=0, gone=1.0))


async def test_who_is_left_alone_goes_on_where_the_others_were() -> None:
    """Eight were counted together: this process lets two more pass, and says that it is alone."""
    clock, shared, told = Clock(), Shared(), list[t.Telemetry]()
    limits = Limits(LimitsSection(create="10/minute"), told.append, shared, clock)
    assert await ask(limits, shared, Reading(is_taken=True, before=0, count=8, gone=30.0))

    assert await ask(limits, shared, None)
    shared.is_there = False

    assert await hits(limits, 2) == [True, False]
    assert told[:2] == [t.CountedAlone(limit="create")] * 2


async def test_an_answer_that_comes_too_late_still_teaches_what_others_have_done() -> None:
    """Else a server that is a little slow would let each process have the whole limit."""
    clock, shared = Clock(), Shared()
    limits = Limits(LimitsSection(create="10/minute"), quiet, shared, clock)
    assert await ask(limits, shared, None)

    shared.learn[-1](Reading(is_taken=True, before=0, count=9, gone=0.0))
    assert await ask(limits, shared, None)
    assert await hits(limits, 1) == [False]
    shared.learn[-1](Reading(is_taken=True, before=0, count=8, gone=0.0))  # some are on their way
    assert await hits(limits, 1) == [False]
    clock.now += 120.0
    shared.learn[-1](Reading(is_taken=False, before=0, count=10, gone=0.0))
    assert await hits(limits, 1) == [False]


async def test_who_is_far_from_the_limit_waits_for_no_answer() -> None:
    """The first one does, in case that others have used it up; and everybody does near it."""
    clock, shared, told = Clock(), Shared(), list[t.Telemetry]()
    limits = Limits(LimitsSection(create="100/minute"), told.append, shared, clock)
    assert await ask(limits, shared, Reading(is_taken=True, before=0, count=1, gone=0.0))

    assert await hits(limits, 33) == [True] * 33
    assert (shared.told, told) == (33, [])
    assert await ask(limits, shared, Reading(is_taken=True, before=0, count=10, gone=0.0))
    shared.learn[-1](Reading(is_taken=True, before=0, count=60, gone=0.0))
    assert await ask(limits, shared, Reading(is_taken=True, before=0, count=5, gone=0.0))
    shared.is_there = False
    assert await hits(limits, 1) == [True]
    assert told == [t.CountedAlone(limit="create")]


async def test_a_late_answer_to_a_limit_that_has_changed_says_nothing() -> None:
    """Other time, other window; or nobody is counted any more."""
    shared = Shared()
    limits = Limits(LimitsSection(create="1/minute"), quiet, shared)
    assert await ask(limits, shared, None)
    full = Reading(is_taken=False, before=0, count=1, gone=0.0)

    limits.follow(LimitsSection(create="1/hour"))
    shared.learn[0](full)
    assert await ask(limits, shared, None)
    limits.follow(LimitsSection())
    shared.learn[1](full)


async def test_only_limits_that_are_shared_want_a_server() -> None:
    """Off costs nothing, and strangers' bad tokens fill nobody else's memory."""
    shared = Shared()
    limits = Limits(LimitsSection(), quiet, shared)
    limits.follow(LimitsSection(bad_tokens="1/minute"))
    limits.count("bad_tokens", "192.0.2.1")

    assert (shared.wanted, shared.asked) == (0, [])
    limits.follow(LimitsSection(create="1/minute"))
    assert shared.wanted == 1


async def test_a_limit_that_is_switched_off_under_a_request_harms_nobody() -> None:
    """The answer of the server comes after the reload."""
    shared = Shared()
    limits = Limits(LimitsSection(create="1/minute"), quiet, shared)
    request = asyncio.ensure_future(hits(limits, 1))
    await turns()

    limits.follow(LimitsSection())
    limits.count("bad_tokens", "192.0.2.1")
    shared.asked[0].set_result(Reading(is_taken=False, before=0, count=1, gone=0.0))

    assert await request == [False]
