"""Handlers in a host that calls us with a message (Azure Functions): an external worker, told when.

A message is a doorbell, as every event is: what there is to do is claimed over HTTP, so a message
that is lost, doubled or late changes nothing.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from taskhub.attempts import Ended, StopReason
from taskhub.client import TaskHub, errors
from taskhub.http.external.bodies import Handed, HandedList
from taskhub.model import Lease, Status
from taskhub.ports import Finish
from taskhub.work.attempt import Attempt
from taskhub.work.executor import Runner
from taskhub.work.registry import Registry, discover
from taskhub.work.threads import Threads

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from taskhub.obs.telemetry import Telemetry

BELLS = frozenset({"TaskCreated", "TaskRetrying"})
"""Events after which there may be something to do."""
LEASE = 30.0  # seconds; renewed each third of it
MOST = 20  # tasks of one call: the host wants its answer within minutes


class Functions:
    """The handlers of these modules, for tasks of the TaskHub at `url`."""

    def __init__(
        self, modules: Sequence[str], url: str, token: str, *, folder: Path | None = None
    ) -> None:
        """Import the handlers; raises ConfigError with everything that is wrong with them."""
        self.registry = discover(modules, folder=folder, built_in=False)
        self._url, self._token = url, token

    async def rang(self, message: bytes) -> int:
        """Do what waits after an event of the channel; the number of tasks that were done.

        What is no event of ours, or means no work, is taken for done: to refuse it would bring it
        again and again.
        """
        return await self.work() if _is_bell(message) else 0

    async def work(self, most: int = MOST) -> int:
        """Claim tasks one after the other and do them, until there are none or it has been `most`.

        Also for a timer: retries become due without a message. Raises the client's errors.
        """
        async with TaskHub(self._url, self._token) as hub:
            await hub.request("PUT", "/work/types", body={"types": _types(self.registry)})
            for number in range(most):
                handed = await self._claimed(hub)
                if handed is None:
                    return number
                await self._do(hub, handed)
        return most

    async def _claimed(self, hub: TaskHub) -> Handed | None:
        wish = {"types": list(self.registry.names), "worker": "functions", "leaseSeconds": LEASE}
        answer = await hub.request("POST", "/work/claim", body=wish)
        if answer is None:
            return None
        return msgspec.json.decode(msgspec.json.encode(answer), type=HandedList).items[0]

    async def _do(self, hub: TaskHub, handed: Handed) -> None:
        attempt = Attempt(Lease(item=handed.task, fence=handed.fence))
        with _runner(self.registry) as runner:
            async with _renewed(hub, handed, runner, attempt):
                ended = await runner.run(attempt)
        if attempt.reason is not StopReason.LOST:
            await _tell(hub, handed, ended)


def _is_bell(message: bytes) -> bool:
    try:
        event = json.loads(message)
    except (ValueError, RecursionError):
        return False
    return isinstance(event, dict) and event.get("type") in BELLS


def _types(registry: Registry) -> list[dict[str, Any]]:
    return [
        {
            "name": spec.name,
            "queue": spec.mark.queue,
            "timeoutSeconds": spec.mark.timeout,
            "maxAttempts": spec.mark.attempts,
            "payloadSchema": spec.signature.schema,
        }
        for spec in registry.values()
    ]


@contextmanager
def _runner(registry: Registry) -> Iterator[Runner]:
    threads = Threads(1)
    runner = Runner(registry, threads, _ignore, on_progress=lambda _: None)
    try:
        yield runner
    finally:
        runner.close()
        threads.close()


def _ignore(_event: Telemetry) -> None:
    """Log lines and metrics of external workers are the API's."""


@asynccontextmanager
async def _renewed(
    hub: TaskHub, handed: Handed, runner: Runner, attempt: Attempt
) -> AsyncIterator[None]:
    """Keep the lease meanwhile; a handler whose task is lost or is to be cancelled stops."""

    async def renew() -> None:
        while True:
            await asyncio.sleep(LEASE / 3)
            body = {"lease": handed.lease, "leaseSeconds": LEASE}
            try:
                state = await hub.request("POST", f"/work/{handed.id}/renew", body=body)
            except errors.LeaseOver:
                runner.stop(attempt, StopReason.LOST)
                return
            except errors.TaskHubError:
                continue  # it may be back before the lease ends
            if state["cancelRequested"]:
                runner.stop(attempt, StopReason.CANCEL)

    renewal = asyncio.create_task(renew())
    try:
        yield
    finally:
        renewal.cancel()
        await asyncio.wait({renewal})


async def _tell(hub: TaskHub, handed: Handed, ended: Ended) -> None:
    """Say what came of it; said twice, it counts once."""
    body: dict[str, Any] = {"lease": handed.lease}
    if not isinstance(ended, Finish):
        verb = "release"
    elif ended.status is Status.DONE:
        result = None if ended.result is None else msgspec.Raw(ended.result)
        verb, body = "complete", body | {"result": result}
    else:
        verb, body = "fail", body | _failure(ended)
    await hub.request("POST", f"/work/{handed.id}/{verb}", body=body)


def _failure(finish: Finish) -> dict[str, Any]:
    body: dict[str, Any] = {"error": finish.error or "it failed"}
    if finish.status is not Status.PENDING:
        return body | {"final": True}
    if finish.run_at is not None:
        body["retryInSeconds"] = max(0.0, (finish.run_at - datetime.now(UTC)).total_seconds())
    return body
