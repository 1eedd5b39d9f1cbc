"""The peer in a process of its own, so that it can be killed, frozen and started again."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from contextlib import suppress
from subprocess import PIPE, Popen
from typing import Any, Self

from tests.waiting import until

KEY = "c2VjcmV0LW9mLXRoZS10ZXN0cw=="
TOPIC = "taskhub"


def free_port() -> int:
    """One that nobody listens on."""
    with socket.socket() as line:
        line.bind(("127.0.0.1", 0))
        return int(line.getsockname()[1])


def connection_string(port: int, key: str = KEY) -> str:
    """As the portal shows it, of a namespace that is here."""
    where = f"Endpoint=sb://127.0.0.1:{port};SharedAccessKeyName=taskhub;SharedAccessKey={key}"
    return f"{where};UseDevelopmentEmulator=true"


class ServiceBusPeer:
    """On a port that stays the same; `with` starts and kills it. It keeps nothing."""

    def __init__(self, subscriptions: dict[str, dict[str, Any]], **settings: Any) -> None:
        self.port = free_port()
        self._settings = {"port": self.port, "key": KEY, "topic": TOPIC} | settings
        self._settings["subscriptions"] = subscriptions
        self._process: Popen[str] | None = None

    @property
    def url(self) -> str:
        """For `[events] url`."""
        return f"servicebus://127.0.0.1:{self.port}/{TOPIC}"

    @property
    def connection_string(self) -> str:
        """For `[servicebus] connection_string`."""
        return connection_string(self.port)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()

    @property
    def process(self) -> Popen[str]:
        """While it runs."""
        assert self._process is not None
        return self._process

    def start(self) -> None:
        """Start it, empty, and return when it listens."""
        command = (sys.executable, "-m", "tests.servicebus.peer", json.dumps(self._settings))
        self._process = Popen(command, stdin=PIPE, stdout=PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n", "the peer does not start"

    def kill(self) -> None:
        """End it at once, frozen or not; what it held is lost."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()
            self._process.communicate()
            self._process = None

    def freeze(self) -> None:
        """It keeps its connections and takes new ones, but says nothing any more."""
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on where it was."""
        os.kill(self.process.pid, signal.SIGCONT)

    def tell(self, **settings: Any) -> dict[str, Any]:
        """Set what of the topic is named; how all is then."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(settings) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    async def until(self, subscription: str, **wanted: Any) -> None:
        """Return when what is named of a subscription is so."""

        def is_so() -> bool:
            state = self.tell()[subscription]
            return all(state.get(name, 0) == value for name, value in wanted.items())

        await until(is_so, what=f"{wanted} of {subscription}, but {self.tell()[subscription]}")
