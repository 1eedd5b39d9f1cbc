"""Small actors that play a part in the kernel's tests, and a stage to run them on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from taskhub.kernel.actor import Actor, ChildSpec, Context, Restart, RestartLimit
from taskhub.kernel.events import KernelEvent
from taskhub.kernel.mailbox import Ask, Mailbox, answering
from taskhub.kernel.supervisor import Supervisor

E = TypeVar("E")
STEADY = RestartLimit(jitter=0.0)  # pauses that a test can compute


class Bug(Exception):
    """What an actor of a test dies of."""


@dataclass
class Plays:
    """An actor made of one function."""

    part: Callable[[Context], Awaitable[object]]

    async def run(self, ctx: Context) -> None:
        await self.part(ctx)


async def serve(ctx: Context) -> None:
    """Be ready, and stop when asked."""
    ctx.ready()
    await ctx.stopping.wait()


class Echo(Ask[str]):
    """Answered with its word; the word `die` kills the reader."""

    def __init__(self, word: str) -> None:
        self.word = word


@dataclass
class EchoActor:
    """Reads its mailbox to the end."""

    inbox: Mailbox[Echo]
    batch: int = 1

    async def run(self, ctx: Context) -> None:
        ctx.ready()
        while asks := await self.inbox.take(self.batch):
            with answering(asks):
                for ask in asks:
                    if ask.word == "die":
                        raise Bug
                    ask.answer(ask.word)


@dataclass
class Stage:
    """A supervisor that runs, and what it told."""

    supervisor: Supervisor
    ctx: Context
    events: list[KernelEvent] = field(default_factory=list)
    task: asyncio.Task[None] = field(init=False)

    def of(self, kind: type[E]) -> list[E]:
        """The events of one kind, in order."""
        return [event for event in self.events if isinstance(event, kind)]


@asynccontextmanager
async def on_stage(
    children: Sequence[ChildSpec], limit: RestartLimit = STEADY, name: str = ""
) -> AsyncIterator[Stage]:
    """Run a supervisor and wait until it is ready; it is stopped at the end if it still runs."""
    stage = raise_curtain(children, limit, name)
    try:
        await stage.ctx.is_ready.wait()
        yield stage
    finally:
        stage.ctx.stopping.set()
        await asyncio.wait({stage.task})


def raise_curtain(
    children: Sequence[ChildSpec], limit: RestartLimit = STEADY, name: str = ""
) -> Stage:
    """Run a supervisor and wait for nothing."""
    stage = Stage(Supervisor(children, limit), Context(name))
    stage.ctx = Context(name, stage.events.append)
    stage.task = asyncio.create_task(stage.supervisor.run(stage.ctx))
    return stage


def part(name: str, play: Callable[[Context], Awaitable[object]] = serve, **spec: Any) -> ChildSpec:
    """A permanent child made of one function."""
    return ChildSpec(name, lambda: Plays(play), **spec)


def child(name: str, build: Callable[[], Actor], restart: Restart) -> ChildSpec:
    """A child with another restart kind."""
    return ChildSpec(name, build, restart=restart)


def echo(name: str = "echo", batch: int = 1, limit: int = 1024) -> tuple[Mailbox[Echo], ChildSpec]:
    """A mailbox and the child that reads it."""
    box: Mailbox[Echo] = Mailbox(name, limit)
    return box, ChildSpec(name, lambda: EchoActor(box, batch), inbox=box)


def now() -> float:
    """The virtual time."""
    return asyncio.get_running_loop().time()


class Fragile:
    """Dies so many times, then serves; remembers when it was started."""

    def __init__(self, deaths: int, error: type[Exception] | None = Bug) -> None:
        self.left, self.error, self.starts = deaths, error, list[float]()

    async def __call__(self, ctx: Context) -> None:
        self.starts.append(now())
        if self.left:
            self.left -= 1
            if self.error is None:
                return
            raise self.error
        await serve(ctx)
