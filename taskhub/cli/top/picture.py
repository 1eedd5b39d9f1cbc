"""Draws a frame: as plain lines for pipes, as tables for a terminal; asks nobody."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from taskhub.cli import say
from taskhub.cli.supervision import COLOURS

if TYPE_CHECKING:
    from rich.console import RenderableType

    from taskhub.cli.top.frame import Actor, Frame, Queue, Worker

QUEUES = ("QUEUE", "PENDING", "RUNNING", "OLDEST")
WORKERS = ("WORKER", "STATE", "DONE/S", "FAILED/S", "LOOP LAG", "MEMORY")
ACTORS = ("ACTOR", "STATE", "UP", "RESTARTS", "MAILBOX", "MESSAGES/S", "LAST ERROR")

Rows = Sequence[Sequence[str]]


def lines(frame: Frame) -> Iterator[str]:
    """The frame as text without colours or movement."""
    yield _head(frame)
    for text in frame.ill:
        yield say.printable(f"! {text}")
    for header, rows in _tables(frame):
        if rows:
            yield ""
            yield from say.columns(header, rows)


def drawn(frame: Frame) -> RenderableType:
    """The frame for a terminal of any size."""
    from rich.console import Group
    from rich.text import Text

    ill = [Text(say.printable(text), style="red") for text in frame.ill]
    tables = [_table(header, rows) for header, rows in _tables(frame) if rows]
    return Group(Text(_head(frame), style="bold"), *ill, *tables)


def _table(header: Sequence[str], rows: Rows) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for title in header:
        table.add_column(title, no_wrap=True, overflow="ellipsis")
    for row in rows:
        cells = [Text(say.printable(cell)) for cell in row]
        cells[1].stylize(COLOURS.get(row[1], ""))
        table.add_row(*cells)
    return table


def _head(frame: Frame) -> str:
    rates = "  ".join(f"{name} {number(value)}/s" for name, value in frame.rates.items())
    return f"TaskHub {frame.at}  {rates}"


def _tables(frame: Frame) -> Iterator[tuple[Sequence[str], Rows]]:
    yield QUEUES, [_queue(each) for each in frame.queues]
    yield WORKERS, [_worker(each) for each in frame.workers]
    yield ACTORS, [_actor(each) for each in frame.actors]


def _queue(queue: Queue) -> Sequence[str]:
    oldest = say.duration(queue.oldest) if queue.pending else "-"
    return queue.name, f"{queue.pending:,}", f"{queue.running:,}", oldest


def _worker(worker: Worker) -> Sequence[str]:
    return (
        worker.unit,
        "ready" if worker.ready else "failed",
        number(worker.done),
        number(worker.failed),
        say.duration(worker.lag),
        f"{worker.memory / 1e6:.0f} MB",
    )


def _actor(actor: Actor) -> Sequence[str]:
    return (
        actor.name,
        actor.state,
        say.duration(actor.uptime),
        str(actor.restarts),
        f"{actor.mailbox}/{actor.limit}" if actor.limit else "",
        number(actor.messages) if actor.limit else "",
        actor.error,
    )


def number(value: float) -> str:
    """`0`, `0.4`, `12`, `5,900`: enough for eyes."""
    return f"{value:.1f}".removesuffix(".0") if value < 10 else f"{value:,.0f}"  # noqa: PLR2004
