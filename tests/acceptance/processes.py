"""Looks at the processes of a tree from outside, through /proc; it signals nobody."""

from __future__ import annotations

from pathlib import Path

from tests.acceptance.installation import PATIENCE
from tests.waiting import until


def parent_of(pid: int) -> int | None:
    """The parent of a process that lives; a zombie has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else int(fields[1])


def below(root: int) -> set[int]:
    """Every process that descends from this one."""
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    parents = {pid: parent for pid in pids if (parent := parent_of(pid))}
    found, seen = {root}, 0
    while seen < len(found):
        seen = len(found)
        found |= {pid for pid, parent in parents.items() if parent in found}
    return found - {root}


async def gone(pids: set[int]) -> None:
    """Return when none of them lives."""
    await until(lambda: not any(map(parent_of, pids)), PATIENCE, f"some of {pids} live on")
