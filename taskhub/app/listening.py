"""The API's listening socket: bound once by the root, or taken from systemd, and passed on."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from taskhub.errors import ConfigError, ConfigProblem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskhub.config.sections import HttpSection

FIRST_FD = 3  # sd_listen_fds(3): passed sockets begin here
BACKLOG = 1_024


def listening_socket(section: HttpSection, environ: Mapping[str, str]) -> socket.socket:
    """Systemd's socket when it passed one to this process, else a new one on host and port.

    Raises ConfigError when the address cannot be had.
    """
    if environ.get("LISTEN_PID") == str(os.getpid()) and environ.get("LISTEN_FDS", "0") != "0":
        return _passed()
    try:
        return _bind(section.host, section.port)
    except (OSError, UnicodeError) as error:  # UnicodeError: no name a resolver could be asked for
        place = f"http.host and http.port ({section.host}:{section.port})"
        why = getattr(error, "strerror", None) or error
        problem = ConfigProblem(place, f"expected an address that is free: {why}")
        raise ConfigError([problem]) from None


def _passed() -> socket.socket:
    try:
        return adopt(FIRST_FD)
    except OSError as error:
        wanted = f"expected a listening socket as descriptor {FIRST_FD}: {error.strerror or error}"
        raise ConfigError([ConfigProblem("LISTEN_FDS", wanted)]) from None


def adopt(fd: int) -> socket.socket:
    """A socket that was passed to this process under the number `fd`."""
    listener = socket.socket(fileno=fd)
    listener.setblocking(False)
    return listener


def _bind(host: str, port: int) -> socket.socket:
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, protocol, _, address = found[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener
