"""Which ODBC driver speaks to the server: Microsoft's, the one in its wheel, or FreeTDS."""

from __future__ import annotations

import ctypes
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pyodbc

from taskhub.errors import ConfigError, ConfigProblem

MICROSOFT = ("ODBC Driver 18 for SQL Server", "ODBC Driver 17 for SQL Server")
FREETDS = "FreeTDS"
WHEEL = "mssql_python_odbc"
NONE = (
    "SQL Server needs an ODBC driver: install Microsoft's msodbcsql18, "
    "or pip install 'taskhub[mssql]', or Debian's tdsodbc"
)
LIBRARIES = "apt-get install libltdl7 libkrb5-3 libgssapi-krb5-2"
"""What the driver in the wheel needs of Debian."""

Size = tuple[int, int, int]
"""A type of ODBC's, a length (0: any), and places behind the point."""

SHORT: Size = (pyodbc.SQL_WVARCHAR, 4000, 0)
LONG: Size = (pyodbc.SQL_WVARCHAR, 0, 0)
WHOLE: Size = (pyodbc.SQL_BIGINT, 0, 0)
SURE = 2000
"""Characters that fit into 4000 of UTF-16 whatever they are."""


@dataclass(frozen=True, slots=True)
class Driver:
    """A driver, by what stands behind `DRIVER=`."""

    name: str
    is_freetds: bool = False
    long: Size = LONG
    """The type of a long text: with another one FreeTDS cuts it at 4000 without a word."""

    @property
    def words(self) -> str:
        """For whoever wants to know which one is used."""
        if self.name.startswith("/"):
            return f"the ODBC driver of {WHEEL.replace('_', '-')}, {Path(self.name).name}"
        return self.name

    def sizes(self, values: Sequence[object]) -> list[Size | None]:
        """The type that each value is sent as; left alone, there is one for each length.

        The server keeps a plan for each combination of types.
        """
        return [self._size(value) for value in values]

    def _size(self, value: object) -> Size | None:
        if isinstance(value, str):
            return SHORT if len(value) <= SURE else self.long
        return WHOLE if type(value) is int else None


def found() -> Driver:
    """The best driver of this machine; raises ConfigError that says what to install."""
    installed = pyodbc.drivers()
    for name in MICROSOFT:
        if name in installed:
            return Driver(name)
    path = in_wheel()
    trouble = why_not(path) if path else ""
    if path and not trouble:
        return Driver(str(path))
    if FREETDS in installed:
        return Driver(FREETDS, is_freetds=True, long=(pyodbc.SQL_WLONGVARCHAR, 0, 0))
    raise ConfigError([ConfigProblem("store.url", trouble or NONE)])


def in_wheel() -> Path | None:
    """The file of the driver in Microsoft's wheel, for this machine."""
    spec = find_spec(WHEEL)
    if spec is None or not spec.origin:
        return None
    libraries = Path(spec.origin).parent / "libs" / "linux"
    machine = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
    for system in _systems():
        for folder in (libraries / system / machine, libraries / system / platform.machine()):
            if files := sorted(folder.glob("lib/libmsodbcsql-*.so*")):
                return files[-1]
    return None


def _systems() -> list[str]:
    """The folders of the wheel that may fit, the likeliest first."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    words = f"{release.get('ID', '')} {release.get('ID_LIKE', '')}"
    names = {
        "debian_ubuntu": "debian|ubuntu",
        "rhel": "rhel|fedora",
        "suse": "suse",
        "alpine": "alpine",
    }
    return sorted(names, key=lambda name: not re.search(names[name], words))


def why_not(path: Path) -> str:
    """Why the driver in the wheel does not load here; empty: it does."""
    try:
        ctypes.CDLL(str(path))
    except OSError as error:
        missing = re.match(r"(lib[\w.+-]+): cannot open shared object", str(error))
        what = f"{missing[1]} is missing" if missing else "it is not for this system"
        return f"the ODBC driver of mssql-python-odbc does not load, {what}: {LIBRARIES}"
    return ""
