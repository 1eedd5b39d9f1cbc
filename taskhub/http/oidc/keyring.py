"""All providers of one API: which there are follows the configuration, their tasks follow them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from taskhub.config.issuers import Issuer
from taskhub.http.context import PartHealth
from taskhub.http.oidc.documents import Fetch
from taskhub.http.oidc.fetching import fetch
from taskhub.http.oidc.provider import Provider

if TYPE_CHECKING:
    from taskhub.obs.telemetry import Emit, Telemetry

Place = str
"""`jwt`, or `jwt.issuers.NAME`."""


def _quiet(_: Telemetry) -> None:
    """For a keyring that is made to look whether a configuration could be used."""


class Keyring:
    """Keeps the keys of every issuer that publishes its own, over reloads of the configuration."""

    def __init__(self, emit: Emit = _quiet, fetch: Fetch = fetch) -> None:
        self._emit, self._fetch = emit, fetch
        self._providers: dict[Place, Provider] = {}
        self._tasks: dict[Provider, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None
        self._has_own_keys = False

    def hold(self, found: Sequence[Issuer]) -> Mapping[Place, Provider]:
        """The providers of these issuers; one that stays keeps its keys, the others are let go."""
        self._has_own_keys = any(issuer.key for issuer in found)
        self._providers = {each.place: self._provider(each) for each in found if each.metadata}
        for provider in set(self._tasks) - set(self._providers.values()):
            self._tasks.pop(provider).cancel()
            provider.close()
        for provider in self._providers.values():
            self._start(provider)
        return self._providers

    async def run(self) -> None:
        """Keep all keys new until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                for provider in self._providers.values():
                    self._start(provider)
                await asyncio.Event().wait()
        finally:
            self._group = None
            self._tasks.clear()

    def hurry(self) -> None:
        """Ask every issuer anew, at once."""
        for provider in self._providers.values():
            provider.hurry(at_once=True)

    def close(self) -> None:
        """Let nobody wait for keys any longer."""
        for provider in self._providers.values():
            provider.close()

    def health(self) -> list[PartHealth]:
        """How each provider is; that one issuer has no keys fails us only where none has any.

        Any thread may ask: a reload may change them meanwhile.
        """
        providers = list(self._providers.values())
        has_any = self._has_own_keys or any(provider.keys.keys for provider in providers)
        return [_part(provider, has_any) for provider in providers]

    def _provider(self, issuer: Issuer) -> Provider:
        old = self._providers.get(issuer.place)
        if old is not None and _source(old.issuer) == _source(issuer):
            return old
        return Provider(issuer, self._emit, self._fetch)

    def _start(self, provider: Provider) -> None:
        if self._group is not None and provider not in self._tasks:
            task = self._group.create_task(provider.run(), name=f"http {provider.part}")
            self._tasks[provider] = task


def _source(issuer: Issuer) -> tuple[str, str]:
    return issuer.authority, issuer.metadata


def _part(provider: Provider, has_any: bool) -> PartHealth:  # noqa: FBT001 - read at one place
    health = provider.health
    state = "degraded" if health.state == "failed" and has_any else health.state
    return PartHealth(provider.part, state, health.detail)
