"""Speaks HTTP with a TaskHub from a terminal: blocking and small, so that a command is quick."""

from __future__ import annotations

import http.client
import ipaddress
import json
import os
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, quote, urlencode, urlsplit

from taskhub.cli import exits, say

URL = "TASKHUB_URL"
TOKEN = "TASKHUB_TOKEN"  # noqa: S105 - the name of a variable
TOKEN_FILE = "TASKHUB_TOKEN_FILE"  # noqa: S105 - the name of a variable
DEFAULT_URL = "http://127.0.0.1:8080"
ANSWER_LIMIT = 64 * 1024 * 1024  # bytes; a page of tasks is far smaller
TIMEOUT = 30.0  # seconds without a byte
GOOD = range(200, 300)
LATER = frozenset({502, 503, 504})
"""Answers that mean: not now."""


@dataclass(frozen=True)
class Answer:
    """A good answer: its status, its body, and the header fields in small letters."""

    status: int
    body: Any
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Client:
    """One TaskHub and one token; every failure ends the command with one clear line."""

    address: SplitResult
    token: str = field(default="", repr=False)
    timeout: float = TIMEOUT

    def get(self, path: str, *, wait: float = 0.0, **query: Any) -> Answer:
        """GET; `wait` is how long the server may hold the answer back, in seconds."""
        given = {name: value for name, value in query.items() if value is not None}
        if wait:
            given["wait"] = f"{wait:g}"
        return self.send("GET", f"{path}?{urlencode(given)}" if given else path, patience=wait)

    def post(self, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        """POST a JSON body, or nothing."""
        return self.send("POST", path, body=body, headers=headers)

    def send(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        patience: float = 0.0,
    ) -> Answer:
        """One request; raises Failure (3 nobody there, 4 refused, 1 the rest)."""
        data = None if body is None else _encoded(body)
        fields = {**self._headers(data), **(headers or {})}
        connection = self._connection(self.timeout + patience)
        try:
            connection.request(method, self.address.path.rstrip("/") + path, data, fields)
            return _judged(connection.getresponse(), self.address)
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from error
        finally:
            connection.close()

    @contextmanager
    def stream(self, path: str, last: str = "") -> Iterator[http.client.HTTPResponse]:
        """A stream of events after the one called `last`; raises Failure as `send` does, and what
        reading from a line that is cut raises.
        """
        fields = {**self._headers(None), "Accept": "text/event-stream"}
        if last:
            fields["Last-Event-ID"] = last
        connection = self._connection(self.timeout)
        try:
            yield self._streaming(connection, path, fields)
        finally:
            connection.close()

    def _streaming(
        self, connection: http.client.HTTPConnection, path: str, fields: Mapping[str, str]
    ) -> http.client.HTTPResponse:
        try:
            connection.request("GET", self.address.path.rstrip("/") + path, headers=dict(fields))
            response = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from error
        kind = response.headers.get("Content-Type", "")
        if response.status != GOOD.start or not kind.startswith("text/event-stream"):
            _judged(response, self.address)
            raise exits.Failure(exits.FAILED, f"{self.address.netloc} does not stream events")
        return response

    def _unreachable(self, error: Exception) -> exits.Failure:
        where = f"{self.address.scheme}://{self.address.netloc}"
        return exits.Failure(exits.UNREACHABLE, f"{where}: {_reason(error)}")

    def _headers(self, data: bytes | None) -> dict[str, str]:
        fields = {"Accept": "application/json", "User-Agent": "taskhub-cli"}
        if data is not None:
            fields["Content-Type"] = "application/json"
        if self.token:
            fields["Authorization"] = f"Bearer {self.token}"
        return fields

    def _connection(self, timeout: float) -> http.client.HTTPConnection:
        host, port = self.address.hostname or "", self.address.port
        if self.address.scheme == "https":
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(host, port, timeout=timeout, context=context)
        return http.client.HTTPConnection(host, port, timeout=timeout)


def from_environment(environ: Mapping[str, str] | None = None) -> Client:
    """The client that TASKHUB_URL and TASKHUB_TOKEN (or TASKHUB_TOKEN_FILE) describe."""
    environ = os.environ if environ is None else environ
    address = _address(environ.get(URL) or DEFAULT_URL)
    token = _token(environ)
    if token and address.scheme == "http" and not _is_loopback(address.hostname or ""):
        say.note(f"taskhub: warning: the token goes to {address.hostname} without encryption")
    return Client(address, token)


def task_path(id_: str, verb: str = "") -> str:
    """The path of a task, whatever was typed for its id."""
    return f"/tasks/{quote(id_, safe='')}{verb}"


def _address(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        fits = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
        if fits and "@" not in parts.netloc and not parts.query:
            return parts
    except ValueError:
        pass
    raise exits.Failure(exits.USAGE, f"{URL} must be like {DEFAULT_URL}")


def _token(environ: Mapping[str, str]) -> str:
    token = environ.get(TOKEN, "")
    if not token and (path := environ.get(TOKEN_FILE)):
        try:
            token = Path(path).read_text()
        except (OSError, ValueError) as error:
            raise exits.Failure(exits.USAGE, f"{TOKEN_FILE} cannot be read") from error
    token = token.strip()
    if not token.isascii() or not token.isprintable() or " " in token:
        raise exits.Failure(exits.USAGE, f"{TOKEN} is no token: it has odd characters")
    return token


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _judged(response: http.client.HTTPResponse, address: SplitResult) -> Answer:
    data = response.read(ANSWER_LIMIT + 1)
    headers = {name.lower(): value for name, value in response.getheaders()}
    body = _parsed(data) if "json" in headers.get("content-type", "") else None
    if response.status in GOOD and (body is not None or not data):
        return Answer(response.status, body, headers)
    raise exits.Failure(_code(response.status), *_lines(response.status, body, headers, address))


def _encoded(body: Any) -> bytes:
    try:
        return json.dumps(body, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise exits.Failure(exits.USAGE, "a text on the command line is not UTF-8") from error


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data) if len(data) <= ANSWER_LIMIT else None
    except (ValueError, RecursionError):
        return None


def _code(status: int) -> int:
    if status in LATER:
        return exits.UNREACHABLE
    return exits.REFUSED if status in {401, 403} else exits.FAILED


def _lines(status: int, body: Any, headers: Mapping[str, str], address: SplitResult) -> list[str]:
    """What a problem document says (RFC 9457), in one line, and one for each wrong member."""
    if not isinstance(body, dict) or "title" not in body:
        return [
            f"{address.netloc} does not answer like a TaskHub (status {status}): is {URL} right?"
        ]
    text = say.printable(str(body.get("detail") or body["title"]))
    if status in LATER and "retry-after" in headers:
        text = f"{text} (again in {say.printable(headers['retry-after'])} s)"
    hint = {401: f" Set {TOKEN}; `taskhub token` makes one.", 403: _scope(headers)}.get(status, "")
    items = body.get("errors")
    return [f"{text}{hint}", *map(_item, items if isinstance(items, list) else ())]


def _scope(headers: Mapping[str, str]) -> str:
    _, found, scope = headers.get("www-authenticate", "").partition('scope="')
    return f" It needs the scope {say.printable(scope.partition(chr(34))[0])}." if found else ""


def _item(item: Any) -> str:
    if not isinstance(item, dict):
        return say.printable(f"  {item}")
    pointer = str(item.get("pointer", "")).removeprefix("/")
    detail = str(item.get("detail", ""))
    return say.printable(f"  {pointer}: {detail}" if pointer else f"  {detail}")


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ConnectionRefusedError):
        return "nobody listens there: is TaskHub running?"
    if isinstance(error, ssl.SSLError):
        return f"no secure connection ({error.reason or 'TLS failed'})"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return "the connection was cut" if isinstance(error, OSError) else "that is not HTTP"
