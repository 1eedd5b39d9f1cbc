"""The supervisor on the virtual clock: order of start and stop, nested trees, restart by name."""

from __future__ import annotations

import asyncio

import pytest
from taskhub.kernel.actor import ChildSpec, Context, Hopeless, Restart, RestartLimit
from taskhub.kernel.child import ActorState, State
from taskhub.kernel.events import ActorRestarting, ActorStarted, ActorStopped
from taskhub.kernel.mailbox import ActorFailed
from taskhub.kernel.supervisor import NoSuchActor, NotReady, RestartLimitExceeded, Supervisor

from tests.unit.kernel.cast import (
    STEADY,
    Echo,
    Fragile,
    Plays,
    child,
    echo,
    now,
    on_stage,
    part,
    raise_curtain,
    serve,
)
from tests.virtual_clock import pass_time
from tests.waiting import turns

pytestmark = pytest.mark.virtual_clock


async def test_children_start_in_order_each_when_its_predecessor_is_ready() -> None:
    """The API never serves before its store is open."""
    heard: list[str] = []

    def slow(name: str) -> ChildSpec:
        async def play(ctx: Context) -> None:
            heard.append(f"{name} starts")
            await ctx.pause(1)
            heard.append(f"{name} is ready")
            await serve(ctx)

        return part(name, play)

    async with on_stage([slow("store"), slow("api")]):
        assert heard == ["store starts", "store is ready", "api starts", "api is ready"]


async def test_a_child_that_is_not_ready_in_time_has_failed_and_is_named() -> None:
    """A start that hangs is a failure, not a silence."""

    async def stuck(ctx: Context) -> None:
        await asyncio.Event().wait()

    stage = raise_curtain([part("a", stuck, ready_timeout=2)])

    with pytest.raises(RestartLimitExceeded) as failure:
        await stage.task

    assert isinstance(failure.value.__cause__, NotReady)
    assert now() == pytest.approx(6 * 2 + 0.75)


async def test_children_stop_in_reverse_order_each_after_its_successor() -> None:
    """The API goes first, pools drain, the store goes last."""
    heard: list[str] = []

    def slow(name: str) -> ChildSpec:
        async def play(ctx: Context) -> None:
            await serve(ctx)
            heard.append(f"{name} stops")
            await turns(20)
            heard.append(f"{name} has stopped")

        return part(name, play)

    async with on_stage([slow("store"), slow("api")]):
        pass

    assert heard == ["api stops", "api has stopped", "store stops", "store has stopped"]


async def test_neighbours_of_one_group_stop_at_the_same_time() -> None:
    """Four workers that each need their whole grace must not need four times as long."""
    heard: list[str] = []

    def slow(name: str, group: str) -> ChildSpec:
        async def play(ctx: Context) -> None:
            await serve(ctx)
            heard.append(f"{name} stops")
            await pass_time(10)
            heard.append(f"{name} has stopped")

        return part(name, play, group=group)

    groups = {"store": "", "w1": "w", "w2": "w", "w3": "w", "api": "a"}
    async with on_stage([slow(*each) for each in groups.items()]):
        pass

    assert heard[:5] == ["api stops", "api has stopped", "w3 stops", "w2 stops", "w1 stops"]
    assert sorted(heard[5:8]) == ["w1 has stopped", "w2 has stopped", "w3 has stopped"]
    assert heard[8:] == ["store stops", "store has stopped"]
    assert now() == pytest.approx(30)


async def test_a_stop_drains_what_was_accepted_and_refuses_the_rest() -> None:
    """Five hundred messages in the mailbox at the stop are all answered."""
    box, spec = echo(batch=64)
    async with on_stage([spec]):
        replies = [Echo(str(number)).sent_to(box) for number in range(500)]

    assert [str(number) for number in range(500)] == [await reply for reply in replies]


async def test_what_a_given_up_actor_leaves_in_its_mailbox_fails() -> None:
    """Escalation leaves nobody waiting."""
    box, spec = echo()
    stage = raise_curtain([spec])
    await stage.ctx.is_ready.wait()
    replies = [Echo("die").sent_to(box) for _ in range(9)]

    with pytest.raises(RestartLimitExceeded):
        await stage.task

    results = await asyncio.gather(*replies, return_exceptions=True)
    assert {"ActorFailed", "MailboxClosed"} == {type(result).__name__ for result in results}


async def test_escalation_stops_the_other_children_in_reverse_order() -> None:
    """A supervisor that fails leaves nothing running behind."""
    ended: list[str] = []

    def polite(name: str) -> ChildSpec:
        async def play(ctx: Context) -> None:
            await serve(ctx)
            ended.append(name)

        return part(name, play)

    stage = raise_curtain([polite("a"), polite("b"), part("c", Fragile(9))])
    with pytest.raises(RestartLimitExceeded):
        await stage.task

    assert ended == ["b", "a"]
    assert {State.STOPPED} == {row.state for row in stage.supervisor.tree()}


