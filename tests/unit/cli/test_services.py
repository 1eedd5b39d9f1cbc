"""`taskhub check` compares the services of a machine with the configuration that they read."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from taskhub.cli.doctor import units
from taskhub.cli.doctor.finding import FAIL, WARN
from taskhub.cli.services import unit_files, verdicts
from taskhub.cli.services.spans import seconds
from taskhub.cli.services.unit_files import UnitFile
from taskhub.config.load import load
from taskhub.config.sections import Config

from tests.unit.cli.conftest import Run

DEPLOY = Path(__file__).parents[3] / "deploy"
REMOTE = {"events.url": "redis://127.0.0.1:6379/0"}


def config(**values: str) -> Config:
    """The configuration that comes with the services, with these values."""
    keys = {name.replace("__", "."): value for name, value in values.items()}
    return load(DEPLOY / "taskhub" / "supervisor.toml", {}, keys).config


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What stands for /etc/systemd/system, with the services that we ship."""
    return Path(shutil.copytree(DEPLOY / "systemd", tmp_path / "system"))


def enable(folder: Path, *names: str) -> None:
    """As `systemctl enable` does."""
    wants = folder / "multi-user.target.wants"
    wants.mkdir(exist_ok=True)
    for name in names:
        template = f"{name.partition('@')[0]}@.service" if "@" in name else name
        (wants / name).symlink_to(folder / template)


def edit(folder: Path, service: str, text: str) -> None:
    """As `systemctl edit` does: a drop-in."""
    place = folder / f"{service}.d"
    place.mkdir(exist_ok=True)
    (place / "override.conf").write_text(f"[Service]\n{text}\n")


def wrong(folder: Path, found: Config) -> list[str]:
    """Every mistake."""
    services, sockets = unit_files.services([folder]), unit_files.sockets([folder])
    return list(verdicts.mistakes(found, services, sockets))


def doubtful(folder: Path, found: Config) -> list[str]:
    """Every doubt."""
    services, sockets = unit_files.services([folder]), unit_files.sockets([folder])
    return list(verdicts.doubts(found, services, sockets))


def one(folder: Path, name: str) -> UnitFile:
    """One of the services as it is read."""
    return next(unit for unit in unit_files.services([folder]) if unit.path.name == name)


def test_what_we_ship_fits_what_we_ship(folder: Path) -> None:
    """The whole with its socket: not a word."""
    enable(folder, "taskhub.service", "taskhub.socket")

    assert wrong(folder, config()) == []
    assert doubtful(folder, config()) == []


def test_roles_with_an_event_server_of_their_own_fit_too(folder: Path) -> None:
    """Instances of the template among them."""
    names = [f"taskhub-{role}.service" for role in ("api", "worker", "scheduler", "metrics")]
    enable(folder, *names, "taskhub-worker@2.service", "taskhub-api.socket")

    assert wrong(folder, config(**REMOTE)) == []
    assert doubtful(folder, config(**REMOTE)) == []


@pytest.mark.parametrize("role", ["api", "worker", "scheduler"])
def test_a_role_alone_needs_an_event_server(folder: Path, role: str) -> None:
    """Only a tree has its own: the line says which service, which key and what would do."""
    enable(folder, f"taskhub-{role}.service")

    (line,) = wrong(folder, config())

    assert line.startswith(f"{folder}/taskhub-{role}.service: events.url: embedded is for")
    assert line.endswith("expected redis://HOST:PORT/DB, unix:///PATH or servicebus://HOST/TOPIC")


def test_a_service_that_nothing_starts_is_no_mistake(folder: Path) -> None:
    """They all are there; those of the other kind are asleep."""
    assert wrong(folder, config()) == []


def test_an_unknown_unit_is_named(folder: Path) -> None:
    """Renamed in [units], not in ExecStart."""
    edit(folder, "taskhub-api.service", "ExecStart=\nExecStart=taskhub run --unit front")
    enable(folder, "taskhub-api.service")

    (line,) = wrong(folder, config(**REMOTE))

    assert "it runs the unit front, which is not in [units]" in line


def test_the_whole_and_the_roles_are_not_enabled_together(folder: Path) -> None:
    """Both would want the one port."""
    enable(folder, "taskhub.service", "taskhub-api.service")

    (line,) = wrong(folder, config(**REMOTE))

    assert line.startswith("taskhub.service and taskhub-api.service are both enabled")


def test_a_socket_whose_service_is_not_enabled_is_named(folder: Path) -> None:
    """The next connection would start the whole beside the roles, and stop them."""
    enable(folder, "taskhub-api.service", "taskhub.socket")

    (line,) = wrong(folder, config(**REMOTE))

    assert line == "taskhub.socket is enabled, but not the service that it would start"


