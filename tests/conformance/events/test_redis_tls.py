"""Redis over TLS: a real handshake with a certificate made for the test."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from taskhub.bus import BellKind
from taskhub.config.sections import RedisSection
from taskhub.errors import BusRefused
from taskhub.events.redis_pubsub import RedisBus

from tests.conformance.events.conftest import CREATED, SHORT
from tests.proxy import Proxy
from tests.valkey import ValkeyServer

WORK = frozenset({"work"})


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Certificate and key of 127.0.0.1 in one file, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), True)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "tls.pem"
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    secret = key.private_bytes(pem, form, serialization.NoEncryption())
    file.write_bytes(made.public_bytes(pem) + secret)
    return file


@pytest.fixture
async def port(server: ValkeyServer, certificate: Path) -> AsyncIterator[int]:
    """Where the server speaks TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    async with Proxy(server.socket, tls=context) as proxy:
        yield proxy.port


async def test_events_go_over_tls(port: int, certificate: Path) -> None:
    """`rediss://`, with the authority's file in [redis]."""
    login = RedisSection(tls_ca=str(certificate))
    bus = RedisBus(f"rediss://127.0.0.1:{port}", login=login, patience=SHORT)
    await bus.open()

    async with aclosing(bus.subscribe()) as signals:
        await anext(signals)
        await bus.publish([CREATED] * 64, WORK)

        assert await anext(signals) == BellKind(WORK)
    await bus.close()


async def test_a_certificate_that_nobody_vouches_for_is_refused(port: int) -> None:
    """A mistake to mend, said by the key's name; not a server that is away."""
    bus = RedisBus(f"rediss://127.0.0.1:{port}")
    await bus.open()

    with pytest.raises(BusRefused, match="tls_ca"):
        await bus.publish([], WORK)
    await bus.close()
