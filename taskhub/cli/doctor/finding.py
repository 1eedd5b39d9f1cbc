"""What `taskhub doctor` has found at one place: how it is, and what mends it; it looks nowhere."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

OK, WARN, FAIL = "ok", "warn", "fail"
_ORDER = (OK, WARN, FAIL)


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: the place, its state, what is so there, and (unless all is well) what to do."""

    name: str
    state: str
    detail: str
    fix: str = ""

    def plain(self) -> dict[str, str]:
        """For JSON."""
        return asdict(self)


def ok(name: str, detail: str) -> Finding:
    """As it should be."""
    return Finding(name, OK, detail)


def warn(name: str, detail: str, fix: str) -> Finding:
    """It works, and may not for ever."""
    return Finding(name, WARN, detail, fix)


def fail(name: str, detail: str, fix: str) -> Finding:
    """Something does not work."""
    return Finding(name, FAIL, detail, fix)


def worst(findings: Iterable[Finding]) -> str:
    """The state of the whole."""
    return max((finding.state for finding in findings), key=_ORDER.index, default=OK)
