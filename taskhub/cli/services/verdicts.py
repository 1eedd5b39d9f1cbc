"""Compares services with the configuration that they read: pure but for looking at files.

A mistake keeps an enabled service from working; a doubt is what would hurt one day.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from taskhub.cli.services import unit_files
from taskhub.cli.services.unit_files import UnitFile
from taskhub.config import check
from taskhub.config.sections import Config
from taskhub.config.units import ROOT, actors

SYSTEMD_STOP = 90.0  # seconds; systemd-system.conf(5), DefaultTimeoutStopSec
SYSTEMD_INTERVAL, SYSTEMD_BURST = 10.0, "5"  # the same, DefaultStartLimitIntervalSec and -Burst
SYSTEMD_PAUSE = 0.1  # seconds; systemd.service(5), RestartSec
REQUESTS = 15.0
"""Seconds that requests in flight may take when the API stops."""
LAST_STEPS = 5.0
"""Seconds after that and after the grace time: the last commit, the children's end."""
FOREIGN_LEASES = 4
"""After so many a worker that is frozen is taken for dead by the others of its machine."""
EVERYWHERE = "::"
KEY_SECTION = "jwt."
"""The key comes as a credential, which a shell does not have."""


def compared(config: Config, path: Path | None) -> tuple[list[str], list[str]]:
    """Mistakes and doubts of the services of this machine that read the configuration file."""
    services = [each for each in unit_files.services() if path and each.config == path]
    sockets = unit_files.sockets() if services else []
    return list(mistakes(config, services, sockets)), list(doubts(config, services, sockets))


def mistakes(
    config: Config, services: Sequence[UnitFile], sockets: Sequence[UnitFile] = ()
) -> Iterator[str]:
    """Why enabled services would not work with this configuration."""
    for service in services:
        if service.is_enabled and service.unit in config.units:
            yield from (f"{service.path}: {text}" for text in _role(config, service))
            yield from (f"{service.path}: {text}" for text in _places(config, service))
        elif service.is_enabled:
            yield f"{service.path}: it runs the unit {service.unit}, which is not in [units]"
    yield from _both(services)
    yield from _astray(services, sockets)


def doubts(
    config: Config, services: Sequence[UnitFile], sockets: Sequence[UnitFile]
) -> Iterator[str]:
    """What would hurt one day."""
    for service in services:
        if service.unit in config.units:
            yield from (f"{service.path}: {text}" for text in _life(config, service))
            yield from (f"{service.path}: {text}" for text in _credentials(service))
    yield from _preserved(services)
    for unit in sockets:
        yield from (f"{unit.path}: {text}" for text in _socket(config, unit))


# ---- what it runs, and where it may write


def _role(config: Config, service: UnitFile) -> Iterator[str]:
    """Such as a worker alone with an event server that only a whole tree has."""
    for key, text in check.rules_for(config, service.unit):
        if not key.startswith(KEY_SECTION):
            yield f"{key}: {text}"


def _places(config: Config, service: UnitFile) -> Iterator[str]:
    """Under ProtectSystem=strict a service writes into its own folders alone."""
    if service.last("ProtectSystem") != "strict":
        return
    runtime, logs = config.supervisor.runtime_directory, config.logs.directory
    store = config.store.url.removeprefix("sqlite:///")
    wanted = [("supervisor.runtime_directory", runtime), ("logs.directory", logs)]
    if "store" in actors(config.units, service.unit):
        wanted.append(("store.url", store if store.startswith("/") else ""))
    for key, text in wanted:
        if text and not _may_write(service, Path(text)):
            yield f"{key}: {text} is outside of what the service may write"


def _may_write(service: UnitFile, path: Path) -> bool:
    folders = [
        Path(base, name.partition(":")[0])
        for setting, base in (
            ("StateDirectory", "/var/lib"),
            ("LogsDirectory", "/var/log"),
            ("RuntimeDirectory", "/run"),
            ("CacheDirectory", "/var/cache"),
        )
        for name in service.words(setting)
    ]
    folders += [Path(name.lstrip("-+")) for name in service.words("ReadWritePaths")]
    return any(path.is_relative_to(folder) for folder in folders)


def _both(services: Sequence[UnitFile]) -> Iterator[str]:
    enabled = {service.unit: service.path.name for service in services if service.is_enabled}
    if ROOT in enabled and "api" in enabled:
        yield f"{enabled[ROOT]} and {enabled['api']} are both enabled: keep the whole or the roles"


def _astray(services: Sequence[UnitFile], sockets: Sequence[UnitFile]) -> Iterator[str]:
    """A connection to a socket starts its service, whether that is wanted or not."""
    enabled = {service.path.stem for service in services if service.is_enabled}
    for unit in sockets:
        if unit.is_enabled and enabled and unit.path.stem not in enabled:
            yield f"{unit.path.name} is enabled, but not the service that it would start"


# ---- how long things take