async def test_a_child_that_does_not_end_in_its_stop_time_is_cancelled() -> None:
    """Ask, wait, cancel: a stop has an end."""

    async def deaf(ctx: Context) -> None:
        ctx.ready()
        await asyncio.Event().wait()

    async with on_stage([part("a", deaf, stop_timeout=3)]) as stage:
        pass

    assert now() == 3
    assert [(event.name, event.cancelled) for event in stage.of(ActorStopped)] == [("a", True)]


async def test_the_time_for_a_stop_is_asked_when_the_stop_comes() -> None:
    """A reload may have changed the grace since the start."""
    grace = 1.0

    async def deaf(ctx: Context) -> None:
        ctx.ready()
        await asyncio.Event().wait()

    async with on_stage([part("a", deaf, stop_timeout=3, grace=lambda: grace)]):
        grace = 5.0

    assert now() == 8


async def test_a_stubborn_child_is_reported_as_unstopped_and_left() -> None:
    """What ignores even its cancellation does not hold up the others."""
    released = asyncio.Event()

    async def stubborn(ctx: Context) -> None:
        ctx.ready()
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                continue

    async with on_stage([part("good"), part("bad", stubborn, stop_timeout=3)]) as stage:
        pass

    names = [f"{type(event).__name__} {event.name}" for event in stage.events[-3:]]
    assert names == ["ActorUnstopped bad", "ActorStopped bad", "ActorStopped good"]
    released.set()
    await turns()


async def test_a_stop_during_the_start_is_heard() -> None:
    """SIGTERM while a child is still starting does not wait for it."""

    async def slow(ctx: Context) -> None:
        await ctx.pause(9)

    stage = raise_curtain([part("a", slow), part("b")])
    await turns()

    stage.ctx.stopping.set()
    await stage.task

    assert now() == 0
    assert [event.name for event in stage.of(ActorStarted)] == ["a"]


async def test_a_stop_during_a_pause_is_heard() -> None:
    """No restart is awaited by a stop."""
    limit = RestartLimit(base=4, cap=4, jitter=0)
    stage = raise_curtain([part("a", Fragile(3))], limit)
    await turns()

    stage.ctx.stopping.set()
    await stage.task

    assert now() == 0


async def test_a_cancelled_supervisor_cancels_its_children_in_reverse_order() -> None:
    """A second SIGTERM: nobody drains any more, and still nothing is left running."""
    ended: list[str] = []

    def deaf(name: str) -> ChildSpec:
        async def play(ctx: Context) -> None:
            ctx.ready()
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(name)

        return part(name, play)

    stage = raise_curtain([deaf("a"), deaf("b")])
    await stage.ctx.is_ready.wait()
    stage.ctx.stopping.set()
    await turns()

    stage.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stage.task

    assert (now(), ended) == (0, ["b", "a"])


async def test_groups_are_supervisors_in_supervisors() -> None:
    """A tree needs no second concept; full names are paths."""
    group = ChildSpec("group", lambda: Supervisor([part("x"), part("y")]))
    async with on_stage([part("a"), group], name="worker-1") as stage:
        names = [row.name for row in stage.supervisor.tree()]

    assert names == ["worker-1/a", "worker-1/group", "worker-1/group/x", "worker-1/group/y"]
    assert [event.name for event in stage.of(ActorStopped)] == [
        "worker-1/group/y",
        "worker-1/group/x",
        "worker-1/group",
        "worker-1/a",
    ]


async def test_a_group_that_gives_up_is_one_strike_of_the_supervisor_above() -> None:
    """One chain of escalation: actor, supervisor, the one above."""
    fragile = Fragile(6)
    group = ChildSpec("group", lambda: Supervisor([part("x", fragile)], STEADY))
    async with on_stage([part("a"), group]) as stage:
        restarts = [event for event in stage.of(ActorRestarting) if event.name == "group"]

    assert [event.strikes for event in restarts] == [1]
    assert isinstance(restarts[0].error, RestartLimitExceeded)


def test_two_actors_of_one_name_are_refused() -> None:
    """A name says which one."""
    with pytest.raises(ValueError, match="same name"):
        Supervisor([part("a"), part("a")])


async def test_an_actor_restarts_on_request_with_no_strike_and_an_open_mailbox() -> None:
    """A reload replaces one actor while its neighbours and its senders notice nothing."""
    box, spec = echo()
    async with on_stage([spec], name="api-1") as stage:
        before = Echo("before").sent_to(box)
        task = asyncio.create_task(stage.supervisor.restart("echo"))
        await turns(1)
        during = Echo("during").sent_to(box)
        await task

        assert (await before, await during) == ("before", "during")
        assert stage.of(ActorRestarting) == []
        assert [row.restarts for row in stage.supervisor.tree()] == [1]
        assert box.refused == 0


