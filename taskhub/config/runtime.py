"""Where the supervision sockets of one installation stand, so that all its parts agree."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from taskhub.config.sections import Config

LONGEST_SOCKET = 100  # bytes; Linux takes 107 (unix(7)), other systems 103
_SQLITE = "sqlite:///"


def runtime_directory(config: Config, environ: Mapping[str, str]) -> Path:
    """The folder of sockets and locks: configured, given by systemd, or one for each store."""
    if config.supervisor.runtime_directory:
        return Path(config.supervisor.runtime_directory).absolute()
    if given := environ.get("RUNTIME_DIRECTORY"):
        return Path(given.partition(":")[0])  # systemd.exec(5): several are parted by colons
    digest = hashlib.sha256(absolute_store_url(config.store.url).encode()).hexdigest()
    return _private(environ.get("XDG_RUNTIME_DIR") or "/tmp") / digest[:12]  # noqa: S108 - made 0700, checked


def absolute_store_url(url: str) -> str:
    """The store's address as it is the same from every folder."""
    if not url.startswith(_SQLITE):
        return url
    return f"{_SQLITE}{Path(url.removeprefix(_SQLITE)).absolute()}"


def socket_path(directory: Path, unit: str) -> Path:
    """The supervision socket of one process: `worker-1`, `api-1`, or `tree` for the root."""
    return short(directory / f"{unit}.sock")


def short(path: Path) -> Path:
    """The path itself, or where it is too long for a socket one in its stead, always the same."""
    if len(os.fsencode(path)) <= LONGEST_SOCKET:
        return path
    digest = hashlib.sha256(os.fsencode(path)).hexdigest()
    return _private("/tmp") / f"{digest[:16]}.sock"  # noqa: S108 - made 0700, checked


def make_private(directory: Path) -> Path:
    """Make the folder, for our account alone; raises PermissionError when it is another's."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in {os.getuid(), 0}:
        raise PermissionError(f"{directory} belongs to another account, or is a link")
    return directory


def _private(parent: str) -> Path:
    return Path(parent) / f"taskhub-{os.getuid()}"