def test_metrics_for_other_machines_are_not_kept_from_them(folder: Path) -> None:
    """The service lets this machine alone in, until its administrator says otherwise."""
    found = config(metrics__host="10.0.0.1")

    (line,) = doubtful(folder, found)
    edit(folder, "taskhub-metrics.service", "IPAddressAllow=10.0.0.0/8")

    assert "taskhub-metrics.service: metrics.host is 10.0.0.1" in line
    assert doubtful(folder, found) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("store.url", "sqlite:////srv/taskhub.db"),
        ("logs.directory", "/srv/logs"),
        ("supervisor.runtime_directory", "/run/elsewhere"),
    ],
)
def test_a_place_that_the_service_may_not_write_is_named(
    folder: Path, key: str, value: str
) -> None:
    """ProtectSystem=strict: its own folders alone, and what ReadWritePaths= adds."""
    enable(folder, "taskhub.service")
    found = config(**{key: value})

    (line,) = wrong(folder, found)
    edit(folder, "taskhub.service", "ReadWritePaths=/srv -/run/elsewhere")

    assert f": {key}: /" in line
    assert line.endswith("is outside of what the service may write")
    assert wrong(folder, found) == []


@pytest.mark.parametrize(
    ("line", "warned"),
    [
        ("TimeoutStopSec=44", True),
        ("TimeoutStopSec=29s", True),
        ("TimeoutStopSec=45", False),
        ("TimeoutStopSec=1min", False),
        ("TimeoutStopSec=infinity", False),
        ("TimeoutStopSec=5\nTimeoutStopSec=1min 30s", False),
        ("TimeoutStopSec=", False),
    ],
)
def test_a_service_that_would_be_killed_too_soon_is_named(
    folder: Path, line: str, warned: bool
) -> None:
    """Systemd's patience must be longer than our grace time and the end of requests."""
    edit(folder, "taskhub.service", line)

    found = doubtful(folder, config())

    assert len(found) == warned
    assert all("taskhub.service: TimeoutStopSec is" in text for text in found)


def test_a_longer_grace_time_concerns_those_who_run_handlers(folder: Path) -> None:
    """The API alone drains in the time of its requests."""
    found = doubtful(folder, config(supervisor__grace="100"))

    named = [Path(text.partition(":")[0]).name for text in found]
    assert named == ["taskhub-worker.service", "taskhub-worker@.service", "taskhub.service"]


def test_systemd_gives_up_only_after_the_supervisor_can_have(folder: Path) -> None:
    """5 ends of 60 s are more than its 300 s: it would be started anew for ever."""
    found = doubtful(folder, config(supervisor__period="60"))

    assert len(found) == 4  # workers have no limit
    assert all("StartLimitIntervalSec is 300 s, but 5 starts" in text for text in found)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("WatchdogSec=60", "WatchdogSec is 60 s: expected less than 60"),
        ("WatchdogSec=0", "WatchdogSec is not set"),
        ("Type=simple", "Type is simple: expected Type=notify"),
        ("KillMode=control-group", "KillMode is control-group: expected KillMode=mixed"),
        ("StartLimitIntervalSec=10", "expected StartLimitIntervalSec=0"),
        ("LoadCredential=redis.password:/nowhere/at/all", "there is no /nowhere/at/all"),
    ],
)
def test_what_would_hurt_a_worker_one_day_is_named(folder: Path, line: str, said: str) -> None:
    """Each with what was expected."""
    edit(folder, "taskhub-worker.service", line)

    (text,) = doubtful(folder, config())

    assert text.startswith(f"{folder}/taskhub-worker.service: ")
    assert said in text


def test_a_runtime_directory_that_is_shared_must_be_kept(folder: Path) -> None:
    """The first that stops would take the sockets of the others away."""
    enable(folder, "taskhub-api.service", "taskhub-metrics.service")
    edit(folder, "taskhub-metrics.service", "RuntimeDirectoryPreserve=no")

    (text,) = doubtful(folder, config())

    assert "taskhub-metrics.service: expected RuntimeDirectoryPreserve=yes" in text


