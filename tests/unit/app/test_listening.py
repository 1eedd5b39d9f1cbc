"""The API's socket: bound by us, or passed by systemd, or a mistake that is named."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from taskhub.app import listening
from taskhub.app.listening import address, adopt, listening_socket
from taskhub.config.sections import HttpSection
from taskhub.errors import ConfigError

ANY = HttpSection(host="127.0.0.1", port=0)


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A listening socket, where systemd would put it (under a number of its own here)."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        number = os.dup(server.fileno())
        monkeypatch.setattr(listening, "FIRST_FD", number)
        yield server


def from_systemd(count: str = "1", pid: int | None = None) -> dict[str, str]:
    """What systemd says of it."""
    return {"LISTEN_PID": str(pid or os.getpid()), "LISTEN_FDS": count}


def test_without_systemd_it_binds_host_and_port() -> None:
    """Ready to accept, and never blocking the loop."""
    with listening_socket(ANY, {}) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"
        assert not listener.getblocking()
        with socket.create_connection(listener.getsockname(), timeout=5):
            pass


def test_systemd_s_socket_is_taken(passed: socket.socket) -> None:
    """Socket activation: no request is refused while the service starts anew."""
    with listening_socket(ANY, from_systemd()) as listener:
        assert listener.getsockname() == passed.getsockname()
        assert not listener.getblocking()


def test_of_several_sockets_none_is_guessed(passed: socket.socket) -> None:
    """Clients of the others would wait for ever."""
    with pytest.raises(ConfigError, match="LISTEN_FDS: expected one socket, not 2"):
        listening_socket(ANY, from_systemd("2"))
    os.close(listening.FIRST_FD)


def test_it_is_said_where_the_api_is(tmp_path: Path) -> None:
    """A URL, with the brackets of IPv6, or the path of a unix socket that systemd passed."""
    with socket.create_server(("127.0.0.1", 0)) as plain:
        assert address(plain, "https") == f"https://127.0.0.1:{plain.getsockname()[1]}"
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(tmp_path / "http.sock"))
        assert address(unix, "http") == f"unix:{tmp_path}/http.sock"


def test_a_socket_that_was_passed_to_another_process_is_not_ours(passed: socket.socket) -> None:
    """The variables may be inherited; sd_listen_fds(3) has the pid for that."""
    with listening_socket(ANY, from_systemd(pid=1)) as listener:
        assert listener.getsockname() != passed.getsockname()
    os.close(listening.FIRST_FD)


def test_no_socket_passed_means_one_of_our_own() -> None:
    """LISTEN_FDS may say 0."""
    with listening_socket(ANY, from_systemd("0")) as listener:
        assert listener.getsockname()[1] > 0


def test_what_was_passed_must_be_a_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line that names it, no traceback."""
    number = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    monkeypatch.setattr(listening, "FIRST_FD", number)
    with pytest.raises(ConfigError, match="LISTEN_FDS: expected a listening socket"):
        listening_socket(ANY, from_systemd())
    os.close(number)


@pytest.mark.parametrize("host", ["192.0.2.1", "no..name"])
def test_an_address_that_cannot_be_had_is_named(host: str) -> None:
    """Somebody else's (RFC 5737), or a name that cannot be one."""
    with pytest.raises(ConfigError, match=rf"http\.port \({host}:0\)"):
        listening_socket(HttpSection(host=host, port=0), {})


def test_a_port_that_is_taken_is_named() -> None:
    """The most usual mistake of all."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match="Address already in use"):
            listening_socket(HttpSection(host="127.0.0.1", port=port), {})


def test_ipv6_is_an_address_too() -> None:
    """The family follows from the host."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    with listening_socket(HttpSection(host="::1", port=0), {}) as listener:
        assert listener.family is socket.AF_INET6


def test_a_child_adopts_the_number_it_was_told() -> None:
    """It is the root's own socket: connections that wait are not lost with a child."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        with adopt(os.dup(server.fileno())) as ours:
            assert ours.getsockname() == server.getsockname()
        with socket.create_connection(server.getsockname(), timeout=5):
            pass
