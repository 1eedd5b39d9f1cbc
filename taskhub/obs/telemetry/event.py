"""What every event has in common, and how loud it is."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import ClassVar

import msgspec


class Level(StrEnum):
    """How loud an event is, in the words of the log lines."""

    DEBUG = "Debug"
    INFO = "Information"
    WARNING = "Warning"
    ERROR = "Error"


class Telemetry(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the events. `message` names it in the log; the fields become properties."""

    message: ClassVar[str] = ""
    level: ClassVar[Level] = Level.INFO


Emit = Callable[[Telemetry], None]
"""What actors are given to tell what happened: cheap, never blocks, never raises."""
