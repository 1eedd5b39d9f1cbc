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
        return _passed(environ["LISTEN_FDS"])
    try:
        return _bind(section.host, section.port)
    except (OSError, UnicodeError) as error:  # UnicodeError: no name a resolver could be asked for
        place = f"http.host and http.port ({section.host}:{section.port})"
        why = getattr(error, "strerror", None) or error
        problem = ConfigProblem(place, f"expected an address that is free: {why}")
        raise ConfigError([problem]) from None


def address(listener: socket.socket, scheme: str) -> str:
    """Where clients find it: a URL, or the path of a unix socket."""
    name = listener.getsockname()
    if listener.family == socket.AF_UNIX:
        return f"unix:{name}"
    host, port, *_ = name
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _passed(number: str) -> socket.socket:
    if number != "1":  # which of them would be the API's?
        raise ConfigError([ConfigProblem("LISTEN_FDS", f"expected one socket, not {number}")])
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
