"""How loud each actor of a process may be; what is quieter is not written."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from taskhub.obs.lines import SEVERITIES
from taskhub.obs.telemetry import Level

WORDS = {Level.DEBUG: "debug", Level.INFO: "info", Level.WARNING: "warning", Level.ERROR: "error"}
"""As the configuration names them, from the most to the least."""
LEVELS = tuple(Level)


class Levels(msgspec.Struct, frozen=True):
    """One for all, and others for some actors by their names."""

    common: Level = Level.INFO
    named: Mapping[str, Level] = {}

    @classmethod
    def of(cls, common: str, named: Mapping[str, str]) -> Levels:
        """Of the words of a configuration."""
        return cls(SEVERITIES[common], {name: SEVERITIES[word] for name, word in named.items()})

    def least(self, actor: str) -> Level:
        """The least loud level of an actor by its full name (`worker-1/pool`).

        Its full name is stronger than its role (`pool`), and that than its process (`worker-1`).
        """
        process, _, role = actor.partition("/")
        for name in (actor, role, process):
            if name in self.named:
                return self.named[name]
        return self.common

    def lets(self, level: Level, actor: str) -> bool:
        """Whether it is loud enough."""
        return LEVELS.index(level) >= LEVELS.index(self.least(actor))
