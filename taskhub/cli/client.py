"""What the commands ask of a TaskHub: every failure ends a command with clear lines and a code."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlsplit

import click

from taskhub.cli import exits, say

if TYPE_CHECKING:
    from taskhub.client import errors
    from taskhub.client.structs import BulkReport, Verb

URL = "TASKHUB_URL"
TOKEN = "TASKHUB_TOKEN"  # noqa: S105 - the name of a variable
TOKEN_FILE = "TASKHUB_TOKEN_FILE"  # noqa: S105 - the name of a variable
DEFAULT_URL = "http://127.0.0.1:8080"
PATIENCE = 60.0
"""Seconds for which nobody may be there before a follower gives up."""
LATER = frozenset({429, 502, 503, 504})
"""Answers that mean: not now."""


class Told(NamedTuple):
    """One event of a stream."""

    event: str
    data: Mapping[str, Any]


class Client:
    """One TaskHub and one token. `is_patient`: what may pass is tried again for a while.

    Without patience a command says at once what is the matter: whoever typed it decides.
    """

    def __init__(self, url: str, token: str = "", *, is_patient: bool = False) -> None:
        from taskhub.client import Retries, SyncTaskHub  # not for `--help`

        once, again = Retries(attempts=1), Retries(attempts=1_000, within=PATIENCE, longest=2.0)
        try:
            self._hub = SyncTaskHub(url, token, retries=again if is_patient else once)
        except ValueError as error:
            raise exits.Failure(exits.USAGE, _mistake(str(error))) from None

    def close(self) -> None:
        """Give the connection and its thread back."""
        self._hub.close()

    def get(self, path: str, **query: Any) -> Any:
        """The JSON behind a path; what is None in the query is left out."""
        with _explained():
            return self._hub.request("GET", path, query=query)

    def post(self, path: str, body: Any = None, key: str | None = None) -> Any:
        """POST a JSON body, or nothing; the JSON that is answered."""
        with _explained():
            if body is None:
                return self._hub.request("POST", path)
            return self._hub.request("POST", path, body=body, key=key)

    def put(self, path: str, body: Any) -> Any:
        """PUT a JSON body; the JSON that is answered."""
        with _explained():
            return self._hub.request("PUT", path, body=body)

    def delete(self, path: str) -> None:
        """DELETE what is there."""
        with _explained():
            self._hub.request("DELETE", path)

    def bulk(
        self, verb: Verb, search: str, *, everything: bool, dry_run: bool
    ) -> Iterator[BulkReport]:
        """What an act on all that match has done, request by request."""
        with _explained():
            yield from self._hub.bulk_steps(verb, search, everything=everything, dry_run=dry_run)

    def is_ready(self) -> bool:
        """Whether it is there, and can take work in."""
        with _explained():
            return self._hub.ready()

    def stream(
        self, path: str, query: Mapping[str, object] | None = None, last: str = ""
    ) -> Iterator[Told]:
        """Every event once, in order, until the stream says `end`; over as many lines as needed."""
        with _explained():
            for message in self._hub.stream(path, query=query, last_event_id=last):
                yield Told(message.type, json.loads(message.data))
                if message.type == "end":
                    return


def from_environment(*, is_patient: bool = False) -> Client:
    """The client that TASKHUB_URL and TASKHUB_TOKEN (or TASKHUB_TOKEN_FILE) describe.

    It is closed when the command ends.
    """
    from taskhub.client.address import is_loopback  # not for `--help`

    url, token = os.environ.get(URL) or DEFAULT_URL, _token(os.environ)
    hub = Client(url, token, is_patient=is_patient)
    click.get_current_context().call_on_close(hub.close)
    parts = urlsplit(url)
    if token and parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        say.note(f"taskhub: warning: the token goes to {parts.hostname} without encryption")
    return hub


def path_of(things: str, name: str, verb: str = "") -> str:
    """The path of one of these things, whatever was typed for its name."""
    return f"/{things}/{quote(name, safe='')}{verb}"


def task_path(id_: str, verb: str = "") -> str:
    """The path of a task."""
    return path_of("tasks", id_, verb)


def _mistake(said: str) -> str:
    """Which variable is wrong; nothing of it is repeated, for it may hold a secret."""
    if "token" in said:
        return f"{TOKEN} is no token: it has odd characters"
    return said if "proxy" in said else f"{URL} must be like {DEFAULT_URL}"


def _token(environ: Mapping[str, str]) -> str:
    token = environ.get(TOKEN, "")
    if not token and (path := environ.get(TOKEN_FILE)):
        try:
            token = Path(path).read_text()
        except (OSError, ValueError) as error:
            raise exits.Failure(exits.USAGE, f"{TOKEN_FILE} cannot be read") from error
    return token.strip()


@contextmanager
def _explained() -> Iterator[None]:
    """Raises Failure (3 nobody there, 4 refused, 1 the rest) for what the client raises."""
    from taskhub.client import errors

    try:
        yield
    except UnicodeEncodeError as error:
        raise exits.Failure(exits.USAGE, "a text on the command line is not UTF-8") from error
    except errors.Problem as error:
        raise exits.Failure(_code(error.status), *_lines(error)) from error
    except errors.Unexpected as error:
        raise exits.Failure(_code(error.status), f"{error}: is {URL} right?") from error
    except errors.Unreachable as error:
        raise exits.Failure(exits.UNREACHABLE, say.printable(str(error))) from error


def _code(status: int) -> int:
    if status in LATER:
        return exits.UNREACHABLE
    return exits.REFUSED if status in {401, 403} else exits.FAILED


def _lines(error: errors.Problem) -> list[str]:
    """What a problem says, in one line, and one for each wrong member."""
    text = error.detail
    if error.status in LATER and error.retry_after is not None:
        text = f"{text} (again in {error.retry_after:g} s)"
    if error.status == 401:  # noqa: PLR2004 - a status of HTTP
        text = f"{text} Set {TOKEN}; `taskhub token` makes one."
    if error.scope:
        text = f"{text} It needs the scope {error.scope}."
    return [say.printable(text), *(_item(item) for item in error.errors)]


def _item(item: errors.ErrorItem) -> str:
    pointer = item.pointer.removeprefix("/")
    return say.printable(f"  {pointer}: {item.detail}" if pointer else f"  {item.detail}")
