"""What a process says when it is asked whether it is ready; no process runs."""

from __future__ import annotations

from typing import Any, cast

from taskhub.app.readiness import readiness
from taskhub.http.context import PartHealth
from taskhub.kernel.child import ActorState, State
from taskhub.kernel.supervisor import Supervisor

from tests.unit.app.household import Household

OK = {"name": "store", "state": "ok", "detail": ""}


class Actors:
    """A supervisor as far as it is asked here."""

    def __init__(self, *rows: ActorState) -> None:
        self._rows = rows

    def tree(self) -> list[ActorState]:
        return list(self._rows)


def ready(house: Household) -> Household:
    """The house after its start, its store the only part that has a health."""
    house.process.host.pulse.is_ready = True
    return house


def has(house: Household, *rows: ActorState) -> None:
    """Give it actors that stand so."""
    house.process.supervisor = cast("Supervisor", Actors(*rows))


def of(house: Household) -> tuple[Any, ...]:
    """The answer without its identity."""
    answer = readiness(house.process)
    assert answer["unit"] == "tree"
    return answer["ready"], answer["status"], answer["parts"]


async def test_a_process_that_does_its_work_is_ready(house: Household) -> None:
    """Every part that has a health is named, as the API names them."""
    has(ready(house), ActorState("tree/store", State.READY, 1.0, 0))

    assert of(house) == (True, "ok", [OK])


async def test_an_api_that_can_check_no_token_is_not_ready(house: Household) -> None:
    """Its port says so, and so must its socket: `taskhub status` and the doctor ask there."""
    ready(house).process.issuers = lambda: [PartHealth("keys", "failed", "no answer")]

    assert of(house) == (
        False,
        "failed",
        [OK, {"name": "keys", "state": "failed", "detail": "no answer"}],
    )


async def test_it_is_not_ready_before_its_start_is_over_nor_when_it_drains(
    house: Household,
) -> None:
    """Work that is sent there now would wait, or be refused."""
    started = of(house)
    ready(house).process.host.pulse.is_draining = True
    drains = of(house)

    assert [answer[:2] for answer in (started, drains)] == [(False, "failed")] * 2
    assert started[2][0]["detail"] == "it has not finished its start"
    assert drains[2][0]["detail"] == "it is about to end: it takes no more work"


async def test_an_actor_that_does_not_serve_is_named_with_its_last_error(house: Household) -> None:
    """By its name within the process, as the log has it."""
    fell = ActorState("tree/worker-1", State.RESTARTING, 0.0, 3, last_error="OSError: away")
    has(ready(house), fell, ActorState("tree/api-1", State.STARTING, 0.1, 0))

    assert of(house)[2][1:] == [
        {"name": "worker-1", "state": "failed", "detail": "restarting: OSError: away"},
        {"name": "api-1", "state": "failed", "detail": "starting"},
    ]


async def test_what_is_merely_away_is_degraded_and_holds_nothing_up(house: Household) -> None:
    """Without the event server tasks run later, and they run."""
    process = ready(house).process
    process.entries = ("store", "publisher")
    process.publishing.state, process.publishing.detail = "degraded", "no answer in time"

    assert of(house)[:2] == (True, "degraded")
    process.store_health.state, process.store_health.detail = "failed", "no room"
    assert of(house)[:2] == (False, "failed")
    assert of(house)[2][0] == {"name": "store", "state": "failed", "detail": "no room"}


async def test_a_loop_that_stands_still_is_told(house: Household) -> None:
    """A handler blocks it: nothing else here comes to its turn."""
    process = ready(house).process
    process.host.pulse.at -= 30.0

    (part,) = [each for each in of(house)[2] if each["name"] == "process"]
    assert part["state"] == "degraded"
    assert "stood still for 3" in part["detail"]