@pytest.mark.parametrize(
    ("host", "port", "place", "said"),
    [
        ("127.0.0.1", "8080", "127.0.0.1:8080", ""),
        ("localhost", "8080", "127.0.0.1:8080", ""),
        ("0.0.0.0", "8080", "8080", ""),  # noqa: S104 - read, not bound
        ("::1", "8080", "[::1]:8080", ""),
        ("127.0.0.1", "8080", "/run/taskhub/http.sock", ""),
        ("127.0.0.1", "9000", "127.0.0.1:8080", "http.host and http.port say 127.0.0.1:9000"),
        ("127.0.0.1", "8080", "8080", "http.host and http.port say 127.0.0.1:8080"),
        ("127.0.0.1", "8080", "1\nListenStream=2", "expected one ListenStream, not 2"),
    ],
)
def test_a_socket_elsewhere_than_the_configuration_says_is_named(
    folder: Path, host: str, port: str, place: str, said: str
) -> None:
    """Clients and proxies are told of http.host and http.port."""
    (folder / "taskhub.socket").write_text(f"[Socket]\nListenStream={place}\n")
    enable(folder, "taskhub.socket")

    found = doubtful(folder, config(http__host=host, http__port=port))

    assert [said in text for text in found] == [True] * bool(said)


def test_units_are_read_as_systemd_reads_them(folder: Path, tmp_path: Path) -> None:
    """Folders by precedence, drop-ins by name, continued lines, masked units, foreign ones."""
    over = tmp_path / "etc"
    over.mkdir()
    (over / "taskhub-api.service").symlink_to("/dev/null")
    (over / "taskhub.service").write_text(
        "[Service]\n# ExecStart=no\nExecStart=/usr/bin/env \\\n taskhub run --config=/srv/a.toml\n"
    )
    (folder / "taskhub-other.service").write_text("[Service]\nExecStart=/bin/true\n")
    edit(folder, "taskhub.service", "Environment=A='1 2' TASKHUB_CONFIG=/srv/b.toml")

    found = {unit.path.name: unit for unit in unit_files.services([over, folder])}

    assert "taskhub-api.service" not in found
    assert "taskhub-other.service" not in found
    assert found["taskhub.service"].path.parent == over
    assert (found["taskhub.service"].unit, str(found["taskhub.service"].config)) == (
        "tree",
        "/srv/a.toml",
    )
    assert str(found["taskhub-worker.service"].config) == "/etc/taskhub/supervisor.toml"
    assert found["taskhub-worker@.service"].unit == "worker"


def test_a_unit_that_cannot_be_read_is_not_judged(folder: Path) -> None:
    """A folder by the name of a unit."""
    shutil.rmtree(folder)
    (folder / "taskhub.service").mkdir(parents=True)

    assert unit_files.services([folder]) == []


@pytest.fixture
def machine(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The same for the command itself; the services read the configuration there."""
    path = tmp_path / "supervisor.toml"
    path.write_text("[store]\nurl = 'sqlite:////var/lib/taskhub/x.db'\n")
    path.chmod(0o600)
    for service in folder.glob("*.service"):
        edit(folder, service.name, f"Environment=TASKHUB_CONFIG={path}")
    monkeypatch.setattr(unit_files, "FOLDERS", (folder,))
    monkeypatch.setenv("Jwt__IssuerSigningKey", "k" * 32)
    monkeypatch.setenv("Jwt__Authority", "https://id.example.com")
    monkeypatch.setenv("Jwt__Audience", "taskhub")
    return path


def test_check_ends_with_mistakes_and_warns_of_doubts(
    run: Run, folder: Path, machine: Path
) -> None:
    """Exit code 2; and 0 for a file that no service here reads."""
    enable(folder, "taskhub-worker.service")
    edit(folder, "taskhub.service", f"Environment=TASKHUB_CONFIG={machine}\nTimeoutStopSec=1")

    ended = run("check", "--config", str(machine))
    elsewhere = shutil.copy(machine, machine.with_name("other.toml"))
    other = run("check", "--config", str(elsewhere))

    assert (ended.code, ended.out) == (2, "")
    assert "taskhub: warning: " in ended.err
    assert "TimeoutStopSec is 1 s" in ended.err
    assert "the configuration has 1 mistake:" in ended.err
    assert "taskhub-worker.service: events.url: embedded" in ended.err
    assert (other.code, other.out, other.err) == (0, "ok\n", "")
    findings = [each for each in units.look(load(machine, {}).config, machine) if each.fix]
    assert {each.state for each in findings} == {FAIL, WARN}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90", 90),
        ("1min 30s", 90),
        ("500ms", 0.5),
        ("2h", 7200),
        ("1.5m", 90),
        ("never", float("inf")),
    ],
)
def test_time_spans_of_systemd_are_read(text: str, expected: float) -> None:
    """systemd.time(7)."""
    assert seconds(text) == expected
