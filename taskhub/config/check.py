"""Rules that concern more than one value: each wrong key with what was expected; pure functions."""

from __future__ import annotations

import difflib
import importlib.util
import ipaddress
import re
from collections.abc import Iterable, Iterator
from urllib.parse import SplitResult, urlsplit

from taskhub.config import (
    issuers,
    levels,
    policies,
    queues,
    schedules,
    servicebus,
    stores,
    webhooks,
)
from taskhub.config.event_urls import SERVICE_BUS, read_events_url, read_service_bus, scheme_of
from taskhub.config.issuers import Wrong
from taskhub.config.sections import (
    NO_TRACING,
    Config,
    CorsSection,
    HttpSection,
    LimitsSection,
    MetricsSection,
    Secret,
    TracingSection,
)
from taskhub.config.signing import wrong_secrets
from taskhub.config.units import (
    ACTORS,
    UNIT_NAME,
    UnitEntry,
    actors,
    children,
    parse_entry,
)
from taskhub.rates import MOST, UNITS, read_rate

ANY_ORIGIN = "*"
STAND_ALONE_EVENTS = "redis://HOST:PORT/DB, unix:///PATH or servicebus://HOST/TOPIC"
_ORIGIN = re.compile(r"https?://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[1-9][0-9]*)?", re.ASCII)
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_NEEDS_STORE = frozenset(ACTORS) - {"store", "events-server", "metrics", "pusher"}
_ON_THE_BUS = frozenset({"publisher", "subscriber"})


def rules(config: Config) -> Iterator[Wrong]:
    """What is wrong whichever unit runs."""
    yield from _units(config)
    yield from stores.rules(config.store.url)
    yield from _events(config.events.url)
    yield from _channel(config.events.channel)
    yield from servicebus.rules(config, _is_there)
    yield from issuers.rules(config.jwt)
    yield from _networks("outbound.allow", config.outbound.allow)
    yield from webhooks.rules(config.outbound.webhooks)
    yield from _signing("outbound.secret", config.outbound.secret)
    yield from _networks("http.metrics_allow", config.http.metrics_allow)
    yield from _proxies(config.http.trusted_proxies)
    yield from _origins(config.cors)
    yield from _tls(config.http)
    yield from _handlers(config.work.handlers)
    yield from queues.rules(config.work.limits)
    yield from _limits(config.limits)
    yield from _tracing(config.tracing)
    yield from _backlog(config)
    yield from _ports(config)
    yield from _push(config.metrics)
    yield from policies.rules(config.policies)
    yield from levels.rules(config.log_levels, config.units)
    yield from schedules.rules(config.schedules)


def rules_for(config: Config, unit: str) -> Iterator[Wrong]:
    """What is wrong when this unit runs here; the rest of the configuration has passed `rules`."""
    if unit not in config.units:
        yield "units", f"there is no unit {unit!r}{_near(unit, config.units)}"
        return
    yield from _events_for(config, unit)
    own = actors(config.units, unit)
    if config.metrics.push_url and "metrics" in own and "pusher" not in own:
        yield "metrics.push_url", f"expected the actor pusher beside metrics in units.{unit}"
    if "api" in actors(config.units, unit):
        yield from issuers.rules_to_serve(config.jwt)


# ---- units


def _units(config: Config) -> Iterator[Wrong]:
    for name, texts in config.units.items():
        key = f"units.{name}"
        if not UNIT_NAME.fullmatch(name):
            yield key, "expected a name of small letters, digits and hyphens, at most 32"
        if not texts:
            yield key, "expected at least one actor"
        yield from ((key, text) for text in _entries(config, texts))
        if _is_circular(config, name, ()):
            yield key, "this unit would start itself"


def _entries(config: Config, texts: tuple[str, ...]) -> Iterator[str]:
    seen: set[str] = set()
    for text in texts:
        name = text.partition("*")[0]
        if name in seen:
            yield f"{name} stands here twice{'' if name in ACTORS else ': use unit:NAME*COPIES'}"
        if name in _NEEDS_STORE and "store" not in seen:
            yield f"store must stand before {name}"
        seen.add(name)
        yield from _entry(config, text)


def _entry(config: Config, text: str) -> Iterator[str]:
    try:
        entry = parse_entry(text)
    except ValueError as error:
        yield f"{text!r}: {error}{_near(text, ACTORS)}"
        return
    if isinstance(entry, UnitEntry) and entry.name not in config.units:
        yield f"there is no unit {entry.name!r}{_near(entry.name, config.units)}"


def _is_circular(config: Config, name: str, above: tuple[str, ...]) -> bool:
    if name in above:
        return name == above[0]
    try:
        below = children(config.units, name)
    except (KeyError, ValueError):  # said already
        return False
    return any(_is_circular(config, entry.name, (*above, name)) for entry in below)


