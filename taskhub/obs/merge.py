"""Makes one OpenMetrics exposition of several: each family once, with everybody's series."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

END = b"# EOF"
_EXEMPLAR = re.compile(rb' # \{[a-z_]+="[^"\\]*"\} [^ ]+ [^ ]+$')
"""At a line's end. In a label's value no quote stands bare, and no two numbers follow a brace."""


@dataclass(slots=True)
class _Family:
    """One metric: its HELP and TYPE lines as first seen, and its series by their names."""

    kind: bytes
    head: list[bytes] = field(default_factory=list)
    series: dict[bytes, bytes] = field(default_factory=dict)


def merge(expositions: Iterable[bytes]) -> bytes:
    """One OpenMetrics 1.0 exposition of several.

    Series are told apart by their labels (each process has its own `unit`); of two equal ones the
    first is kept, as is the first TYPE where two versions disagree.
    """
    families: dict[bytes, _Family] = {}
    for exposition in expositions:
        for name, kind, head, samples in _families(exposition):
            family = families.setdefault(name, _Family(kind, head))
            if family.kind == kind:
                for sample in samples:
                    family.series.setdefault(_plain(sample).rpartition(b" ")[0], sample)
    return _text((*family.head, *family.series.values()) for family in families.values())


def of_unit(exposition: bytes, unit: str) -> bytes:
    """What an exposition tells of one unit; nothing but its end when it knows none of that name."""
    own = re.compile(rb'[{,]unit="%s"[,}]' % re.escape(unit.encode()))
    parts = (
        (*head, *chosen)
        for _, _, head, samples in _families(exposition)
        if (chosen := [sample for sample in samples if own.search(_plain(sample))])
    )
    return _text(parts)


def classic(exposition: bytes) -> bytes:
    """The same in the text format 0.0.4: counters named with `_total`, no exemplars, no end."""
    out = []
    for name, kind, head, samples in _families(exposition):
        if kind == b"counter":
            head = [line.replace(name, name + b"_total", 1) for line in head]  # noqa: PLW2901 - renamed
        out += [*head, *map(_plain, samples)]
    return b"".join(line + b"\n" for line in out)


def _text(parts: Iterable[Iterable[bytes]]) -> bytes:
    lines = [line for part in parts for line in part]
    return b"".join(line + b"\n" for line in [*lines, END])


def _plain(sample: bytes) -> bytes:
    """Without its exemplar; most have none."""
    return _EXEMPLAR.sub(b"", sample) if b" # {" in sample else sample


def _families(exposition: bytes) -> Iterator[tuple[bytes, bytes, list[bytes], list[bytes]]]:
    """(name, type, HELP and TYPE lines, samples), as generate_latest writes them: HELP first."""
    blocks = (b"\n" + exposition).split(b"\n# HELP ")  # a line's start: no value holds a newline
    for block in blocks[1:]:
        first, *rest = (b"# HELP " + block).rstrip(b"\n").split(b"\n")
        name = first.split(b" ", 3)[2]
        if rest and rest[0].startswith(b"# TYPE "):
            kind = rest[0].rpartition(b" ")[2]
            samples = [line for line in rest[1:] if not line.startswith(b"#")]
            yield name, kind, [first, rest[0]], samples
