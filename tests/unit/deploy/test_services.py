"""The systemd services: accepted by systemd, hardened, and agreed with the configuration."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from taskhub.config.keys import key_named, section_named
from taskhub.config.load import load
from taskhub.config.sections import UNITS

DEPLOY = Path(__file__).parents[3] / "deploy"
SERVICES = sorted((DEPLOY / "systemd").glob("*.service"))
ALL = sorted((DEPLOY / "systemd").iterdir())
EXPOSURE = "20"  # tenths: systemd's own scale of 0 (safe) to 10 (exposed)

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)
each_service = pytest.mark.parametrize("service", SERVICES, ids=lambda path: path.stem)


def settings(service: Path, name: str) -> list[str]:
    """The values of one setting."""
    return re.findall(rf"^{name}=(.*)$", service.read_text(), re.MULTILINE)


def unit_of(service: Path) -> str:
    """The unit of the configuration that a service runs."""
    found = re.search(r"--unit (\S+)", settings(service, "ExecStart")[0])
    return found[1] if found else "tree"


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Ask systemd, without a systemd that runs."""
    command = ["systemd-analyze", *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def test_the_promised_services_are_there() -> None:
    """One for the whole, and one for each role that may stand alone."""
    roles = {f"taskhub-{name}.service" for name in ("api", "worker", "worker@", "scheduler")}
    others = {"taskhub-metrics.service", "taskhub-api.socket", "taskhub.target"}

    names = {unit.name for unit in (DEPLOY / "systemd").iterdir()}

    assert names == {"taskhub.service", "taskhub.socket", *roles, *others}


@needs_systemd
@pytest.mark.parametrize("unit", ALL, ids=lambda path: path.name)
def test_systemd_accepts_a_unit_without_a_word(unit: Path) -> None:
    """A setting that systemd does not know is a protection that is not there."""
    told = analyze("verify", str(unit))

    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")


@needs_systemd
@each_service
def test_a_service_is_hardened(service: Path) -> None:
    """Who breaks into it finds little to do: an exposure of at most 2.0."""
    told = analyze("security", "--offline=true", f"--threshold={EXPOSURE}", str(service))

    assert told.returncode == 0, told.stdout


@needs_systemd
def test_the_check_of_hardening_can_fail(tmp_path: Path) -> None:
    """The control: a service with an account of its own alone is far above the threshold."""
    bare = tmp_path / "bare.service"
    bare.write_text("[Service]\nExecStart=/bin/true\nUser=taskhub\n")

    told = analyze("security", "--offline=true", f"--threshold={EXPOSURE}", str(bare))

    assert told.returncode != 0


def test_all_services_are_hardened_alike() -> None:
    """Systemd knows no include: what was added to one must be in the others."""
    blocks = {frozenset(hardening(service)) for service in SERVICES}

    assert len(blocks) == 1


def hardening(service: Path) -> list[str]:
    """The settings of the block, without comments and without what one of them has besides."""
    text = service.read_text().partition("# ---- what it may do")[2].partition("[Install]")[0]
    return [
        line for line in text.splitlines()[1:] if line and not line.startswith(("#", "IPAddress"))
    ]


@each_service
def test_a_service_runs_a_unit_that_there_is(service: Path) -> None:
    """The name in ExecStart is one of the configuration."""
    assert unit_of(service) in UNITS


@each_service
def test_the_watchdog_the_reload_and_the_stop_reach_the_supervisor_alone(service: Path) -> None:
    """Children are the supervisor's business: it drains, judges and kills them itself."""
    told = {name: settings(service, name) for name in ("Type", "NotifyAccess", "KillMode")}

    assert told == {"Type": ["notify"], "NotifyAccess": ["main"], "KillMode": ["mixed"]}
    assert settings(service, "ExecReload") == ["/usr/bin/env taskhub reload"]
    assert settings(service, "ReloadPropagatedFrom") == settings(service, "PartOf")
    assert float(settings(service, "WatchdogSec")[0]) > 0


@each_service
def test_a_wrong_configuration_is_not_tried_again_and_again(service: Path) -> None:
    """Exit code 2 is a mistake to mend; every other failure is worth a few more tries."""
    assert settings(service, "Restart") == ["on-failure"]
    assert settings(service, "RestartPreventExitStatus") == ["2"]


@each_service
def test_systemd_gives_up_on_what_cannot_start_but_never_on_a_worker(service: Path) -> None:
    """Handlers may kill a worker as often as they like; alone it has nobody else to restart it."""
    if "worker" in service.name:
        assert settings(service, "StartLimitIntervalSec") == ["0"]
    else:
        assert int(settings(service, "StartLimitBurst")[0]) <= 5


@each_service
def test_a_handler_that_eats_all_memory_does_not_end_the_service(service: Path) -> None:
    """By default systemd stops the whole service when the kernel kills one of its processes."""
    assert settings(service, "MemoryMax")
    assert settings(service, "OOMPolicy") == ["continue"]


@each_service
def test_the_sockets_of_the_others_outlive_a_service(service: Path) -> None:
    """The services of one machine share a runtime directory."""
    assert settings(service, "RuntimeDirectory") == ["taskhub"]
    assert settings(service, "RuntimeDirectoryPreserve") == ["yes"]


@each_service
def test_every_credential_is_a_key_of_the_configuration(service: Path) -> None:
    """TaskHub finds a credential by its name: section.key."""
    for credential in settings(service, "LoadCredential"):
        section, _, key = credential.partition(":")[0].partition(".")
        known = section_named(section)
        assert known is not None
        found = key_named(known, key)
        assert found is not None
        assert found.is_secret


def test_nobody_but_the_api_is_given_the_key_for_tokens() -> None:
    """User code runs in workers."""
    given = {service.stem for service in SERVICES if "jwt" in service.read_text()}

    assert given == {"taskhub", "taskhub-api"}


@each_service
def test_a_secret_that_is_not_there_is_just_not_set(service: Path) -> None:
    """By name, not by path: with a path systemd would not start the service without the file."""
    for credential in settings(service, "LoadCredential"):
        name, _, source = credential.partition(":")
        assert source == f"taskhub.{name}"


@each_service
def test_a_service_is_a_part_of_the_target_or_its_rival(service: Path) -> None:
    """The whole, or the roles: to start the one stops the other."""
    if service.stem == "taskhub":
        assert settings(service, "Conflicts") == ["taskhub.target taskhub-api.socket"]
        assert settings(service, "WantedBy") == ["multi-user.target"]
    else:
        assert settings(service, "PartOf") == ["taskhub.target"]
        assert settings(service, "WantedBy") == ["taskhub.target"]


@pytest.mark.parametrize("unit", ["tree", "metrics"])
def test_the_configuration_for_services_is_valid(unit: str, tmp_path: Path) -> None:
    """With the one secret that it asks for."""
    key = tmp_path / "jwt.issuer_signing_key"
    key.write_text("k" * 32)
    key.chmod(0o600)
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path)}

    config = load(DEPLOY / "taskhub" / "supervisor.toml", environment, {}).config

    assert config.jwt.issuer_signing_key.reveal() == "k" * 32
    assert config.store.url == "sqlite:////var/lib/taskhub/taskhub.db"
    assert config.logs.directory == "/var/log/taskhub"
    assert config.supervisor.runtime_directory == "/run/taskhub"
    assert unit in config.units


@pytest.mark.skipif(shutil.which("systemd-sysusers") is None, reason="systemd-sysusers is missing")
def test_the_account_can_be_made(tmp_path: Path) -> None:
    """systemd-sysusers makes it, with the state directory as its home."""
    (tmp_path / "etc").mkdir()
    command = ["systemd-sysusers", f"--root={tmp_path}", str(DEPLOY / "sysusers.d/taskhub.conf")]

    subprocess.run(command, check=True, capture_output=True)

    account = (tmp_path / "etc" / "passwd").read_text().split(":")
    assert account[0] == "taskhub"
    assert account[5] == "/var/lib/taskhub"
