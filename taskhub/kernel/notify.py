"""Tells systemd how we are (sd_notify(3)); without systemd it tells nobody and costs nothing."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import MutableMapping


class Notifier:
    """One datagram for each fact; what cannot be delivered is dropped.

    `watchdog` is how often systemd wants to hear from us, in seconds (None: it does not).
    """

    def __init__(self, address: str | None = None, watchdog: float | None = None) -> None:
        """`address` is a path, or a name in the abstract namespace that begins with `@`."""
        self.address, self.watchdog = address, watchdog

    @classmethod
    def from_environment(cls, environ: MutableMapping[str, str]) -> Notifier:
        """Read what systemd has set, and take it away: our children are not its service."""
        address = environ.pop("NOTIFY_SOCKET", None)
        microseconds = environ.pop("WATCHDOG_USEC", "")
        ours = environ.pop("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        watches = ours and microseconds.isdecimal() and int(microseconds) > 0
        return cls(address, int(microseconds) / 1e6 if watches else None)

    def ready(self, status: str = "") -> None:
        """The service works (again): after its start and after a reload."""
        self._send("READY=1", *([f"STATUS={status}"] if status else []))

    def starting(self, text: str, seconds: float) -> None:
        """The start goes on: systemd shall wait so many seconds more, whatever its limit."""
        self._send(f"STATUS={text}", f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._send("STATUS=" + text.replace("\n", " "))

    def reloading(self) -> None:
        """A reload begins; `ready` ends it."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send("RELOADING=1", f"MONOTONIC_USEC={now}")

    def stopping(self) -> None:
        """The service drains."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """The event loop turns."""
        self._send("WATCHDOG=1")

    def _send(self, *lines: str) -> None:
        if not self.address:
            return
        where = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
            line.setblocking(False)
            line.sendto("\n".join(lines).encode(), where)
