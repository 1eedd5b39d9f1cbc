"""A TaskHub of its own in a temporary folder: starts it, finds its worker, leaves nothing."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from taskhub.cli import exits, say
from taskhub.cli.client import Client
from taskhub.cli.development import KEY_FILE
from taskhub.config.environment import foreign
from taskhub.config.runtime import socket_path
from taskhub.kernel.call import Unreachable, call_blocking
from taskhub.kernel.tether import tethered

READY_WITHIN = 30.0  # seconds, on a machine that is busy with other things
STOPPED_WITHIN = 15.0
LOOK_EVERY = 0.05
LOG_LINES = 15
"""Lines of the log that are shown when something is off."""

LINE = 300  # characters of each

WORKER, ROOT = "worker-1", "tree"
ALL = (ROOT, WORKER, "api-1")


class Place:
    """One folder and the tree that runs in it; use it as `with place.running():`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder / "taskhub.log"
        self._http, self._metrics = _free_ports()
        self.url = f"http://127.0.0.1:{self._http}"
        self._root: subprocess.Popen[bytes] | None = None
        self._seen: set[int] = set()

    @contextmanager
    def running(self) -> Iterator[None]:
        """The tree lives inside the block, and nothing of it after."""
        command = tethered([sys.executable, "-P", "-m", "taskhub", "dev"])
        with self.log.open("wb") as log:
            self._root = subprocess.Popen(
                command,
                cwd=self.folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            yield
        finally:
            self._end()

    def wait_ready(self) -> float:
        """Return when the API is ready: after so many seconds."""
        began = time.monotonic()
        with closing(Client(self.url)) as hub:
            while time.monotonic() - began < READY_WITHIN:
                self.must_live()
                with suppress(exits.Failure):
                    if hub.is_ready():
                        return time.monotonic() - began
                time.sleep(LOOK_EVERY)
        raise self.failure(f"it was not ready after {READY_WITHIN:g} s")

    def pid_of(self, unit: str) -> int:
        """The process that is this unit now; raises Unreachable when there is none."""
        pid = int(call_blocking(socket_path(self._runtime, unit), "ping", 2.0)["pid"])
        self._seen.add(pid)
        return pid

    def kill_worker(self) -> int:
        """Kill the worker the hard way; returns its pid."""
        for unit in ALL:
            with suppress(Unreachable):
                self.pid_of(unit)
        pid = self.pid_of(WORKER)
        os.kill(pid, signal.SIGKILL)
        return pid

    def stop(self) -> float:
        """Ask it to stop as an operator would; returns the seconds that it took."""
        root = self._root
        if root is None or root.poll() is not None:
            raise self.failure("it has ended by itself")
        with suppress(Unreachable):
            self.pid_of(WORKER)
        began = time.monotonic()
        root.terminate()
        try:
            code = root.wait(STOPPED_WITHIN)
        except subprocess.TimeoutExpired:
            raise self.failure(f"it did not stop in {STOPPED_WITHIN:g} s") from None
        if code != 0:
            raise self.failure(f"it stopped with exit code {code}")
        if left := [pid for pid in self._seen if _lives(pid)]:
            raise self.failure(f"processes are left: {left}")
        return time.monotonic() - began

    def must_live(self) -> None:
        """Raises Failure when the root has ended."""
        if self._root is not None and (code := self._root.poll()) is not None:
            raise self.failure(f"it ended with exit code {code}")

    def failure(self, reason: str) -> exits.Failure:
        """The reason, and the end of the log, which is gone after this."""
        lines = self.log.read_text(errors="replace").splitlines()[-LOG_LINES:]
        shown = (say.printable(line[:LINE]) for line in lines if "TASKHUB_TOKEN=" not in line)
        return exits.Failure(exits.FAILED, f"the demo failed: {reason}", "the log ends:", *shown)

    @property
    def _runtime(self) -> Path:
        return self.folder / "run"

    def _environment(self) -> dict[str, str]:
        return {
            **foreign(os.environ),
            "TASKHUB__HTTP__PORT": str(self._http),
            "TASKHUB__METRICS__PORT": str(self._metrics),
            "TASKHUB__SUPERVISOR__RUNTIME_DIRECTORY": str(self._runtime),
            "TASKHUB__LOGS__FORMAT": "clef",
        }

    def _end(self) -> None:
        """Whatever has happened: nothing lives on. The children die with the root."""
        root = self._root
        if root is not None and root.poll() is None:
            root.terminate()
            try:
                root.wait(STOPPED_WITHIN)
            except subprocess.TimeoutExpired:
                root.kill()
                root.wait()


def hub_of(place: Place) -> Client:
    """A client with a token from the place's own throw-away key."""
    from taskhub.cli import development, tokens
    from taskhub.config.sections import JwtSection, Secret

    section = JwtSection(
        authority=development.ISSUER,
        audience=development.AUDIENCE,
        issuer_signing_key=Secret((place.folder / KEY_FILE).read_text().strip()),
    )
    token = tokens.minted(section, "demo", tokens.SCOPES, (), 600.0)
    return Client(place.url, token)


def _free_ports() -> tuple[int, int]:
    """Two ports that nobody has at this moment."""
    here = ("127.0.0.1", 0)
    with socket.create_server(here) as one, socket.create_server(here) as two:
        return one.getsockname()[1], two.getsockname()[1]


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
