"""TLS: modern, quick to give up, and a new certificate hurts no connection."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from taskhub.config.sections import HttpSection
from taskhub.errors import ConfigError
from taskhub.http.tls import Tls, tls_problems
from taskhub.obs.telemetry import CertificateLoaded, RequestCrashed, Telemetry

from tests.certificates import make_pair, trusting
from tests.unit.http.house import CONFIG, House, open_house, tuned

pytestmark = pytest.mark.wire

ASK = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Secured:
    """A house behind TLS, and the files of its certificate."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.told = folder, list[Telemetry]()
        self.certificate = make_pair(folder)
        self.tls = Tls(self.told.append)
        self.take(self.certificate)

    def section(self, certificate: Path, key: Path | None = None) -> HttpSection:
        return HttpSection(
            tls_certificate=str(certificate), tls_key=str(key or certificate.with_suffix(".key"))
        )

    def take(self, certificate: Path, key: Path | None = None) -> None:
        self.tls.prepare(self.section(certificate, key))
        self.tls.apply()


@pytest.fixture
def secured(tmp_path: Path) -> Secured:
    """Its certificate is loaded."""
    return Secured(tmp_path)


@pytest.fixture
async def house(tmp_path: Path, empty_database: Path, secured: Secured) -> AsyncIterator[House]:
    """An API over TLS with short deadlines."""
    config = tuned(CONFIG, header_timeout=0.4)
    async with open_house(tmp_path, empty_database, config, secured.tls.context) as opened:
        yield opened


async def connected(house: House, trusted: Path) -> Line:
    """A connection of a client that believes in this certificate alone."""
    return await asyncio.open_connection("127.0.0.1", house.port, ssl=trusting(trusted))


async def answered(line: Line) -> bytes:
    """Ask once; the whole answer."""
    reader, writer = line
    writer.write(ASK)
    return await reader.readuntil(b"\r\n\r\nok")


async def test_the_api_is_served_over_tls(house: House, secured: Secured) -> None:
    """And browsers are told to stay with it."""
    line = await connected(house, secured.certificate)
    answer = await answered(line)
    version = line[1].get_extra_info("ssl_object").version()
    line[1].close()

    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert b"\r\nStrict-Transport-Security: max-age=" in answer
    assert version in {"TLSv1.2", "TLSv1.3"}


async def test_refusals_say_it_too(house: House, secured: Secured) -> None:
    """Also those of what is no request."""
    reader, writer = await connected(house, secured.certificate)
    writer.write(b"nonsense\r\n\r\n")
    answer = await reader.read()
    writer.close()

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"Strict-Transport-Security" in answer


async def test_without_tls_nobody_is_told_to_use_it(tmp_path: Path, empty_database: Path) -> None:
    """It would lock browsers out."""
    async with open_house(tmp_path, empty_database) as plain:
        reply = await plain.ask("GET", "/health")

    assert "Strict-Transport-Security" not in reply.headers


async def test_old_versions_are_not_spoken(house: House, secured: Secured) -> None:
    """RFC 8996."""
    old = trusting(secured.certificate)
    with pytest.warns(DeprecationWarning, match="TLS"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1

    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection("127.0.0.1", house.port, ssl=old)


@pytest.mark.parametrize("data", [b"", b"\x16\x03", ASK], ids=["nothing", "half a hello", "HTTP"])
async def test_who_does_not_shake_hands_is_cut_off(house: House, data: bytes) -> None:
    """In the time that a head has; and it is no news."""
    answer = await house.raw(data)

    assert not answer.startswith(b"HTTP/1.1 2")
    assert house.said(RequestCrashed) == []


async def test_a_new_certificate_hurts_no_connection(house: House, secured: Secured) -> None:
    """Those that there are go on; whoever comes next gets the new one."""
    old = await connected(house, secured.certificate)
    await answered(old)

    renewed = make_pair(secured.folder, "renewed")
    secured.take(renewed)
    with pytest.raises(ssl.SSLCertVerificationError):
        await connected(house, secured.certificate)
    new = await connected(house, renewed)

    for line in (old, new):
        assert (await answered(line)).startswith(b"HTTP/1.1 200 OK")
        line[1].close()
    assert [type(event) for event in secured.told] == [CertificateLoaded] * 2


async def test_the_same_certificate_is_no_news(secured: Secured) -> None:
    """A reload for something else reads it too."""
    secured.take(secured.certificate)

    assert len(secured.told) == 1


@pytest.mark.parametrize(
    ("kind", "key", "expected"),
    [
        ("missing", "http.tls_certificate", "No such file"),
        ("nonsense", "http.tls_certificate", "certificate in PEM"),
        ("another key", "http.tls_key", "belongs to"),
        ("no key", "http.tls_key", "private key in PEM"),
        ("locked", "http.tls_key", "passphrase"),
    ],
)
async def test_a_wrong_pair_is_refused_and_the_old_one_stays(
    house: House, secured: Secured, kind: str, key: str, expected: str
) -> None:
    """With the key and what was expected; half a renewal must not take the API down."""
    with pytest.raises(ConfigError) as caught:
        secured.take(*wrong(secured, kind))
    line = await connected(house, secured.certificate)
    line[1].close()

    (problem,) = caught.value.problems
    assert problem.detail.startswith(key)
    assert expected in problem.detail
    assert "PRIVATE" not in problem.detail
    assert [found.detail for found in tls_problems(secured.section(*wrong(secured, kind)))]


def wrong(secured: Secured, kind: str) -> tuple[Path, Path]:
    """Files that are not served."""
    folder, good = secured.folder, secured.certificate
    good_key = good.with_suffix(".key")
    match kind:
        case "missing":
            return folder / "nowhere.pem", good_key
        case "nonsense":
            return good_key, good_key
        case "another key":
            return good, make_pair(folder, "other").with_suffix(".key")
        case "no key":
            return good, good
        case _:
            pair = make_pair(folder, "locked", passphrase="secret")
            return pair, pair.with_suffix(".key")


def test_a_key_that_others_may_read_is_refused(
    secured: Secured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As every file with a secret is."""
    key = secured.certificate.with_suffix(".key")
    monkeypatch.setattr("taskhub.http.tls.is_open_to_others", lambda path: path == key)

    (problem,) = tls_problems(secured.section(secured.certificate))

    assert "chmod o-r" in problem.detail


def test_how_long_a_certificate_is_good_is_told(tmp_path: Path) -> None:
    """The metric and the line of the log live on it."""
    told: list[Telemetry] = []
    tls = Tls(told.append)
    path = make_pair(tmp_path, days=3)
    tls.prepare(HttpSection(tls_certificate=str(path), tls_key=str(path.with_suffix(".key"))))
    tls.apply()

    (event,) = told
    assert isinstance(event, CertificateLoaded)
    assert 2 * 86_400 < event.left < 4 * 86_400
