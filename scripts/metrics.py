"""Write the table of all metrics, made from the code that counts them, into docs/metrics.md."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from taskhub.actors.metrics import scrapes
from taskhub.actors.pusher import pushes
from taskhub.kernel.child import ActorState, State
from taskhub.obs.meters import Family
from taskhub.obs.metrics import MetricsListener

BEGIN, END = "<!-- the table is made by scripts/generate -->\n", "<!-- end of the table -->\n"
HEAD = "| metric | type | labels beside `unit` | |\n|---|---|---|---|\n"

Row = tuple[str, str, str, str]


def main(file: Path) -> None:
    """Put the table between its marks."""
    before, _, rest = file.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    file.write_text(f"{before}{BEGIN}{table()}{END}{after}", encoding="utf-8")


def table() -> str:
    """A row for each metric, by name."""
    lines = [f"| `{name}` | {kind} | {labels} | {text} |" for name, kind, labels, text in rows()]
    return HEAD + "\n".join(sorted(lines)) + "\n"


def rows() -> Iterator[Row]:
    """Name as in a query, type, labels, and what is meant."""
    listener = _listener()
    families = {family.name: family for family in _families(listener)}
    for metric in listener.registry.collect():
        family = families.get(metric.name)
        labels = family.labels if family is not None else _labels(metric.samples[0].labels)
        suffix = "_total" if metric.type == "counter" else ""
        shown = ", ".join(f"`{label}`" for label in labels)
        yield metric.name + suffix, metric.type, shown, metric.documentation


def _listener() -> MetricsListener:
    listener = MetricsListener("tree")
    listener.watch_actors(lambda: [ActorState("tree/store", State.READY, 1.0, 0)])
    listener.sample()
    listener.add(scrapes())
    listener.add(pushes())
    return listener


def _families(listener: MetricsListener) -> Iterator[Family[Any]]:
    for group in listener.groups:
        yield from group.families()
    yield from (scrapes(), pushes())


def _labels(labels: dict[str, str]) -> list[str]:
    return [label for label in labels if label != "unit"]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
