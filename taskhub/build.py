"""Says what runs here: the version, and the commit that a package was built from."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

COMMIT = Path(__file__).parent / "commit.txt"
"""Written by scripts/build-wheel; a checkout has none."""


def version() -> str:
    """The version, such as 0.1.0."""
    try:
        return metadata.version("taskhub")
    except metadata.PackageNotFoundError:  # run from a source tree that was never installed
        return "unknown"


def commit() -> str:
    """The commit that this was built from; "" where nobody has built it."""
    try:
        return COMMIT.read_text(encoding="ascii").strip()
    except OSError:
        return ""
