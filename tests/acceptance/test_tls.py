"""A whole TaskHub behind TLS: SIGHUP renews its certificate, and a wrong one changes nothing."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import aiohttp

from tests.acceptance.installation import Installation, free_port, token
from tests.certificates import make_pair, trusting


async def test_a_certificate_is_renewed_while_clients_are_served(hub: Installation) -> None:
    """Requests go on over the old connection; the metric tells when the new one ends."""
    pair, metrics = make_pair(hub.folder), free_port()
    files = {"Http__TlsCertificate": str(pair), "Http__TlsKey": str(pair.with_suffix(".key"))}
    await hub.start(environ={"Metrics__Port": str(metrics), **files})
    assert await _status(hub, pair) == 200
    connector = aiohttp.TCPConnector(ssl=trusting(pair), limit=1)
    async with aiohttp.ClientSession(connector=connector) as kept:
        assert await _health(kept, hub) == 200

        renewed = make_pair(hub.folder, "renewed", days=300)
        shutil.copy(renewed.with_suffix(".key"), pair.with_suffix(".key"))
        hub.send(signal.SIGHUP)  # the key is there already, its certificate is not
        await hub.until(lambda: _told(hub, "ReloadRefused", 1))
        assert "ReloadRefused api-1: http.tls_key: " in hub.told("ReloadRefused")[0]["@m"]
        shutil.copy(renewed, pair)
        hub.send(signal.SIGHUP)
        await hub.until(lambda: _told(hub, "CertificateLoaded", 2))

        assert await _health(kept, hub) == 200
    assert await _status(hub, renewed) == 200
    async with aiohttp.ClientSession() as scraper:
        answer = await scraper.get(f"http://127.0.0.1:{metrics}/metrics")
        text = await answer.text()
    ends = [line for line in text.splitlines() if line.startswith("taskhub_tls_certificate_expiry")]
    assert len(ends) == 1


async def _told(hub: Installation, event: str, times: int) -> bool:
    return len(hub.told(event)) >= times


async def _status(hub: Installation, trusted: Path) -> int:
    """A new connection of a client that believes in this certificate alone."""
    connector = aiohttp.TCPConnector(ssl=trusting(trusted))
    async with aiohttp.ClientSession(connector=connector) as session:
        return await _health(session, hub)


async def _health(session: aiohttp.ClientSession, hub: Installation) -> int:
    fields = {"Authorization": f"Bearer {token()}"}
    async with session.get(f"https://127.0.0.1:{hub.port}/tasks", headers=fields) as answer:
        await answer.read()
        return answer.status
