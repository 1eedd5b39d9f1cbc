"""One guest for all tests of services: it is switched on once, and once more after a power cut."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.systemd.guest import ENDS_WITHIN, Guest, guest, reason_to_skip
from tests.acceptance.systemd.installing import lay
from tests.waiting import blocking_until


@pytest.fixture(scope="package")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    """A guest that runs, TaskHub laid down in it; afterwards no process and no mount is left."""
    if reason := reason_to_skip():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("guest")
    with guest(folder) as found:
        lay(found)
        found.boot()
        yield found
        spaces = found.namespaces()
    blocking_until(lambda: not left_in(spaces), ENDS_WITHIN, f"left behind: {left_in(spaces)}")
    assert str(folder) not in Path("/proc/self/mountinfo").read_text()


def left_in(spaces: set[str]) -> list[str]:
    """Processes that live on in namespaces that should be gone."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            inside = {str((process / "ns" / kind).readlink()) for kind in ("pid", "mnt")}
        except OSError:
            continue
        if inside & spaces:
            found.append((process / "cmdline").read_text())
    return found
