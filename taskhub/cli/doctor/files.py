"""Looks at folders, files and secrets: whose they are, and who may read them; opens none."""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Iterator
from pathlib import Path

from taskhub.app.backends import SQLITE, state_directory
from taskhub.cli.doctor.finding import Finding, fail, ok, warn
from taskhub.config.load import DEFAULT, Loaded, all_keys, value_of
from taskhub.config.runtime import runtime_directory

PRIVATE = stat.S_IRWXG | stat.S_IRWXO


def look(found: Loaded) -> Iterator[Finding]:
    """Every finding of what TaskHub reads and writes."""
    config = found.config
    yield _configuration(found)
    yield _secrets(found)
    yield _folder("data", state_directory(config))
    if config.store.url.startswith(SQLITE):
        yield from _database(Path(config.store.url.removeprefix(SQLITE)).absolute())
    if config.logs.directory:
        yield _folder("logs", Path(config.logs.directory).absolute())
    yield _runtime(runtime_directory(config, os.environ))


def _configuration(found: Loaded) -> Finding:
    where = str(found.path) if found.path else "no file: defaults and variables"
    if found.warnings:
        text = "; ".join(found.warnings)
        return warn("configuration", text, f"mend {found.path or 'the environment'}")
    return ok("configuration", where)


def _secrets(found: Loaded) -> Finding:
    """Where they come from. What others may read is refused when the configuration is read."""
    set_ = [
        f"{key.path} ({found.origins[key.path]})"
        for key in all_keys(found.config)
        if key.is_secret and value_of(found.config, key) and found.origins[key.path] != DEFAULT
    ]
    return ok("secrets", ", ".join(set_) or "none is set here")


def _folder(name: str, folder: Path) -> Finding:
    if not folder.exists():
        text = f"{folder} is not there yet"
        return warn(name, text, f"install -d -o taskhub -g taskhub -m 750 {folder}")
    mode = folder.stat().st_mode
    if not mode & stat.S_IWUSR or (os.getuid() == folder.stat().st_uid and not _may(folder)):
        return fail(name, f"{folder} cannot be written", f"chmod u+rwx {folder}")
    if mode & stat.S_IWOTH:
        return fail(name, f"anybody may write in {folder}", f"chmod o-w {folder}")
    return ok(name, f"{folder} of {_account(folder.stat().st_uid)}")


def _may(folder: Path) -> bool:
    return os.access(folder, os.R_OK | os.W_OK | os.X_OK)


def _database(path: Path) -> Iterator[Finding]:
    """The file and what SQLite and we keep beside it: one stranger among them stops the store."""
    files = [each for each in sorted(path.parent.glob(f"{path.name}*")) if each.is_file()]
    owner = path.parent.stat().st_uid if path.parent.exists() else os.getuid()
    strangers = [str(each) for each in files if each.stat().st_uid != owner]
    if strangers:
        text = f"{', '.join(strangers)}: not of {_account(owner)}, whose folder it is"
        yield fail("data files", text, f"chown {_account(owner)} {' '.join(strangers)}")
        return
    open_ = [str(each) for each in files if each.stat().st_mode & stat.S_IRWXO]
    reachable = path.parent.exists() and path.parent.stat().st_mode & stat.S_IXOTH
    if open_ and reachable:
        yield warn("data files", f"others may read {', '.join(open_)}", f"chmod o= {path}*")
    elif files:
        yield ok("data files", f"{len(files)}, of {_account(owner)}")


def _runtime(folder: Path) -> Finding:
    if not folder.exists():
        return ok("sockets", f"{folder} (a start of TaskHub makes it)")
    known = folder.stat()
    if known.st_mode & PRIVATE:
        text = f"{folder}: others may reach the supervision sockets"
        return fail("sockets", text, f"chmod 700 {folder}")
    return ok("sockets", f"{folder} of {_account(known.st_uid)}")


def _account(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