def _life(config: Config, service: UnitFile) -> Iterator[str]:
    yield from _stop(config, service)
    yield from _limit(config, service)
    yield from _watchdog(config, service)
    yield from _heard(config, service)
    for name, wanted in (("Type", "notify"), ("KillMode", "mixed")):
        if service.last(name) != wanted:
            yield f"{name} is {service.last(name) or 'not set'}: expected {name}={wanted}"


def _stop(config: Config, service: UnitFile) -> Iterator[str]:
    here = actors(config.units, service.unit)
    needed = LAST_STEPS + (REQUESTS if "api" in here else 0)
    needed += config.supervisor.grace if "pool" in here else 0
    allowed = service.span("TimeoutStopSec", service.span("TimeoutSec", SYSTEMD_STOP))
    if 0 < allowed < needed:
        yield (
            f"TimeoutStopSec is {allowed:g} s, but a stop may take {needed:g} s "
            "(supervisor.grace, requests in flight, the last steps)"
        )


def _limit(config: Config, service: UnitFile) -> Iterator[str]:
    """The supervisor gives up by itself; systemd must be able to see that it does so for ever.

    Not so where handlers run in the service's own process: they may end it as often as they like.
    """
    interval = service.span("StartLimitIntervalSec", SYSTEMD_INTERVAL)
    if "pool" in config.units[service.unit]:
        if interval:
            yield "handlers may end this process: expected StartLimitIntervalSec=0"
        return
    burst = int(service.last("StartLimitBurst", SYSTEMD_BURST) or 0)
    needed = burst * (config.supervisor.period + service.span("RestartSec", SYSTEMD_PAUSE))
    if 0 < interval < needed:
        yield (
            f"StartLimitIntervalSec is {interval:g} s, but {burst} starts (StartLimitBurst) may "
            f"take {needed:g} s (supervisor.period): it would be started anew without end"
        )


def _watchdog(config: Config, service: UnitFile) -> Iterator[str]:
    """A hung worker alone is ended by systemd, before others take its tasks over."""
    allowed = service.span("WatchdogSec", 0.0)
    if not allowed:
        yield "WatchdogSec is not set: nobody would end it if its event loop hung"
    most = FOREIGN_LEASES * config.work.lease
    if "pool" in config.units[service.unit] and allowed >= most:
        yield (
            f"WatchdogSec is {allowed:g} s: expected less than {most:g} ({FOREIGN_LEASES} times "
            "work.lease), or tasks of a frozen worker would be taken over while it lives"
        )


def _heard(config: Config, service: UnitFile) -> Iterator[str]:
    """The metrics of a service that may talk to this machine alone are for this machine."""
    host, allowed = config.metrics.host, service.words("IPAddressAllow")
    is_near = _address(host, 0)[0] in {"127.0.0.1", "::1"}
    confined = "any" in service.words("IPAddressDeny") and allowed == ["localhost"]
    if confined and not is_near and "metrics" in config.units[service.unit]:
        yield f"metrics.host is {host}, but IPAddressAllow lets this machine alone in"


def _credentials(service: UnitFile) -> Iterator[str]:
    """Systemd does not start a service whose absolute credential is not there."""
    for value in service.settings.get("LoadCredential", ()):
        path = Path(value.partition(":")[2])
        if path.is_absolute() and _is_known_missing(path):
            yield f"LoadCredential: there is no {path}: systemd will not start it"


def _is_known_missing(path: Path) -> bool:
    try:
        path.stat()
    except FileNotFoundError:
        return True
    except OSError:  # only root may look
        pass
    return False


def _preserved(services: Sequence[UnitFile]) -> Iterator[str]:
    """Who stops takes the runtime directory away, with the sockets of those who share it."""
    enabled = [service for service in services if service.is_enabled]
    for service in enabled if len(enabled) > 1 else []:
        keeps = service.last("RuntimeDirectoryPreserve") == "yes"
        if service.words("RuntimeDirectory") and not (
            keeps or service.is_on("RuntimeDirectoryPreserve")
        ):
            yield f"{service.path}: expected RuntimeDirectoryPreserve=yes: others share it"


# ---- the socket


def _socket(config: Config, unit: UnitFile) -> Iterator[str]:
    places = unit.settings.get("ListenStream", ())
    if len(places) > 1:
        yield f"expected one ListenStream, not {len(places)}: the API has one socket"
    elif places and unit.is_enabled and not places[0].startswith("/"):
        http = config.http
        if _parted(places[0]) != _address(http.host, http.port):
            yield (
                f"ListenStream is {places[0]}, but http.host and http.port say "
                f"{http.host}:{http.port}: the socket is what counts"
            )


def _parted(place: str) -> tuple[str, int]:
    """Host and port; a port alone is every address, of IPv6 and so of both."""
    host, _, port = place.rpartition(":")
    return _address(host.strip("[]"), int(port) if port.isdecimal() else 0)


def _address(host: str, port: int) -> tuple[str, int]:
    """Names for one thing made one."""
    known = {"": EVERYWHERE, "0.0.0.0": EVERYWHERE, "localhost": "127.0.0.1"}  # noqa: S104 - read, not bound
    return known.get(host, host), port