def _near(text: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(text, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


# ---- store and events


def _events(url: str) -> Iterator[Wrong]:
    if url not in {"embedded", "local"} and (wrong := _wrong_events(url)):
        yield "events.url", wrong


def _wrong_events(url: str) -> str:
    read = read_service_bus if scheme_of(url) == [SERVICE_BUS] else read_events_url
    try:
        _ = read(url)
    except ValueError as error:
        return str(error)
    return ""


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts


def _channel(channel: str) -> Iterator[Wrong]:
    if not channel.isprintable() or " " in channel:
        yield "events.channel", "expected a name without blanks and control characters"


def _events_for(config: Config, unit: str) -> Iterator[Wrong]:
    if not actors(config.units, unit) & _ON_THE_BUS:
        return
    own, url = config.units[unit], config.events.url
    is_alone = {"api", "pool"} <= set(own) and not children(config.units, unit)
    if url == "embedded" and "events-server" not in own:
        wrong = f"embedded is for a unit with events-server; {unit} stands alone: expected "
        yield "events.url", wrong + STAND_ALONE_EVENTS
    if url == "local" and not is_alone:
        wrong = "local is for a unit with api and pool in one process (all), not for"
        yield "events.url", f"{wrong} {unit}"


# ---- http


def _signing(key: str, secret: Secret) -> Iterator[Wrong]:
    if wrong := wrong_secrets(secret.reveal()):
        yield key, wrong


def _networks(key: str, networks: Iterable[str]) -> Iterator[Wrong]:
    for text in networks:
        try:
            ipaddress.ip_network(text)
        except ValueError as error:
            yield key, f"expected networks such as 10.0.0.0/8: {error}"


def _proxies(proxies: tuple[str, ...]) -> Iterator[Wrong]:
    key, networks = "http.trusted_proxies", [text for text in proxies if text != "unix"]
    yield from _networks(key, networks)
    if any(text.endswith("/0") for text in networks):
        yield key, "expected your proxies' networks alone: from /0 anybody may claim any address"


def _tls(section: HttpSection) -> Iterator[Wrong]:
    """What is in the files, whoever serves the API sees."""
    if section.tls_key and not section.tls_certificate:
        yield "http.tls_certificate", "expected a file: a key alone is of no use"
    if section.tls_certificate and not section.tls_key:
        yield "http.tls_key", "expected a file with the private key of http.tls_certificate"


def _origins(section: CorsSection) -> Iterator[Wrong]:
    if ANY_ORIGIN in section.origins:
        yield from _any_origin(section)
        return
    for text in section.origins:
        if "*" in text:
            yield "cors.origins", "expected exact origins, or * alone: there are no patterns"
        elif not _is_origin(text):
            yield (
                "cors.origins",
                f"expected an origin such as https://app.example.com, no path, not {text[:80]!r}",
            )


def _any_origin(section: CorsSection) -> Iterator[Wrong]:
    if len(section.origins) > 1:
        yield "cors.origins", "expected * alone, or exact origins without it"
    if section.credentials:
        wrong = "expected exact origins with cors.credentials: * would let every site act"
        yield "cors.origins", f"{wrong} as whoever looks at it"


def _is_origin(text: str) -> bool:
    """As a browser sends it (RFC 6454, 6.2): in small letters, punycode, no usual port."""
    parts = _split(text) if _ORIGIN.fullmatch(text) else None
    usual = {"http": 80, "https": 443}
    return parts is not None and bool(parts.hostname) and parts.port != usual[parts.scheme]


# ---- the rest


def _handlers(modules: tuple[str, ...]) -> Iterator[Wrong]:
    for name in modules:
        if not _MODULE.fullmatch(name):
            yield (
                "work.handlers",
                f"expected names of modules such as shop.tasks, not {name[:80]!r}",
            )


def _limits(limits: LimitsSection) -> Iterator[Wrong]:
    for name in ("create", "acts", "work", "bad_tokens"):
        text = getattr(limits, name)
        try:
            _ = read_rate(text) if text else None
        except ValueError:
            wrong = (
                f"expected 1 to {MOST:,} a {' or '.join(UNITS)}, such as 100/second, "
                f"or nothing, not {text[:80]!r}"
            )
            yield f"limits.{name}", wrong


def _tracing(section: TracingSection) -> Iterator[Wrong]:
    if section.exporter == NO_TRACING:
        return
    library = "opentelemetry.exporter.otlp" if section.exporter == "otlp" else "azure.monitor"
    if not _is_there(library):
        extra = "otel" if section.exporter == "otlp" else "azure"
        yield "tracing.exporter", f"expected its library to be here: pip install 'taskhub[{extra}]'"
    parts = _split(section.endpoint)
    if parts is None or parts.scheme not in {"http", "https"} or not parts.hostname:
        yield "tracing.endpoint", "expected http://HOST:PORT/v1/traces, or https"
    elif parts.username or parts.password:
        wrong = "expected no password in it: OTEL_EXPORTER_OTLP_HEADERS may hold one"
        yield "tracing.endpoint", wrong
    if section.exporter == "azure" and not section.connection_string:
        yield "tracing.connection_string", "expected that of an Application Insights resource"


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # not even the package it would be in
        return False


def _push(section: MetricsSection) -> Iterator[Wrong]:
    parts = _split(section.push_url)
    if section.push_url and (parts is None or not _is_plain_http(parts)):
        wrong = "expected http://HOST:PORT, with no name, password, ? and # in it"
        yield "metrics.push_url", wrong
    if "/" in section.push_instance or not section.push_instance.isprintable():
        yield "metrics.push_instance", "expected a name without / and control characters"


def _is_plain_http(parts: SplitResult) -> bool:
    is_plain = parts.username is None and not parts.query and not parts.fragment
    return is_plain and parts.scheme in {"http", "https"} and bool(parts.hostname)


def _backlog(config: Config) -> Iterator[Wrong]:
    for name in ("backlog", "backlog_age"):
        if getattr(config.limits, name) and not config.events.has_streams:
            yield f"limits.{name}", "expected 0, or [events] url like redis+streams://HOST:PORT/DB"


def _ports(config: Config) -> Iterator[Wrong]:
    same = config.http.port == config.metrics.port and config.http.port
    if same and config.http.host == config.metrics.host:
        yield "metrics.port", "expected another port than http.port"
    for key, host in (("http.host", config.http.host), ("metrics.host", config.metrics.host)):
        if not host.strip():
            yield key, "expected an address; 127.0.0.1 is this machine alone, 0.0.0.0 everybody"
