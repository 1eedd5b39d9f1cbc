"""What may be called for a task, and every trick that was ever used to get past such a guard."""

from __future__ import annotations

import pytest
from taskhub.work.outbound.guard import Guard, NotAllowed

PUBLIC = ("93.184.216.34", "1.1.1.1", "2606:2800:220:1:248:1893:25c8:1946", "2a00:1450:4001::200e")
FORBIDDEN = (
    "0.0.0.0",  # noqa: S104 - nobody binds to it here
    *("127.0.0.1", "127.255.255.254", "0.0.0.1", "0.255.0.0", "0.1.2.3", "10.1.2.3", "172.16.0.1"),
    *("192.168.1.1", "169.254.169.254", "100.64.0.1", "100.100.100.200", "192.0.0.192"),
    *("192.0.2.1", "198.18.0.1", "198.51.100.7", "203.0.113.9", "192.88.99.1", "224.0.0.1"),
    *("239.255.255.250", "240.0.0.1", "255.255.255.255", "168.63.129.16"),
    *("::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:93.184.216.34", "::ffff:7f00:1"),
    *("64:ff9b::7f00:1", "64:ff9b::5db8:d822", "64:ff9b:1::1", "100::1", "2001::1"),
    *("2001:0:53aa:64c::1", "2001:db8::1", "2002:7f00:1::", "2002:5db8:d822::1", "3fff::1"),
    *("5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1"),
    *("ff0e::1",),
)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_may_be_called(address: str) -> None:
    """That is what such tasks are for."""
    Guard().address(address)


@pytest.mark.parametrize("address", FORBIDDEN)
def test_an_address_that_is_not_public_may_not(address: str) -> None:
    """Private, local, reserved, or IPv4 in disguise: what only we can reach is not theirs."""
    with pytest.raises(NotAllowed):
        Guard().address(address)


@pytest.mark.parametrize("host", [f"[{a}]" if ":" in a else a for a in FORBIDDEN if "%" not in a])
def test_a_url_with_such_an_address_is_refused_without_dialling(host: str) -> None:
    """No resolver sees a host that is an address already."""
    with pytest.raises(NotAllowed):
        Guard().url(f"http://{host}/x")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com",
        "//example.com",
        "file:///etc/passwd",
        "gopher://example.com/",
        "ftp://example.com/",
        "unix:///run/docker.sock",
        "javascript:alert(1)",
        "http:example.com",
        "http:/example.com",
        "http:///example.com",
        "http://",
        "http://:80/",
        "http://?x",
        "http://user@example.com/",
        "http://user:secret@example.com/",
        "http://@example.com/",
        "http://example.com:80@127.0.0.1/",
        "http://public.example\\@127.0.0.1/",
        "http://exam ple.com/",
        " http://example.com/",
        "http://example.com/\n",
        "http://example.com/\r\nHost: internal",
        "http://example.com/\x00",
        "http://example.com:0/",
        "http://example.com:22/",
        "http://example.com:25/",
        "https://example.com:445/",
        "http://example.com:65536/",
        "http://example.com:-1/",
        "http://example.com:x/",
        "http://[::1",
        "http://[fe80::1%25eth0]/",
        f"http://example.com/{'a' * 2_048}",
    ],
)
def test_what_is_no_plain_web_address_is_refused(url: str) -> None:
    """Other schemes, users before the host, ports of other services, parsers set at odds."""
    with pytest.raises(NotAllowed):
        Guard().url(url)


@pytest.mark.parametrize(
    ("url", "called"),
    [
        ("https://example.com/a?b=c#d", "https://example.com/a?b=c"),
        ("HTTP://EXAMPLE.com:80/", "http://example.com/"),
        ("https://example.com:8443", "https://example.com:8443"),
        ("https://bücher.example/ä", "https://xn--bcher-kva.example/%C3%A4"),
        ("http://1.1.1.1:8080/", "http://1.1.1.1:8080/"),
    ],
)
def test_a_plain_web_address_may_be_called(url: str, called: str) -> None:
    """Names are looked at when they are looked up."""
    assert str(Guard().url(url)) == called


def test_a_network_that_is_allowed_may_be_called_and_nothing_beside_it() -> None:
    """One's own services, by the operator's will alone."""
    guard = Guard(["10.1.0.0/16", "::1/128"])

    guard.address("10.1.255.1")
    guard.url("http://[::1]:8080/")
    for address in ("10.2.0.1", "127.0.0.1", "::ffff:10.1.0.1", "fe80::1"):
        with pytest.raises(NotAllowed):
            guard.address(address)


def test_what_is_no_address_is_not_dialled() -> None:
    """A resolver that answers nonsense opens no door."""
    for text in ("", "localhost", "2130706433", "0x7f.1", "1.2.3", "1.1.1.1 "):
        with pytest.raises(NotAllowed):
            Guard().address(text)
