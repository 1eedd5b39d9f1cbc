"""A command line that runs in this process, and an HTTP server that says what a test wants."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from taskhub.cli.main import main


@dataclass(frozen=True)
class Outcome:
    """What a command has answered."""

    code: int
    out: str
    err: str


Run = Callable[..., Outcome]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that we stand in, with a runtime directory of its own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir(mode=0o700)
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "run"))
    return tmp_path


@pytest.fixture
def run(folder: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run one command line here."""

    def command(*words: str) -> Outcome:
        capsys.readouterr()
        code = main(words)
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return Outcome(code, out, err)

    return command


@dataclass
class Request:
    """What the server was asked."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class Hub:
    """Answers in turn; the last one again and again."""

    answers: list[tuple[int, Any, dict[str, str]]] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    url: str = ""

    def says(self, status: int, body: Any, **headers: str) -> None:
        """Queue an answer; bytes are sent as they are, as text/plain."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers.append((status, body, named))

    def streams(self, *frames: str) -> None:
        """Queue a stream of events, which is cut after them; who follows may come at once again."""
        text = "retry: 1\n\n" + "".join(frames)
        self.says(200, text.encode(), Content_Type="text/event-stream")

    def next(self) -> tuple[int, Any, dict[str, str]]:
        """The answer whose turn it is."""
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A server on a free port that TASKHUB_URL points at."""
    told = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(told))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    told.url = f"http://127.0.0.1:{server.server_address[1]}"
    monkeypatch.setenv("TASKHUB_URL", told.url)
    monkeypatch.setenv("TASKHUB_TOKEN", "a.b.c")
    yield told
    server.shutdown()
    server.server_close()
    thread.join()


def _handler(told: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("content-length", 0))
            body = json.loads(self.rfile.read(length)) if length else None
            headers = {name.lower(): value for name, value in self.headers.items()}
            told.requests.append(Request(self.command, self.path, headers, body))
            self._answer(*told.next())

        do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815 - so http.server calls it

        def _answer(self, status: int, body: Any, headers: dict[str, str]) -> None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            kind = "text/plain" if isinstance(body, bytes) else "application/json"
            self.send_response(status)
            for name, value in {"Content-Type": kind, **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - so it is called there
            pass

    return Handler


def task(**changes: Any) -> dict[str, Any]:
    """A task as the API shows it."""
    return {
        "id": "0198c2c8-0000-7000-8000-000000000001",
        "title": "Resize images",
        "type": "simulate",
        "queue": "default",
        "priority": 0,
        "status": "Pending",
        "payload": {},
        "result": None,
        "error": None,
        "progress": None,
        "attempts": 0,
        "maxAttempts": 5,
        "createdAt": "2025-09-28T22:17:17Z",
        "updatedAt": "2025-09-28T22:17:17Z",
        "runAt": "2025-09-28T22:17:17Z",
        "startedAt": None,
        "finishedAt": None,
        "createdBy": "developer",
        **changes,
    }


def problem(status: int, detail: str, **more: Any) -> dict[str, Any]:
    """An error as the API says it (RFC 9457)."""
    return {"type": "urn:x", "title": "Title", "status": status, "detail": detail, **more}
