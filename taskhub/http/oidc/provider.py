"""The keys of one issuer as it publishes them: kept, renewed, and waited for."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from random import SystemRandom
from typing import TYPE_CHECKING, Literal

import msgspec

from taskhub.backoff import Backoff
from taskhub.config.issuers import Issuer
from taskhub.errors import KeysAway
from taskhub.http.keys import KeySet
from taskhub.http.oidc.documents import Fetch, Published, ask
from taskhub.http.oidc.fetching import SECONDS, Unfit, fetch
from taskhub.obs.telemetry import KeysAsked, KeysChanged, StateChanged

if TYPE_CHECKING:
    from taskhub.obs.telemetry import Emit

REFRESH = 300.0
"""Seconds between two looks when nothing is asked for: as long may a withdrawn key be believed."""
COOL_DOWN = 5.0
"""Seconds between the beginnings of two looks, whatever strangers ask for."""
LOOK = 2 * SECONDS
"""Seconds that a look may take."""
PATIENCE = COOL_DOWN + LOOK + 1.0
"""Seconds that a request waits for the look that its key asks for."""
WAITERS = 1_000
"""Requests that may wait for one issuer's keys; the others are told to come back."""

KID_SHOWN = 64
"""Characters of a key's id that the log shows."""

_PAUSES, _RANDOM = Backoff(base=1.0, factor=2.0, cap=30.0, jitter=0.5), SystemRandom()


class KeyHealth(msgspec.Struct, frozen=True):
    """For `/ready`: ok, degraded (old keys are used) or failed (there are none yet)."""

    state: Literal["ok", "degraded", "failed"] = "failed"
    detail: str = "the issuer's keys have not been fetched yet"


class Provider:
    """One issuer's keys. `run` keeps them; `renewed` is for a token that none of them fits."""

    def __init__(self, issuer: Issuer, emit: Emit, fetch: Fetch = fetch) -> None:
        self.issuer, self._emit, self._fetch = issuer, emit, fetch
        self.name, self.keys, self.health = issuer.authority, KeySet(), KeyHealth()
        self._begun, self._ended, self._begun_at, self._due = 0, 0, float("-inf"), 0.0
        """The numbers of the last look that has begun, and that has ended; times of the loop."""
        self._failures, self._waiting, self._is_open = 0, 0, True
        self._asked: set[str] = set()
        self._absent: set[str] = set()
        self._wanted, self._urgent = asyncio.Event(), asyncio.Event()
        self._news = asyncio.Event()

    @property
    def part(self) -> str:
        """What `/ready`, the log and the metrics call it."""
        return f"keys/{self.issuer.name}" if self.issuer.name else "keys"

    async def run(self) -> None:
        """Fetch the keys again and again, as often as is due or asked for."""
        self._is_open = True
        if not self._ended:
            await self.look()
        while True:
            await self._rest()
            await self.look()

    def hurry(self, *, at_once: bool = False) -> None:
        """Look again as soon as the cool-down allows; the operator need not wait for that."""
        self._wanted.set()
        if at_once:
            self._urgent.set()

    def close(self) -> None:
        """Let nobody wait any longer: the server stops."""
        self._is_open = False
        self._tell()

    async def renewed(self, kid: str) -> None:
        """Return when the keys are as new as a token that none of them fits can ask for.

        Raises KeysAway where that cannot be had: then nobody can say that the token is bad.
        """
        if self._was_just_asked(kid):
            return
        self.hurry()
        if self._failures or not self._is_open or self._waiting >= WAITERS:
            raise self._away()
        await self._wait(kid)

    def _was_just_asked(self, kid: str) -> bool:
        return kid in self._absent and _now() - self._begun_at < COOL_DOWN

    def _away(self) -> KeysAway:
        return KeysAway(max(1.0, self._due - _now()))

    async def _wait(self, kid: str) -> None:
        """Until a look has ended that begins after now, or one has found this key."""
        before, needed = self.keys, self._begun + 1
        self._waiting += 1
        self._asked.add(kid)
        try:
            async with asyncio.timeout(PATIENCE):
                while self._ended < needed and not self._has(kid, before):
                    await self._news.wait()
                    if self._failures or not self._is_open:
                        raise self._away()
        except TimeoutError:
            raise self._away() from None
        finally:
            self._waiting -= 1

    def _has(self, kid: str, before: KeySet) -> bool:
        """Of a token that names no key, each new key may be the one."""
        return self.keys.has(kid) if kid else self.keys is not before

    async def _rest(self) -> None:
        """Until it is time, or somebody asks and the cool-down is over."""
        pause = REFRESH * (1.0 - 0.1 * _RANDOM.random())
        if self._failures:
            pause = _PAUSES.pause(self._failures, _RANDOM)
        self._due = _now() + pause
        await _until(self._due, self._wanted)
        if self._wanted.is_set():
            self._due = min(self._due, self._begun_at + COOL_DOWN)
            await _until(self._due, self._urgent)

    async def look(self) -> None:
        """Ask once, and keep what comes; whatever goes wrong is told and is no error."""
        self._begun += 1
        number, self._begun_at = self._begun, _now()
        asked, self._asked = self._asked, set()
        self._wanted.clear()
        self._urgent.clear()
        try:
            async with asyncio.timeout(LOOK):
                found = await ask(self.issuer, self._fetch)
        except Unfit as error:
            self._failed(str(error))
        except TimeoutError:
            self._failed(f"no answer within {LOOK:g} s")
        else:
            self._take(found)
            self._absent = asked
        self._ended = number
        self._tell()

    def _take(self, found: Published) -> None:
        self._failures, self.name = 0, found.name
        keys = self.keys.renewed(found.keys)
        if keys is not self.keys:
            self.keys = keys
            kids = tuple(key.kid[:KID_SHOWN] for key in keys.keys)
            self._emit(KeysChanged(part=self.part, issuer=self.name, kids=kids))
        self._emit(KeysAsked(part=self.part, result="ok"))
        self._become(KeyHealth("ok", ""))

    def _failed(self, why: str) -> None:
        """The keys that there are stay good: an outage of the provider is none of ours."""
        self._failures, self._absent = self._failures + 1, set()
        told = f"the provider of {self.issuer.authority} gives no keys: {why}"
        self._emit(KeysAsked(part=self.part, result="failed"))
        if self.keys.keys:
            self._become(KeyHealth("degraded", f"{told}; those it gave before are used"))
        else:
            self._become(KeyHealth("failed", f"{told}; its tokens cannot be checked"))

    def _become(self, health: KeyHealth) -> None:
        """Said in the log when it changes, not at each try."""
        is_news = health.state != self.health.state or self._begun == 1
        self.health = health
        if is_news:
            self._emit(StateChanged(part=self.part, state=health.state, detail=health.detail))

    def _tell(self) -> None:
        """Wake everybody who waits."""
        news, self._news = self._news, asyncio.Event()
        news.set()


async def _until(due: float, event: asyncio.Event) -> None:
    """Return at a time of the loop, or when the event is set."""
    with suppress(TimeoutError):
        async with asyncio.timeout_at(due):
            await event.wait()


def _now() -> float:
    return asyncio.get_running_loop().time()
