"""Makes one Prometheus exposition of several: each family once, with everybody's series."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field


@dataclass(slots=True)
class _Family:
    """One metric: its HELP and TYPE lines as first seen, and its series by their names."""

    kind: bytes
    head: list[bytes] = field(default_factory=list)
    series: dict[bytes, bytes] = field(default_factory=dict)


def merge(expositions: Iterable[bytes]) -> bytes:
    """One classic text exposition (format 0.0.4) of several.

    Series are told apart by their labels (each process has its own `unit`); of two equal ones the
    first is kept, as is the first TYPE where two versions disagree.
    """
    families: dict[bytes, _Family] = {}
    for exposition in expositions:
        for name, kind, head, samples in _families(exposition):
            family = families.setdefault(name, _Family(kind, head))
            if family.kind == kind:
                for sample in samples:
                    family.series.setdefault(sample.rpartition(b" ")[0], sample)
    lines = [
        line for family in families.values() for line in (*family.head, *family.series.values())
    ]
    return b"".join(line + b"\n" for line in lines)


def _families(exposition: bytes) -> Iterator[tuple[bytes, bytes, list[bytes], list[bytes]]]:
    """(name, type, HELP and TYPE lines, samples), as generate_latest writes them: HELP first."""
    blocks = (b"\n" + exposition).split(b"\n# HELP ")  # a line's start: no value holds a newline
    for block in blocks[1:]:
        first, *rest = (b"# HELP " + block).rstrip(b"\n").split(b"\n")
        name = first.split(b" ", 3)[2]
        if rest and rest[0].startswith(b"# TYPE "):
            kind = rest[0].rpartition(b" ")[2]
            yield name, kind, [first, rest[0]], rest[1:]


def openmetrics(exposition: bytes) -> bytes:
    """The same in OpenMetrics 1.0: counters are named without `_total`, and there is an end."""
    out = []
    for name, kind, head, samples in _families(exposition):
        if kind == b"counter":
            short = name.removesuffix(b"_total")
            head = [line.replace(name, short, 1) for line in head]  # noqa: PLW2901 - renamed
        out += [*head, *samples]
    return b"".join(line + b"\n" for line in [*out, b"# EOF"])