async def test_a_restart_on_request_finds_actors_of_groups_by_short_or_full_name() -> None:
    """The name that the tree shows is the name that one gives."""
    group = ChildSpec("group", lambda: Supervisor([part("x"), part("y")]))
    async with on_stage([part("a"), group], name="worker-1") as stage:
        await stage.supervisor.restart("worker-1/group/x")
        await stage.supervisor.restart("y")

        restarts = {row.name: row.restarts for row in stage.supervisor.tree()}
        assert restarts["worker-1/group/x"] == restarts["worker-1/group/y"] == 1
        with pytest.raises(NoSuchActor):
            await stage.supervisor.restart("z")


async def test_a_restart_on_request_brings_back_what_had_ended_for_good() -> None:
    """An operator may start a temporary actor again."""
    fragile = Fragile(1)
    async with on_stage([child("a", lambda: Plays(fragile), Restart.TEMPORARY)]) as stage:
        assert [row.state for row in stage.supervisor.tree()] == [State.STOPPED]

        await stage.supervisor.restart("a")

        assert [row.state for row in stage.supervisor.tree()] == [State.READY]


async def test_a_restart_on_request_ends_a_pause() -> None:
    """Who has mended the cause need not wait for the backoff."""
    limit = RestartLimit(base=5, jitter=0)
    fragile = Fragile(2)
    stage = raise_curtain([part("a", fragile)], limit)
    await turns()

    await stage.supervisor.restart("a")

    assert (now(), len(fragile.starts)) == (0, 3)
    stage.ctx.stopping.set()
    await stage.task


async def test_an_actor_may_ask_for_its_own_restart() -> None:
    """The API answers the request that restarts it."""
    supervisors: list[Supervisor] = []

    async def play(ctx: Context) -> None:
        ctx.ready()
        if len(supervisors) == 1:
            supervisors.pop().ask_restart("a")
        await ctx.stopping.wait()

    async with on_stage([part("a", play), part("b")]) as stage:
        supervisors.append(stage.supervisor)
        await stage.supervisor.restart("a")
        await turns()

        assert [row.restarts for row in stage.supervisor.tree()] == [2, 0]


async def test_an_actor_that_cannot_be_ended_cannot_be_replaced_in_this_process() -> None:
    """A successor would share its mailbox and its world: the process itself must go."""
    released = asyncio.Event()

    async def stubborn(ctx: Context) -> None:
        ctx.ready()
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                continue

    stage = raise_curtain([part("a", stubborn)])
    await stage.ctx.is_ready.wait()

    with pytest.raises(ActorFailed, match="a"):
        await stage.supervisor.restart("a")
    with pytest.raises(RestartLimitExceeded):
        await stage.task

    released.set()
    await turns()


async def test_the_tree_shows_state_uptime_restarts_mailbox_and_the_last_error() -> None:
    """What an operator wants to know of an actor is one row."""
    box, spec = echo(limit=8)
    async with on_stage([spec], name="api-1") as stage:
        with pytest.raises(ActorFailed):
            await Echo("die").sent_to(box)
        await pass_time(60)
        box.hold()
        box.post(Echo("waits"))

        (row,) = stage.supervisor.tree()
        box.reopen()

    expected = ActorState("api-1/echo", State.READY, 60.0, 1, 1, 8, 2, 0, "Bug: ", None)
    assert row == expected


async def test_another_thread_may_look_at_the_tree() -> None:
    """The keeper's thread answers for a loop that is blocked."""
    async with on_stage([part("a")]) as stage:
        rows = await asyncio.to_thread(stage.supervisor.tree)

    assert [(row.name, row.state) for row in rows] == [("a", State.READY)]


async def test_a_pause_of_an_actor_ends_at_a_stop() -> None:
    """`while not await ctx.pause(n)` is the loop of every periodic actor."""
    ctx = Context("a")
    assert not await ctx.pause(10)

    pause = asyncio.create_task(ctx.pause(float("inf")))
    await turns()
    ctx.stopping.set()

    assert await pause
    assert now() == 10


@pytest.mark.virtual_clock
async def test_a_hopeless_actor_ends_the_start_of_its_supervisor_at_once() -> None:
    """Trying again would only say again what an operator must mend."""
    starts = 0

    class NeedsMending:
        async def run(self, ctx: Context) -> None:
            nonlocal starts
            starts += 1
            raise Hopeless("no such module")

    with pytest.raises(RestartLimitExceeded) as caught:
        await Supervisor([ChildSpec("worker", NeedsMending)]).run(Context("root"))

    assert starts == 1
    assert isinstance(caught.value.__cause__, Hopeless)


@pytest.mark.virtual_clock
async def test_an_actor_that_becomes_hopeless_later_is_one_that_fails() -> None:
    """The others go on meanwhile: what worked once may work again."""
    starts = 0

    class Spoilt:
        async def run(self, ctx: Context) -> None:
            nonlocal starts
            starts += 1
            ctx.ready()
            await ctx.pause(1.0)
            raise Hopeless("no such module any more")

    with pytest.raises(RestartLimitExceeded):
        await Supervisor([ChildSpec("worker", Spoilt)], RestartLimit(intensity=2)).run(Context("r"))

    assert starts == 3
