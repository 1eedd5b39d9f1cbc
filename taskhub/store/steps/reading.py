"""What a store answers without changing anything: which statements, and what their rows say."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import msgspec

from taskhub.audit import AuditPage, AuditQuery
from taskhub.failures import PastAttempt
from taskhub.keys import Kept, Told
from taskhub.model import Child, Owner, Parent, TaskId, TaskItem, TypeInfo
from taskhub.ports import EventPage, EventQuery, Held, QueueCount
from taskhub.queues import (
    WAITING_MOST,
    Circumstances,
    Line,
    LineState,
    QueueLimit,
    QueueState,
)
from taskhub.registration import WAITING_LIMIT, Registration
from taskhub.store.steps import audit, pausing
from taskhub.store.steps.clock import Moment
from taskhub.store.steps.following import asked, child_of, parent_of
from taskhub.store.steps.ids import LAST
from taskhub.store.steps.rows import (
    STATUS,
    Row,
    attempt_of,
    event_of,
    json,
    registration_of,
    task_of,
)


class Reading(ABC):
    """Asks statements by name; how, and what time it is, each database knows."""

    def __init__(self) -> None:
        self._types: tuple[Row | None, list[TypeInfo]] = (None, [])
        """What was read last, and its mark: a row read later than its mark is only read twice."""

    @abstractmethod
    async def ask(self, name: str, values: Mapping[str, object] | None = None) -> list[Row]:
        """All rows of a statement; raises Trouble."""

    @abstractmethod
    async def now(self) -> Moment:
        """What time it is for the database."""

    async def get(self, ids: Sequence[TaskId]) -> list[TaskItem]:
        """The tasks that exist, in the order asked."""
        rows = await self.ask("get", {"ids": json(ids)})
        found = {row[0]: row for row in rows}
        return [task_of(found[id_]) for id_ in ids if id_ in found]

    async def attempts(self, id_: TaskId) -> list[PastAttempt]:
        """What attempts of the task have failed of, oldest first."""
        return list(map(attempt_of, await self.ask("attempts", {"task": id_})))

    async def parents(self, id_: TaskId) -> list[Parent]:
        """The tasks that this one is after, in its order."""
        return [parent_of(row) for row in await self.ask("parents", asked([id_]))]

    async def children(self, id_: TaskId, cursor: TaskId | None, limit: int) -> list[Child]:
        """The tasks that are after this one, newest first, those older than the cursor."""
        values = {"parent": id_, "before_id": cursor or LAST, "limit": limit}
        return list(map(child_of, await self.ask("children", values)))

    async def held(self, id_: TaskId) -> Held | None:
        """The task and its lease."""
        rows = await self.ask("held", {"id": id_})
        return Held(task_of(rows[0]), *rows[0][-2:]) if rows else None

    async def cancels(self) -> list[TaskId]:
        """The tasks that run and whose cancel is wished."""
        return [id_ for (id_,) in await self.ask("wished_cancels")]

    async def kept(self, principal: str, key: str) -> Kept | None:
        """What is kept under this key, unless it has expired."""
        asked = {"keys": json([(principal, key)]), "now": (await self.now()).micros}
        rows = await self.ask("known_keys", asked)
        return Kept(rows[0][2], Told(*rows[0][3:])) if rows else None

    async def events(self, query: EventQuery) -> EventPage:
        """The events, and how far the table reaches; of one moment, for it is one statement."""
        values = {"after": query.after, "limit": query.limit, "task": query.task}
        rows = await self.ask("events" if query.task is None else "history", values)
        items = [event_of(row) for row in rows if row[0] is not None]
        oldest, newest = rows[0][8:]
        return EventPage(items, oldest or 0, newest or 0)

    async def forwarded(self) -> dict[str, int]:
        """The cursor of every webhook."""
        return dict(await self.ask("webhooks"))

    async def audit(self, query: AuditQuery) -> AuditPage:
        """One page of the audit log, newest first."""
        rows = await self.ask(audit.statement(query), audit.values(query))
        return audit.page(rows, query.limit)

    async def counts(self) -> list[QueueCount]:
        """Depths of the live states by queue."""
        now = (await self.now()).micros
        return [
            QueueCount(
                queue, STATUS[status], count, 0.0 if due is None else max(0, now - due) / 1e6
            )
            for queue, status, count, due in await self.ask("counts", {"most": WAITING_MOST})
        ]

    async def queues(self) -> list[QueueState]:
        """Every queue that is paused or has live tasks."""
        return pausing.states(await self.ask("pauses"), await self.counts())

    async def standing(self, line: Line, name: str) -> LineState | None:
        """How a queue or a type stands."""
        rows = await self.ask(f"{line}_standing", {"name": name})
        return LineState(name, bool(rows[0][0]), rows[0][1]) if rows else None

    async def circumstances(
        self, task: TaskId, limit: QueueLimit | None = None
    ) -> Circumstances | None:
        """A task and what is around it, at one moment."""
        now = await self.now()
        rows = await self.ask("circumstances", pausing.asked(task, now, limit))
        return pausing.circumstances_of(rows[0], now) if rows else None

    async def owners(self) -> list[Owner]:
        """Who holds leases now."""
        return [owner for (owner,) in await self.ask("owners")]

    async def types(self) -> list[TypeInfo]:
        """Every type that was registered; read again only when one has changed."""
        (mark,) = await self.ask("types_mark")
        if mark != self._types[0]:
            rows = await self.ask("types")
            infos = [TypeInfo(name, msgspec.json.decode(schema), by) for name, schema, by in rows]
            self._types = (mark, infos)
        return self._types[1]

    async def registrations(self) -> list[Registration]:
        """Every type that was registered, or of which tasks wait."""
        rows = await self.ask("registrations", {"limit": WAITING_LIMIT})
        return [registration_of(row) for row in rows]

    async def next_due(self) -> float | None:
        """Seconds until the first Pending task is due."""
        ((due,),) = await self.ask("next_due")
        ((in_turn,),) = await self.ask("next_in_turn")
        due = in_turn if due is None or (in_turn is not None and in_turn < due) else due
        return None if due is None else max(0, due - (await self.now()).micros) / 1e6
