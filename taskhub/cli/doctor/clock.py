"""Compares this machine's clock with that of the API, which judges tokens and due times by its."""

from __future__ import annotations

import http.client
import os
import ssl
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from urllib.parse import SplitResult, urlsplit

from taskhub.cli.client import URL
from taskhub.cli.doctor.finding import Finding, fail, ok, warn
from taskhub.config.sections import Config

WITHIN = 3.0  # seconds for the API to answer
COARSE = 2.0  # seconds that may lie between two clocks that agree: an HTTP date has whole ones
FIX = "timedatectl set-ntp true, on both machines"


def look(config: Config) -> Iterator[Finding]:
    """The findings: SQLite has no clock of its own, so only the API's is looked at."""
    place = urlsplit(os.environ.get(URL) or _own(config))
    where = f"{place.scheme}://{place.hostname}:{place.port or _port(place)}"
    try:
        theirs, ours = _times(place)
    except (OSError, http.client.HTTPException, ValueError, TypeError):
        fix = f"start the API, or set {URL} to where it is"
        yield warn("clock", f"not compared: no API answers at {where}", fix)
        return
    yield _judged(ours - theirs, config.jwt.leeway, where)


def _own(config: Config) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}.get(  # noqa: S104 - read, not bound
        config.http.host, config.http.host
    )
    return f"{'https' if config.http.tls_certificate else 'http'}://{host}:{config.http.port}"


def _port(place: SplitResult) -> int:
    return 443 if place.scheme == "https" else 80


def _times(place: SplitResult) -> tuple[float, float]:
    """The API's clock and ours, at the same moment."""
    line = _line(place)
    try:
        before = time.time()
        line.request("GET", f"{place.path.rstrip('/')}/health")
        answer = line.getresponse()
        ours = (before + time.time()) / 2
        return parsedate_to_datetime(answer.headers["Date"]).timestamp() + 0.5, ours
    finally:
        line.close()


def _line(place: SplitResult) -> http.client.HTTPConnection:
    host, port = place.hostname or "", place.port or _port(place)
    if place.scheme != "https":
        return http.client.HTTPConnection(host, port, timeout=WITHIN)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # we send it nothing
    return http.client.HTTPSConnection(host, port, timeout=WITHIN, context=context)


def _judged(ahead: float, leeway: float, where: str) -> Finding:
    away = abs(ahead)
    if away <= COARSE:
        return ok("clock", f"agrees with {where}")
    text = f"{away:.0f} s {'ahead of' if ahead > 0 else 'behind'} {where}"
    if away > leeway + COARSE:
        return fail("clock", f"{text}: tokens made here are judged wrongly there", FIX)
    return warn("clock", text, FIX)
