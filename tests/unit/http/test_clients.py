"""Who the client is: the peer, or whom trusted proxies name; nobody else is believed."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy
from taskhub.http.clients import Client, client_of, neighbourhood
from taskhub.http.server import serving
from taskhub.obs.telemetry import ActAudited

from tests.unit.http.house import CONFIG, House, bearer, open_house, tuned

PROXIES = ("10.0.0.0/8", "2001:db8:aaaa::/48")
NEAR, HERS = "10.0.0.1", "203.0.113.7"


def seen(remote: str | None = NEAR, proxies: tuple[str, ...] = PROXIES, **fields: str) -> Client:
    """The client of a request with these fields, `_` for `-`."""
    named = CIMultiDict({name.replace("_", "-"): value for name, value in fields.items()})
    return client_of(remote, CIMultiDictProxy(named), proxies)


@pytest.mark.parametrize("field", ["Forwarded", "X_Forwarded_For", "X_Real_IP"])
def test_a_stranger_is_not_believed(field: str) -> None:
    """A thousand invented addresses are one client; and a proxy that is not configured is seen."""
    value = "for=192.0.2.1" if field == "Forwarded" else "192.0.2.1"

    assert seen(HERS, PROXIES, **{field: value}) == Client(HERS, is_sure=False)
    assert seen(NEAR, (), **{field: value}) == Client(NEAR, is_sure=False)


def test_without_such_fields_the_peer_is_the_client() -> None:
    """A trusted proxy that asks for itself (its health check) too."""
    assert seen(HERS) == Client(HERS)
    assert seen(NEAR) == Client(NEAR)


@pytest.mark.parametrize(
    ("chain", "client"),
    [
        (HERS, HERS),
        (f"192.0.2.1, {HERS}", HERS),
        (f"192.0.2.1, {HERS}, 10.2.2.2,10.3.3.3", HERS),
        (f"nonsense, {HERS}", HERS),
        (f"{HERS}:51234", HERS),
        ("2001:db8::7", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("[2001:db8::7]:443", "2001:db8::7"),
        ("::ffff:203.0.113.7", HERS),
        (f"{HERS},,", HERS),
        (f"{HERS}, 2001:db8:aaaa::1", HERS),
        ("10.7.7.7, 10.2.2.2", "10.7.7.7"),
        ("10.1.1.1," * 100 + "10.2.2.2", "10.1.1.1"),
    ],
)
def test_a_chain_is_read_from_the_right(chain: str, client: str) -> None:
    """The first hop that is no proxy of ours is the client: left of it everything is hearsay."""
    assert seen(X_Forwarded_For=chain) == Client(client)


@pytest.mark.parametrize(
    ("field", "client"),
    [
        (f"for={HERS}", HERS),
        (f"For={HERS};proto=https;by=10.0.0.1", HERS),
        (f"proto=https;host=a.example ; for={HERS}", HERS),
        (f'for="{HERS}:4711"', HERS),
        ('for="[2001:db8::7]"', "2001:db8::7"),
        ('for="[2001:db8::7]:4711"', "2001:db8::7"),
        (f"for=192.0.2.1, for={HERS}, for=10.2.2.2", HERS),
        (f'for=192.0.2.1;x="a, for=1.1.1.1", for={HERS}', HERS),
        ('for="203.0.113\\.7"', HERS),
        (f"for=unknown, for={HERS};", HERS),
    ],
)
def test_the_standard_field_is_read_too(field: str, client: str) -> None:
    """RFC 7239, with quotes and all."""
    assert seen(Forwarded=field) == Client(client)


@pytest.mark.parametrize(
    "field",
    [
        "for=unknown",
        "for=_hidden",
        "for=192.0.2.1, for=_secret, for=10.2.2.2",
        "proto=https",
        "nonsense",
        "for",
        'for=192.0.2.1;x=", for="[2001:db8::7]"',
        'for="192.0.2.1',
        "for=999.1.1.1",
        "for=[::1",
        "",
        ",;,;",
        "\x00\xff=é",
    ],
)
def test_what_cannot_be_read_leaves_the_proxys_address(field: str) -> None:
    """An open quote of the client's must not swallow what the proxy has added after it."""
    assert seen(Forwarded=field) == Client(NEAR, is_sure=False)


@pytest.mark.parametrize("chain", ["unknown", "10.2.2.2, x", "1.2.3.4.5", "", " , ", "::1::2"])
def test_a_chain_of_nonsense_leaves_the_proxys_address(chain: str) -> None:
    """It is tolerated, and believed to be nothing."""
    assert seen(X_Forwarded_For=chain) == Client(NEAR, is_sure=False)


