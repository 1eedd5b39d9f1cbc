"""The first lines of the executable file: unpacks it, once for each account, and hands over.

It is the `__main__.py` of that file and stands alone: Python's own library, and any Python 3 must
be able to read it, if only to be told that it is the wrong one.
"""

from __future__ import annotations

import os
import stat
import sys
import zipfile
from pathlib import Path
from tempfile import mkdtemp

PLACE = "TASKHUB_UNPACK"
INSIDE = "site.zip"


def main() -> None:
    """Be the command `taskhub`."""
    archive = Path(__file__).parent
    with zipfile.ZipFile(archive) as outer:
        made_for, build = outer.read("for").decode().split()
        ours = f"{sys.implementation.name}-{sys.version_info.major}.{sys.version_info.minor}"
        if ours != made_for:
            raise SystemExit(f"taskhub: this file is for {made_for}, not for {ours}")
        site = unpacked(outer, place() / build)
    sys.path.insert(1, str(site))
    known = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = f"{site}{os.pathsep}{known}" if known else str(site)  # for children
    from taskhub.cli.main import main as command

    raise SystemExit(command())


def place() -> Path:
    """Where it is unpacked; root unpacks nowhere that another account could write to."""
    named = os.environ.get(PLACE)
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(named) if named else Path(cache, "taskhub")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
    except OSError as error:
        text = f"taskhub: {folder}: {error.strerror}; {PLACE} names another folder"
        raise SystemExit(text) from None
    if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o022:
        raise SystemExit(f"taskhub: {folder} is not ours alone; {PLACE} names another folder")
    return folder


def unpacked(outer: zipfile.ZipFile, target: Path) -> Path:
    """The folder of this build, made whole or not at all, whoever else makes it at this moment."""
    if target.is_dir():
        return target
    try:
        fresh = Path(mkdtemp(dir=target.parent))
        with outer.open(INSIDE) as file, zipfile.ZipFile(file) as inner:
            inner.extractall(fresh)
            for item in inner.infolist():
                if item.external_attr >> 16 & 0o100:
                    (fresh / item.filename).chmod(0o755)
        fresh.chmod(0o755)
        fresh.rename(target)
    except OSError as error:
        if not target.is_dir():
            raise SystemExit(f"taskhub: {target}: {error.strerror}") from None
    return target


if __name__ == "__main__":
    main()
