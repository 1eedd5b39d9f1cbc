"""Which processes are sealed: those that hold the key of tokens; no process leaves a core file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskhub.config.units import actors
from taskhub.kernel.sealing import leave_no_core, seal

if TYPE_CHECKING:
    from taskhub.config.units import Units


def protect(units: Units, unit: str) -> None:
    """Let nobody read secrets out of this process; one without the key can still be debugged."""
    if "api" in actors(units, unit):
        seal()
    else:
        leave_no_core()
