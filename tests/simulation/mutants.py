"""Deliberate mistakes: each takes one guard away, and some seed must show what it is for."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

from taskhub.actors.renewal import Renewal
from taskhub.actors.scheduler import Scheduler
from taskhub.actors.store import StoreActor
from taskhub.ports import Create, Created, Renewed
from taskhub.store.sqlite.transaction import Statements
from taskhub.store.steps import ending

from tests.simulation.story import Ground


@dataclass(frozen=True)
class Mutant:
    """One mistake, and the invariant that it breaks."""

    breaks: str
    statement: tuple[str, str, str] | None = None
    """Name of a statement, what is taken out of it, what stands there instead."""
    places: tuple[tuple[str, Any], ...] = ()
    """What is put in the place of something of the program."""
    first: int = 0
    """A seed shortly before one that shows it, so that nobody waits for the search."""


def _answered_first(real: Callable[..., Any]) -> Callable[..., Any]:
    """A store actor that says yes to new tasks, and then makes them."""

    async def commit(self: StoreActor, puts: Any) -> None:
        for put in puts:
            if all(isinstance(write, Create) for write in put.writes):
                put.answer([Created(write.item) for write in put.writes])
        await real(self, puts)

    return commit


def _deaf(real: Callable[..., Any]) -> Callable[..., Any]:
    """A renewal that does not want to hear that a lease is lost."""

    def renew_all(self: Renewal, attempts: Any, lease: float) -> Renewed:
        answer = Renewed(cancel=real(self, attempts, lease).cancel)
        for attempt in attempts:
            attempt.lease_until = self._loop.time() + 1e6
        return answer

    return renew_all


def _by_id(real: Callable[..., None]) -> Callable[..., None]:
    """A store that takes an outcome for whatever attempt runs now."""

    def finish(batch: Any, shape: Any, ended: Any, places: Any) -> None:
        connection = batch.transaction._connection
        now = dict(connection.execute("SELECT Id, Fence FROM Tasks"))
        fresh = [(id_, now[id_], *more) for id_, _, *more in ended]
        real(batch, shape, fresh, {(id_, now[id_]): place for (id_, _), place in places.items()})

    return finish


def _silent(self: Scheduler) -> None:
    """A scheduler that thinks it has rung."""
    self._ring_at = self._now() + 60.0


async def _nothing(*_: object) -> None:
    """In the place of what should be done."""


KNOWN = "WHERE known.ExpiresAt > :now"

MUTANTS = {
    "finish-by-id": Mutant(
        "overwritten",
        places=(("taskhub.store.steps.ending._finish", _by_id(ending._finish)),),
        first=28,
    ),
    "finish-what-has-ended": Mutant(
        "overwritten", ("finish", "AND Tasks.Status = 'Processing'", ""), first=30
    ),
    "claim-without-a-fence": Mutant("fence", ("claim", "Fence = Fence + 1, ", "")),
    "claim-uncounted": Mutant("attempts", ("claim", "Attempts = Attempts + 1, ", "")),
    "sweep-without-a-limit": Mutant("attempts", ("free", "OR Attempts < MaxAttempts", "OR 1")),
    "sweep-by-a-clock-that-stands": Mutant("ends", ("sweep", ":boottime", "0")),
    "sweep-by-a-clock-ahead": Mutant("alone", ("sweep", ":boottime", "(:boottime + 60)")),
    "no-sweep": Mutant("ends", places=(("taskhub.actors.reaper.Reaper.sweep", _nothing),)),
    "renewal-deaf-to-loss": Mutant(
        "lets go",
        places=(("taskhub.actors.renewal.Renewal._renew_all", _deaf(Renewal._renew_all)),),
    ),
    "answer-before-the-commit": Mutant(
        "lost",
        places=(("taskhub.actors.store.StoreActor._commit", _answered_first(StoreActor._commit)),),
        first=23,
    ),
    "keys-not-kept": Mutant("lost", ("known_keys", KNOWN, "WHERE 0"), first=42),
    "nobody-polls": Mutant(
        "ends",
        places=(
            ("taskhub.actors.pool.POLL", 1e9),
            ("taskhub.actors.scheduler.Scheduler._ring", _silent),
        ),
    ),
}


@contextmanager
def _quiet_graves() -> Iterator[None]:
    """What a dead process has begun is awaited by nobody: Python need not say so of each."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
        try:
            yield
        finally:
            gc.collect()


@contextmanager
def in_place(name: str) -> Iterator[Ground]:
    """The ground of a world in which this mistake was made ("": none)."""
    statements = Statements()
    with ExitStack() as stack:
        stack.enter_context(_quiet_graves())
        if name:
            mutant = MUTANTS[name]
            if mutant.statement is not None:
                statement, old, new = mutant.statement
                assert old in statements.text[statement], f"{statement} has no {old}"
                statements.text[statement] = statements.text[statement].replace(old, new)
            for place, value in mutant.places:
                stack.enter_context(mock.patch(place, value))
        yield Ground.made(statements)
