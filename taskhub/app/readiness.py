"""Whether a process can do its work, part by part: what its supervision socket calls `ready`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from taskhub.kernel.pulse import BLOCKED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskhub.app.process import Process

    Part = dict[str, str]


def readiness(process: Process) -> dict[str, Any]:
    """The worst state of all parts, and each part's own; any thread may ask, so it is quick.

    As `GET /ready` of the API: what is merely away (degraded) holds no work up.
    """
    parts = [*_body(process), *_health(process), *_actors(process)]
    states = {part["state"] for part in parts}
    status = next((state for state in ("failed", "degraded") if state in states), "ok")
    return {
        "unit": process.name,
        "pid": os.getpid(),
        "ready": status != "failed",
        "status": status,
        "parts": parts,
    }


def ill_parts(process: Process) -> list[Part]:
    """The parts that are not well, each named as the log names it; only of actors that run here."""
    return [part for part in _health(process) if part["state"] != "ok"]


def _health(process: Process) -> Iterator[Part]:
    store, out, into = process.store_health, process.publishing, process.hearing
    parts = (
        ("store", "store", store.state, store.detail),
        ("publisher", "events", out.state, out.detail),
        ("subscriber", "events-in", into.state, into.detail),
    )
    for actor, name, state, detail in parts:
        if actor in process.entries:
            yield _part(name, state, detail)
    for each in process.issuers():
        yield _part(each.name, each.state, each.detail)


def _body(process: Process) -> Iterator[Part]:
    """The process itself: its start, its end, and whether its loop turns."""
    pulse = process.host.pulse
    if pulse.is_draining:
        yield _part("process", "failed", "it is about to end: it takes no more work")
    elif not pulse.is_ready:
        yield _part("process", "failed", "it has not finished its start")
    elif (age := pulse.age()) > BLOCKED:
        yield _part("process", "degraded", f"its event loop has stood still for {age:.1f} s")


def _actors(process: Process) -> Iterator[Part]:
    """Each actor that does not serve now, and why."""
    for actor in process.supervisor.tree() if process.supervisor else ():
        if actor.state != "ready":
            why = f"{actor.state}: {actor.last_error}" if actor.last_error else str(actor.state)
            yield _part(actor.name.removeprefix(f"{process.name}/"), "failed", why)


def _part(name: str, state: str, detail: str) -> Part:
    return {"name": name, "state": state, "detail": "" if state == "ok" else detail}
