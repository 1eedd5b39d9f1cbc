"""The embedded event server of a tree: where it stands, and the actor that keeps it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

import msgspec

from taskhub.app.backends import state_directory
from taskhub.events.embedded import EmbeddedServer
from taskhub.events.embedded_place import find_server, place_socket, socket_url
from taskhub.kernel.actor import ChildSpec

if TYPE_CHECKING:
    from taskhub.app.process import Process
    from taskhub.config.sections import Config
    from taskhub.obs.telemetry import Emit

EMBEDDED = "embedded"
_UNIX = "unix://"


def with_server(config: Config, runtime: Path, emit: Emit) -> Config:
    """The configuration with `embedded` replaced by the server's real address.

    Raises EmbeddedServerMissing when there is no program to run.
    """
    if config.events.url != EMBEDDED:
        return config
    find_server()
    socket = place_socket(state_directory(config), runtime, emit)
    events = msgspec.structs.replace(config.events, url=socket_url(socket))
    return msgspec.structs.replace(config, events=events)


def server_spec(process: Process) -> ChildSpec:
    """The child spec of the server on the address that `with_server` chose."""
    socket = Path(unquote(process.live.config.events.url.removeprefix(_UNIX)))

    def build() -> EmbeddedServer:
        return EmbeddedServer(find_server(), socket, process.emit)

    return ChildSpec("events-server", build, stop_timeout=5.0)