def test_two_fields_must_agree() -> None:
    """The proxy sets one of them; the other may have come from the client as it is."""
    assert seen(Forwarded=f"for={HERS}", X_Forwarded_For=HERS) == Client(HERS)
    assert seen(Forwarded="for=192.0.2.1", X_Forwarded_For=HERS) == Client(NEAR, is_sure=False)
    assert seen(Forwarded="nonsense", X_Forwarded_For=HERS) == Client(NEAR, is_sure=False)
    assert seen(X_Real_IP="192.0.2.1", X_Forwarded_For=HERS) == Client(HERS)
    assert seen(X_Real_IP="192.0.2.1") == Client(NEAR, is_sure=False)


@pytest.mark.parametrize("remote", ["", None, "/run/nginx.sock", "b'\\x00abstract'"])
def test_unix_sockets_are_trusted_by_name(remote: str | None) -> None:
    """Their peers have no address, whatever the system calls them."""
    assert seen(remote, ("unix",), X_Forwarded_For=HERS) == Client(HERS)
    assert seen(remote, PROXIES, X_Forwarded_For=HERS) == Client("", is_sure=False)
    assert seen(remote, ("unix",)) == Client("")
    assert seen(NEAR, ("unix",), X_Forwarded_For=HERS) == Client(NEAR, is_sure=False)


def test_a_very_long_field_is_read_in_one_go() -> None:
    """A pattern that goes back and forth over 8 kB would never end."""
    for text in ('"' * 8_000, 'a="' * 2_600, 'a="\\' * 2_000, "a=b;" * 2_000, " " * 8_000 + "x"):
        assert seen(Forwarded=text, X_Forwarded_For=text) == Client(NEAR, is_sure=False)


@given(field=st.text(max_size=60), chain=st.text(max_size=60))
def test_garbage_never_gives_an_address_that_is_not_there(field: str, chain: str) -> None:
    """Whatever it says, the answer is the proxy's address or another one, and not a text."""
    client = seen(Forwarded=field, X_Forwarded_For=chain)

    assert client.is_sure or client.address == NEAR
    assert str(ip_address(client.address)) == client.address


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        (HERS, HERS),
        ("::ffff:203.0.113.7", HERS),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_a_network_of_64_bits_is_one_client(address: str, counted: str) -> None:
    """Its owner has 2**64 addresses to walk through."""
    assert neighbourhood(address) == counted


@pytest.fixture
async def behind(tmp_path: Path, empty_database: Path) -> AsyncIterator[House]:
    """An API whose proxy is on loopback."""
    config = tuned(CONFIG, trusted_proxies=("127.0.0.0/8",), metrics_allow=("192.0.2.0/24",))
    async with open_house(tmp_path, empty_database, config) as house:
        yield house


async def retried(house: House, **headers: str) -> ActAudited:
    """What the log says of an operator's act that came with these fields."""
    made = await house.create()
    path = f"/tasks/{made['id']}/cancel"
    fields = bearer(sub="olga", roles=["Operator"]) | headers
    assert (await house.ask("POST", path, headers=fields)).status == 200
    told: ActAudited = house.said(ActAudited)[-1]
    return told


async def test_the_audit_names_the_client_and_not_its_proxy(behind: House) -> None:
    """Else every act would seem to have come from one machine."""
    assert (await retried(behind)).address == "127.0.0.1"
    assert (await retried(behind, Forwarded=f"for={HERS}")).address == HERS
    behind.config = CONFIG
    assert (await retried(behind, Forwarded=f"for={HERS}")).address == "127.0.0.1"


async def test_metrics_are_shown_to_the_client_that_the_proxy_names(behind: House) -> None:
    """Allowed or not is the client's address; a proxy that does not say whose hides strangers."""

    async def status(**headers: str) -> int:
        return (await behind.ask("GET", "/metrics", headers=headers)).status

    assert await status(Forwarded="for=192.0.2.9") == 200
    assert await status(Forwarded=f"for={HERS}") == 403
    assert await status() == 403
    behind.config = tuned(CONFIG, trusted_proxies=("127.0.0.0/8",))
    assert await status() == 200
    assert await status(Forwarded="for=unknown") == 403
    assert await status(Forwarded=f"for={HERS}") == 403


async def test_an_api_on_a_unix_socket_knows_whom_its_proxy_speaks_for(
    behind: House, tmp_path: Path
) -> None:
    """As systemd may pass one; with the word in the settings, and without."""
    behind.config = tuned(CONFIG, trusted_proxies=("unix",), metrics_allow=("192.0.2.0/24",))
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "api.sock"))
        sock.listen()
        sock.setblocking(False)
        connector = aiohttp.UnixConnector(str(tmp_path / "api.sock"))
        async with (
            serving(behind.context, sock),
            aiohttp.ClientSession("http://api", connector=connector) as client,
        ):

            async def status(**headers: str) -> Any:
                async with client.get("/metrics", headers=headers) as answer:
                    return answer.status

            assert await status() == 200
            assert await status(Forwarded="for=192.0.2.9") == 200
            assert await status(Forwarded=f"for={HERS}") == 403
            behind.config = msgspec.structs.replace(behind.config, http=CONFIG.http)
            assert await status(Forwarded="for=127.0.0.1") == 403
