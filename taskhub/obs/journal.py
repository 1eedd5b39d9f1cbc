"""Lines for systemd's journal, which keeps the time itself and takes a priority; finds it too."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from taskhub.obs.clef import Fields, Render
from taskhub.obs.telemetry import Level

PRIORITIES = {
    Level.DEBUG.value: b"<7>",
    Level.INFO.value: b"<6>",
    Level.WARNING.value: b"<4>",
    Level.ERROR.value: b"<3>",
}
"""sd-daemon(3): the journal takes them off again."""


def is_journal(fd: int, environment: Mapping[str, str]) -> bool:
    """Whether what is written there goes to the journal: systemd.exec(5), $JOURNAL_STREAM."""
    found = os.fstat(fd)
    return environment.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


def prefixed(render: Render) -> Render:
    """The same lines with their priority; the further lines of a trace have it too."""

    def with_priority(logger: Any, method: str, fields: Fields) -> bytes:
        priority = PRIORITIES[fields["lvl"]]
        return priority + render(logger, method, fields).replace(b"\n", b"\n" + priority)

    return with_priority
